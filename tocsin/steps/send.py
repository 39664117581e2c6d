"""Sends what is due: claimed first, then written and sent, then put on record (I4)."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine

from models.terms import IncidentId, NoticeId
from tocsin.clock import Clock
from tocsin.links import Links
from tocsin.log import redact
from tocsin.mail.journal import SendingJournal, open_journal
from tocsin.mail.messages import Mailer, OutgoingMessage, SendKind, SendOutcome
from tocsin.mail.render import TemplateSet
from tocsin.policy.sending import SendingRules
from tocsin.steps.keeping_back import keep_back
from tocsin.steps.letters import (
    Letter,
    Matters,
    Sender,
    is_past_its_use,
    read_matters,
    write_letter,
)
from tocsin.steps.settle import outcome_of, put_on_record, settle_dead
from tocsin.store import outbox
from tocsin.store.outbox import ClaimedNotice
from tocsin.store.outcomes import NoticeOutcome, OutcomeKind
from tocsin.store.session import reading, writing

__all__ = ["Sender", "Sent", "send_due"]

log = structlog.get_logger()

LEASE_WITHIN = timedelta(minutes=15)
"""Longer than a batch takes at a relay that answers slowly."""

_LEAVES_WITHIN = LEASE_WITHIN / 2
"""What has not been given to the mailer by then is claimed anew."""


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
        put_off: Their turn comes later, by the pace that was set.

    """

    claimed: int = 0
    sent: int = 0
    failed: int = 0
    retried: int = 0
    in_doubt: int = 0
    not_sent: int = 0
    not_rendered: int = 0
    superseded: int = 0
    put_off: int = 0


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
    batch: int = 500,
    journals: Path | None = None,
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
        batch: Notices in one transaction.
        journals: Folder on a disk of this machine: after a kill it tells which
            messages were on their way. None: all that were claimed are in doubt.

    """
    rules = rules or SendingRules()
    if journals is not None:
        settle_dead(engine, journals, clock, rules=rules)
    with _old_left_alone(), open_journal(journals, owner) as journal:
        sending = _Sending(
            engine,
            templates_for,
            links,
            sender,
            clock,
            owner=owner if journal is None else journal.owner,
            rules=rules,
            batch=batch,
            journal=journal,
        )
        try:
            # More than once: where sending paused, a probe that was taken ends that.
            while sending.may_go_on:
                for ended in mailer.send(sending.messages(), witness=journal):
                    sending.ended(ended)
        except BaseException:
            # What is known is recorded; the rest is for whoever reads the journal.
            sending.record()
            raise
        return sending.finish()


@contextmanager
def _old_left_alone() -> Iterator[None]:
    """
    Let the garbage collector look at nothing that was there before.

    Among thousands of messages it would look through all of the program again and
    again, a twentieth of the time.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Sending:
    """One sending: what it has claimed, and what it knows of that."""

    def __init__(
        self,
        engine: Engine,
        templates_for: Callable[[IncidentId], TemplateSet],
        links: Links,
        sender: Sender,
        clock: Clock,
        *,
        owner: str,
        rules: SendingRules,
        batch: int,
        journal: SendingJournal | None,
    ) -> None:
        self._engine = engine
        self._templates_for = templates_for
        self._links = links
        self._sender = sender
        self._clock = clock
        self._owner = owner
        self._rules = rules
        self._batch = batch
        self._journal = journal
        self._open: dict[NoticeId, ClaimedNotice] = {}
        self._told: dict[NoticeId, tuple[int, ...]] = {}
        self._outcomes: list[NoticeOutcome] = []
        self._done: Counter[OutcomeKind] = Counter()
        self._is_relay_down = False
        self._was_idle = False

    @property
    def may_go_on(self) -> bool:
        """Whether more may be due now that all that was claimed has ended."""
        return not (self._is_relay_down or self._was_idle)

    def messages(self) -> Iterator[OutgoingMessage]:
        """
        Claim and write, a batch at a time, while the relay takes what was written.

        One transaction records what has ended since the last and claims the next: one
        sync to disk for both.
        """
        self._was_idle = True
        while not self._is_relay_down:
            claimed_at = self._clock.now()
            claimed = self._turn(claimed_at, limit=self._batch)
            if not claimed:
                return
            self._was_idle = False
            with reading(self._engine) as connection:
                matters = read_matters(connection, claimed)
            for notice in claimed:
                now = self._clock.now()
                if now - claimed_at > _LEAVES_WITHIN:
                    # Claimed anew, or somebody could take it over on its way.
                    self._unsent(notice, OutcomeKind.PUT_OFF)
                elif is_past_its_use(notice, matters, now=now):
                    self._unsent(notice, OutcomeKind.SUPERSEDED)
                elif letter := self._write(notice, matters):
                    yield letter.message

    def ended(self, ended: SendOutcome) -> None:
        """Take note of what became of a message."""
        self._is_relay_down |= ended.kind is SendKind.NOT_SENT
        notice = self._open.pop(ended.notice_id)
        told = self._told.pop(ended.notice_id, ())
        self._outcomes.append(outcome_of(ended, notice, told))

    def record(self) -> None:
        """Write down what is known."""
        if self._outcomes:
            self._turn(self._clock.now(), limit=0)

    def finish(self) -> Sent:
        """Write down the rest: what the mailer did not ask for any more was not sent."""
        self._outcomes += [
            NoticeOutcome(notice=notice, kind=OutcomeKind.NOT_SENT)
            for notice in self._open.values()
        ]
        self._open.clear()
        self.record()
        return _sent(self._done)

    def _turn(self, now: datetime, *, limit: int) -> list[ClaimedNotice]:
        """Record what has ended, keep back what must not leave, claim what may."""
        outcomes = list(self._outcomes)
        with writing(self._engine) as connection:
            if outcomes:
                put_on_record(
                    connection, outcomes, owner=self._owner, rules=self._rules, now=now
                )
            allowed = keep_back(
                connection, outcomes, rules=self._rules, now=now, limit=limit
            )
            claimed = outbox.claim_notices(
                connection,
                owner=self._owner,
                now=now,
                lease_within=LEASE_WITHIN,
                limit=allowed,
            )
            if self._journal is not None and claimed:
                self._journal.claimed([notice.notice_id for notice in claimed])
        # Committed: count it, and do not write it twice.
        del self._outcomes[: len(outcomes)]
        self._open.update((notice.notice_id, notice) for notice in claimed)
        if outcomes:
            counts = Counter(outcome.kind for outcome in outcomes)
            self._done += counts
            log.info(
                "Notices sent",
                **{kind.name.lower(): count for kind, count in sorted(counts.items())},
            )
        return claimed

    def _write(self, notice: ClaimedNotice, matters: Matters) -> Letter | None:
        try:
            letter = write_letter(
                notice,
                matters,
                templates=self._templates_for(notice.incident),
                links=self._links,
                sender=self._sender,
            )
        except Exception as error:
            # Whatever is wrong with one must not keep the others from their readers.
            log.exception("A notice cannot be written", notice=notice.notice_id)
            self._unsent(notice, OutcomeKind.NOT_RENDERED, redact(str(error)))
            return None
        if letter is None:
            self._unsent(notice, OutcomeKind.SUPERSEDED)
            return None
        if letter.escalations:
            self._told[notice.notice_id] = letter.escalations
            if self._journal is not None:
                self._journal.tells_of(notice.notice_id, letter.escalations)
        return letter

    def _unsent(
        self, notice: ClaimedNotice, kind: OutcomeKind, detail: str = ""
    ) -> None:
        del self._open[notice.notice_id]
        self._outcomes.append(NoticeOutcome(notice=notice, kind=kind, detail=detail))


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
        put_off=done[OutcomeKind.PUT_OFF],
    )
