"""Sends alarms that are due: claimed first, then sent, then put on record (I4)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from models.terms import AlarmState, EscalationCause, IncidentId
from tocsin.alarms import Channels
from tocsin.clock import Clock
from tocsin.policy.escalations import IN_WORDS
from tocsin.store import alarms, audit
from tocsin.store.alarms import ClaimedAlarm
from tocsin.store.incidents import IncidentRecord, read_incident
from tocsin.store.session import reading, writing

log = structlog.get_logger()

_LEASE_WITHIN = timedelta(minutes=2)
_BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
_GIVE_UP_AFTER = 8
"""Tries: with the back-off, four hours and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsSent:
    """
    What was done; the rest sums to ``claimed`` (I3).

    Args:
        claimed: Alarms that were due.
        sent: The channel took them.
        failed: It refused again and again.
        retried: It refused, or did not answer; due again later.
        superseded: Nothing was left to tell, or the channel is not set any more.

    """

    claimed: int = 0
    sent: int = 0
    failed: int = 0
    retried: int = 0
    superseded: int = 0


def send_due_alarms(
    engine: Engine, channels: Channels, clock: Clock, *, owner: str, batch: int = 50
) -> AlarmsSent:
    """Tell each channel what waits for a person, once for what was raised together."""
    done: Counter[AlarmState] = Counter()
    while True:
        with writing(engine) as connection:
            claimed = alarms.claim_alarms(
                connection,
                owner=owner,
                now=clock.now(),
                lease_within=_LEASE_WITHIN,
                limit=batch,
            )
        if not claimed:
            return AlarmsSent(
                claimed=done.total(),
                sent=done[AlarmState.SENT],
                failed=done[AlarmState.FAILED],
                retried=done[AlarmState.PLANNED],
                superseded=done[AlarmState.SUPERSEDED],
            )
        incidents = sorted({alarm.incident for alarm in claimed})
        with reading(engine) as connection:
            causes = alarms.waiting_causes(connection, incidents=incidents)
            records = {
                incident: read_incident(connection, incident=incident)
                for incident in incidents
            }
        for alarm in claimed:
            state = _send(alarm, channels, records[alarm.incident], causes)
            _record(engine, alarm, state, clock, owner=owner)
            done[state] += 1


def _send(
    alarm: ClaimedAlarm,
    channels: Channels,
    record: IncidentRecord,
    causes: Mapping[IncidentId, Mapping[EscalationCause, int]],
) -> AlarmState:
    waiting = causes[alarm.incident]
    if not waiting or alarm.channel not in channels.keys:
        return AlarmState.SUPERSEDED
    title, body = _words(alarm, record, waiting)
    if channels.tell(alarm.channel, title=title, body=body):
        return AlarmState.SENT
    log.warning("An alarm was not taken", alarm=alarm.alarm_id, channel=alarm.channel)
    is_last = alarm.attempts + 1 >= _GIVE_UP_AFTER
    return AlarmState.FAILED if is_last else AlarmState.PLANNED


def _record(
    engine: Engine, alarm: ClaimedAlarm, state: AlarmState, clock: Clock, *, owner: str
) -> None:
    now = clock.now()
    wait = _BACK_OFF[min(alarm.attempts, len(_BACK_OFF) - 1)]
    with writing(engine) as connection:
        alarms.record_alarm(
            connection,
            alarm,
            state=state,
            owner=owner,
            now=now,
            again_at=now + wait if state is AlarmState.PLANNED else None,
        )
        audit.append(
            connection,
            incident=alarm.incident,
            at=now,
            actor="engine",
            action="alarm-tried",
            detail={
                "number": alarm.number,
                "channel": alarm.channel,
                "outcome": state.value,
            },
        )


def _words(
    alarm: ClaimedAlarm, record: IncidentRecord, waiting: Mapping[EscalationCause, int]
) -> tuple[str, str]:
    """Write what a third party may read: counts and causes, no names."""
    total = sum(waiting.values())
    lines = [
        f"- {count:,}: {IN_WORDS[cause]}"
        for cause, count in sorted(waiting.items(), key=lambda item: -item[1])
    ]
    starts_at = record.facts.revocation_starts_at
    body = "\n".join(
        [
            *lines,
            "",
            f"Revocation starts {starts_at:%a %d %b %H:%M} UTC and waits for nobody.",
            f"Deadline: {record.deadline:%a %d %b %H:%M} UTC.",
            f"Who: the mail to you, or tocsin escalation list {record.id}",
            f"Alarm {record.id}/{alarm.number}",
        ]
    )
    noun = "case waits" if total == 1 else "cases wait"
    return f"{record.title}: {total:,} {noun} for a person", body
