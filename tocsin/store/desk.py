"""What the officers' desk shows of subscribers, read without changing anything (I6)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Attempt, Csr, Escalation, Notice, Reply
from models.subscriber import Contact, Subscriber
from models.terms import (
    CertificateId,
    ContactId,
    EscalationCause,
    EscalationState,
    IncidentId,
    NoticeId,
    NoticeKind,
    NoticeState,
    ReplyId,
    ReplyKind,
    ReplyState,
    SubscriberId,
)
from tocsin.store.worklists import held_certificates

_ATTEMPT = table(Attempt)
_CERTIFICATE = table(AffectedCertificate)
_CONTACT = table(Contact)
_CSR = table(Csr)
_ESCALATION = table(Escalation)
_NOTICE = table(Notice)
_REPLY = table(Reply)
_SUBSCRIBER = table(Subscriber)

PAGE = 100
"""Rows of a list on one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSubscriber:
    """
    A subscriber in a list of them.

    Args:
        subscriber: Its key.
        name: The organisation's.
        sector: As in the directory; may be empty.
        certificates: All its affected certificates.
        unrevoked: Of those, not revoked yet.
        missing: Of those, without a CSR.
        acknowledged_at: When somebody there first answered, UTC; None: never.

    """

    subscriber: SubscriberId
    name: str
    sector: str
    certificates: int
    unrevoked: int
    missing: int
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberList:
    """One page of subscribers, and how many there are altogether."""

    rows: tuple[ListedSubscriber, ...]
    found: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLine:
    """
    One notice to a contact.

    Args:
        notice: Its key.
        kind: What it is for.
        contact_name: To whom.
        email: Where to.
        state: What is known of it.
        planned_at: UTC.
        sent_at: When the relay took it, UTC.
        bounced_at: When it came back, UTC.
        attempts: How often it was tried.
        detail: What the relay said last; may be empty.

    """

    notice: NoticeId
    kind: NoticeKind
    contact_name: str
    email: str
    state: NoticeState
    planned_at: datetime
    sent_at: datetime | None
    bounced_at: datetime | None
    attempts: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationLine:
    """An escalation about one subscriber; instants UTC."""

    escalation: int
    cause: EscalationCause
    step: str
    targets: tuple[str, ...]
    state: EscalationState
    raised_at: datetime
    told_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrLine:
    """A CSR on file for one certificate."""

    certificate: CertificateId
    title: str
    serial: str
    sha256: str
    findings: tuple[str, ...]
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyLine:
    """What somebody of a subscriber did by link."""

    reply: ReplyId
    subscriber: SubscriberId
    subscriber_name: str
    contact_name: str
    kind: ReplyKind
    state: ReplyState
    certificates: int
    received_at: datetime
    message: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberHistory:
    """What was said to a subscriber and about it, the latest first."""

    notices: tuple[NoticeLine, ...]
    escalations: tuple[EscalationLine, ...]
    csrs: tuple[CsrLine, ...]


