"""From a mailer's word to the record, for messages just sent and for a dead process's."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine

from models.terms import IncidentId
from tocsin.clock import Clock
from tocsin.mail.journal import DeadJournal, dead_journals
from tocsin.mail.messages import SendKind, SendOutcome
from tocsin.policy.sending import SendingRules
from tocsin.store import audit, outbox
from tocsin.store.outbox import ENDED_WITHOUT_A_WORD, ClaimedNotice
from tocsin.store.outcomes import NoticeOutcome, OutcomeKind, record_outcomes
from tocsin.store.session import writing

log = structlog.get_logger()

_GIVE_UP_AFTER = 8
"""Attempts: with the back-off, four hours. Then the next contact is told instead."""

_UNTIL_GIVEN_UP = (OutcomeKind.RETRY, OutcomeKind.IN_DOUBT)

_KINDS: Mapping[SendKind, OutcomeKind] = {
    SendKind.SENT: OutcomeKind.SENT,
    SendKind.RETRY: OutcomeKind.RETRY,
    SendKind.FAILED: OutcomeKind.FAILED,
    SendKind.IN_DOUBT: OutcomeKind.IN_DOUBT,
    SendKind.NOT_SENT: OutcomeKind.NOT_SENT,
    SendKind.PUT_OFF: OutcomeKind.PUT_OFF,
}


def outcome_of(
    ended: SendOutcome, notice: ClaimedNotice, told: tuple[int, ...]
) -> NoticeOutcome:
    """
    Tell what a mailer's word means for a notice.

    Args:
        ended: The word.
        notice: The notice.
        told: The escalations that its message tells of.

    """
    kind = _KINDS[ended.kind]
    if kind in _UNTIL_GIVEN_UP and notice.attempts + 1 >= _GIVE_UP_AFTER:
        kind = OutcomeKind.FAILED
    return NoticeOutcome(
        notice=notice,
        kind=kind,
        smtp_code=ended.smtp_code,
        detail=ended.detail,
        escalations=told if kind is OutcomeKind.SENT else (),
        wait=timedelta(seconds=ended.wait_seconds),
    )


def put_on_record(
    connection: Connection,
    outcomes: Sequence[NoticeOutcome],
    *,
    owner: str,
    rules: SendingRules,
    now: datetime,
) -> None:
    """Write down outcomes, and that we did (I5), in one transaction."""
    record_outcomes(connection, outcomes, owner=owner, now=now, rules=rules)
    _append_acts(connection, outcomes, now=now)


def settle_dead(
    engine: Engine, journals: Path, clock: Clock, *, rules: SendingRules
) -> None:
    """
    Put on record what killed processes knew: nobody waits for their leases to end.

    What was answered has its outcome; what was under way is in doubt; what had not
    begun is due as if it had never been claimed.

    Args:
        engine: The database.
        journals: Where processes of this machine keep their journals.
        clock: Tells now.
        rules: What an operator set, such as what follows a doubt.

    """
    for journal in dead_journals(journals):
        with writing(engine) as connection:
            leased = outbox.leased_notices(connection, owner=journal.owner)
            outcomes = [_last_word(journal, notice) for notice in leased]
            if outcomes:
                put_on_record(
                    connection,
                    outcomes,
                    owner=journal.owner,
                    rules=rules,
                    now=clock.now(),
                )
        counts = Counter(outcome.kind for outcome in outcomes)
        log.warning(
            "A sending that was killed is settled",
            **{kind.name.lower(): count for kind, count in sorted(counts.items())},
        )


def _last_word(journal: DeadJournal, notice: ClaimedNotice) -> NoticeOutcome:
    key = notice.notice_id
    ended = journal.ended.get(key)
    if ended is None and journal.is_complete and key not in journal.started:
        return NoticeOutcome(notice=notice, kind=OutcomeKind.PUT_OFF)
    if ended is None:
        return NoticeOutcome(
            notice=notice,
            kind=OutcomeKind.IN_DOUBT,
            detail=ENDED_WITHOUT_A_WORD,
            is_relays=False,
        )
    return outcome_of(ended, notice, journal.escalations.get(key, ()))


def _append_acts(
    connection: Connection, outcomes: Sequence[NoticeOutcome], *, now: datetime
) -> None:
    acts = defaultdict[IncidentId, dict[str, list[int]]](lambda: defaultdict(list))
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
