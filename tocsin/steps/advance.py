"""Does everything that is due, whoever woke us; every process that acts calls this."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import structlog
from sqlalchemy import Engine

from models.terms import IncidentId
from tocsin.alarms import Channels
from tocsin.ca.backend import CaBackend, Publication
from tocsin.clock import Clock
from tocsin.links import Links
from tocsin.mail.incoming import Mailbox
from tocsin.mail.render import TemplateSet
from tocsin.mail.smtp import Mailer
from tocsin.policy.pauses import pause_sentence
from tocsin.policy.sending import SendingRules
from tocsin.steps.alarms import send_due_alarms
from tocsin.steps.correspondence import templates_of
from tocsin.steps.incoming import MailFiling, file_incoming
from tocsin.steps.outreach import Telling, plan_forecast, plan_outreach
from tocsin.steps.proposals import lapse_overtaken
from tocsin.steps.replies import apply_due_replies
from tocsin.steps.revoke import revoke_due
from tocsin.steps.send import Sender, send_due
from tocsin.steps.watchdog import NO_HEARTBEAT, Heartbeat, watch_once
from tocsin.store import (
    alarms,
    audit,
    incidents,
    leases,
    outbox,
    outreach,
    pauses,
    replies,
)
from tocsin.store import revocations as revocation_store
from tocsin.store.session import reading, writing

log = structlog.get_logger()

_LEASE = "cycle"
_INCOMING = "incoming mail"
_LEASE_WITHIN = timedelta(seconds=55)
_BATCH = 500
_PASSES = 20
"""A bounce comes back, the next contact is told, that one bounces: passes of one run."""


_IN_WORDS = {
    "revoked": ("certificate revoked", "certificates revoked"),
    "already_revoked": ("found revoked already", "found revoked already"),
    "published": ("published", "published"),
    "bounces": ("address bounced", "addresses bounced"),
    "came_back_for_now": ("mail came back for now", "mails came back for now"),
    "departed": ("contact has left", "contacts have left"),
    "mail_from_people": ("mail from a person", "mails from people"),
    "other_mail": ("automatic mail", "automatic mails"),
    "replies_applied": ("reply took effect", "replies took effect"),
    "brought_forward": ("revocation brought forward", "revocations brought forward"),
    "escalations": ("escalation raised", "escalations raised"),
    "escalations_ended": ("escalation ended", "escalations ended"),
    "notices_sent": ("notice sent", "notices sent"),
    "notices_refused": ("notice refused", "notices refused"),
    "alarms_sent": ("alarm sent", "alarms sent"),
    "alarms_failed": ("alarm refused", "alarms refused"),
    "steps_missed": ("thing due was not done", "things due were not done"),
    "proposals_lapsed": ("proposal lapsed", "proposals lapsed"),
    "incidents_closed": ("incident closed", "incidents closed"),
}
"""What is counted, for one and for many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """
    What a run needs to act; entry points build it once.

    Args:
        engine: The database.
        backend: The CA.
        publication: What the CA publishes.
        mailer: The relay.
        mailboxes: Where mail comes in: what came back, and what people write.
        links: Signs the links in notices.
        sender: Who the mail comes from.
        clock: Tells now.
        owner: Names this process in leases.
        channels: What reaches the CA's own people beside mail; None: nothing does.
        watchdog: What shows that nothing due was missed.
        rules: What an operator set about sending.
        journals: Where sendings note what is on its way; None: nowhere.

    """

    engine: Engine
    backend: CaBackend
    publication: Publication
    mailer: Mailer
    mailboxes: Sequence[Mailbox]
    links: Links
    sender: Sender
    clock: Clock
    owner: str
    rules: SendingRules = field(default_factory=SendingRules)
    channels: Channels | None = None
    watchdog: Heartbeat = NO_HEARTBEAT
    journals: Path | None = None

    @property
    def telling(self) -> Telling:
        """How the CA's own people are told."""
        return Telling(
            mail_domain=self.sender.address.rpartition("@")[2],
            channels=self.channels.keys if self.channels else (),
        )


@dataclass(slots=True, kw_only=True)
class Advanced:
    """
    What one run did.

    Args:
        busy: Another process was doing it; only revocations were seen to.
        counts: What was done, by name; those that are zero are left out.
        problems: Parts that failed and stay due; the log has the traceback.
        alarm: What somebody has to look at although nothing failed; empty when nothing.
        seconds: How long it took.

    """

    busy: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    alarm: str = ""
    seconds: float = 0.0

    def add(self, **counts: int) -> int:
        """Add to the counts, and return how much was done."""
        for name, count in counts.items():
            if count:
                self.counts[name] = self.counts.get(name, 0) + count
        return sum(counts.values())

    @property
    def did_nothing(self) -> bool:
        """Whether nothing was due."""
        return not self.counts and not self.problems and not self.alarm

    def sentence(self) -> str:
        """Say what was done, for a list of runs."""
        parts = [
            f"{count:,} {_IN_WORDS[name][count != 1]}"
            for name, count in self.counts.items()
        ]
        parts += [f"{part} failed, stays due" for part in self.problems]
        if self.alarm:
            parts.insert(0, self.alarm)
        return ", ".join(parts) or "Nothing was due"


