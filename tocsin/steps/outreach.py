"""Puts on record whom to write to and whom to tell; sending is another step's."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from models.terms import IncidentId, NoticeKind
from tocsin.clock import Clock
from tocsin.policy.effects import (
    Effect,
    EndEscalation,
    MoveOn,
    RaiseEscalation,
    SendNotice,
)
from tocsin.policy.escalations import due_incident_escalations
from tocsin.policy.ladder import Condition, parse_ladder
from tocsin.policy.outreach import due_outreach
from tocsin.policy.progress import incident_forecast
from tocsin.store import audit, intents, outreach
from tocsin.store.figures import incident_figures
from tocsin.store.incidents import lock_incident, read_incident
from tocsin.store.session import reading, writing


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOutreach:
    """
    What was put on record.

    Args:
        subscribers: How many were looked at.
        notices: By kind; messages to the CA's own people included.
        raised: Escalations raised, or raised again.
        ended: Escalations ended.

    """

    subscribers: int
    notices: dict[NoticeKind, int]
    raised: int
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """
    How the CA's own people are told.

    Args:
        mail_domain: Of the Message-IDs of what is planned.
        channels: What is reached beside mail, by hashes of addresses.

    """

    mail_domain: str
    channels: tuple[str, ...] = ()


def plan_outreach(
    engine: Engine,
    *,
    incident: IncidentId,
    telling: Telling,
    clock: Clock,
    batch: int = 500,
) -> PlannedOutreach:
    """Look at every subscriber whose time has come, and write down what is due."""
    with reading(engine) as connection:
        record = read_incident(connection, incident=incident)
    ladder, facts = parse_ladder(record.ladder), record.facts
    subscribers = raised = ended = 0
    notices: Counter[NoticeKind] = Counter()
    while True:
        now = clock.now()
        with writing(engine) as connection:
            due = outreach.due_subscribers(
                connection, incident=incident, now=now, limit=batch
            )
            effects = [
                effect
                for subscriber in due
                for effect in due_outreach(
                    subscriber, ladder=ladder, incident=facts, now=now
                )
            ]
            done = put_on_record(
                connection, effects, incident=incident, telling=telling, now=now
            )
        subscribers += len(due)
        notices.update(done.notices)
        raised += done.raised
        ended += done.ended
        if len(due) < batch:
            break
    return PlannedOutreach(
        subscribers=subscribers, notices=dict(+notices), raised=raised, ended=ended
    )


def plan_forecast(
    engine: Engine, *, incident: IncidentId, telling: Telling, clock: Clock
) -> PlannedOutreach:
    """Say so, or that it is over, where an incident's forecast is late."""
    now = clock.now()
    nothing = PlannedOutreach(subscribers=0, notices={}, raised=0, ended=0)
    with reading(engine) as connection:
        record = read_incident(connection, incident=incident)
        ladder = parse_ladder(record.ladder)
        if not any(step.when is Condition.FORECAST_LATE for step in ladder.steps):
            return nothing
        figures = incident_figures(connection, incident=incident, now=now)
    outlook = incident_forecast(figures)
    with writing(engine) as connection:
        lock_incident(connection, incident=incident)
        effects = due_incident_escalations(
            outreach.incident_escalations(connection, incident=incident),
            ladder=ladder,
            incident=record.facts,
            is_late=outlook is not None and outlook.at_risk,
            now=now,
        )
        return put_on_record(
            connection, [*effects], incident=incident, telling=telling, now=now
        )


def put_on_record(
    connection: Connection,
    effects: Sequence[Effect],
    *,
    incident: IncidentId,
    telling: Telling,
    now: datetime,
) -> PlannedOutreach:
    """Write effects down, plan the messages that tell of them, and append the act."""
    sends = [e for e in effects if isinstance(e, SendNotice)]
    raises = [e for e in effects if isinstance(e, RaiseEscalation)]
    ends = [e for e in effects if isinstance(e, EndEscalation)]
    moves = [e for e in effects if isinstance(e, MoveOn)]
    intents.supersede_notices(connection, [e.contact for e in sends])
    intents.plan_notices(
        connection, sends, incident=incident, mail_domain=telling.mail_domain, now=now
    )
    intents.raise_escalations(connection, raises, incident=incident, now=now)
    intents.end_escalations(connection, ends, incident=incident, now=now)
    intents.move_on(connection, moves)
    digests = intents.plan_digests(
        connection, incident=incident, mail_domain=telling.mail_domain, now=now
    )
    alarms = 0
    if raises:
        alarms = intents.plan_alarms(
            connection, incident=incident, channels=telling.channels, now=now
        )
    if sends or raises or ends or digests:
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor="engine",
            action="outreach-planned",
            detail={
                "notices": [[e.contact, e.kind, e.sequence] for e in sends],
                "digests": digests,
                "alarms": alarms,
                "raised": [[e.subscriber, e.cause, e.level] for e in raises],
                "ended": [[e.subscriber, e.cause] for e in ends],
            },
        )
    notices = Counter(e.kind for e in sends)
    notices[NoticeKind.ESCALATION] += digests
    return PlannedOutreach(
        subscribers=len(moves),
        notices=dict(+notices),
        raised=len(raises),
        ended=len(ends),
    )
