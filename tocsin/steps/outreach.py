"""Puts on record whom to write to and whom to tell; sending is another step's."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Engine

from models.terms import IncidentId, NoticeKind
from tocsin.clock import Clock
from tocsin.policy.effects import EndEscalation, MoveOn, RaiseEscalation, SendNotice
from tocsin.policy.ladder import parse_ladder
from tocsin.policy.outreach import due_outreach
from tocsin.store import audit, intents, outreach
from tocsin.store.incidents import read_incident
from tocsin.store.session import reading, writing


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOutreach:
    """
    What was put on record.

    Args:
        subscribers: How many were looked at.
        notices: By kind; messages to the CA's own people included.
        raised: Escalations raised.
        ended: Escalations ended.

    """

    subscribers: int
    notices: dict[NoticeKind, int]
    raised: int
    ended: int


def plan_outreach(
    engine: Engine,
    *,
    incident: IncidentId,
    mail_domain: str,
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
            sends = [e for e in effects if isinstance(e, SendNotice)]
            raises = [e for e in effects if isinstance(e, RaiseEscalation)]
            ends = [e for e in effects if isinstance(e, EndEscalation)]
            intents.supersede_notices(connection, [e.contact for e in sends])
            intents.plan_notices(
                connection, sends, incident=incident, mail_domain=mail_domain, now=now
            )
            intents.raise_escalations(connection, raises, incident=incident, now=now)
            intents.end_escalations(connection, ends, now=now)
            intents.move_on(connection, [e for e in effects if isinstance(e, MoveOn)])
            digests = intents.plan_digests(
                connection, incident=incident, mail_domain=mail_domain, now=now
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
                        "raised": [[e.subscriber, e.cause, e.level] for e in raises],
                        "ended": [[e.subscriber, e.cause] for e in ends],
                    },
                )
        subscribers += len(due)
        notices.update(e.kind for e in sends)
        notices[NoticeKind.ESCALATION] += digests
        raised += len(raises)
        ended += len(ends)
        if len(due) < batch:
            break
    return PlannedOutreach(
        subscribers=subscribers, notices=dict(+notices), raised=raised, ended=ended
    )
