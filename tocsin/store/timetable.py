"""What happens when in one incident, and what the steps behind us did."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, func, select

from models.base import table
from models.incident import Incident
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    ContactState,
    IncidentId,
    NoticeState,
    RevocationState,
    ScopeState,
)
from tocsin.policy.facts import IncidentFacts
from tocsin.policy.ladder import Condition, DueStep, parse_ladder
from tocsin.policy.ladder import timetable as ladder_timetable
from tocsin.policy.sending import STEPS
from tocsin.policy.worklists import TimetableEntry
from tocsin.store.scope import list_changes
from tocsin.store.summaries import incident_summary
from tocsin.store.worklists import held_certificates

_INCIDENT = table(Incident)
_REVOCATION = table(Revocation)
_SUBSCRIBER = table(Subscriber)
_CONTACT = table(Contact)
_NOTICE = table(Notice)
_ESCALATION = table(Escalation)

_UNREVOKED = (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)
_ACTIVE = ContactState.ACTIVE.value
_TAKEN = (NoticeState.SENT.value, NoticeState.BOUNCED.value)


def timetable(
    connection: Connection, *, incident: IncidentId, now: datetime
) -> tuple[TimetableEntry, ...]:
    """
    List what happens when: the ladder's steps, the revocations, the deadline.

    Steps ahead say whom they would concern as things stand; past ones what they did.
    """
    summary = incident_summary(connection, incident=incident)
    entries = [
        TimetableEntry(at=summary.made_aware_at, name="The clock starts"),
        TimetableEntry(at=summary.deadline, name="Deadline: everything is published"),
    ]
    if summary.launched_at is not None and summary.revocation_starts_at is not None:
        text = connection.execute(
            select(_INCIDENT.c.ladder).where(_INCIDENT.c.id == incident)
        ).scalar_one()
        facts = IncidentFacts(
            launched_at=summary.launched_at,
            revocation_starts_at=summary.revocation_starts_at,
            deadline=summary.deadline,
        )
        steps = ladder_timetable(parse_ladder(text), facts) if text else ()
        concerned = _concerned(connection, incident)
        if any(due.step.when is Condition.NOT_DELIVERED for due in steps):
            concerned[Condition.NOT_DELIVERED] = _undelivered(connection, incident)
        past = _past(connection, incident)
        entries += [
            _step(due, now=now, concerned=concerned, past=past)
            for due in steps
            if due.is_moment
        ]
        entries.append(
            TimetableEntry(
                at=summary.revocation_starts_at,
                name="Revocation starts",
                certificates=_unrevoked(connection, incident),
            )
        )
    entries += _orders(connection, incident)
    return tuple(sorted(entries, key=lambda entry: entry.at))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What the ladder's steps did so far, by level."""

    notices: dict[int, int]
    sent: dict[int, int]
    escalations: dict[int, int]


def _step(
    due: DueStep, *, now: datetime, concerned: dict[Condition, int | None], past: _Past
) -> TimetableEntry:
    if due.due_at > now:
        return TimetableEntry(
            at=due.due_at, name=due.name, subscribers=concerned[due.step.when]
        )
    # A contact's first notice has sequence 0, whichever step it came from.
    levels = {due.sequence} | ({0} if due.step.when is Condition.ALWAYS else set())
    # An escalation that is raised again stays the one it was.
    raises = bool(due.step.targets) and not due.repetition
    return TimetableEntry(
        at=due.due_at,
        name=due.name,
        notices=sum(past.notices.get(one, 0) for one in levels)
        if due.step.notice
        else None,
        sent=sum(past.sent.get(one, 0) for one in levels) if due.step.notice else None,
        escalations=past.escalations.get(due.step.level, 0) if raises else None,
    )


def _concerned(
    connection: Connection, incident: IncidentId
) -> dict[Condition, int | None]:
    held = held_certificates(incident)
    row = connection.execute(
        select(
            func.count().filter(held.c.open > 0).label("open"),
            func.count().filter(held.c.missing > 0).label("missing"),
            func.count()
            .filter(held.c.open > 0, _SUBSCRIBER.c.acknowledged_at.is_(None))
            .label("silent"),
            func.count()
            .filter(held.c.missing > 0, _SUBSCRIBER.c.csr_refused_at.is_not(None))
            .label("refused"),
            func.count().filter(held.c.issued > 0).label("uninstalled"),
        )
        .select_from(_SUBSCRIBER)
        .join(held, held.c.subscriber_id == _SUBSCRIBER.c.id)
    ).one()
    return {
        Condition.ALWAYS: row.open,
        Condition.OPEN: row.open,
        Condition.CSR_MISSING: row.missing,
        Condition.CSR_REFUSED: row.refused,
        Condition.NOT_ACKNOWLEDGED: row.silent,
        Condition.NOT_INSTALLED: row.uninstalled,
        Condition.FORECAST_LATE: None,  # it is about the incident
    }


def _undelivered(connection: Connection, incident: IncidentId) -> int:
    """Count whom there is an address of, and to none of them anything got through."""
    held = held_certificates(incident)
    reachable = exists().where(
        _CONTACT.c.subscriber_id == _SUBSCRIBER.c.id, _CONTACT.c.state == _ACTIVE
    )
    reached = exists().where(
        _CONTACT.c.subscriber_id == _SUBSCRIBER.c.id,
        _CONTACT.c.state == _ACTIVE,
        _NOTICE.c.contact_id == _CONTACT.c.id,
        _NOTICE.c.state == NoticeState.SENT.value,
    )
    return connection.execute(
        select(func.count())
        .select_from(_SUBSCRIBER)
        .join(held, held.c.subscriber_id == _SUBSCRIBER.c.id)
        .where(held.c.open > 0, reachable, ~reached)
    ).scalar_one()


def _past(connection: Connection, incident: IncidentId) -> _Past:
    notices = connection.execute(
        select(
            _NOTICE.c.sequence,
            func.count().label("notices"),
            func.count().filter(_NOTICE.c.state.in_(_TAKEN)).label("sent"),
        )
        .join(_CONTACT, _CONTACT.c.id == _NOTICE.c.contact_id)
        .where(
            _NOTICE.c.incident_id == incident,
            _CONTACT.c.subscriber_id.is_not(None),
            # Others are of no step, whatever their number says.
            _NOTICE.c.kind.in_([kind.value for kind in STEPS]),
        )
        .group_by(_NOTICE.c.sequence)
    ).all()
    escalations = connection.execute(
        select(_ESCALATION.c.level, func.count().label("raised"))
        .where(_ESCALATION.c.incident_id == incident)
        .group_by(_ESCALATION.c.level)
    )
    return _Past(
        notices={row.sequence: row.notices for row in notices},
        sent={row.sequence: row.sent for row in notices},
        escalations={row.level: row.raised for row in escalations},
    )


def _orders(connection: Connection, incident: IncidentId) -> list[TimetableEntry]:
    """When court orders end: what they kept is revoked then."""
    return [
        TimetableEntry(
            at=change.ends_at,
            name=f"Court order {change.change} ends: what it kept is revoked",
            certificates=change.applied,
        )
        for change in list_changes(connection, incident=incident)
        if change.state is ScopeState.AGREED and change.ends_at is not None
    ]


def _unrevoked(connection: Connection, incident: IncidentId) -> int:
    return connection.execute(
        select(func.count())
        .select_from(_REVOCATION)
        .where(
            _REVOCATION.c.incident_id == incident, _REVOCATION.c.state.in_(_UNREVOKED)
        )
    ).scalar_one()
