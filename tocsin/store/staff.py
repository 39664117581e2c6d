"""The CA's own people, as the directories of running incidents name them."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from models.base import table
from models.incident import Incident
from models.subscriber import Contact
from models.terms import ContactRole, ContactState, IncidentId, IncidentState

_INCIDENT = table(Incident)
_CONTACT = table(Contact)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffMember:
    """One of the CA's own people, in one running incident."""

    incident: IncidentId
    title: str
    name: str
    email: str


def staff_of_running(
    connection: Connection, *, role: ContactRole
) -> tuple[StaffMember, ...]:
    """List who has a role in which running incident; drills count, too."""
    return tuple(
        StaffMember(
            incident=IncidentId(row.incident_id),
            title=row.title,
            name=row.name,
            email=row.email,
        )
        for row in connection.execute(
            select(
                _CONTACT.c.incident_id,
                _INCIDENT.c.title,
                _CONTACT.c.name,
                _CONTACT.c.email,
            )
            .join(_INCIDENT, _INCIDENT.c.id == _CONTACT.c.incident_id)
            .where(
                _INCIDENT.c.state == IncidentState.RUNNING.value,
                _CONTACT.c.role == role.value,
                _CONTACT.c.state == ContactState.ACTIVE.value,
            )
            .order_by(_CONTACT.c.incident_id, _CONTACT.c.rank, _CONTACT.c.id)
        )
    )
