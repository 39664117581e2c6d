"""Alarms to channels beside mail: the intent stands before one leaves (I4)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, or_, select, update

from models.base import table
from models.outreach import Alarm, Escalation
from models.terms import (
    AlarmId,
    AlarmState,
    EscalationCause,
    EscalationState,
    IncidentId,
)

ALARM = table(Alarm)
ESCALATION = table(Escalation)

_WAITS = (EscalationState.RAISED.value, EscalationState.TOLD.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedAlarm:
    """An alarm that is ours to send; together, incident and number name it to people."""

    alarm_id: AlarmId
    incident: IncidentId
    number: int
    channel: str
    attempts: int


def claim_alarms(
    connection: Connection,
    *,
    owner: str,
    now: datetime,
    lease_within: timedelta,
    limit: int,
) -> list[ClaimedAlarm]:
    """
    Take what is due, and what another process took and never ended.

    The end of the latter is in doubt: it is sent again and counted, under its number.
    """
    in_doubt = and_(
        ALARM.c.state == AlarmState.SENDING.value, ALARM.c.lease_until <= now
    )
    keys = list(
        connection.execute(
            select(ALARM.c.id)
            .where(
                or_(
                    and_(
                        ALARM.c.state == AlarmState.PLANNED.value,
                        ALARM.c.due_at <= now,
                    ),
                    in_doubt,
                )
            )
            .order_by(ALARM.c.due_at, ALARM.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if not keys:
        return []
    connection.execute(
        update(ALARM)
        .where(ALARM.c.id.in_(keys), in_doubt)
        .values(
            attempts=ALARM.c.attempts + 1,
            possibly_repeated=ALARM.c.possibly_repeated + 1,
        )
    )
    connection.execute(
        update(ALARM)
        .where(ALARM.c.id.in_(keys))
        .values(
            state=AlarmState.SENDING.value,
            lease_owner=owner,
            lease_until=now + lease_within,
        )
    )
    return [
        ClaimedAlarm(
            alarm_id=AlarmId(row.id),
            incident=IncidentId(row.incident_id),
            number=row.number,
            channel=row.channel,
            attempts=row.attempts,
        )
        for row in connection.execute(
            select(ALARM).where(ALARM.c.id.in_(keys)).order_by(ALARM.c.id)
        )
    ]


def record_alarm(
    connection: Connection,
    alarm: ClaimedAlarm,
    *,
    state: AlarmState,
    owner: str,
    now: datetime,
    again_at: datetime | None = None,
) -> None:
    """
    Write down what became of a claimed alarm.

    Args:
        connection: The transaction.
        alarm: Which.
        state: Planned, where it is tried again; else where it ended.
        owner: Who claimed it.
        now: The present instant, UTC.
        again_at: When to try again, where it is.

    """
    is_open = state is AlarmState.PLANNED
    connection.execute(
        update(ALARM)
        .where(
            ALARM.c.id == alarm.alarm_id,
            ALARM.c.state == AlarmState.SENDING.value,
            ALARM.c.lease_owner == owner,
        )
        .values(
            state=state.value,
            due_at=again_at or ALARM.c.due_at,
            attempts=ALARM.c.attempts + int(state is not AlarmState.SUPERSEDED),
            lease_owner=None,
            lease_until=None,
            ended_at=None if is_open else now,
        )
    )


def waiting_causes(
    connection: Connection, *, incidents: Sequence[IncidentId]
) -> dict[IncidentId, Counter[EscalationCause]]:
    """Count what waits for a person, by cause; what somebody is on is left out."""
    found: dict[IncidentId, Counter[EscalationCause]] = {
        incident: Counter() for incident in incidents
    }
    for row in connection.execute(
        select(ESCALATION.c.incident_id, ESCALATION.c.cause, func.count().label("many"))
        .where(
            ESCALATION.c.incident_id.in_(found.keys()), ESCALATION.c.state.in_(_WAITS)
        )
        .group_by(ESCALATION.c.incident_id, ESCALATION.c.cause)
    ):
        found[IncidentId(row.incident_id)][EscalationCause(row.cause)] = row.many
    return found


def next_due_alarm(connection: Connection) -> datetime | None:
    """Return when the next alarm is due, or the next lease on one ends."""
    instants = [
        connection.execute(
            select(func.min(ALARM.c.due_at)).where(
                ALARM.c.state == AlarmState.PLANNED.value
            )
        ).scalar(),
        connection.execute(
            select(func.min(ALARM.c.lease_until)).where(
                ALARM.c.state == AlarmState.SENDING.value
            )
        ).scalar(),
    ]
    return min((instant for instant in instants if instant), default=None)
