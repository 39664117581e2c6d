"""Intents written down: notices to send, escalations raised and ended, steps taken."""

import json
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Text,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from models.base import table
from models.outreach import Alarm, Escalation, Notice
from models.subscriber import Contact, Subscriber
from models.terms import (
    LIVE_ESCALATIONS,
    AlarmState,
    ContactId,
    ContactRole,
    ContactState,
    EscalationState,
    IncidentId,
    NoticeKind,
    NoticeState,
)
from tocsin.policy.effects import EndEscalation, MoveOn, RaiseEscalation, SendNotice
from tocsin.store.session import dialect_insert, insert_ignoring, rows_changed

SUBSCRIBER = table(Subscriber)
CONTACT = table(Contact)
NOTICE = table(Notice)
ESCALATION = table(Escalation)
ALARM = table(Alarm)

# Spelled out: a statement that runs for many rows at once cannot expand a list.
_IS_LIVE = or_(*(ESCALATION.c.state == state.value for state in LIVE_ESCALATIONS))
_WAITING = (NoticeState.PLANNED.value, NoticeState.SENDING.value)
_SAID_ONCE = (NoticeKind.WITHDRAWAL.value, NoticeKind.CONTACTS_CHANGED.value)
_LONGEST_STEP = 80


def plan_notices(
    connection: Connection,
    effects: Sequence[SendNotice],
    *,
    incident: IncidentId,
    mail_domain: str,
    now: datetime,
) -> None:
    """Write the intents to send; those already on record stay as they are (I4)."""
    rows = [
        _new_notice(
            incident=incident,
            contact=effect.contact,
            kind=effect.kind,
            sequence=effect.sequence,
            mail_domain=mail_domain,
            now=now,
        )
        for effect in effects
    ]
    if rows:
        connection.execute(
            insert_ignoring(
                connection,
                NOTICE,
                conflict=("incident_id", "contact_id", "kind", "sequence"),
            ),
            rows,
        )


def supersede_notices(connection: Connection, contacts: Sequence[ContactId]) -> None:
    """Drop what these contacts were to get and did not: something later takes over."""
    if contacts:
        connection.execute(
            update(NOTICE)
            .where(
                NOTICE.c.contact_id.in_(contacts),
                # One that is held: nobody need decide on what a later one says.
                NOTICE.c.state.in_((NoticeState.PLANNED.value, NoticeState.HELD.value)),
                # What it says, no later one does.
                NOTICE.c.kind.not_in(_SAID_ONCE),
            )
            .values(state=NoticeState.SUPERSEDED.value)
        )


def raise_escalations(
    connection: Connection,
    effects: Sequence[RaiseEscalation],
    *,
    incident: IncidentId,
    now: datetime,
) -> None:
    """
    Put escalations on record, or raise them again; a higher one takes over.

    What stands on the call sheet alone counts as told: nobody gets a mail for it.
    """
    of_subscribers = [
        _raised(effect, incident, now)
        for effect in effects
        if effect.subscriber is not None
    ]
    if of_subscribers:
        connection.execute(
            update(ESCALATION)
            .where(
                ESCALATION.c.subscriber_id == bindparam("b_subscriber"),
                ESCALATION.c.cause == bindparam("b_cause"),
                ESCALATION.c.level != bindparam("b_level"),
                _IS_LIVE,
            )
            .values(state=EscalationState.RAISED_FURTHER.value, ended_at=now),
            [
                {
                    "b_subscriber": row["subscriber_id"],
                    "b_cause": row["cause"],
                    "b_level": row["level"],
                }
                for row in of_subscribers
            ],
        )
        statement = dialect_insert(connection)(ESCALATION)
        connection.execute(
            # The same cause at the same level can come back, after it ended or before.
            statement.on_conflict_do_update(
                index_elements=["incident_id", "subscriber_id", "cause", "level"],
                set_=_AGAIN
                | {
                    name: statement.excluded[name]
                    for name in ("state", "raised_at", "told_at", "targets")
                },
            ),
            of_subscribers,
        )
    for effect in effects:
        if effect.subscriber is None:
            _raise_of_incident(connection, _raised(effect, incident, now))


