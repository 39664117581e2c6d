"""Escalations that somebody takes: shown to whom they are for, acknowledged by name."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Text, cast, select, update

from models.base import table
from models.outreach import Escalation
from models.subscriber import Contact
from models.terms import (
    ContactRole,
    ContactState,
    EscalationId,
    EscalationState,
    IncidentId,
    SubscriberId,
)
from tocsin.links import NO_SUBSCRIBER, LinkClaims
from tocsin.policy.worklists import LiveEscalation
from tocsin.store.worklists import live_escalations

ESCALATION = table(Escalation)
CONTACT = table(Contact)

_WAITS = (EscalationState.RAISED.value, EscalationState.TOLD.value)
_MOST = 100_000
_CHUNK = 1_000  # identifiers in one statement; SQLite takes 32,766 parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffMember:
    """One of the CA's own people, as the incident's directory has them."""

    name: str
    role: ContactRole


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Seen:
    """
    An escalation as somebody saw it.

    Args:
        escalation: Which.
        raised_times: How often it had been raised: once it comes back, what they said
            of it before does not hold any more.

    """

    escalation: EscalationId
    raised_times: int


def staff_member(connection: Connection, *, claims: LinkClaims) -> StaffMember | None:
    """Return whose link it is; None where they are no contact (any more)."""
    if claims.subscriber != NO_SUBSCRIBER:
        return None
    row = connection.execute(
        select(CONTACT).where(
            CONTACT.c.id == claims.contact,
            CONTACT.c.incident_id == claims.incident,
            CONTACT.c.subscriber_id.is_(None),
            CONTACT.c.token_generation == claims.generation,
            CONTACT.c.state != ContactState.REMOVED.value,
        )
    ).first()
    if row is None:
        return None
    role = ContactRole(row.role)
    return StaffMember(name=row.name or role.value.replace("-", " "), role=role)


def escalations_of(
    connection: Connection, *, incident: IncidentId, role: ContactRole | None = None
) -> list[LiveEscalation]:
    """List what is live, for one role or for all; the gravest first."""
    live = live_escalations(connection, incident=incident, limit=_MOST)
    return [row for row in live.rows if role is None or role.value in row.targets]


def acknowledge_escalations(
    connection: Connection,
    seen: Collection[Seen],
    *,
    incident: IncidentId,
    by: str,
    now: datetime,
    role: ContactRole | None = None,
) -> list[EscalationId]:
    """
    Note who is on it, where nobody is and it did not come back meanwhile.

    Args:
        connection: The transaction.
        seen: Which.
        incident: Of which incident.
        by: Who, by name.
        now: The present instant, UTC.
        role: Only what is for this role; None: whatever it is for.

    Returns:
        Those that were acknowledged by this; somebody was faster with the others.

    """
    wanted = {one.escalation: one.raised_times for one in seen}
    free = [ESCALATION.c.incident_id == incident, ESCALATION.c.state.in_(_WAITS)]
    if role is not None:
        free.append(cast(ESCALATION.c.targets, Text).contains(f'"{role.value}"'))
    keys = [
        EscalationId(row.id)
        for chunk in _chunks(sorted(wanted))
        for row in connection.execute(
            select(ESCALATION.c.id, ESCALATION.c.raised_times)
            .where(ESCALATION.c.id.in_(chunk), *free)
            .with_for_update()
        ).all()
        if row.raised_times == wanted[EscalationId(row.id)]
    ]
    for chunk in _chunks(keys):
        connection.execute(
            update(ESCALATION)
            .where(ESCALATION.c.id.in_(chunk))
            .values(
                state=EscalationState.ACKNOWLEDGED.value,
                acknowledged_at=now,
                acknowledged_by=by,
            )
        )
    return keys


def subscribers_of(
    connection: Connection, escalations: Sequence[EscalationId]
) -> list[SubscriberId]:
    """Return whom these are about, to have policy look at them."""
    found: set[int] = set()
    for chunk in _chunks(escalations):
        found.update(
            connection.execute(
                select(ESCALATION.c.subscriber_id).where(
                    ESCALATION.c.id.in_(chunk), ESCALATION.c.subscriber_id.is_not(None)
                )
            ).scalars()
        )
    return [SubscriberId(key) for key in sorted(found)]


def _chunks(keys: Sequence[EscalationId]) -> Iterator[Sequence[EscalationId]]:
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]
