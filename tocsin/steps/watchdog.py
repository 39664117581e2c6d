"""Checks that each step that was due was taken; one that was not is an escalation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine

from models.terms import EscalationCause, IncidentId
from tocsin.clock import Clock
from tocsin.policy.effects import EndEscalation, RaiseEscalation
from tocsin.policy.escalations import due_watch_escalation
from tocsin.policy.ladder import parse_ladder
from tocsin.policy.watchdog import Missed, missed, steps_due
from tocsin.steps.heartbeat import show_life
from tocsin.steps.outreach import Telling, put_on_record
from tocsin.store import audit, outreach
from tocsin.store.incidents import lock_incident, read_incident, running_incidents
from tocsin.store.session import reading, writing
from tocsin.store.watch import watch_facts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """
    What shows others that nothing due was missed.

    Args:
        grace: How long anything may take after it was due.
        file: Written while all is well; None: there is none. Who looks at its age
            learns that the engine is dead, and that it is alive and fails.
        url: Fetched while all is well; None: none is. It is a secret.

    """

    grace: timedelta
    file: Path | None = None
    url: str | None = None


NO_HEARTBEAT = Heartbeat(grace=timedelta(minutes=10))
"""Checks and escalates, and shows nothing to anybody outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """
    What one look found.

    Args:
        at: When, UTC.
        incidents: How many are running.
        missed: What was due and not done, by incident; those without are left out.

    """

    at: datetime
    incidents: int
    missed: dict[IncidentId, tuple[Missed, ...]]

    @property
    def all_is_well(self) -> bool:
        """Whether everything due was done."""
        return not self.missed


def watch_once(
    engine: Engine,
    clock: Clock,
    *,
    telling: Telling,
    publication_within: timedelta,
    heartbeat: Heartbeat,
    set_back: timedelta = timedelta(),
) -> Watched:
    """
    Look at all running incidents, escalate what was missed, show that all is well.

    Args:
        engine: The database.
        clock: Tells now.
        telling: How the CA's own people are told.
        publication_within: How long the CA may take to publish.
        heartbeat: What others see; withheld when something was missed.
        set_back: How far the clock was set back while it was watched.

    """
    now = clock.now()
    with reading(engine) as connection:
        incidents = running_incidents(connection)
    found: dict[IncidentId, tuple[Missed, ...]] = {}
    for incident in incidents:
        left = _look(
            engine,
            incident,
            now=now,
            telling=telling,
            grace=heartbeat.grace,
            publication_within=publication_within,
            set_back=set_back,
        )
        if left:
            found[incident] = left
    watched = Watched(at=now, incidents=len(incidents), missed=found)
    if watched.all_is_well:
        show_life(
            {"at": watched.at.isoformat(), "incidents": watched.incidents},
            file=heartbeat.file,
            url=heartbeat.url,
        )
    for incident, left in found.items():
        log.error(
            "Something due was not done; heartbeat withheld",
            incident=incident,
            missed=[one.sentence for one in left],
        )
    return watched


def _look(
    engine: Engine,
    incident: IncidentId,
    *,
    now: datetime,
    telling: Telling,
    grace: timedelta,
    publication_within: timedelta,
    set_back: timedelta,
) -> tuple[Missed, ...]:
    with reading(engine) as connection:
        record = read_incident(connection, incident=incident)
        ladder, facts = parse_ladder(record.ladder), record.facts
        seen = watch_facts(
            connection,
            incident=incident,
            expected=steps_due(ladder, facts, now=now, grace=grace),
            now=now,
            grace=grace,
            publication_within=publication_within,
        )
        live = outreach.incident_escalations(connection, incident=incident)
    left = tuple(
        missed(
            seen,
            ladder=ladder,
            incident=facts,
            now=now,
            grace=grace,
            set_back=set_back,
        )
    )
    causes = {
        EscalationCause.STEP_MISSED: bool(left),
        EscalationCause.ORDER_OVERDUE: seen.is_order_overdue(facts.deadline, now),
    }
    if not any(causes.values()) and not causes.keys() & {one.cause for one in live}:
        return left
    with writing(engine) as connection:
        lock_incident(connection, incident=incident)
        live = outreach.incident_escalations(connection, incident=incident)
        effects = [
            effect
            for cause, is_there in causes.items()
            for effect in due_watch_escalation(
                live, cause, ladder=ladder, is_there=is_there, now=now
            )
        ]
        for action, detail in _acts(effects, left, seen.restrained):
            audit.append(
                connection,
                incident=incident,
                at=now,
                actor="watchdog",
                action=action,
                detail=detail,
            )
        put_on_record(connection, effects, incident=incident, telling=telling, now=now)
    return left


def _acts(
    effects: Sequence[RaiseEscalation | EndEscalation],
    left: tuple[Missed, ...],
    restrained: int,
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield what goes on record of what is raised."""
    for effect in effects:
        if not isinstance(effect, RaiseEscalation):
            continue
        if effect.cause is EscalationCause.STEP_MISSED:
            yield "steps-missed", {"missed": [one.sentence for one in left]}
        else:
            yield "order-overdue", {"certificates": restrained}
