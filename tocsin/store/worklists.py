"""Who needs a person now, worst first; for dashboards."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, select

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Escalation, Notice, Reply
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    LIVE_ESCALATIONS,
    UNSETTLED,
    ContactState,
    EscalationCause,
    EscalationId,
    EscalationState,
    IncidentId,
    ReplacementState,
    ReplyKind,
    ReplyState,
    RevocationState,
    SubscriberId,
)
from tocsin.policy.worklists import (
    AskedByLink,
    CallableContact,
    LiveEscalation,
    LiveEscalations,
    Owing,
    OwingSubscriber,
    Unreachable,
    UnreachableSubscriber,
)

_CERTIFICATE = table(AffectedCertificate)
_REVOCATION = table(Revocation)
_SUBSCRIBER = table(Subscriber)
_CONTACT = table(Contact)
_NOTICE = table(Notice)
_ESCALATION = table(Escalation)
_REPLY = table(Reply)

_UNREVOKED = (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)
_OPEN = tuple(state.value for state in UNSETTLED)
_ASKS = [kind.value for kind in ReplyKind if kind.tells_officers]
_LIVE = [state.value for state in LIVE_ESCALATIONS]

# A draft has no revocations yet, hence the outer join and the NULL.
_IS_UNREVOKED: ColumnElement[bool] = _REVOCATION.c.state.is_(
    None
) | _REVOCATION.c.state.in_(_UNREVOKED)
_IS_MISSING = _IS_UNREVOKED & (
    _CERTIFICATE.c.replacement_state == ReplacementState.AWAITING_CSR.value
)
_IS_ISSUED = _IS_UNREVOKED & (
    _CERTIFICATE.c.replacement_state == ReplacementState.REPLACEMENT_ISSUED.value
)
_IS_OPEN = _IS_UNREVOKED & _CERTIFICATE.c.replacement_state.in_(_OPEN)


def subscribers_owing_csr(
    connection: Connection, *, incident: IncidentId, limit: int
) -> Owing:
    """List who owes CSRs for certificates that are not revoked yet, worst first."""
    held = held_certificates(incident)
    owing = (
        select(
            _SUBSCRIBER.c.id,
            _SUBSCRIBER.c.name,
            _SUBSCRIBER.c.sector,
            _SUBSCRIBER.c.acknowledged_at,
            held.c.certificates,
            held.c.missing,
        )
        .join(held, held.c.subscriber_id == _SUBSCRIBER.c.id)
        .where(held.c.missing > 0)
    )
    counted = owing.subquery()
    totals = connection.execute(
        select(
            func.count().label("subscribers"),
            func.coalesce(func.sum(counted.c.missing), 0).label("missing"),
            func.count().filter(counted.c.acknowledged_at.is_(None)).label("silent"),
        ).select_from(counted)
    ).one()
    rows = connection.execute(
        owing.order_by(
            held.c.missing.desc(), held.c.certificates.desc(), _SUBSCRIBER.c.name
        ).limit(limit)
    ).all()
    told = _last_notices(connection, [row.id for row in rows])
    contacts = callable_contacts(connection, [row.id for row in rows])
    return Owing(
        rows=tuple(
            OwingSubscriber(
                subscriber=SubscriberId(row.id),
                name=row.name,
                sector=row.sector,
                certificates=row.certificates,
                missing=row.missing,
                last_notice_at=told.get(row.id),
                reachable_contacts=_reachable(contacts[row.id]),
                acknowledged_at=row.acknowledged_at,
            )
            for row in rows
        ),
        subscribers=totals.subscribers,
        missing=int(totals.missing),
        silent=totals.silent,
    )


def live_escalations(
    connection: Connection, *, incident: IncidentId, limit: int
) -> LiveEscalations:
    """List what somebody has to act on: the highest step first, then the largest."""
    held = held_certificates(incident)
    is_live = (_ESCALATION.c.incident_id == incident) & _ESCALATION.c.state.in_(_LIVE)
    rows = connection.execute(
        select(
            _ESCALATION,
            func.coalesce(_SUBSCRIBER.c.name, "").label("name"),
            func.coalesce(held.c.certificates, 0).label("certificates"),
            func.coalesce(held.c.unrevoked, 0).label("unrevoked"),
        )
        .outerjoin(_SUBSCRIBER, _SUBSCRIBER.c.id == _ESCALATION.c.subscriber_id)
        .outerjoin(held, held.c.subscriber_id == _SUBSCRIBER.c.id)
        .where(is_live)
        .order_by(
            # The whole incident; then those whom nobody can reach: no step will help.
            case(
                (_ESCALATION.c.subscriber_id.is_(None), 0),
                (_ESCALATION.c.cause == EscalationCause.UNREACHABLE.value, 1),
                else_=2,
            ),
            _ESCALATION.c.level.desc(),
            func.coalesce(held.c.unrevoked, 0).desc(),
            _SUBSCRIBER.c.name,
        )
        .limit(limit)
    )
    return LiveEscalations(
        rows=tuple(
            LiveEscalation(
                escalation=EscalationId(row.id),
                subscriber=None
                if row.subscriber_id is None
                else SubscriberId(row.subscriber_id),
                name=row.name,
                cause=EscalationCause(row.cause),
                level=row.level,
                step=row.step,
                targets=tuple(row.targets),
                state=EscalationState(row.state),
                raised_at=row.raised_at,
                raised_times=row.raised_times,
                told_at=row.told_at,
                acknowledged_at=row.acknowledged_at,
                acknowledged_by=row.acknowledged_by,
                certificates=row.certificates,
                open_certificates=row.unrevoked,
            )
            for row in rows
        ),
        escalations=connection.execute(
            select(func.count()).select_from(_ESCALATION).where(is_live)
        ).scalar_one(),
    )


def unreachable(
    connection: Connection, *, incident: IncidentId, limit: int
) -> Unreachable:
    """
    List whom mail does not reach, while certificates of theirs are not revoked.

    Those without any contact that mail reaches come first, then the largest.
    """
    held = held_certificates(incident)
    is_active = case((_CONTACT.c.state == ContactState.ACTIVE.value, 1), else_=0)
    is_lost = case((_CONTACT.c.state == ContactState.UNREACHABLE.value, 1), else_=0)
    reached = (
        select(
            _CONTACT.c.subscriber_id,
            func.sum(is_active).label("active"),
            func.sum(is_lost).label("lost"),
        )
        .where(_CONTACT.c.incident_id == incident)
        .group_by(_CONTACT.c.subscriber_id)
        .subquery()
    )
    active = func.coalesce(reached.c.active, 0)
    found = (
        select(
            _SUBSCRIBER.c.id,
            _SUBSCRIBER.c.name,
            _SUBSCRIBER.c.sector,
            _SUBSCRIBER.c.acknowledged_at,
            held.c.unrevoked,
            active.label("active"),
        )
        .join(held, held.c.subscriber_id == _SUBSCRIBER.c.id)
        .outerjoin(reached, reached.c.subscriber_id == _SUBSCRIBER.c.id)
        .where(held.c.unrevoked > 0, (active == 0) | (reached.c.lost > 0))
    )
    counted = found.subquery()
    totals = connection.execute(
        select(
            func.count().filter(counted.c.active == 0).label("nobody"),
            func.count().filter(counted.c.active > 0).label("some"),
            func.coalesce(
                func.sum(counted.c.unrevoked).filter(counted.c.active == 0), 0
            ).label("certificates"),
        ).select_from(counted)
    ).one()
    rows = connection.execute(
        found.order_by(
            case((active == 0, 0), else_=1), held.c.unrevoked.desc(), _SUBSCRIBER.c.name
        ).limit(limit)
    ).all()
    contacts = callable_contacts(connection, [row.id for row in rows])
    return Unreachable(
        rows=tuple(
            UnreachableSubscriber(
                subscriber=SubscriberId(row.id),
                name=row.name,
                sector=row.sector,
                certificates=row.unrevoked,
                reachable_contacts=row.active,
                contacts=contacts[row.id],
                acknowledged_at=row.acknowledged_at,
            )
            for row in rows
        ),
        nobody_left=totals.nobody,
        some_bounced=totals.some,
        certificates=int(totals.certificates),
    )


def asked_by_link(
    connection: Connection, *, incident: IncidentId, limit: int
) -> tuple[AskedByLink, ...]:
    """List what people asked the CA's own for on their pages, the latest first."""
    return tuple(
        AskedByLink(
            subscriber=SubscriberId(row.subscriber_id),
            name=row.name,
            kind=ReplyKind(row.kind),
            received_at=row.received_at,
        )
        for row in connection.execute(
            select(
                _REPLY.c.subscriber_id,
                _REPLY.c.kind,
                _REPLY.c.received_at,
                _SUBSCRIBER.c.name,
            )
            .join(_SUBSCRIBER, _SUBSCRIBER.c.id == _REPLY.c.subscriber_id)
            .where(
                _REPLY.c.incident_id == incident,
                _REPLY.c.kind.in_(_ASKS),
                _REPLY.c.state != ReplyState.UNDONE.value,
            )
            .order_by(_REPLY.c.received_at.desc(), _REPLY.c.id.desc())
            .limit(limit)
        )
    )


