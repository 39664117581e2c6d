"""What became of claimed notices, written down a batch at a time (I4)."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, update

from models.base import table
from models.outreach import Attempt, Escalation, Notice
from models.subscriber import Contact
from models.terms import (
    ContactId,
    ContactState,
    EscalationState,
    InDoubt,
    NoticeState,
    SubscriberId,
    UnreachableReason,
)
from tocsin.policy.sending import SendingRules, after_doubt
from tocsin.store.outbox import ENDED_WITHOUT_A_WORD, ClaimedNotice
from tocsin.store.outreach import look_now

NOTICE = table(Notice)
CONTACT = table(Contact)
ATTEMPT = table(Attempt)
ESCALATION = table(Escalation)

_BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
_RELAY_IS_DOWN = timedelta(minutes=1)
_TEMPLATE_IS_BROKEN = timedelta(minutes=15)
_KEYS_AT_ONCE = 500


class OutcomeKind(StrEnum):
    """What became of one claimed notice; the first five are a relay's words."""

    SENT = "sent"
    RETRY = "retry"
    FAILED = "failed"
    IN_DOUBT = "in-doubt"
    NOT_SENT = "not-sent"
    NOT_RENDERED = "not-rendered"  # a template is broken: tried again, somebody looks
    SUPERSEDED = "superseded"  # there is nothing left to say
    PUT_OFF = "put-off"  # nothing was tried: due again, as if it had not been claimed


_COUNTS_AS_ATTEMPT = frozenset(
    {
        OutcomeKind.SENT,
        OutcomeKind.RETRY,
        OutcomeKind.FAILED,
        OutcomeKind.IN_DOUBT,
    }
)
_IS_NO_ATTEMPT = frozenset({OutcomeKind.SUPERSEDED, OutcomeKind.PUT_OFF})


class NoticeOutcome(NamedTuple):
    """
    What became of a claimed notice.

    Args:
        notice: Which.
        kind: What.
        smtp_code: The relay's last word; None where it gave none.
        detail: In words, without addresses.
        escalations: What a message to the CA's own people told of.
        wait: Until one that was put off is due.
        is_relays: Whether a relay had its part in it. A process of ours that dies often
            must not make an address look as if it had been refused for hours.

    """

    notice: ClaimedNotice
    kind: OutcomeKind
    smtp_code: int | None = None
    detail: str = ""
    escalations: tuple[int, ...] = ()
    wait: timedelta = timedelta()
    is_relays: bool = True

    @property
    def counts_as_attempt(self) -> bool:
        """Whether it is one of those after which an address is given up."""
        return self.is_relays and self.kind in _COUNTS_AS_ATTEMPT


def record_outcomes(
    connection: Connection,
    outcomes: Sequence[NoticeOutcome],
    *,
    owner: str,
    now: datetime,
    rules: SendingRules,
) -> None:
    """
    Write down what became of claimed notices.

    Args:
        connection: The transaction.
        outcomes: Each claimed notice once.
        owner: Who claimed them; what somebody else took over since is theirs to plan.
        now: The present instant, UTC.
        rules: What an operator set, such as what follows a doubt.

    """
    by_kind: dict[OutcomeKind, list[NoticeOutcome]] = defaultdict(list)
    held: list[NoticeOutcome] = []
    for outcome in outcomes:
        if (
            outcome.kind is OutcomeKind.IN_DOUBT
            and after_doubt(outcome.notice.kind, rules) is InDoubt.HOLD
        ):
            held.append(outcome)
        else:
            by_kind[outcome.kind].append(outcome)
    _end(connection, held, owner=owner, state=NoticeState.HELD)
    _record_sent(connection, by_kind[OutcomeKind.SENT], now=now)
    for kind, delay, repeats in (
        (OutcomeKind.RETRY, _back_off, 0),
        (OutcomeKind.IN_DOUBT, _back_off, 1),
        (OutcomeKind.NOT_SENT, lambda _: _RELAY_IS_DOWN, 0),
        (OutcomeKind.NOT_RENDERED, lambda _: _TEMPLATE_IS_BROKEN, 0),
        (OutcomeKind.PUT_OFF, lambda outcome: outcome.wait, 0),
    ):
        _plan_again(
            connection,
            by_kind[kind],
            owner=owner,
            now=now,
            delay=delay,
            repeats=repeats,
        )
    for kind in (OutcomeKind.FAILED, OutcomeKind.SUPERSEDED):
        _end(connection, by_kind[kind], owner=owner, state=NoticeState(kind.value))
    refused = [outcome.notice.to for outcome in by_kind[OutcomeKind.FAILED]]
    mark_unreachable(
        connection,
        contacts=[to.contact for to in refused],
        subscribers=[to.subscriber for to in refused if to.subscriber is not None],
        reason=UnreachableReason.REFUSED,
        now=now,
    )
    attempts = [
        {
            "notice_id": outcome.notice.notice_id,
            "ended_at": now,
            "outcome": outcome.kind.value,
            "smtp_code": outcome.smtp_code,
            "detail": outcome.detail,
        }
        for outcome in outcomes
        if outcome.kind not in _IS_NO_ATTEMPT
    ]
    if attempts:
        connection.execute(insert(ATTEMPT), attempts)


