"""The call sheet: whom mail does not reach, or a step of the ladder wants called."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    or_,
    select,
)

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.mail import Call
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    CallOutcome,
    ContactId,
    ContactState,
    EscalationState,
    IncidentId,
    NoticeState,
    RevocationState,
    SubscriberId,
    UnreachableReason,
)
from tocsin.errors import BadInput
from tocsin.policy.calls import (
    CallSheet,
    LastCall,
    SheetContact,
    SheetRow,
    reasons_to_call,
)

CALL = table(Call)
CERTIFICATE = table(AffectedCertificate)
CONTACT = table(Contact)
ESCALATION = table(Escalation)
INCIDENT = table(Incident)
NOTICE = table(Notice)
REVOCATION = table(Revocation)
SUBSCRIBER = table(Subscriber)

_CALL_SHEET = "call-sheet"
"""The target by which a step of the ladder puts a subscriber on the sheet."""

_OVER = (EscalationState.ENDED.value, EscalationState.RAISED_FURTHER.value)
_UNREVOKED = (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)
_MAY_GET_THROUGH = (
    NoticeState.PLANNED.value,
    NoticeState.SENDING.value,
    NoticeState.SENT.value,
)
_HOSTS_NAMED = 3


def call_sheet(
    connection: Connection, *, incident: IncidentId, limit: int
) -> CallSheet:
    """
    List whom to telephone, while certificates of theirs are not revoked.

    Args:
        connection: The transaction.
        incident: Of which incident.
        limit: How many rows at most; the counts are of all.

    Raises:
        BadInput: There is no such incident.

    """
    about = connection.execute(
        select(INCIDENT.c.title, INCIDENT.c.deadline).where(INCIDENT.c.id == incident)
    ).first()
    if about is None:
        raise BadInput(
            f"there is no incident {incident!r}. See `tocsin incident list`."
        )
    on_sheet = _on_sheet(incident)
    counted = on_sheet.subquery()
    totals = connection.execute(
        select(
            func.count().label("subscribers"),
            func.coalesce(func.sum(counted.c.unrevoked), 0).label("certificates"),
            func.count()
            .filter(counted.c.last_outcome == CallOutcome.REACHED.value)
            .label("reached"),
        ).select_from(counted)
    ).one()
    rows = connection.execute(
        select(counted)
        .order_by(
            case((counted.c.last_outcome == CallOutcome.REACHED.value, 1), else_=0),
            counted.c.unrevoked.desc(),
            counted.c.name,
        )
        .limit(limit)
    ).all()
    keys = [row.id for row in rows]
    contacts, hosts = _contacts(connection, keys), _hosts(connection, keys)
    steps, calls = _steps(connection, keys), calls_to(connection, keys)
    return CallSheet(
        incident=incident,
        title=about.title,
        deadline=about.deadline,
        rows=tuple(
            SheetRow(
                subscriber=SubscriberId(row.id),
                name=row.name,
                sector=row.sector,
                language=row.language,
                zone=row.zone,
                certificates=row.unrevoked,
                first_names=hosts[row.id],
                revocation_time=row.revocation_time,
                why=reasons_to_call(
                    can_be_reached=bool(row.reachable), steps=steps[row.id]
                ),
                contacts=contacts[row.id],
                calls=len(calls[row.id]),
                last=calls[row.id][-1] if calls[row.id] else None,
            )
            for row in rows
        ),
        subscribers=totals.subscribers,
        reached=totals.reached,
        certificates=int(totals.certificates),
    )


def find_subscriber(
    connection: Connection, *, incident: IncidentId, named: str
) -> SubscriberId:
    """
    Return the subscriber of an incident that somebody names.

    Args:
        connection: The transaction.
        incident: Of which incident.
        named: Its number on the sheet, or its name in any case.

    Raises:
        BadInput: There is none, or no such incident.

    """
    of_incident = SUBSCRIBER.c.incident_id == incident
    key = " ".join(named.casefold().split())
    condition: ColumnElement[bool] = SUBSCRIBER.c.key == key
    if named.strip().isdecimal():
        condition = or_(condition, SUBSCRIBER.c.id == int(named))
    found = connection.execute(
        select(SUBSCRIBER.c.id).where(of_incident, condition)
    ).scalar()
    if found is None:
        raise BadInput(
            f"incident {incident!r} has no subscriber {named!r}. Give the name or the "
            "number as `tocsin call sheet` shows it.",
            field="SUBSCRIBER",
        )
    return SubscriberId(found)


def insert_call(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    caller: str,
    outcome: CallOutcome,
    note: str,
    contact: ContactId | None,
    now: datetime,
) -> int:
    """Put a call on record; ``contact`` is the one that it corrected or added."""
    result = connection.execute(
        insert(CALL).values(
            incident_id=incident,
            subscriber_id=subscriber,
            called_at=now,
            caller=caller,
            outcome=outcome.value,
            note=note,
            contact_id=contact,
        )
    )
    key: Any = result.inserted_primary_key
    return int(key[0])


def _on_sheet(incident: IncidentId) -> Any:
    """Select the subscribers on the sheet, with what orders them."""
    held = (
        select(
            CERTIFICATE.c.subscriber_id,
            func.count().label("unrevoked"),
            func.min(REVOCATION.c.revocation_time).label("revocation_time"),
        )
        .join(REVOCATION, REVOCATION.c.certificate_id == CERTIFICATE.c.id)
        .where(
            CERTIFICATE.c.incident_id == incident, REVOCATION.c.state.in_(_UNREVOKED)
        )
        .group_by(CERTIFICATE.c.subscriber_id)
        .subquery()
    )
    reachable = (
        select(CONTACT.c.subscriber_id, func.count().label("reachable"))
        .where(
            CONTACT.c.incident_id == incident,
            CONTACT.c.state == ContactState.ACTIVE.value,
            ~_came_back(),
        )
        .group_by(CONTACT.c.subscriber_id)
        .subquery()
    )
    wanted = (
        select(ESCALATION.c.subscriber_id)
        .where(
            ESCALATION.c.incident_id == incident,
            ESCALATION.c.state.not_in(_OVER),
            cast(ESCALATION.c.targets, Text).like(f'%"{_CALL_SHEET}"%'),
        )
        .distinct()
        .subquery()
    )
    last = (
        select(CALL.c.subscriber_id, func.max(CALL.c.id).label("id"))
        .where(CALL.c.incident_id == incident)
        .group_by(CALL.c.subscriber_id)
        .subquery()
    )
    return (
        select(
            SUBSCRIBER.c.id,
            SUBSCRIBER.c.name,
            SUBSCRIBER.c.sector,
            SUBSCRIBER.c.language,
            SUBSCRIBER.c.zone,
            held.c.unrevoked,
            held.c.revocation_time,
            func.coalesce(reachable.c.reachable, 0).label("reachable"),
            CALL.c.outcome.label("last_outcome"),
        )
        .join(held, held.c.subscriber_id == SUBSCRIBER.c.id)
        .outerjoin(reachable, reachable.c.subscriber_id == SUBSCRIBER.c.id)
        .outerjoin(wanted, wanted.c.subscriber_id == SUBSCRIBER.c.id)
        .outerjoin(last, last.c.subscriber_id == SUBSCRIBER.c.id)
        .outerjoin(CALL, CALL.c.id == last.c.id)
        .where(
            or_(
                func.coalesce(reachable.c.reachable, 0) == 0,
                wanted.c.subscriber_id.is_not(None),
            )
        )
    )


def _came_back() -> ColumnElement[bool]:
    """Whether a contact's mail came back, and nothing else may have got through."""
    to_contact = NOTICE.c.contact_id == CONTACT.c.id
    return and_(
        select(NOTICE.c.id)
        .where(to_contact, NOTICE.c.state == NoticeState.BOUNCED.value)
        .exists(),
        ~select(NOTICE.c.id)
        .where(to_contact, NOTICE.c.state.in_(_MAY_GET_THROUGH))
        .exists(),
    )


