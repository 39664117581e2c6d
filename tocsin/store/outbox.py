"""Notices claimed, and what became of them: the intent stands before a message leaves (I4)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, or_, select, update

from models.base import table
from models.incident import Incident
from models.outreach import Attempt, Escalation, Notice
from models.subscriber import Contact, Subscriber
from models.terms import (
    ContactId,
    ContactRole,
    ContactState,
    EscalationState,
    IncidentId,
    IncidentState,
    NoticeId,
    NoticeKind,
    NoticeState,
    SubscriberId,
)
from tocsin.store.outreach import look_now

NOTICE = table(Notice)
CONTACT = table(Contact)
SUBSCRIBER = table(Subscriber)
ATTEMPT = table(Attempt)
ESCALATION = table(Escalation)
INCIDENT = table(Incident)

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


_COUNTS_AS_ATTEMPT = frozenset(
    {
        OutcomeKind.SENT,
        OutcomeKind.RETRY,
        OutcomeKind.FAILED,
        OutcomeKind.IN_DOUBT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """To whom a notice goes; ``subscriber`` is None for the CA's own people."""

    contact: ContactId
    name: str
    email: str
    role: ContactRole
    rank: int
    token_generation: int
    subscriber: SubscriberId | None
    subscriber_name: str
    zone: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedNotice:
    """
    A notice that is ours to send.

    Args:
        notice_id: Which.
        incident: Of which incident.
        kind: What it is for.
        sequence: Its number among those of its kind.
        message_id: The same for every repetition.
        thread: The first message to this contact; None when this is the first.
        verp_token: Tells the notice when it comes back.
        attempts: Conversations so far.
        is_repeat: An earlier one ended in doubt.
        planned_at: When it was decided on, UTC.
        to: The recipient.

    """

    notice_id: NoticeId
    incident: IncidentId
    kind: NoticeKind
    sequence: int
    message_id: str
    thread: str | None
    verp_token: str
    attempts: int
    is_repeat: bool
    planned_at: datetime
    to: Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeOutcome:
    """
    What became of a claimed notice.

    Args:
        notice: Which.
        kind: What.
        smtp_code: The relay's last word; None where it gave none.
        detail: In words, without addresses.
        escalations: What a message to the CA's own people told of.

    """

    notice: ClaimedNotice
    kind: OutcomeKind
    smtp_code: int | None = None
    detail: str = ""
    escalations: tuple[int, ...] = ()


def claim_notices(
    connection: Connection,
    *,
    owner: str,
    now: datetime,
    lease_within: timedelta,
    limit: int,
) -> list[ClaimedNotice]:
    """
    Take what is due, and what another process took and never ended.

    The end of the latter is in doubt: it is sent again, counted as a possible
    repetition, under the same Message-ID.

    Args:
        connection: A transaction; once it is committed they are ours.
        owner: Who takes them.
        now: The present instant, UTC.
        lease_within: How long they stay ours unless their outcome is recorded.
        limit: How many at most.

    """
    doubtful = _keys(
        connection,
        select(NOTICE.c.id).where(
            NOTICE.c.state == NoticeState.SENDING.value,
            or_(NOTICE.c.lease_until.is_(None), NOTICE.c.lease_until <= now),
        ),
        limit=limit,
    )
    due = _keys(
        connection,
        select(NOTICE.c.id).where(
            NOTICE.c.state == NoticeState.PLANNED.value, NOTICE.c.due_at <= now
        ),
        limit=limit - len(doubtful),
    )
    if doubtful:
        connection.execute(
            update(NOTICE)
            .where(NOTICE.c.id.in_(doubtful))
            .values(
                attempts=NOTICE.c.attempts + 1,
                possibly_repeated=NOTICE.c.possibly_repeated + 1,
            )
        )
        connection.execute(
            insert(ATTEMPT),
            [
                {
                    "notice_id": key,
                    "ended_at": now,
                    "outcome": OutcomeKind.IN_DOUBT.value,
                    "detail": "whoever was sending it ended without a word",
                }
                for key in doubtful
            ],
        )
    keys = doubtful + due
    if not keys:
        return []
    connection.execute(
        update(NOTICE)
        .where(NOTICE.c.id.in_(keys))
        .values(
            state=NoticeState.SENDING.value,
            lease_owner=owner,
            lease_until=now + lease_within,
        )
    )
    return _claimed(connection, keys)


def _keys(
    connection: Connection, query: Select[tuple[Any]], *, limit: int
) -> list[int]:
    if limit <= 0:
        return []
    return list(
        connection.execute(
            query.join(INCIDENT, INCIDENT.c.id == NOTICE.c.incident_id)
            .where(INCIDENT.c.state != IncidentState.DRAFT.value)
            .order_by(NOTICE.c.due_at, NOTICE.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=NOTICE)
        ).scalars()
    )