_AGAIN = {"raised_times": ESCALATION.c.raised_times + 1, "ended_at": None}


def _raised(
    effect: RaiseEscalation, incident: IncidentId, now: datetime
) -> dict[str, Any]:
    is_mailed = any(target.role for target in effect.targets)
    return {
        "incident_id": incident,
        "subscriber_id": effect.subscriber,
        "cause": effect.cause.value,
        "level": effect.level,
        "step": effect.step[:_LONGEST_STEP],
        "state": (EscalationState.RAISED if is_mailed else EscalationState.TOLD).value,
        "targets": [target.value for target in effect.targets],
        "raised_at": now,
        "raised_times": 1,
        "told_at": None if is_mailed else now,
    }


def _raise_of_incident(connection: Connection, row: dict[str, Any]) -> None:
    """Raise what is about the whole incident: no unique key has its missing subscriber."""
    of_cause = (
        (ESCALATION.c.incident_id == row["incident_id"])
        & ESCALATION.c.subscriber_id.is_(None)
        & (ESCALATION.c.cause == row["cause"])
    )
    connection.execute(
        update(ESCALATION)
        .where(of_cause, ESCALATION.c.level != row["level"], _IS_LIVE)
        .values(state=EscalationState.RAISED_FURTHER.value, ended_at=row["raised_at"])
    )
    again = connection.execute(
        update(ESCALATION)
        .where(of_cause, ESCALATION.c.level == row["level"])
        .values(
            _AGAIN
            | {name: row[name] for name in ("state", "raised_at", "told_at", "targets")}
        )
    )
    if not rows_changed(again):
        connection.execute(insert(ESCALATION).values(row))


def end_escalations(
    connection: Connection,
    effects: Sequence[EndEscalation],
    *,
    incident: IncidentId,
    now: datetime,
) -> None:
    """Record that causes are gone."""
    ended = {"state": EscalationState.ENDED.value, "ended_at": now}
    of_subscribers = [
        {"b_subscriber": effect.subscriber, "b_cause": effect.cause.value}
        for effect in effects
        if effect.subscriber is not None
    ]
    if of_subscribers:
        connection.execute(
            update(ESCALATION)
            .where(
                ESCALATION.c.subscriber_id == bindparam("b_subscriber"),
                ESCALATION.c.cause == bindparam("b_cause"),
                _IS_LIVE,
            )
            .values(ended),
            of_subscribers,
        )
    of_incident = [
        effect.cause.value for effect in effects if effect.subscriber is None
    ]
    if of_incident:
        connection.execute(
            update(ESCALATION)
            .where(
                ESCALATION.c.incident_id == incident,
                ESCALATION.c.subscriber_id.is_(None),
                ESCALATION.c.cause.in_(of_incident),
                _IS_LIVE,
            )
            .values(ended)
        )


def move_on(connection: Connection, effects: Sequence[MoveOn]) -> None:
    """Record which steps were taken, and when to look again."""
    if effects:
        connection.execute(
            update(SUBSCRIBER)
            .where(SUBSCRIBER.c.id == bindparam("b_id"))
            .values(
                ladder_position=bindparam("b_position"), look_at=bindparam("b_look_at")
            ),
            [
                {
                    "b_id": effect.subscriber,
                    "b_position": effect.position,
                    "b_look_at": effect.look_at,
                }
                for effect in effects
            ],
        )