def list_subscribers(
    connection: Connection, *, incident: IncidentId, words: str, page: int
) -> SubscriberList:
    """List the subscribers that hold certificates, most of them unrevoked first."""
    held = held_certificates(incident)
    found = select(
        _SUBSCRIBER.c.id,
        _SUBSCRIBER.c.name,
        _SUBSCRIBER.c.sector,
        _SUBSCRIBER.c.acknowledged_at,
        held.c.certificates,
        held.c.unrevoked,
        held.c.missing,
    ).join(held, held.c.subscriber_id == _SUBSCRIBER.c.id)
    if words:
        found = found.where(_named(words))
    count = connection.execute(
        select(func.count()).select_from(found.subquery())
    ).scalar_one()
    pages = max(1, -(-count // PAGE))
    shown = min(max(1, page), pages)
    rows = connection.execute(
        found.order_by(
            held.c.unrevoked.desc(), held.c.certificates.desc(), _SUBSCRIBER.c.name
        )
        .limit(PAGE)
        .offset((shown - 1) * PAGE)
    )
    return SubscriberList(
        rows=tuple(
            ListedSubscriber(
                subscriber=SubscriberId(row.id),
                name=row.name,
                sector=row.sector,
                certificates=row.certificates,
                unrevoked=row.unrevoked,
                missing=row.missing,
                acknowledged_at=row.acknowledged_at,
            )
            for row in rows
        ),
        found=count,
        page=shown,
        pages=pages,
    )


def subscriber_history(
    connection: Connection, *, incident: IncidentId, subscriber: SubscriberId
) -> SubscriberHistory:
    """Read what was said to a subscriber and about it."""
    return SubscriberHistory(
        notices=_notices(connection, incident, subscriber),
        escalations=_escalations(connection, incident, subscriber),
        csrs=_csrs(connection, incident, subscriber),
    )


def latest_replies(
    connection: Connection, *, incident: IncidentId, limit: int
) -> tuple[ReplyLine, ...]:
    """List what subscribers did by link, the latest first."""
    return tuple(
        ReplyLine(
            reply=ReplyId(row.id),
            subscriber=SubscriberId(row.subscriber_id),
            subscriber_name=row.subscriber_name,
            contact_name=row.contact_name,
            kind=ReplyKind(row.kind),
            state=ReplyState(row.state),
            certificates=len(row.certificate_ids),
            received_at=row.received_at,
            message=row.message,
            phone=row.phone,
        )
        for row in connection.execute(
            select(
                _REPLY,
                _SUBSCRIBER.c.name.label("subscriber_name"),
                _CONTACT.c.name.label("contact_name"),
            )
            .join(_SUBSCRIBER, _SUBSCRIBER.c.id == _REPLY.c.subscriber_id)
            .join(_CONTACT, _CONTACT.c.id == _REPLY.c.contact_id)
            .where(_REPLY.c.incident_id == incident)
            .order_by(_REPLY.c.id.desc())
            .limit(limit)
        )
    )


def contact_of(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    contact: ContactId,
) -> bool:
    """Whether a contact is this subscriber's, and still on the list."""
    return (
        connection.execute(
            select(_CONTACT.c.id).where(
                _CONTACT.c.id == contact,
                _CONTACT.c.incident_id == incident,
                _CONTACT.c.subscriber_id == subscriber,
                _CONTACT.c.state != "removed",
            )
        ).first()
        is not None
    )


def _named(words: str) -> ColumnElement[bool]:
    escaped = words.casefold()
    for character in ("\\", "%", "_"):
        escaped = escaped.replace(character, "\\" + character)
    return _SUBSCRIBER.c.key.like(f"%{' '.join(escaped.split())}%", escape="\\")


def _notices(
    connection: Connection, incident: IncidentId, subscriber: SubscriberId
) -> tuple[NoticeLine, ...]:
    latest = (
        select(func.max(_ATTEMPT.c.id))
        .where(_ATTEMPT.c.notice_id == _NOTICE.c.id)
        .correlate(_NOTICE)
        .scalar_subquery()
    )
    return tuple(
        NoticeLine(
            notice=NoticeId(row.id),
            kind=NoticeKind(row.kind),
            contact_name=row.contact_name,
            email=row.email,
            state=NoticeState(row.state),
            planned_at=row.planned_at,
            sent_at=row.sent_at,
            bounced_at=row.bounced_at,
            attempts=row.attempts,
            detail=row.detail or "",
        )
        for row in connection.execute(
            select(
                _NOTICE,
                _CONTACT.c.name.label("contact_name"),
                _CONTACT.c.email,
                _ATTEMPT.c.detail,
            )
            .join(_CONTACT, _CONTACT.c.id == _NOTICE.c.contact_id)
            .outerjoin(_ATTEMPT, _ATTEMPT.c.id == latest)
            .where(
                _CONTACT.c.subscriber_id == subscriber,
                _NOTICE.c.incident_id == incident,
            )
            .order_by(_NOTICE.c.planned_at.desc(), _NOTICE.c.id.desc())
            .limit(PAGE)
        )
    )


def _escalations(
    connection: Connection, incident: IncidentId, subscriber: SubscriberId
) -> tuple[EscalationLine, ...]:
    return tuple(
        EscalationLine(
            escalation=row.id,
            cause=EscalationCause(row.cause),
            step=row.step,
            targets=tuple(row.targets),
            state=EscalationState(row.state),
            raised_at=row.raised_at,
            told_at=row.told_at,
            acknowledged_at=row.acknowledged_at,
            acknowledged_by=row.acknowledged_by,
            ended_at=row.ended_at,
        )
        for row in connection.execute(
            select(_ESCALATION)
            .where(
                _ESCALATION.c.subscriber_id == subscriber,
                _ESCALATION.c.incident_id == incident,
            )
            .order_by(_ESCALATION.c.raised_at.desc(), _ESCALATION.c.id.desc())
            .limit(PAGE)
        )
    )


def _csrs(
    connection: Connection, incident: IncidentId, subscriber: SubscriberId
) -> tuple[CsrLine, ...]:
    return tuple(
        CsrLine(
            certificate=CertificateId(row.certificate_id),
            title=(row.dns_names or [row.subject or row.serial])[0],
            serial=row.serial,
            sha256=row.sha256,
            findings=tuple(row.findings),
            received_at=row.received_at,
        )
        for row in connection.execute(
            select(
                _CSR,
                _CERTIFICATE.c.dns_names,
                _CERTIFICATE.c.subject,
                _CERTIFICATE.c.serial,
            )
            .join(_CERTIFICATE, _CERTIFICATE.c.id == _CSR.c.certificate_id)
            .where(
                _CERTIFICATE.c.subscriber_id == subscriber,
                _CERTIFICATE.c.incident_id == incident,
            )
            .order_by(_CSR.c.received_at.desc(), _CSR.c.id.desc())
            .limit(PAGE)
        )
    )
