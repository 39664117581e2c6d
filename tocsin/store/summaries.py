"""Which incidents there are, and their instants."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.revocation import Revocation
from models.terms import (
    Circumstance,
    IncidentId,
    IncidentState,
    Reason,
    RevocationState,
)
from tocsin.policy.figures import IncidentSummary, ListedIncident
from tocsin.store.incidents import read_incident

_INCIDENT = table(Incident)
_CERTIFICATE = table(AffectedCertificate)
_REVOCATION = table(Revocation)


def incident_summary(
    connection: Connection, *, incident: IncidentId
) -> IncidentSummary:
    """
    Read an incident's name and instants.

    Raises:
        BadInput: There is no such incident.

    """
    return _summary(read_incident(connection, incident=incident))


def list_incidents(connection: Connection) -> tuple[ListedIncident, ...]:
    """List all incidents, the latest first."""
    certificates = _counted(connection, _CERTIFICATE.c.incident_id)
    published = _counted(
        connection,
        _REVOCATION.c.incident_id,
        _REVOCATION.c.state == RevocationState.PUBLISHED.value,
    )
    return tuple(
        ListedIncident(
            summary=_summary(row),
            certificates=certificates.get(row.id, 0),
            published=published.get(row.id, 0),
        )
        for row in connection.execute(
            select(_INCIDENT).order_by(_INCIDENT.c.drafted_at.desc(), _INCIDENT.c.id)
        )
    )


def _summary(row: Any) -> IncidentSummary:
    rate = row.plan.get("rate_per_second")
    delay = row.plan.get("publication_delay_seconds")
    return IncidentSummary(
        incident=IncidentId(row.id),
        title=row.title,
        state=IncidentState(row.state),
        circumstance=Circumstance(row.circumstance),
        reason=Reason(row.reason),
        is_drill=row.is_drill,
        zone=row.zone,
        made_aware_at=row.made_aware_at,
        deadline=row.deadline,
        launched_at=row.launched_at,
        revocation_starts_at=row.revocation_starts_at,
        closed_at=row.closed_at,
        rate_per_second=None if rate is None else float(rate),
        publication_delay=None if delay is None else timedelta(seconds=float(delay)),
    )


def _counted(
    connection: Connection, column: ColumnElement[str], *conditions: ColumnElement[bool]
) -> dict[str, int]:
    return {
        row.incident: row.total
        for row in connection.execute(
            select(column.label("incident"), func.count().label("total"))
            .where(*conditions)
            .group_by(column)
        )
    }