def _claimed(connection: Connection, keys: Sequence[int]) -> list[ClaimedNotice]:
    """Read the claimed ones with everything their writing needs."""
    earlier = NOTICE.alias("earlier")
    thread = (
        select(earlier.c.message_id)
        .where(earlier.c.contact_id == NOTICE.c.contact_id, earlier.c.id < NOTICE.c.id)
        .order_by(earlier.c.id)
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            NOTICE,
            thread.label("thread"),
            CONTACT.c.name.label("contact_name"),
            CONTACT.c.email,
            CONTACT.c.role,
            CONTACT.c.rank,
            CONTACT.c.token_generation,
            CONTACT.c.subscriber_id,
            func.coalesce(SUBSCRIBER.c.name, "").label("subscriber_name"),
            # The CA's own people read in the incident's zone.
            func.coalesce(SUBSCRIBER.c.zone, INCIDENT.c.zone).label("zone"),
            func.coalesce(SUBSCRIBER.c.language, "en").label("language"),
        )
        .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
        .join(INCIDENT, INCIDENT.c.id == NOTICE.c.incident_id)
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == CONTACT.c.subscriber_id)
        .where(NOTICE.c.id.in_(keys))
        .order_by(NOTICE.c.due_at, NOTICE.c.id)
    )
    return [_notice(row) for row in rows]


def _notice(row: Any) -> ClaimedNotice:
    return ClaimedNotice(
        notice_id=NoticeId(row.id),
        incident=IncidentId(row.incident_id),
        kind=NoticeKind(row.kind),
        sequence=row.sequence,
        message_id=row.message_id,
        thread=row.thread,
        verp_token=row.verp_token,
        attempts=row.attempts,
        is_repeat=row.possibly_repeated > 0,
        planned_at=row.planned_at,
        to=Recipient(
            contact=ContactId(row.contact_id),
            name=row.contact_name,
            email=row.email,
            role=ContactRole(row.role),
            rank=row.rank,
            token_generation=row.token_generation,
            subscriber=None
            if row.subscriber_id is None
            else SubscriberId(row.subscriber_id),
            subscriber_name=row.subscriber_name,
            zone=row.zone,
            language=row.language,
        ),
    )


def record_outcomes(
    connection: Connection,
    outcomes: Sequence[NoticeOutcome],
    *,
    owner: str,
    now: datetime,
) -> None:
    """
    Write down what became of claimed notices.

    Args:
        connection: The transaction.
        outcomes: Each claimed notice once.
        owner: Who claimed them; what somebody else took over since is theirs to plan.
        now: The present instant, UTC.

    """
    by_kind: dict[OutcomeKind, list[NoticeOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.kind].append(outcome)
    _record_sent(connection, by_kind[OutcomeKind.SENT], now=now)
    for kind, delay, repeats in (
        (OutcomeKind.RETRY, _back_off, 0),
        (OutcomeKind.IN_DOUBT, _back_off, 1),
        (OutcomeKind.NOT_SENT, lambda _: _RELAY_IS_DOWN, 0),
        (OutcomeKind.NOT_RENDERED, lambda _: _TEMPLATE_IS_BROKEN, 0),
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
        if outcome.kind is not OutcomeKind.SUPERSEDED
    ]
    if attempts:
        connection.execute(insert(ATTEMPT), attempts)


def mark_unreachable(
    connection: Connection,
    *,
    contacts: Sequence[ContactId],
    subscribers: Sequence[SubscriberId],
    now: datetime,
) -> None:
    """Note that mail to these contacts fails for good; policy turns to the next ones."""
    if not contacts:
        return
    connection.execute(
        update(CONTACT)
        .where(CONTACT.c.id.in_(contacts), CONTACT.c.state == ContactState.ACTIVE.value)
        .values(state=ContactState.UNREACHABLE.value)
    )
    look_now(connection, sorted(set(subscribers)), now=now)


def _back_off(outcome: NoticeOutcome) -> timedelta:
    return _BACK_OFF[min(outcome.notice.attempts, len(_BACK_OFF) - 1)]


def _record_sent(
    connection: Connection, outcomes: Sequence[NoticeOutcome], *, now: datetime
) -> None:
    if not outcomes:
        return
    connection.execute(
        update(NOTICE)
        .where(
            NOTICE.c.id == bindparam("b_id"),
            # Whoever claimed it since: it has left, and must not leave again.
            or_(
                NOTICE.c.state == NoticeState.SENDING.value,
                NOTICE.c.state == NoticeState.PLANNED.value,
            ),
        )
        .values(
            state=NoticeState.SENT.value,
            sent_at=now,
            attempts=NOTICE.c.attempts + 1,
            lease_owner=None,
            lease_until=None,
        ),
        [{"b_id": outcome.notice.notice_id} for outcome in outcomes],
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
                "b_attempts": int(outcome.kind in _COUNTS_AS_ATTEMPT),
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
                "b_attempts": int(outcome.kind in _COUNTS_AS_ATTEMPT),
            }
            for outcome in outcomes
        ],
    )


def next_due_notice(connection: Connection) -> datetime | None:
    """Return when the next notice is due, or the next lease on one ends."""
    instants: Iterable[datetime | None] = (
        connection.execute(
            select(func.min(NOTICE.c.due_at)).where(
                NOTICE.c.state == NoticeState.PLANNED.value
            )
        ).scalar(),
        connection.execute(
            select(
                func.min(func.coalesce(NOTICE.c.lease_until, NOTICE.c.due_at))
            ).where(NOTICE.c.state == NoticeState.SENDING.value)
        ).scalar(),
    )
    return min((instant for instant in instants if instant), default=None)
