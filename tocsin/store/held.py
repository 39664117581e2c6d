"""Notices that wait for a decision, and why the others have not left yet."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, func, select, update

from models.base import table
from models.outreach import Attempt, Notice
from models.subscriber import Contact, Subscriber
from models.terms import ContactId, IncidentId, NoticeId, NoticeKind, NoticeState

NOTICE = table(Notice)
CONTACT = table(Contact)
SUBSCRIBER = table(Subscriber)
ATTEMPT = table(Attempt)


class Change(Protocol):
    """Changes notices that are held, and says which were, by incident."""

    def __call__(
        self, connection: Connection, notices: Sequence[NoticeId], *, now: datetime
    ) -> dict[IncidentId, list[NoticeId]]:
        """Change those that are held."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldNotice:
    """
    A notice of which nobody knows whether it has left.

    Args:
        notice: Its key.
        incident: Of which incident.
        kind: What it is for.
        contact: To whom.
        subscriber: The subscriber's name; empty for the CA's own people.
        message_id: What to look for in the relay's log.
        planned_at: When it was decided on, UTC.
        doubt_at: When its end was missed, UTC.

    """

    notice: NoticeId
    incident: IncidentId
    kind: NoticeKind
    contact: ContactId
    subscriber: str
    message_id: str
    planned_at: datetime
    doubt_at: datetime


def held_notices(connection: Connection) -> list[HeldNotice]:
    """Return what waits for an officer's decision, the oldest first."""
    doubt_at = (
        select(func.max(ATTEMPT.c.ended_at))
        .where(ATTEMPT.c.notice_id == NOTICE.c.id)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            NOTICE.c.id,
            NOTICE.c.incident_id,
            NOTICE.c.kind,
            NOTICE.c.contact_id,
            func.coalesce(SUBSCRIBER.c.name, "").label("subscriber"),
            NOTICE.c.message_id,
            NOTICE.c.planned_at,
            doubt_at.label("doubt_at"),
        )
        .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == CONTACT.c.subscriber_id)
        .where(NOTICE.c.state == NoticeState.HELD.value)
        .order_by(NOTICE.c.planned_at, NOTICE.c.id)
    )
    return [
        HeldNotice(
            notice=NoticeId(row.id),
            incident=IncidentId(row.incident_id),
            kind=NoticeKind(row.kind),
            contact=ContactId(row.contact_id),
            subscriber=row.subscriber,
            message_id=row.message_id,
            planned_at=row.planned_at,
            doubt_at=row.doubt_at or row.planned_at,
        )
        for row in rows
    ]


def release(
    connection: Connection, notices: Sequence[NoticeId], *, now: datetime
) -> dict[IncidentId, list[NoticeId]]:
    """Make held notices due again; whoever had one already gets it twice."""
    found = _held(connection, notices)
    connection.execute(
        update(NOTICE)
        .where(NOTICE.c.id.in_(notices), NOTICE.c.state == NoticeState.HELD.value)
        .values(
            state=NoticeState.PLANNED.value,
            due_at=now,
            possibly_repeated=NOTICE.c.possibly_repeated + 1,
        )
    )
    return found


def give_up(
    connection: Connection, notices: Sequence[NoticeId], *, now: datetime
) -> dict[IncidentId, list[NoticeId]]:
    """End held notices without sending them again."""
    del now  # the act has it
    found = _held(connection, notices)
    connection.execute(
        update(NOTICE)
        .where(NOTICE.c.id.in_(notices), NOTICE.c.state == NoticeState.HELD.value)
        .values(state=NoticeState.GIVEN_UP.value)
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """
    Notices that have not left, by what they wait for.

    Args:
        due: For the next run, or for a pause to end.
        later: For their time: tried again later, or their address had its share.
        sending: For a relay's answer.
        held: For an officer.
        due_since: When the oldest due one was to leave, UTC; None when none is due.

    """

    due: int
    later: int
    sending: int
    held: int
    due_since: datetime | None


def backlog(connection: Connection, *, now: datetime) -> Backlog:
    """Count what has not left."""
    planned = connection.execute(
        select(
            func.count().filter(NOTICE.c.due_at <= now).label("due"),
            func.count().filter(NOTICE.c.due_at > now).label("later"),
            func.min(NOTICE.c.due_at).label("since"),
        ).where(NOTICE.c.state == NoticeState.PLANNED.value)
    ).one()
    others: dict[str, int] = {
        row.state: row.total
        for row in connection.execute(
            select(NOTICE.c.state, func.count().label("total"))
            .where(
                NOTICE.c.state.in_((NoticeState.SENDING.value, NoticeState.HELD.value))
            )
            .group_by(NOTICE.c.state)
        )
    }
    return Backlog(
        due=planned.due,
        later=planned.later,
        sending=others.get(NoticeState.SENDING.value, 0),
        held=others.get(NoticeState.HELD.value, 0),
        due_since=planned.since if planned.due else None,
    )


def _held(
    connection: Connection, notices: Sequence[NoticeId]
) -> dict[IncidentId, list[NoticeId]]:
    found: dict[IncidentId, list[NoticeId]] = defaultdict(list)
    for row in connection.execute(
        select(NOTICE.c.id, NOTICE.c.incident_id)
        .where(NOTICE.c.id.in_(notices), NOTICE.c.state == NoticeState.HELD.value)
        .order_by(NOTICE.c.id)
        .with_for_update()
    ):
        found[IncidentId(row.incident_id)].append(NoticeId(row.id))
    return dict(found)