def _contacts(
    connection: Connection, subscribers: Sequence[int]
) -> dict[int, tuple[SheetContact, ...]]:
    """Find whom to ask for: not those who said that they are not the person."""
    found: dict[int, tuple[SheetContact, ...]] = defaultdict(tuple)
    for row in connection.execute(
        select(CONTACT, _came_back().label("came_back"))
        .where(
            CONTACT.c.subscriber_id.in_(subscribers),
            CONTACT.c.state != ContactState.REMOVED.value,
        )
        .order_by(
            case((CONTACT.c.state == ContactState.UNCONFIRMED.value, 1), else_=0),
            case((CONTACT.c.phone == "", 1), else_=0),
            CONTACT.c.rank,
            CONTACT.c.id,
        )
    ):
        found[row.subscriber_id] += (
            SheetContact(
                contact=ContactId(row.id),
                name=row.name,
                email=row.email,
                phone=row.phone,
                rank=row.rank,
                state=ContactState(row.state),
                reason=UnreachableReason(row.state_reason)
                if row.state_reason
                else None,
                came_back=bool(row.came_back),
            ),
        )
    return found


def _hosts(
    connection: Connection, subscribers: Sequence[int]
) -> dict[int, tuple[str, ...]]:
    """Name a few hosts of each, for the person on the phone to recognise."""
    number = (
        func.row_number()
        .over(partition_by=CERTIFICATE.c.subscriber_id, order_by=CERTIFICATE.c.id)
        .label("number")
    )
    numbered = (
        select(
            CERTIFICATE.c.subscriber_id,
            CERTIFICATE.c.dns_names,
            CERTIFICATE.c.subject,
            number,
        )
        .join(REVOCATION, REVOCATION.c.certificate_id == CERTIFICATE.c.id)
        .where(
            CERTIFICATE.c.subscriber_id.in_(subscribers),
            REVOCATION.c.state.in_(_UNREVOKED),
        )
        .subquery()
    )
    found: dict[int, tuple[str, ...]] = defaultdict(tuple)
    for row in connection.execute(
        select(numbered)
        .where(numbered.c.number <= _HOSTS_NAMED)
        .order_by(numbered.c.subscriber_id, numbered.c.number)
    ):
        name = row.dns_names[0] if row.dns_names else row.subject
        found[row.subscriber_id] += (name,)
    return found


def _steps(connection: Connection, subscribers: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for row in connection.execute(
        select(ESCALATION.c.subscriber_id, ESCALATION.c.step).where(
            ESCALATION.c.subscriber_id.in_(subscribers),
            ESCALATION.c.state.not_in(_OVER),
            cast(ESCALATION.c.targets, Text).like(f'%"{_CALL_SHEET}"%'),
        )
    ):
        found[row.subscriber_id].append(row.step)
    return found


def calls_to(
    connection: Connection, subscribers: Sequence[int]
) -> dict[int, list[LastCall]]:
    """Return what came of the calls to these subscribers, the first one first."""
    found: dict[int, list[LastCall]] = defaultdict(list)
    for row in connection.execute(
        select(CALL).where(CALL.c.subscriber_id.in_(subscribers)).order_by(CALL.c.id)
    ):
        found[row.subscriber_id].append(
            LastCall(
                called_at=row.called_at,
                caller=row.caller,
                outcome=CallOutcome(row.outcome),
                note=row.note,
            )
        )
    return found
