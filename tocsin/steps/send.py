"""Sends what is due: claimed first, then written and sent, then put on record (I4)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from models.terms import IncidentId, NoticeId
from tocsin.clock import Clock
from tocsin.links import Links
from tocsin.log import redact
from tocsin.mail.render import TemplateSet
from tocsin.mail.smtp import Mailer, SendKind, SendOutcome
from tocsin.policy.sending import SendingRules
from tocsin.steps.keeping_back import keep_back
from tocsin.steps.letters import (
    Letter,
    Sender,
    is_past_its_use,
    read_matters,
    write_letter,
)
from tocsin.store import audit, outbox
from tocsin.store.outbox import ClaimedNotice
from tocsin.store.outcomes import NoticeOutcome, OutcomeKind, record_outcomes
from tocsin.store.session import reading, writing

__all__ = ["Sender", "Sent", "send_due"]

log = structlog.get_logger()

LEASE_WITHIN = timedelta(minutes=15)
"""Longer than a batch takes at a relay that answers slowly."""

_GIVE_UP_AFTER = 8
"""Attempts: with the back-off, four hours. Then the next contact is told instead."""

_UNTIL_GIVEN_UP = (OutcomeKind.RETRY, OutcomeKind.IN_DOUBT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """
    What was done; the rest sums to ``claimed`` (I3).

    Args:
        claimed: Notices that were due.
        sent: The relay took them.
        failed: The address was refused for good, or refused for too long.
        retried: Refused for now; due again later.
        in_doubt: The end is unknown; due again, under the same Message-ID, or held.
        not_sent: The relay could not be talked to.
        not_rendered: A template does not fit; somebody has to look.
        superseded: There was nothing left to say.

    """

    claimed: int = 0
    sent: int = 0
    failed: int = 0
    retried: int = 0
    in_doubt: int = 0
    not_sent: int = 0
    not_rendered: int = 0
    superseded: int = 0


def send_due(  # noqa: PLR0917 - collaborators, each of a type of its own
    engine: Engine,
    mailer: Mailer,
    templates_for: Callable[[IncidentId], TemplateSet],
    links: Links,
    sender: Sender,
    clock: Clock,
    *,
    owner: str,
    rules: SendingRules | None = None,
    batch: int = 100,
) -> Sent:
    """
    Send what is due until nothing is, or until the relay does not answer.

    Args:
        engine: The database.
        mailer: The relay.
        templates_for: An incident's templates, frozen at its launch (I7).
        links: Signs the links in notices.
        sender: Who the mail comes from.
        clock: Tells now.
        owner: Names this process in leases.
        rules: What an operator set about sending; None: the defaults.
        batch: Notices in one transaction; a killed process leaves as many in doubt.

    """
    rules = rules or SendingRules()
    done: Counter[OutcomeKind] = Counter()
    outcomes: list[NoticeOutcome] = []
    while True:
        claimed = _record_and_claim(
            engine, outcomes, owner=owner, rules=rules, now=clock.now(), batch=batch
        )
        done.update(outcome.kind for outcome in outcomes)
        if not claimed:
            return _sent(done)
        outcomes = []
        try:
            _send(
                engine,
                claimed,
                outcomes,
                mailer,
                templates_for,
                links=links,
                sender=sender,
                now=clock.now(),
            )
        except Exception:
            # What is known is recorded; the rest stays claimed and so is in doubt.
            _record_and_claim(
                engine, outcomes, owner=owner, rules=rules, now=clock.now(), batch=0
            )
            raise


def _record_and_claim(
    engine: Engine,
    outcomes: Sequence[NoticeOutcome],
    *,
    owner: str,
    rules: SendingRules,
    now: datetime,
    batch: int,
) -> list[ClaimedNotice]:
    """Record one batch and claim the next in one transaction: one sync to disk."""
    if any(outcome.kind is OutcomeKind.NOT_SENT for outcome in outcomes):
        batch = 0  # the relay is down: what is due stays due
    with writing(engine) as connection:
        record_outcomes(connection, outcomes, owner=owner, now=now, rules=rules)
        allowed = keep_back(connection, outcomes, rules=rules, now=now, limit=batch)
        claimed = outbox.claim_notices(
            connection, owner=owner, now=now, lease_within=LEASE_WITHIN, limit=allowed
        )
        _append_acts(connection, outcomes, now=now)
    if outcomes:
        counts = Counter(outcome.kind for outcome in outcomes)
        log.info(
            "Notices sent",
            **{kind.name.lower(): count for kind, count in sorted(counts.items())},
        )
    return claimed


def _append_acts(
    connection: Connection, outcomes: Sequence[NoticeOutcome], *, now: datetime
) -> None:
    acts: dict[IncidentId, dict[str, list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for outcome in outcomes:
        acts[outcome.notice.incident][outcome.kind].append(outcome.notice.notice_id)
    for incident, detail in sorted(acts.items()):
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor="engine",
            action="notices-sent",
            detail=detail,
        )


def _send(
    engine: Engine,
    claimed: Sequence[ClaimedNotice],
    outcomes: list[NoticeOutcome],
    mailer: Mailer,
    templates_for: Callable[[IncidentId], TemplateSet],
    *,
    links: Links,
    sender: Sender,
    now: datetime,
) -> None:
    """Write and send a batch; outcomes are added as they become known."""
    with reading(engine) as connection:
        matters = read_matters(connection, claimed)
    letters: dict[NoticeId, Letter] = {}
    for notice in claimed:
        if is_past_its_use(notice, matters, now=now):
            outcomes.append(NoticeOutcome(notice=notice, kind=OutcomeKind.SUPERSEDED))
            continue
        try:
            letter = write_letter(
                notice,
                matters,
                templates=templates_for(notice.incident),
                links=links,
                sender=sender,
            )
        except Exception as error:
            # Whatever is wrong with one must not keep the others from their readers.
            log.exception("A notice cannot be written", notice=notice.notice_id)
            outcomes.append(
                NoticeOutcome(
                    notice=notice,
                    kind=OutcomeKind.NOT_RENDERED,
                    detail=redact(str(error)),
                )
            )
            continue
        if letter is None:
            outcomes.append(NoticeOutcome(notice=notice, kind=OutcomeKind.SUPERSEDED))
        else:
            letters[notice.notice_id] = letter
    by_id = {notice.notice_id: notice for notice in claimed}
    messages = [letter.message for letter in letters.values()]
    # One by one: those before an error in the middle are known.
    outcomes.extend(
        _outcome(ended, by_id[ended.notice_id], letters[ended.notice_id])
        for ended in mailer.send(messages)
    )


def _outcome(
    ended: SendOutcome, notice: ClaimedNotice, letter: Letter
) -> NoticeOutcome:
    kind = _KINDS[ended.kind]
    if kind in _UNTIL_GIVEN_UP and notice.attempts + 1 >= _GIVE_UP_AFTER:
        kind = OutcomeKind.FAILED
    return NoticeOutcome(
        notice=notice,
        kind=kind,
        smtp_code=ended.smtp_code,
        detail=ended.detail,
        escalations=letter.escalations if kind is OutcomeKind.SENT else (),
    )


_KINDS: Mapping[SendKind, OutcomeKind] = {
    SendKind.SENT: OutcomeKind.SENT,
    SendKind.RETRY: OutcomeKind.RETRY,
    SendKind.FAILED: OutcomeKind.FAILED,
    SendKind.IN_DOUBT: OutcomeKind.IN_DOUBT,
    SendKind.NOT_SENT: OutcomeKind.NOT_SENT,
}


def _sent(done: Counter[OutcomeKind]) -> Sent:
    return Sent(
        claimed=done.total(),
        sent=done[OutcomeKind.SENT],
        failed=done[OutcomeKind.FAILED],
        retried=done[OutcomeKind.RETRY],
        in_doubt=done[OutcomeKind.IN_DOUBT],
        not_sent=done[OutcomeKind.NOT_SENT],
        not_rendered=done[OutcomeKind.NOT_RENDERED],
        superseded=done[OutcomeKind.SUPERSEDED],
    )
