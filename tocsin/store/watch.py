"""What ought to be further on than it is, by incident; for the watchdog."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, and_, func, or_, select

from models.base import table
from models.outreach import Notice, Reply
from models.subscriber import Subscriber
from models.terms import IncidentId, NoticeState, ReplyState
from tocsin.policy.watchdog import WatchFacts
from tocsin.store.overdue import outstanding

SUBSCRIBER = table(Subscriber)
NOTICE = table(Notice)
REPLY = table(Reply)

_SOON = timedelta(minutes=15)
"""A notice that is tried again within this is on its way; a later one was put off."""


def watch_facts(
    connection: Connection,
    *,
    incident: IncidentId,
    expected: int,
    now: datetime,
    grace: timedelta,
    publication_within: timedelta,
) -> WatchFacts:
    """
    Count what is behind.

    Args:
        connection: The transaction.
        incident: Which.
        expected: Steps that ought to have been taken for every subscriber.
        now: The present instant, UTC.
        grace: How long anything may take after it was due.
        publication_within: How long the CA may take to publish, on top of that.

    """
    late = now - grace
    left = outstanding(
        connection,
        now=now,
        grace=grace,
        publication_within=publication_within,
        incident=incident,
    )
    return WatchFacts(
        positions={
            row.ladder_position: row.behind
            for row in connection.execute(
                select(SUBSCRIBER.c.ladder_position, func.count().label("behind"))
                .where(
                    SUBSCRIBER.c.incident_id == incident,
                    SUBSCRIBER.c.ladder_position < expected,
                )
                .group_by(SUBSCRIBER.c.ladder_position)
            )
        },
        unsent=sum(
            connection.execute(statement).scalar_one()
            for statement in unsent_statements(incident=incident, now=now, late=late)
        ),
        unapplied=connection.execute(
            select(func.count()).where(
                REPLY.c.state == ReplyState.PENDING.value,
                REPLY.c.effective_at <= late,
                REPLY.c.incident_id == incident,
            )
        ).scalar_one(),
        overdue=left.overdue,
        unpublished=left.unpublished,
        restrained=left.restrained,
    )


def unsent_statements(
    *, incident: IncidentId, now: datetime, late: datetime
) -> tuple[Select[tuple[int]], ...]:
    """
    Build the queries that count notices that did not leave.

    Those that a relay refuses for now are tried again and are no fault of ours; those
    for which nobody could even talk to a relay are.
    """
    return (
        select(func.count()).where(
            NOTICE.c.state == NoticeState.PLANNED.value,
            NOTICE.c.due_at <= now + _SOON,
            NOTICE.c.incident_id == incident,
            or_(
                NOTICE.c.due_at <= late,
                and_(NOTICE.c.attempts == 0, NOTICE.c.planned_at <= late),
            ),
        ),
        select(func.count()).where(
            NOTICE.c.state == NoticeState.SENDING.value,
            NOTICE.c.incident_id == incident,
            or_(NOTICE.c.lease_until.is_(None), NOTICE.c.lease_until <= late),
        ),
    )
