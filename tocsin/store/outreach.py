"""What policy needs to know of subscribers, always of a batch at a time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    case,
    func,
    or_,
    select,
    update,
)

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.outreach import Escalation, Notice, Reply
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    LIVE_ESCALATIONS,
    UNSETTLED,
    ContactId,
    ContactState,
    EscalationCause,
    EscalationState,
    IncidentId,
    IncidentState,
    NoticeKind,
    NoticeState,
    ReplacementState,
    ReplyKind,
    RevocationState,
    SubscriberId,
)
from tocsin.policy.facts import (
    ContactFacts,
    EscalationFacts,
    NoticeFacts,
    SubscriberFacts,
)
from tocsin.policy.sending import STEPS
from tocsin.store.session import rows_changed

SUBSCRIBER = table(Subscriber)
CONTACT = table(Contact)
NOTICE = table(Notice)
ESCALATION = table(Escalation)
CERTIFICATE = table(AffectedCertificate)
REVOCATION = table(Revocation)
REPLY = table(Reply)

_IS_LIVE = ESCALATION.c.state.in_([state.value for state in LIVE_ESCALATIONS])
_WAITING = (NoticeState.PLANNED.value, NoticeState.SENDING.value)
_MAY_GET_THROUGH = {
    NoticeState.SENT.value,
    NoticeState.HELD.value,
    *_WAITING,
}
# A stranger who wants no mails, and another mail to an address, move nothing on.
_NO_ANSWER = (ReplyKind.DECLINE_ADDRESS.value, ReplyKind.ASK_AGAIN.value)
_NEVER_LEFT = (NoticeState.PLANNED.value, NoticeState.SUPERSEDED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    unsettled: int
    open: int
    missing: int
    uninstalled: int


def due_subscribers(
    connection: Connection, *, incident: IncidentId, now: datetime, limit: int
) -> list[SubscriberFacts]:
    """Take the subscribers whose time to be looked at has come, with their facts."""
    rows = connection.execute(
        select(
            SUBSCRIBER.c.id,
            SUBSCRIBER.c.ladder_position,
            SUBSCRIBER.c.acknowledged_at.is_not(None).label("acknowledged"),
            SUBSCRIBER.c.csr_refused_at.is_not(None).label("csr_refused"),
            SUBSCRIBER.c.disowned_at,
            SUBSCRIBER.c.help_asked_at,
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
    answers = _last_answers(connection, keys)
    nothing = _Work(unsettled=0, open=0, missing=0, uninstalled=0)
    return [
        SubscriberFacts(
            subscriber=SubscriberId(row.id),
            position=row.ladder_position,
            has_acknowledged=bool(row.acknowledged),
            last_answer_at=answers.get(row.id),
            unsettled_certificates=work.get(row.id, nothing).unsettled,
            open_certificates=work.get(row.id, nothing).open,
            missing_csrs=work.get(row.id, nothing).missing,
            uninstalled_certificates=work.get(row.id, nothing).uninstalled,
            has_refused_csr=bool(row.csr_refused),
            contacts=tuple(contacts[row.id]),
            escalations=tuple(escalations[row.id]),
            disowned_at=row.disowned_at,
            help_asked_at=row.help_asked_at,
        )
        for row in rows
    ]


def _open_work(connection: Connection, subscribers: Sequence[int]) -> dict[int, _Work]:
    is_unsettled = and_(
        CERTIFICATE.c.replacement_state.in_([state.value for state in UNSETTLED]),
        REVOCATION.c.state != RevocationState.WITHDRAWN.value,
    )
    is_open = and_(
        is_unsettled,
        REVOCATION.c.state.in_(
            (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)
        ),
    )
    lacks_csr = and_(
        is_open,
        CERTIFICATE.c.replacement_state == ReplacementState.AWAITING_CSR.value,
    )
    lacks_use = and_(
        is_open,
        CERTIFICATE.c.replacement_state == ReplacementState.REPLACEMENT_ISSUED.value,
    )
    rows = connection.execute(
        select(
            CERTIFICATE.c.subscriber_id,
            func.sum(case((is_unsettled, 1), else_=0)).label("unsettled"),
            func.sum(case((is_open, 1), else_=0)).label("open"),
            func.sum(case((lacks_csr, 1), else_=0)).label("missing"),
            func.sum(case((lacks_use, 1), else_=0)).label("uninstalled"),
        )
        .join(REVOCATION, REVOCATION.c.certificate_id == CERTIFICATE.c.id)
        .where(CERTIFICATE.c.subscriber_id.in_(subscribers))
        .group_by(CERTIFICATE.c.subscriber_id)
    )
    return {
        row.subscriber_id: _Work(
            unsettled=int(row.unsettled),
            open=int(row.open),
            missing=int(row.missing),
            uninstalled=int(row.uninstalled),
        )
        for row in rows
    }


def _contacts(
    connection: Connection, subscribers: Sequence[int]
) -> Mapping[int, list[ContactFacts]]:
    notices: dict[int, set[NoticeFacts]] = defaultdict(set)
    states: dict[int, set[str]] = defaultdict(set)
    for row in connection.execute(
        select(
            NOTICE.c.contact_id,
            NOTICE.c.kind,
            NOTICE.c.sequence,
            NOTICE.c.state,
            or_(
                NOTICE.c.state.not_in(_NEVER_LEFT), NOTICE.c.possibly_repeated > 0
            ).label("has_left"),
        )
        .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
        .where(CONTACT.c.subscriber_id.in_(subscribers))
    ):
        kind = NoticeKind(row.kind)
        if kind.answers_mail or kind.is_about_contacts:
            continue  # who got an answer to their mail was not told by it
        notices[row.contact_id].add(
            NoticeFacts(kind=kind, sequence=row.sequence, has_left=bool(row.has_left))
        )
        states[row.contact_id].add(row.state)
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
                was_reached=NoticeState.SENT.value in states[row.id],
                came_back=NoticeState.BOUNCED.value in states[row.id]
                and not states[row.id] & _MAY_GET_THROUGH,
                disowns=row.disowned_at is not None,
            )
        )
    return found


def contact_facts(
    connection: Connection, *, subscriber: SubscriberId
) -> Sequence[ContactFacts]:
    """Return what policy knows of the contacts of one subscriber."""
    return _contacts(connection, [subscriber])[subscriber]


def told_contacts(
    connection: Connection, subscribers: Sequence[SubscriberId]
) -> list[ContactId]:
    """Return the contacts of these subscribers to whom a notice has left, or may have."""
    if not subscribers:
        return []
    return [
        ContactId(key)
        for key in connection.execute(
            select(CONTACT.c.id)
            .join(NOTICE, NOTICE.c.contact_id == CONTACT.c.id)
            .where(
                CONTACT.c.subscriber_id.in_(subscribers),
                CONTACT.c.state == ContactState.ACTIVE.value,
                NOTICE.c.kind.in_([kind.value for kind in STEPS]),
                or_(NOTICE.c.state.not_in(_NEVER_LEFT), NOTICE.c.possibly_repeated > 0),
            )
            .distinct()
            .order_by(CONTACT.c.id)
        ).scalars()
    ]


def _live_escalations(
    connection: Connection, subscribers: Sequence[int]
) -> Mapping[int, list[EscalationFacts]]:
    found: dict[int, list[EscalationFacts]] = defaultdict(list)
    for row in connection.execute(
        select(ESCALATION)
        .where(ESCALATION.c.subscriber_id.in_(subscribers), _IS_LIVE)
        .order_by(ESCALATION.c.id)
    ):
        found[row.subscriber_id].append(_escalation(row))
    return found


def incident_escalations(
    connection: Connection, *, incident: IncidentId
) -> list[EscalationFacts]:
    """Return what is live of the whole incident, not of one of its subscribers."""
    return [
        _escalation(row)
        for row in connection.execute(
            select(ESCALATION).where(
                ESCALATION.c.incident_id == incident,
                ESCALATION.c.subscriber_id.is_(None),
                _IS_LIVE,
            )
        )
    ]


def _escalation(row: Any) -> EscalationFacts:
    return EscalationFacts(
        cause=EscalationCause(row.cause),
        level=row.level,
        state=EscalationState(row.state),
        raised_at=row.raised_at,
        acknowledged_at=row.acknowledged_at,
    )


def _last_answers(
    connection: Connection, subscribers: Sequence[int]
) -> dict[int, datetime]:
    """Return when a reply of each subscriber last came in; silent ones are left out."""
    return {
        row.subscriber_id: row.last
        for row in connection.execute(
            select(REPLY.c.subscriber_id, func.max(REPLY.c.received_at).label("last"))
            .where(
                REPLY.c.subscriber_id.in_(subscribers),
                REPLY.c.kind.not_in(_NO_ANSWER),
            )
            .group_by(REPLY.c.subscriber_id)
        )
    }


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