def note_doubt(
    connection: Connection, notices: Sequence[int], *, now: datetime
) -> None:
    """Write down that whoever sent these ended without a word: they may have left."""
    if not notices:
        return
    connection.execute(
        insert(ATTEMPT),
        [
            {
                "notice_id": key,
                "ended_at": now,
                "outcome": OutcomeKind.IN_DOUBT.value,
                "detail": ENDED_WITHOUT_A_WORD,
            }
            for key in notices
        ],
    )


def mark_unreachable(
    connection: Connection,
    *,
    contacts: Sequence[ContactId],
    subscribers: Sequence[SubscriberId],
    reason: UnreachableReason,
    now: datetime,
) -> None:
    """Note that mail to these contacts is of no use; policy turns to the next ones."""
    if not contacts:
        return
    connection.execute(
        update(CONTACT)
        .where(CONTACT.c.id.in_(contacts), CONTACT.c.state == ContactState.ACTIVE.value)
        .values(state=ContactState.UNREACHABLE.value, state_reason=reason.value)
    )
    connection.execute(
        # It goes on waiting: what was never confirmed is not simply written to again.
        update(CONTACT)
        .where(
            CONTACT.c.id.in_(contacts),
            CONTACT.c.state == ContactState.UNCONFIRMED.value,
        )
        .values(state_reason=reason.value)
    )
    look_now(connection, sorted(set(subscribers)), now=now)


def _back_off(outcome: NoticeOutcome) -> timedelta:
    return _BACK_OFF[min(outcome.notice.attempts, len(_BACK_OFF) - 1)]


_SENT = (
    update(NOTICE)
    .where(
        NOTICE.c.id.in_(bindparam("keys", expanding=True)),
        # Whoever claimed it since: it has left, and must not leave again.
        NOTICE.c.state.in_(
            (
                NoticeState.SENDING.value,
                NoticeState.PLANNED.value,
                NoticeState.HELD.value,
            )
        ),
    )
    .values(
        state=NoticeState.SENT.value,
        sent_at=bindparam("b_now"),
        attempts=NOTICE.c.attempts + 1,
        lease_owner=None,
        lease_until=None,
    )
)


def _record_sent(
    connection: Connection, outcomes: Sequence[NoticeOutcome], *, now: datetime
) -> None:
    if not outcomes:
        return
    keys = [outcome.notice.notice_id for outcome in outcomes]
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        connection.execute(
            _SENT, {"keys": keys[start : start + _KEYS_AT_ONCE], "b_now": now}
        )
    told = sorted({key for outcome in outcomes for key in outcome.escalations})
    for start in range(0, len(told), _KEYS_AT_ONCE):
        connection.execute(
            update(ESCALATION)
            .where(
                ESCALATION.c.id.in_(told[start : start + _KEYS_AT_ONCE]),
                ESCALATION.c.state == EscalationState.RAISED.value,
            )
            .values(state=EscalationState.TOLD.value, told_at=now)
        )


def _plan_again(
    connection: Connection,
    outcomes: Sequence[NoticeOutcome],
    *,
    owner: str,
    now: datetime,
    delay: Callable[[NoticeOutcome], timedelta],
    repeats: int,
) -> None:
    if not outcomes:
        return
    connection.execute(
        update(NOTICE)
        .where(
            NOTICE.c.id == bindparam("b_id"),
            NOTICE.c.state == NoticeState.SENDING.value,
            NOTICE.c.lease_owner == owner,
        )
        .values(
            state=NoticeState.PLANNED.value,
            due_at=bindparam("b_due_at"),
            attempts=NOTICE.c.attempts + bindparam("b_attempts"),
            possibly_repeated=NOTICE.c.possibly_repeated + repeats,
            lease_owner=None,
            lease_until=None,
        ),
        [
            {
                "b_id": outcome.notice.notice_id,
                "b_due_at": now + delay(outcome),
                "b_attempts": int(outcome.counts_as_attempt),
            }
            for outcome in outcomes
        ],
    )


def _end(
    connection: Connection,
    outcomes: Sequence[NoticeOutcome],
    *,
    owner: str,
    state: NoticeState,
) -> None:
    if not outcomes:
        return
    connection.execute(
        update(NOTICE)
        .where(
            NOTICE.c.id == bindparam("b_id"),
            NOTICE.c.state == NoticeState.SENDING.value,
            NOTICE.c.lease_owner == owner,
        )
        .values(
            state=state.value,
            attempts=NOTICE.c.attempts + bindparam("b_attempts"),
            lease_owner=None,
            lease_until=None,
        ),
        [
            {
                "b_id": outcome.notice.notice_id,
                "b_attempts": int(outcome.counts_as_attempt),
            }
            for outcome in outcomes
        ],
    )