def plan_digests(
    connection: Connection, *, incident: IncidentId, mail_domain: str, now: datetime
) -> int:
    """
    Plan one message to each of the CA's own people whom an escalation waits for.

    Somebody for whom one is on its way already gets no second: it lists what is live
    when it is written.

    Returns:
        How many were planned.

    """
    waiting = connection.execute(
        select(cast(ESCALATION.c.targets, Text))
        .where(
            ESCALATION.c.incident_id == incident,
            ESCALATION.c.state == EscalationState.RAISED.value,
        )
        .distinct()
    ).scalars()
    roles = {role for targets in waiting for role in json.loads(targets)}
    if not roles:
        return 0
    last = (
        select(
            NOTICE.c.contact_id,
            func.max(NOTICE.c.sequence).label("sequence"),
            func.sum(case((NOTICE.c.state.in_(_WAITING), 1), else_=0)).label("waiting"),
        )
        .where(
            NOTICE.c.incident_id == incident,
            NOTICE.c.kind == NoticeKind.ESCALATION.value,
        )
        .group_by(NOTICE.c.contact_id)
        .subquery()
    )
    people = connection.execute(
        select(CONTACT.c.id, func.coalesce(last.c.sequence, 0).label("sequence"))
        .outerjoin(last, last.c.contact_id == CONTACT.c.id)
        .where(
            CONTACT.c.incident_id == incident,
            CONTACT.c.subscriber_id.is_(None),
            CONTACT.c.role.in_(roles),
            CONTACT.c.state == ContactState.ACTIVE.value,
            func.coalesce(last.c.waiting, 0) == 0,
        )
    ).all()
    if people:
        connection.execute(
            insert(NOTICE),
            [
                _new_notice(
                    incident=incident,
                    contact=ContactId(person.id),
                    kind=NoticeKind.ESCALATION,
                    sequence=person.sequence + 1,
                    mail_domain=mail_domain,
                    now=now,
                )
                for person in people
            ],
        )
    return len(people)


def plan_alarms(
    connection: Connection,
    *,
    incident: IncidentId,
    channels: Sequence[str],
    now: datetime,
) -> int:
    """
    Plan one alarm to each channel that none is on its way to already.

    Like a message to somebody of the CA, it says what is live when it leaves.

    Args:
        connection: The transaction in which something was raised.
        incident: Of which incident.
        channels: Hashes of the channels' addresses.
        now: The present instant, UTC.

    Returns:
        How many were planned.

    """
    if not channels:
        return 0
    of_incident = ALARM.c.incident_id == incident
    waiting = set(
        connection.execute(
            select(ALARM.c.channel).where(
                of_incident, ALARM.c.state == AlarmState.PLANNED.value
            )
        ).scalars()
    )
    last = connection.execute(
        select(func.coalesce(func.max(ALARM.c.number), 0)).where(of_incident)
    ).scalar_one()
    rows = [
        {
            "incident_id": incident,
            "number": last + 1,
            "channel": channel,
            "state": AlarmState.PLANNED.value,
            "planned_at": now,
            "due_at": now,
            "attempts": 0,
            "possibly_repeated": 0,
        }
        for channel in dict.fromkeys(channels)
        if channel not in waiting
    ]
    if rows:
        connection.execute(
            insert_ignoring(
                connection, ALARM, conflict=("incident_id", "number", "channel")
            ),
            rows,
        )
    return len(rows)


def missing_roles(
    connection: Connection, *, incident: IncidentId, roles: Iterable[ContactRole]
) -> list[ContactRole]:
    """Return the roles that a ladder tells and nobody in the directory holds."""
    held = set(
        connection.execute(
            select(CONTACT.c.role)
            .where(CONTACT.c.incident_id == incident, CONTACT.c.subscriber_id.is_(None))
            .distinct()
        ).scalars()
    )
    return sorted(role for role in set(roles) if role.value not in held)


def _new_notice(
    *,
    incident: IncidentId,
    contact: ContactId,
    kind: NoticeKind,
    sequence: int,
    mail_domain: str,
    now: datetime,
) -> dict[str, object]:
    return {
        "incident_id": incident,
        "contact_id": contact,
        "kind": kind.value,
        "sequence": sequence,
        "state": NoticeState.PLANNED.value,
        "planned_at": now,
        "due_at": now,
        # Two random values: who sees the one cannot forge a bounce with the other.
        "message_id": f"<{secrets.token_hex(12)}@{mail_domain}>",
        "verp_token": secrets.token_hex(10),
        "attempts": 0,
        "possibly_repeated": 0,
    }
