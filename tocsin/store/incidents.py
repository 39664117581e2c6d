"""Incidents as a whole: drafted, launched, closed; and what was frozen with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, insert, select, update

from models.base import table
from models.incident import FrozenTemplate, Incident
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.subscriber import Subscriber
from models.terms import (
    LIVE_ESCALATIONS,
    Circumstance,
    EscalationState,
    IncidentId,
    IncidentState,
    NoticeState,
    Reason,
    RevocationState,
)
from tocsin.errors import BadInput
from tocsin.policy.facts import IncidentFacts
from tocsin.store.session import rows_changed

INCIDENT = table(Incident)
TEMPLATE = table(FrozenTemplate)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRecord:
    """An incident as it stands; the fields are those of ``models.incident``."""

    id: IncidentId
    title: str
    state: IncidentState
    circumstance: Circumstance
    reason: Reason
    is_drill: bool
    zone: str
    made_aware_at: datetime
    deadline: datetime
    drafted_at: datetime
    launched_at: datetime | None
    revocation_starts_at: datetime | None
    closed_at: datetime | None
    plan: Mapping[str, Any]
    rule_pack: str
    ladder: str

    @property
    def facts(self) -> IncidentFacts:
        """The instants its timetable hangs on; only a launched incident has them."""
        if self.launched_at is None or self.revocation_starts_at is None:
            raise BadInput(f"incident {self.id} was not launched yet")
        return IncidentFacts(
            launched_at=self.launched_at,
            revocation_starts_at=self.revocation_starts_at,
            deadline=self.deadline,
        )


def insert_draft(
    connection: Connection,
    *,
    incident: IncidentId,
    title: str,
    circumstance: Circumstance,
    reason: Reason,
    zone: str,
    made_aware_at: datetime,
    deadline: datetime,
    rule_pack: str,
    ladder: str,
    now: datetime,
) -> None:
    """Begin an incident of which nothing is due yet."""
    connection.execute(
        insert(INCIDENT).values(
            id=incident,
            title=title,
            state=IncidentState.DRAFT.value,
            circumstance=circumstance.value,
            reason=int(reason),
            is_drill=False,
            zone=zone,
            made_aware_at=made_aware_at,
            deadline=deadline,
            drafted_at=now,
            plan={},
            rule_pack=rule_pack,
            ladder=ladder,
        )
    )


def read_incident(connection: Connection, *, incident: IncidentId) -> IncidentRecord:
    """
    Return one incident.

    Raises:
        BadInput: There is none of that name.

    """
    row = connection.execute(
        select(INCIDENT).where(INCIDENT.c.id == incident)
    ).one_or_none()
    if row is None:
        raise BadInput(
            f"there is no incident {incident!r}; `tocsin incident list` names them"
        )
    return IncidentRecord(
        id=IncidentId(row.id),
        title=row.title,
        state=IncidentState(row.state),
        circumstance=Circumstance(row.circumstance),
        reason=Reason(row.reason),
        is_drill=row.is_drill,
        zone=row.zone,
        made_aware_at=row.made_aware_at,
        deadline=row.deadline,
        drafted_at=row.drafted_at,
        launched_at=row.launched_at,
        revocation_starts_at=row.revocation_starts_at,
        closed_at=row.closed_at,
        plan=row.plan,
        rule_pack=row.rule_pack,
        ladder=row.ladder,
    )


def lock_incident(connection: Connection, *, incident: IncidentId) -> None:
    """Let what is decided about the whole incident be decided by one at a time."""
    connection.execute(
        select(INCIDENT.c.id).where(INCIDENT.c.id == incident).with_for_update()
    )


def running_incidents(connection: Connection) -> list[IncidentId]:
    """Return the incidents of which something is, or may become, due."""
    return [
        IncidentId(key)
        for key in connection.execute(
            select(INCIDENT.c.id)
            .where(INCIDENT.c.state == IncidentState.RUNNING.value)
            .order_by(INCIDENT.c.deadline, INCIDENT.c.id)
        ).scalars()
    ]


def freeze_templates(
    connection: Connection, *, incident: IncidentId, sources: Mapping[str, str]
) -> None:
    """Keep the templates as they are now (I7)."""
    connection.execute(
        insert(TEMPLATE),
        [
            {"incident_id": incident, "path": path, "source": source}
            for path, source in sorted(sources.items())
        ],
    )


def frozen_templates(connection: Connection, *, incident: IncidentId) -> dict[str, str]:
    """Return the templates as they were at launch, by path."""
    rows = connection.execute(
        select(TEMPLATE.c.path, TEMPLATE.c.source).where(
            TEMPLATE.c.incident_id == incident
        )
    )
    return {row.path: row.source for row in rows}


def mark_launched(
    connection: Connection,
    *,
    incident: IncidentId,
    revocation_starts_at: datetime,
    plan: Mapping[str, object],
    now: datetime,
) -> bool:
    """
    Turn a draft into a running incident; every subscriber is looked at now.

    Returns:
        False when it was no draft any more: somebody was faster.

    """
    result = connection.execute(
        update(INCIDENT)
        .where(INCIDENT.c.id == incident, INCIDENT.c.state == IncidentState.DRAFT.value)
        .values(
            state=IncidentState.RUNNING.value,
            launched_at=now,
            revocation_starts_at=revocation_starts_at,
            plan=dict(plan),
        )
    )
    if rows_changed(result) != 1:
        return False
    subscriber = table(Subscriber)
    connection.execute(
        update(subscriber)
        .where(subscriber.c.incident_id == incident)
        .values(look_at=now)
    )
    return True


def finished_incidents(connection: Connection, *, now: datetime) -> list[IncidentId]:
    """Return running incidents: all published or withdrawn, and nothing left to do."""
    revocation, notice, subscriber = table(Revocation), table(Notice), table(Subscriber)
    unpublished = exists().where(
        revocation.c.incident_id == INCIDENT.c.id,
        revocation.c.state.not_in(
            (RevocationState.PUBLISHED.value, RevocationState.WITHDRAWN.value)
        ),
    )
    unsent = exists().where(
        notice.c.incident_id == INCIDENT.c.id,
        notice.c.state.in_(
            (
                NoticeState.PLANNED.value,
                NoticeState.SENDING.value,
                NoticeState.HELD.value,
            )
        ),
    )
    unseen = exists().where(
        subscriber.c.incident_id == INCIDENT.c.id, subscriber.c.look_at <= now
    )
    return [
        IncidentId(key)
        for key in connection.execute(
            select(INCIDENT.c.id).where(
                INCIDENT.c.state == IncidentState.RUNNING.value,
                ~unpublished,
                ~unsent,
                ~unseen,
            )
        ).scalars()
    ]


def mark_closed(connection: Connection, *, incident: IncidentId, now: datetime) -> bool:
    """Close a running incident and end what nobody needs to look at any more."""
    result = connection.execute(
        update(INCIDENT)
        .where(
            INCIDENT.c.id == incident, INCIDENT.c.state == IncidentState.RUNNING.value
        )
        .values(state=IncidentState.CLOSED.value, closed_at=now)
    )
    if rows_changed(result) != 1:
        return False
    escalation, subscriber = table(Escalation), table(Subscriber)
    connection.execute(
        update(escalation)
        .where(
            escalation.c.incident_id == incident,
            escalation.c.state.in_([state.value for state in LIVE_ESCALATIONS]),
        )
        .values(state=EscalationState.ENDED.value, ended_at=now)
    )
    connection.execute(
        update(subscriber)
        .where(subscriber.c.incident_id == incident)
        .values(look_at=None)
    )
    return True
