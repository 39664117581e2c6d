"""Facts about subscribers out, notices and escalations in: always a batch at a time."""

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Connection,
    Text,
    and_,
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
from models.incident import AffectedCertificate, Incident
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    ContactId,
    ContactRole,
    ContactState,
    EscalationCause,
    EscalationState,
    IncidentId,
    IncidentState,
    NoticeKind,
    NoticeState,
    ReplacementState,
    RevocationState,
    SubscriberId,
)
from tocsin.policy.effects import EndEscalation, MoveOn, RaiseEscalation, SendNotice
from tocsin.policy.facts import (
    ContactFacts,
    EscalationFacts,
    NoticeFacts,
    SubscriberFacts,
)
from tocsin.store.session import dialect_insert, insert_ignoring, rows_changed

SUBSCRIBER = table(Subscriber)
CONTACT = table(Contact)
NOTICE = table(Notice)
ESCALATION = table(Escalation)
CERTIFICATE = table(AffectedCertificate)
REVOCATION = table(Revocation)

# Spelled out: a statement that runs for many rows at once cannot expand a list.
_IS_LIVE = or_(
    ESCALATION.c.state == EscalationState.RAISED.value,
    ESCALATION.c.state == EscalationState.TOLD.value,
)
_WAITING = (NoticeState.PLANNED.value, NoticeState.SENDING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    open: int
    missing: int


def due_subscribers(
    connection: Connection, *, incident: IncidentId, now: datetime, limit: int
) -> list[SubscriberFacts]:
    """Take the subscribers whose time to be looked at has come, with their facts."""
    rows = connection.execute(
        select(
            SUBSCRIBER.c.id,
            SUBSCRIBER.c.ladder_position,
            SUBSCRIBER.c.acknowledged_at.is_not(None).label("acknowledged"),
        )
        .where(SUBSCRIBER.c.incident_id == incident, SUBSCRIBER.c.look_at <= now)
        .order_by(SUBSCRIBER.c.look_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    keys = [row.id for row in rows]
    if not keys:
        return []
    work = _open_work(connection, keys)
    contacts = _contacts(connection, keys)
    escalations = _live_escalations(connection, keys)
    nothing = _Work(open=0, missing=0)
    return [
        SubscriberFacts(
            subscriber=SubscriberId(row.id),
            position=row.ladder_position,
            has_acknowledged=bool(row.acknowledged),
            open_certificates=work.get(row.id, nothing).open,
            missing_csrs=work.get(row.id, nothing).missing,
            contacts=tuple(contacts[row.id]),
            escalations=tuple(escalations[row.id]),
        )
        for row in rows
    ]


def _open_work(connection: Connection, subscribers: Sequence[int]) -> dict[int, _Work]:
    is_open = and_(
        CERTIFICATE.c.replacement_state.in_(
            (ReplacementState.AWAITING_CSR.value, ReplacementState.CSR_RECEIVED.value)
        ),
        REVOCATION.c.state.in_(
            (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)
        ),
    )
    lacks_csr = and_(
        is_open,
        CERTIFICATE.c.replacement_state == ReplacementState.AWAITING_CSR.value,
    )
    rows = connection.execute(
        select(
            CERTIFICATE.c.subscriber_id,
            func.sum(case((is_open, 1), else_=0)).label("open"),
            func.sum(case((lacks_csr, 1), else_=0)).label("missing"),
        )
        .join(REVOCATION, REVOCATION.c.certificate_id == CERTIFICATE.c.id)
        .where(CERTIFICATE.c.subscriber_id.in_(subscribers))
        .group_by(CERTIFICATE.c.subscriber_id)
    )
    return {
        row.subscriber_id: _Work(open=int(row.open), missing=int(row.missing))
        for row in rows
    }


def _contacts(
    connection: Connection, subscribers: Sequence[int]
) -> Mapping[int, list[ContactFacts]]:
    notices: dict[int, set[NoticeFacts]] = defaultdict(set)
    for row in connection.execute(
        select(NOTICE.c.contact_id, NOTICE.c.kind, NOTICE.c.sequence)
        .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
        .where(CONTACT.c.subscriber_id.in_(subscribers))
    ):
        notices[row.contact_id].add(
            NoticeFacts(kind=NoticeKind(row.kind), sequence=row.sequence)
        )
    found: dict[int, list[ContactFacts]] = defaultdict(list)
    for row in connection.execute(
        select(CONTACT)
        .where(CONTACT.c.subscriber_id.in_(subscribers))
        .order_by(CONTACT.c.rank, CONTACT.c.id)
    ):
        found[row.subscriber_id].append(
            ContactFacts(
                contact=ContactId(row.id),
                rank=row.rank,
                state=ContactState(row.state),
                named_by_reply=row.named_by_reply,
                notices=frozenset(notices[row.id]),
            )
        )
    return found


def _live_escalations(
    connection: Connection, subscribers: Sequence[int]
) -> Mapping[int, list[EscalationFacts]]:
    found: dict[int, list[EscalationFacts]] = defaultdict(list)
    for row in connection.execute(
        select(ESCALATION.c.subscriber_id, ESCALATION.c.cause, ESCALATION.c.level)
        .where(ESCALATION.c.subscriber_id.in_(subscribers), _IS_LIVE)
        .order_by(ESCALATION.c.id)
    ):
        found[row.subscriber_id].append(
            EscalationFacts(cause=EscalationCause(row.cause), level=row.level)
        )
    return found


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
                NOTICE.c.state == NoticeState.PLANNED.value,
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
    """Put escalations on record; a higher one of the same cause takes over."""
    if not effects:
        return
    connection.execute(
        update(ESCALATION)
        .where(
            ESCALATION.c.subscriber_id == bindparam("b_subscriber"),
            ESCALATION.c.cause == bindparam("b_cause"),
            _IS_LIVE,
        )
        .values(state=EscalationState.RAISED_FURTHER.value, ended_at=now),
        [
            {"b_subscriber": effect.subscriber, "b_cause": effect.cause.value}
            for effect in effects
        ],
    )
    statement = dialect_insert(connection)(ESCALATION)
    connection.execute(
        # The same cause at the same level can come back after it had ended.
        statement.on_conflict_do_update(
            index_elements=["incident_id", "subscriber_id", "cause", "level"],
            set_={
                "state": EscalationState.RAISED.value,
                "raised_at": now,
                "told_at": None,
                "ended_at": None,
            },
        ),
        [
            {
                "incident_id": incident,
                "subscriber_id": effect.subscriber,
                "cause": effect.cause.value,
                "level": effect.level,
                "step": effect.step,
                "state": EscalationState.RAISED.value,
                "targets": [role.value for role in effect.targets],
                "raised_at": now,
            }
            for effect in effects
        ],
    )


def end_escalations(
    connection: Connection, effects: Sequence[EndEscalation], *, now: datetime
) -> None:
    """Record that causes are gone."""
    if effects:
        connection.execute(
            update(ESCALATION)
            .where(
                ESCALATION.c.subscriber_id == bindparam("b_subscriber"),
                ESCALATION.c.cause == bindparam("b_cause"),
                _IS_LIVE,
            )
            .values(state=EscalationState.ENDED.value, ended_at=now),
            [
                {"b_subscriber": effect.subscriber, "b_cause": effect.cause.value}
                for effect in effects
            ],
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


def next_look_at(connection: Connection) -> datetime | None:
    """Return when the next subscriber of a running incident is to be looked at."""
    incident = table(Incident)
    instant: datetime | None = connection.execute(
        select(func.min(SUBSCRIBER.c.look_at)).where(
            SUBSCRIBER.c.incident_id.in_(
                select(incident.c.id).where(
                    incident.c.state == IncidentState.RUNNING.value
                )
            )
        )
    ).scalar()
    return instant


def look_now(
    connection: Connection, subscribers: Sequence[SubscriberId], *, now: datetime
) -> int:
    """Have policy look at subscribers to whom something happened."""
    if not subscribers:
        return 0
    return rows_changed(
        connection.execute(
            update(SUBSCRIBER)
            .where(SUBSCRIBER.c.id.in_(subscribers))
            .values(look_at=now)
        )
    )


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