def held_certificates(incident: IncidentId) -> Any:
    """Each subscriber's certificates: all, not revoked, open, without a CSR, issued."""
    return (
        select(
            _CERTIFICATE.c.subscriber_id,
            func.count().label("certificates"),
            func.count().filter(_IS_UNREVOKED).label("unrevoked"),
            func.count().filter(_IS_OPEN).label("open"),
            func.count().filter(_IS_MISSING).label("missing"),
            func.count().filter(_IS_ISSUED).label("issued"),
        )
        .select_from(_CERTIFICATE)
        .outerjoin(_REVOCATION, _REVOCATION.c.certificate_id == _CERTIFICATE.c.id)
        .where(_CERTIFICATE.c.incident_id == incident)
        .group_by(_CERTIFICATE.c.subscriber_id)
        .subquery()
    )


def _last_notices(
    connection: Connection, subscribers: Iterable[int]
) -> dict[int, datetime]:
    return {
        row.subscriber_id: row.last
        for row in connection.execute(
            select(_CONTACT.c.subscriber_id, func.max(_NOTICE.c.sent_at).label("last"))
            .join(_NOTICE, _NOTICE.c.contact_id == _CONTACT.c.id)
            .where(_CONTACT.c.subscriber_id.in_(list(subscribers)))
            .group_by(_CONTACT.c.subscriber_id)
        )
    }


def callable_contacts(
    connection: Connection, subscribers: Iterable[int]
) -> dict[int, tuple[CallableContact, ...]]:
    """Find everybody who may be called: not those who said they are not the person."""
    found: dict[int, tuple[CallableContact, ...]] = defaultdict(tuple)
    row: Row[Any]
    for row in connection.execute(
        select(_CONTACT)
        .where(
            _CONTACT.c.subscriber_id.in_(list(subscribers)),
            _CONTACT.c.state != ContactState.REMOVED.value,
        )
        .order_by(_CONTACT.c.rank, _CONTACT.c.id)
    ):
        found[row.subscriber_id] += (
            CallableContact(
                name=row.name,
                phone=row.phone,
                rank=row.rank,
                state=ContactState(row.state),
            ),
        )
    return found


def _reachable(contacts: Iterable[CallableContact]) -> int:
    return sum(contact.state is ContactState.ACTIVE for contact in contacts)