def advance(c: Collaborators) -> Advanced:
    """
    Do whatever is due, until nothing is.

    Revocation comes first and last and needs none of the rest (I2): what fails in
    between is logged, stays due and holds nothing up.
    """
    started_at = perf_counter()
    done = Advanced()
    _part(done, "revocation", lambda: _revoke(c, done))
    with writing(c.engine) as connection:
        done.busy = not leases.take_lease(
            connection,
            name=_LEASE,
            owner=c.owner,
            now=c.clock.now(),
            within=_LEASE_WITHIN,
        )
    if done.busy:
        done.seconds = perf_counter() - started_at
        return done
    try:
        _part(done, "forecast", lambda: _forecast(c, done))
        for _ in range(_PASSES):
            before = dict(done.counts)
            if _INCOMING not in done.problems:  # one silent mailbox, one time-out
                _part(done, _INCOMING, lambda: _file_incoming(c, done))
            _part(done, "replies", lambda: _apply_replies(c, done))
            _part(done, "outreach", lambda: _plan(c, done))
            _part(done, "mail", lambda: _send(c, done))
            _part(done, "revocation", lambda: _revoke(c, done))
            if done.counts == before:
                break
        _part(done, "alarms", lambda: _alarm(c, done))
        _part(done, "proposals", lambda: _lapse(c, done))
        _part(done, "closing", lambda: _close(c, done))
        _part(done, "watchdog", lambda: _watch(c, done))
    finally:
        with writing(c.engine) as connection:
            leases.drop_lease(connection, name=_LEASE, owner=c.owner)
    done.seconds = perf_counter() - started_at
    return done


def next_due_at(engine: Engine) -> datetime | None:
    """Return the next instant at which something is due; None when nothing is."""
    with reading(engine) as connection:
        instants = [
            revocation_store.next_due(connection),
            outbox.next_due_notice(connection),
            replies.next_due_reply(connection),
            outreach.next_look_at(connection),
            alarms.next_due_alarm(connection),
        ]
    return min((instant for instant in instants if instant), default=None)


def _part(done: Advanced, name: str, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:  # one part's failure must hold up no other; it stays due
        log.exception("A part of the run failed", part=name)
        if name not in done.problems:
            done.problems.append(name)


def _revoke(c: Collaborators, done: Advanced) -> None:
    revoked = revoke_due(
        c.engine, c.backend, c.publication, c.clock, owner=c.owner, actor="engine"
    )
    done.add(
        revoked=revoked.revoked,
        already_revoked=revoked.already,
        published=revoked.published,
    )


def _file_incoming(c: Collaborators, done: Advanced) -> None:
    filed = file_incoming(
        MailFiling(
            engine=c.engine,
            links=c.links,
            mail_domain=c.sender.mail_domain,
            clock=c.clock,
        ),
        c.mailboxes,
    )
    done.add(
        bounces=filed.bounced,
        came_back_for_now=filed.temporary,
        departed=filed.departed,
        mail_from_people=filed.written,
        other_mail=filed.others,
    )


def _apply_replies(c: Collaborators, done: Advanced) -> None:
    applied = apply_due_replies(c.engine, c.clock, batch=_BATCH)
    done.add(replies_applied=applied.applied, brought_forward=applied.brought_forward)


def _forecast(c: Collaborators, done: Advanced) -> None:
    for incident in _running(c.engine):
        planned = plan_forecast(
            c.engine, incident=incident, telling=c.telling, clock=c.clock
        )
        done.add(escalations=planned.raised, escalations_ended=planned.ended)


def _plan(c: Collaborators, done: Advanced) -> None:
    for incident in _running(c.engine):
        planned = plan_outreach(
            c.engine, incident=incident, telling=c.telling, clock=c.clock
        )
        done.add(escalations=planned.raised, escalations_ended=planned.ended)


def _alarm(c: Collaborators, done: Advanced) -> None:
    if c.channels is not None:
        sent = send_due_alarms(c.engine, c.channels, c.clock, owner=c.owner)
        done.add(alarms_sent=sent.sent, alarms_failed=sent.failed)


def _watch(c: Collaborators, done: Advanced) -> None:
    watched = watch_once(
        c.engine,
        c.clock,
        telling=c.telling,
        publication_within=c.backend.capabilities.publication_delay,
        heartbeat=c.watchdog,
    )
    done.add(steps_missed=sum(len(left) for left in watched.missed.values()))


def _send(c: Collaborators, done: Advanced) -> None:
    @lru_cache(maxsize=16)
    def templates_for(incident: IncidentId) -> TemplateSet:
        with reading(c.engine) as connection:
            sources = incidents.frozen_templates(connection, incident=incident)
        return templates_of(sources)

    sent = send_due(
        c.engine,
        c.mailer,
        templates_for,
        c.links,
        c.sender,
        c.clock,
        owner=c.owner,
        rules=c.rules,
        journals=c.journals,
    )
    done.add(notices_sent=sent.sent, notices_refused=sent.failed)
    with reading(c.engine) as connection:
        pause = pauses.live_pause(connection)
    done.alarm = (
        f"Sending pauses: {pause_sentence(pause.cause)}"
        if pause is not None and pause.alarmed_at is not None
        else ""
    )


def _lapse(c: Collaborators, done: Advanced) -> None:
    done.add(proposals_lapsed=lapse_overtaken(c.engine, c.clock))


def _close(c: Collaborators, done: Advanced) -> None:
    with writing(c.engine) as connection:
        now = c.clock.now()
        for incident in incidents.finished_incidents(connection, now=now):
            if incidents.mark_closed(connection, incident=incident, now=now):
                done.add(incidents_closed=1)
                audit.append(
                    connection,
                    incident=incident,
                    at=now,
                    actor="engine",
                    action="incident-closed",
                    detail={},
                )


def _running(engine: Engine) -> list[IncidentId]:
    with reading(engine) as connection:
        return incidents.running_incidents(connection)
