"""Notices that are due, claimed by one process: the intent stands before they leave (I4)."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from models.base import Instant, table
from models.incident import Incident
from models.outreach import Attempt, Notice, SendingPause
from models.subscriber import Contact, Subscriber
from models.terms import (
    ContactId,
    ContactRole,
    IncidentId,
    IncidentState,
    NoticeId,
    NoticeKind,
    NoticeState,
    SubscriberId,
)

NOTICE = table(Notice)
CONTACT = table(Contact)
SUBSCRIBER = table(Subscriber)
ATTEMPT = table(Attempt)
INCIDENT = table(Incident)
PAUSE = table(SendingPause)

RECIPIENT = (
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
"""What is read of a contact to write to them; NOTICE.contact_id comes beside it."""

ENDED_WITHOUT_A_WORD = "whoever was sending it ended without a word"
"""The detail of an attempt whose process was killed."""

_IN_DOUBT = "in-doubt"


# Tuples: thousands are made in each sending, and a dataclass takes three times as long.
class Recipient(NamedTuple):
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


class ClaimedNotice(NamedTuple):
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
    doubtful = _keys(connection, _DOUBTFUL, now=now, limit=limit)
    due = _keys(connection, _DUE, now=now, limit=limit - len(doubtful))
    if doubtful:
        connection.execute(
            update(NOTICE)
            .where(NOTICE.c.id.in_(doubtful))
            # No attempt of the relay's: a process that dies often must not make an
            # address look as if it had been refused for hours.
            .values(possibly_repeated=NOTICE.c.possibly_repeated + 1)
        )
        connection.execute(
            insert(ATTEMPT),
            [
                {
                    "notice_id": key,
                    "ended_at": now,
                    "outcome": _IN_DOUBT,
                    "detail": ENDED_WITHOUT_A_WORD,
                }
                for key in doubtful
            ],
        )
    keys = doubtful + due
    if not keys:
        return []
    connection.execute(
        _TAKE,
        {"keys": keys, "b_owner": owner, "b_lease_until": now + lease_within},
    )
    return _claimed(connection, keys)


def leased_notices(connection: Connection, *, owner: str) -> list[ClaimedNotice]:
    """Return what somebody claimed and did not record: theirs is the lease."""
    keys = connection.execute(
        select(NOTICE.c.id)
        .where(
            NOTICE.c.state == NoticeState.SENDING.value, NOTICE.c.lease_owner == owner
        )
        .with_for_update(of=NOTICE)
    ).scalars()
    return _claimed(connection, list(keys))


def _first(*conditions: ColumnElement[bool]) -> Select[tuple[Any]]:
    return (
        select(NOTICE.c.id)
        .join(INCIDENT, INCIDENT.c.id == NOTICE.c.incident_id)
        .where(INCIDENT.c.state != IncidentState.DRAFT.value, *conditions)
        .order_by(NOTICE.c.due_at, NOTICE.c.id)
        .limit(bindparam("b_limit", type_=Integer()))
        .with_for_update(skip_locked=True, of=NOTICE)
    )


def _with_recipients() -> Select[Any]:
    """Read notices with everything their writing needs."""
    earlier = NOTICE.alias("earlier")
    thread = (
        select(earlier.c.message_id)
        .where(earlier.c.contact_id == NOTICE.c.contact_id, earlier.c.id < NOTICE.c.id)
        .order_by(earlier.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(
            NOTICE.c.id,
            NOTICE.c.incident_id,
            NOTICE.c.kind,
            NOTICE.c.sequence,
            NOTICE.c.message_id,
            NOTICE.c.verp_token,
            NOTICE.c.attempts,
            NOTICE.c.possibly_repeated,
            NOTICE.c.planned_at,
            thread.label("thread"),
            NOTICE.c.contact_id,
            *RECIPIENT,
        )
        .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
        .join(INCIDENT, INCIDENT.c.id == NOTICE.c.incident_id)
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == CONTACT.c.subscriber_id)
        .where(NOTICE.c.id.in_(bindparam("keys", expanding=True)))
        .order_by(NOTICE.c.due_at, NOTICE.c.id)
    )


# Built once: they run for each batch, of which a large incident has hundreds.
_NOW: BindParameter[datetime] = bindparam("b_now", type_=Instant())
_DOUBTFUL = _first(
    NOTICE.c.state == NoticeState.SENDING.value,
    or_(NOTICE.c.lease_until.is_(None), NOTICE.c.lease_until <= _NOW),
)
_DUE = _first(NOTICE.c.state == NoticeState.PLANNED.value, NOTICE.c.due_at <= _NOW)
_TAKE = (
    update(NOTICE)
    .where(NOTICE.c.id.in_(bindparam("keys", expanding=True)))
    .values(
        state=NoticeState.SENDING.value,
        lease_owner=bindparam("b_owner"),
        lease_until=bindparam("b_lease_until"),
    )
)
_CLAIMED = _with_recipients()


def _keys(
    connection: Connection, query: Select[tuple[Any]], *, now: datetime, limit: int
) -> list[int]:
    if limit <= 0:
        return []
    return list(connection.execute(query, {"b_now": now, "b_limit": limit}).scalars())


def _claimed(connection: Connection, keys: Sequence[int]) -> list[ClaimedNotice]:
    return [
        # By place: by name it takes twice as long, and there are thousands of them.
        ClaimedNotice(
            notice_id=row[0],
            incident=row[1],
            kind=NoticeKind(row[2]),
            sequence=row[3],
            message_id=row[4],
            verp_token=row[5],
            attempts=row[6],
            is_repeat=row[7] > 0,
            planned_at=row[8],
            thread=row[9],
            to=_recipient(*row[10:]),
        )
        for row in connection.execute(_CLAIMED, {"keys": keys}).all()
    ]


def recipient_of(row: Any) -> Recipient:
    """Read a row that holds the columns of ``RECIPIENT``."""
    return _recipient(
        row.contact_id,
        row.contact_name,
        row.email,
        row.role,
        row.rank,
        row.token_generation,
        row.subscriber_id,
        row.subscriber_name,
        row.zone,
        row.language,
    )


def _recipient(  # noqa: PLR0917 - in the order of the columns
    contact: int,
    name: str,
    email: str,
    role: str,
    rank: int,
    token_generation: int,
    subscriber: int | None,
    subscriber_name: str,
    zone: str,
    language: str,
) -> Recipient:
    return Recipient(
        contact=ContactId(contact),
        name=name,
        email=email,
        role=ContactRole(role),
        rank=rank,
        token_generation=token_generation,
        subscriber=None if subscriber is None else SubscriberId(subscriber),
        subscriber_name=subscriber_name,
        zone=zone,
        language=language,
    )


def next_due_notice(connection: Connection) -> datetime | None:
    """
    Return when the next notice is due, or the next lease on one ends.

    While sending pauses nothing is due before the next message is tried.
    """
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
    earliest = min((instant for instant in instants if instant), default=None)
    probe_at: datetime | None = connection.execute(
        select(PAUSE.c.probe_at).where(PAUSE.c.is_live)
    ).scalar()
    return max(earliest, probe_at) if earliest and probe_at else earliest
