"""What a subscriber's page shows, read without changing anything (I6)."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, true

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.outreach import Csr, Reply
from models.replacement import Replacement
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    UNSETTLED,
    CertificateId,
    Circumstance,
    ContactId,
    ContactState,
    IncidentId,
    IncidentState,
    ReplacementId,
    ReplacementState,
    ReplyId,
    ReplyKind,
    ReplyState,
    RevocationState,
    SubscriberId,
)
from tocsin.store.views import (
    CertificateView,
    ContactView,
    ReplyView,
    Selection,
    SubscriberView,
    Totals,
)

CERT = table(AffectedCertificate)
CONTACT = table(Contact)
CSR = table(Csr)
INCIDENT = table(Incident)
REPLY = table(Reply)
REPLACEMENT = table(Replacement)
REVOCATION = table(Revocation)
SUBSCRIBER = table(Subscriber)

PAGE = 200
"""Certificates on one page."""

_MOST_REPLIES = 50

_IN_HAND = [state.value for state in UNSETTLED]


def subscriber_view(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    now: datetime,
    page: int = 1,
    selection: Selection = Selection.ALL,
) -> SubscriberView | None:
    """Read a subscriber's page; None where the incident has no such subscriber."""
    row = connection.execute(
        select(
            INCIDENT,
            SUBSCRIBER.c.name,
            SUBSCRIBER.c.zone.label("reader_zone"),
            SUBSCRIBER.c.language,
            SUBSCRIBER.c.acknowledged_at,
        )
        .join(SUBSCRIBER, SUBSCRIBER.c.incident_id == INCIDENT.c.id)
        .where(INCIDENT.c.id == incident, SUBSCRIBER.c.id == subscriber)
    ).first()
    if row is None:
        return None
    owned = and_(CERT.c.subscriber_id == subscriber, CERT.c.incident_id == incident)
    totals, next_revocation_time = _count(connection, owned)
    chosen = and_(owned, _condition(selection))
    selected = connection.execute(
        select(func.count())
        .select_from(CERT.outerjoin(REVOCATION, _same_certificate()))
        .where(chosen)
    ).scalar_one()
    pages = max(1, -(-selected // PAGE))
    shown = min(max(1, page), pages)
    return SubscriberView(
        incident=IncidentId(row.id),
        title=row.title,
        circumstance=Circumstance(row.circumstance),
        state=IncidentState(row.state),
        is_drill=row.is_drill,
        made_aware_at=row.made_aware_at,
        deadline=row.deadline,
        closed_at=row.closed_at,
        rule_pack=row.rule_pack,
        subscriber=subscriber,
        name=row.name,
        zone=row.reader_zone,
        language=row.language,
        acknowledged_at=row.acknowledged_at,
        totals=totals,
        next_revocation_time=next_revocation_time,
        certificates=tuple(
            _certificates(connection, chosen, limit=PAGE, offset=(shown - 1) * PAGE)
        ),
        selected=selected,
        page=shown,
        pages=pages,
        contacts=tuple(_contacts(connection, subscriber)),
        replies=tuple(_replies(connection, subscriber)),
        read_at=now,
    )


def certificates_of(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    certificates: Sequence[CertificateId],
) -> tuple[CertificateView, ...]:
    """Read those of the certificates that are this subscriber's; others are left out."""
    wanted = sorted(set(certificates))
    return tuple(
        view
        for start in range(0, len(wanted), PAGE)
        for view in _certificates(
            connection,
            and_(
                CERT.c.subscriber_id == subscriber,
                CERT.c.incident_id == incident,
                CERT.c.id.in_(wanted[start : start + PAGE]),
            ),
            limit=PAGE,
            offset=0,
        )
    )


def reply_of(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    reply: ReplyId,
) -> ReplyView | None:
    """Read one reply of this subscriber; None where it is not theirs."""
    row = connection.execute(
        select(REPLY, CONTACT.c.name.label("contact_name"))
        .join(CONTACT, CONTACT.c.id == REPLY.c.contact_id)
        .where(
            REPLY.c.id == reply,
            REPLY.c.incident_id == incident,
            REPLY.c.subscriber_id == subscriber,
        )
    ).first()
    return _reply(row) if row else None


def selected_certificates(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    selection: Selection,
) -> tuple[CertificateId, ...]:
    """Read the keys of all certificates of a selection, whatever page they are on."""
    return tuple(
        CertificateId(key)
        for key in connection.execute(
            select(CERT.c.id)
            .select_from(CERT.outerjoin(REVOCATION, _same_certificate()))
            .where(
                CERT.c.subscriber_id == subscriber,
                CERT.c.incident_id == incident,
                _condition(selection),
            )
            .order_by(CERT.c.id)
        ).scalars()
    )


def _same_certificate() -> ColumnElement[bool]:
    return REVOCATION.c.certificate_id == CERT.c.id


def _condition(selection: Selection) -> ColumnElement[bool]:
    match selection:
        case Selection.ALL:
            return true()
        case Selection.WITHOUT_REPLACEMENT:
            return and_(
                CERT.c.replacement_state.in_(_IN_HAND),
                func.coalesce(REVOCATION.c.state, "")
                != RevocationState.WITHDRAWN.value,
            )
        case Selection.REVOCABLE_EARLY:
            return and_(
                CERT.c.replacement_state.in_(_IN_HAND),
                REVOCATION.c.state == RevocationState.SCHEDULED.value,
            )


def _count(
    connection: Connection, owned: ColumnElement[bool]
) -> tuple[Totals, datetime | None]:
    """Count in the database; the earliest revocation time comes with it."""
    replacement: dict[str, int] = {}
    revocation: dict[str | None, int] = {}
    times: list[datetime] = []
    for row in connection.execute(
        select(
            CERT.c.replacement_state,
            REVOCATION.c.state,
            func.count().label("number"),
            func.min(
                REVOCATION.c.revocation_time, type_=REVOCATION.c.revocation_time.type
            ).label("earliest"),
        )
        .select_from(CERT.outerjoin(REVOCATION, _same_certificate()))
        .where(owned)
        .group_by(CERT.c.replacement_state, REVOCATION.c.state)
    ):
        replacement[row.replacement_state] = (
            replacement.get(row.replacement_state, 0) + row.number
        )
        revocation[row.state] = revocation.get(row.state, 0) + row.number
        if row.state in (
            RevocationState.SCHEDULED.value,
            RevocationState.SUBMITTED.value,
        ):
            times.append(row.earliest)
    everything = sum(replacement.values())
    published = revocation.get(RevocationState.PUBLISHED.value, 0)
    revoked = published + revocation.get(RevocationState.REVOKED.value, 0)
    withdrawn = revocation.get(RevocationState.WITHDRAWN.value, 0)
    totals = Totals(
        all=everything,
        without_csr=replacement.get(ReplacementState.AWAITING_CSR.value, 0),
        with_csr=replacement.get(ReplacementState.CSR_RECEIVED.value, 0),
        issued=replacement.get(ReplacementState.REPLACEMENT_ISSUED.value, 0),
        replaced=replacement.get(ReplacementState.REPLACED.value, 0),
        given_up=replacement.get(ReplacementState.NO_LONGER_REQUIRED.value, 0),
        waiting=everything - revoked - withdrawn,
        revoked=revoked,
        published=published,
        withdrawn=withdrawn,
    )
    return totals, min(times, default=None)


def _certificates(
    connection: Connection, condition: ColumnElement[bool], *, limit: int, offset: int
) -> Iterable[CertificateView]:
    csrs = (
        select(func.count())
        .select_from(CSR)
        .where(CSR.c.certificate_id == CERT.c.id)
        .scalar_subquery()
    )
    replacement = (
        select(func.max(REPLACEMENT.c.id))
        .where(REPLACEMENT.c.certificate_id == CERT.c.id)
        .scalar_subquery()
    )
    for row in connection.execute(
        select(
            CERT.c.id,
            CERT.c.serial,
            CERT.c.subject,
            CERT.c.dns_names,
            CERT.c.not_after,
            CERT.c.replacement_state,
            REVOCATION.c.state,
            REVOCATION.c.revocation_time,
            REVOCATION.c.revoked_at,
            REVOCATION.c.published_at,
            REVOCATION.c.withdrawn_at,
            REVOCATION.c.restrained_until,
            csrs.label("csrs"),
            replacement.label("replacement"),
        )
        .select_from(CERT.outerjoin(REVOCATION, _same_certificate()))
        .where(condition)
        .order_by(CERT.c.id)
        .limit(limit)
        .offset(offset)
    ):
        yield CertificateView(
            certificate=CertificateId(row.id),
            serial=row.serial,
            subject=row.subject,
            names=tuple(row.dns_names),
            not_after=row.not_after,
            replacement_state=ReplacementState(row.replacement_state),
            revocation_state=RevocationState(row.state) if row.state else None,
            revocation_time=row.revocation_time,
            revoked_at=row.revoked_at,
            published_at=row.published_at,
            csrs=row.csrs,
            replacement=None
            if row.replacement is None
            else ReplacementId(row.replacement),
            withdrawn_at=row.withdrawn_at,
            restrained_until=row.restrained_until,
        )


def _contacts(
    connection: Connection, subscriber: SubscriberId
) -> Iterable[ContactView]:
    for row in connection.execute(
        select(CONTACT)
        .where(
            CONTACT.c.subscriber_id == subscriber,
            CONTACT.c.state != ContactState.REMOVED.value,
        )
        .order_by(CONTACT.c.rank, CONTACT.c.id)
    ):
        yield ContactView(
            contact=ContactId(row.id),
            rank=row.rank,
            name=row.name,
            email=row.email,
            phone=row.phone,
            state=ContactState(row.state),
            named_by_reply=row.named_by_reply,
        )


def _replies(connection: Connection, subscriber: SubscriberId) -> Iterable[ReplyView]:
    """Read the latest replies, those that wait first."""
    for row in connection.execute(
        select(REPLY, CONTACT.c.name.label("contact_name"))
        .join(CONTACT, CONTACT.c.id == REPLY.c.contact_id)
        .where(REPLY.c.subscriber_id == subscriber)
        .order_by(
            REPLY.c.state != ReplyState.PENDING.value,
            REPLY.c.received_at.desc(),
            REPLY.c.id.desc(),
        )
        .limit(_MOST_REPLIES)
    ):
        yield _reply(row)


def _reply(row: Row[tuple[object, ...]]) -> ReplyView:
    return ReplyView(
        reply=ReplyId(row.id),
        kind=ReplyKind(row.kind),
        state=ReplyState(row.state),
        received_at=row.received_at,
        effective_at=row.effective_at,
        certificates=tuple(CertificateId(number) for number in row.certificate_ids),
        contact=ContactId(row.contact_id),
        contact_name=row.contact_name,
    )
