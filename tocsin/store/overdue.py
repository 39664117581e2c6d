"""What ought to have been revoked or published and was not; nothing of people (I2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, func, select

from models.terms import IncidentId, RevocationState
from tocsin.store.revocations import (
    REVOCATION,
    UNREVOKED,
    is_free,
    is_unrestrained,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """
    What ought to have been done by an instant and was not.

    Args:
        overdue: Certificates past their revocation time that the CA has not revoked and
            that no process is at work on.
        unpublished: Revoked ones that ought to be visible and were not seen.
        restrained: Past their revocation time, and not to be revoked before a court
            order ends: overdue for everybody outside, and no fault of ours.

    """

    overdue: int
    unpublished: int
    restrained: int

    @property
    def is_nothing(self) -> bool:
        """Whether everything due was done; what an order restrains is not due."""
        return not self.overdue and not self.unpublished


def outstanding(
    connection: Connection,
    *,
    now: datetime,
    grace: timedelta,
    publication_within: timedelta,
    incident: IncidentId | None = None,
) -> Outstanding:
    """
    Count what ought to have been done by now.

    Args:
        connection: The transaction.
        now: The present instant, UTC.
        grace: How long something may take after it was due.
        publication_within: How long a CA may take to publish, on top of that.
        incident: Of which incident; None: of all.

    """
    due_before = now - grace
    of_incident = [] if incident is None else [REVOCATION.c.incident_id == incident]
    overdue = sum(
        connection.execute(statement.where(*of_incident)).scalar_one()
        for statement in overdue_statements(now=now, due_before=due_before)
    )
    unpublished = connection.execute(
        select(func.count()).where(
            REVOCATION.c.state == RevocationState.REVOKED,
            REVOCATION.c.revoked_at <= due_before - publication_within,
            *of_incident,
        )
    ).scalar_one()
    restrained = connection.execute(
        restrained_statement(now=now).where(*of_incident)
    ).scalar_one()
    return Outstanding(overdue=overdue, unpublished=unpublished, restrained=restrained)


def overdue_statements(
    *, now: datetime, due_before: datetime
) -> Iterator[Select[tuple[int]]]:
    """Build the queries that count what the CA ought to have revoked."""
    yield select(func.count()).where(
        REVOCATION.c.state == RevocationState.SCHEDULED,
        REVOCATION.c.due_at <= due_before,
        is_unrestrained(due_before),
    )
    yield select(func.count()).where(
        REVOCATION.c.state == RevocationState.SUBMITTED,
        REVOCATION.c.revocation_time <= due_before,
        is_free(now),
        is_unrestrained(due_before),
    )


def restrained_statement(*, now: datetime) -> Select[tuple[int]]:
    """Build the query that counts what a court order keeps past its revocation time."""
    return select(func.count()).where(
        REVOCATION.c.restrained_until > now,
        REVOCATION.c.restrained_until.is_not(None),
        REVOCATION.c.revocation_time <= now,
        REVOCATION.c.state.in_(UNREVOKED),
    )
