"""Counts of one incident, aggregated in SQL; every sum is checked (I3)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    case,
    distinct,
    exists,
    func,
    select,
)

from models.base import table
from models.incident import AffectedCertificate, Entry, Incident, Issuer
from models.outreach import Csr, Escalation, Notice, Reply
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    CertificateId,
    ContactRole,
    ContactState,
    EscalationState,
    IncidentId,
    NoticeKind,
    NoticeState,
    Reason,
    ReplacementState,
    ReplyKind,
    ReplyState,
    RevocationState,
    Sighting,
)
from tocsin.policy.figures import (
    CertificateRow,
    IncidentFigures,
    NoticeCount,
    check_figures,
)
from tocsin.store.named import restrained_now
from tocsin.store.summaries import incident_summary

_INCIDENT = table(Incident)
_ENTRY = table(Entry)
_CERTIFICATE = table(AffectedCertificate)
_ISSUER = table(Issuer)
_REVOCATION = table(Revocation)
_SUBSCRIBER = table(Subscriber)
_CONTACT = table(Contact)
_NOTICE = table(Notice)
_REPLY = table(Reply)
_CSR = table(Csr)
_ESCALATION = table(Escalation)

_PAGE = 2_000
"""Certificates read at once for a list of all of them."""

_UNSENT = (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)
_GOOD_ANSWERS = ("done", "already")

_Word = TypeVar("_Word", bound=StrEnum)


def incident_figures(
    connection: Connection, *, incident: IncidentId, now: datetime
) -> IncidentFigures:
    """
    Count everything about one incident.

    Args:
        connection: One transaction, so that all counts are of one state.
        incident: Which.
        now: The instant to count for, UTC.

    Raises:
        BadInput: There is no such incident.
        Broken: Counts that must agree do not (I3).

    """
    summary = incident_summary(connection, incident=incident)
    entries = _grouped(connection, _ENTRY.c.outcome, _ENTRY.c.incident_id == incident)
    csrs = _csrs(connection, incident)
    restrained = restrained_now(connection, incident=incident, now=now)
    revocation = connection.execute(
        select(
            _REVOCATION.c.state,
            func.count().label("total"),
            func.sum(
                case((_REVOCATION.c.published_at <= summary.deadline, 1), else_=0)
            ).label("before"),
            func.sum(
                case((_REVOCATION.c.published_at > summary.deadline, 1), else_=0)
            ).label("late"),
            func.sum(
                case(
                    (
                        _REVOCATION.c.published_at.is_not(None)
                        & _REVOCATION.c.published_reason.is_distinct_from(
                            _REVOCATION.c.reason
                        ),
                        1,
                    ),
                    else_=0,
                )
            ).label("other"),
            func.min(_REVOCATION.c.revoked_at).label("first"),
            func.max(_REVOCATION.c.published_at).label("last"),
        )
        .where(_REVOCATION.c.incident_id == incident)
        .group_by(_REVOCATION.c.state)
    ).all()
    return check_figures(
        IncidentFigures(
            summary=summary,
            as_of=now,
            entries=_count(connection, _ENTRY, _ENTRY.c.incident_id == incident),
            accepted=entries.get("accepted", 0),
            duplicates=entries.get("duplicate", 0),
            set_aside=entries.get("set-aside", 0),
            certificates=_count(
                connection, _CERTIFICATE, _CERTIFICATE.c.incident_id == incident
            ),
            unclaimed=_count(
                connection,
                _CERTIFICATE,
                _CERTIFICATE.c.incident_id == incident,
                _CERTIFICATE.c.subscriber_id.is_(None),
            ),
            unscheduled=_unscheduled(connection, incident),
            revocation=_complete(
                RevocationState, {row.state: row.total for row in revocation}
            ),
            replacement=_complete(
                ReplacementState,
                _grouped(
                    connection,
                    _CERTIFICATE.c.replacement_state,
                    _CERTIFICATE.c.incident_id == incident,
                ),
            ),
            expired=_expired(connection, incident, now),
            restrained=restrained.total,
            restrained_overdue=restrained.overdue,
            restrained_until=restrained.until,
            published_before_deadline=sum(row.before for row in revocation),
            published_late=sum(row.late for row in revocation),
            published_with_other_reason=sum(row.other for row in revocation),
            first_revoked_at=min(
                (row.first for row in revocation if row.first), default=None
            ),
            last_published_at=max(
                (row.last for row in revocation if row.last), default=None
            ),
            problems=_grouped(
                connection,
                _REVOCATION.c.answer,
                _REVOCATION.c.incident_id == incident,
                _REVOCATION.c.state.in_(_UNSENT),
                _REVOCATION.c.answer.is_not(None),
                _REVOCATION.c.answer.not_in(_GOOD_ANSWERS),
            ),
            sightings=_complete(
                Sighting,
                _grouped(
                    connection,
                    _REVOCATION.c.sighting,
                    _REVOCATION.c.incident_id == incident,
                    _REVOCATION.c.state == RevocationState.REVOKED.value,
                    _REVOCATION.c.sighting.is_not(None),
                ),
            ),
            subscribers=_count(
                connection,
                _SUBSCRIBER,
                _SUBSCRIBER.c.incident_id == incident,
                _holds(_SUBSCRIBER.c.id),
            ),
            subscribers_acknowledged=_count(
                connection,
                _SUBSCRIBER,
                _SUBSCRIBER.c.incident_id == incident,
                _SUBSCRIBER.c.acknowledged_at.is_not(None),
                _holds(_SUBSCRIBER.c.id),
            ),
            contacts=_complete(
                ContactState,
                _grouped(
                    connection,
                    _CONTACT.c.state,
                    _CONTACT.c.incident_id == incident,
                    _CONTACT.c.role == ContactRole.SUBSCRIBER.value,
                    _holds(_CONTACT.c.subscriber_id),
                ),
            ),
            notices=_notices(connection, incident),
            possibly_repeated=connection.execute(
                select(func.coalesce(func.sum(_NOTICE.c.possibly_repeated), 0)).where(
                    _NOTICE.c.incident_id == incident
                )
            ).scalar_one(),
            replies=_complete(
                ReplyKind,
                _grouped(
                    connection,
                    _REPLY.c.kind,
                    _REPLY.c.incident_id == incident,
                    _REPLY.c.state != ReplyState.UNDONE.value,
                ),
            ),
            csrs=csrs.csrs,
            certificates_with_csr=csrs.certificates,
            escalations=_complete(
                EscalationState,
                _grouped(
                    connection,
                    _ESCALATION.c.state,
                    _ESCALATION.c.incident_id == incident,
                ),
            ),
        )
    )


def published_over_time(
    connection: Connection, *, incident: IncidentId
) -> list[tuple[datetime, int]]:
    """Return how many were published by each instant at which some were, UTC."""
    rows = connection.execute(
        select(_REVOCATION.c.published_at, func.count().label("total"))
        .where(
            _REVOCATION.c.incident_id == incident,
            _REVOCATION.c.state == RevocationState.PUBLISHED.value,
        )
        .group_by(_REVOCATION.c.published_at)
        .order_by(_REVOCATION.c.published_at)
    )
    series: list[tuple[datetime, int]] = []
    cumulative = 0
    for row in rows:
        cumulative += row.total
        series.append((row.published_at, cumulative))
    return series


def certificate_rows(
    connection: Connection,
    *,
    incident: IncidentId,
    notes: Mapping[CertificateId, str] | None = None,
) -> Iterator[CertificateRow]:
    """
    Yield every affected certificate, in the order they were accepted.

    Args:
        connection: One transaction.
        incident: Which.
        notes: What is to be said of some of them.

    """
    statement = (
        select(
            _CERTIFICATE.c.id,
            _CERTIFICATE.c.precertificate_sha256,
            _CERTIFICATE.c.certificate_sha256,
            _CERTIFICATE.c.subject,
            _ISSUER.c.name.label("issuer"),
            _CERTIFICATE.c.not_before,
            _CERTIFICATE.c.not_after,
            _CERTIFICATE.c.serial,
            _CERTIFICATE.c.dns_names,
            _REVOCATION.c.state,
            _REVOCATION.c.revocation_time,
            _REVOCATION.c.restrained_until,
            func.coalesce(_REVOCATION.c.ca_revoked_at, _REVOCATION.c.revoked_at).label(
                "revoked_at"
            ),
            func.coalesce(
                _REVOCATION.c.published_reason,
                _REVOCATION.c.reason,
                _INCIDENT.c.reason,
            ).label("reason"),
        )
        .select_from(_CERTIFICATE)
        .join(_ISSUER, _ISSUER.c.id == _CERTIFICATE.c.issuer_id)
        .join(_INCIDENT, _INCIDENT.c.id == _CERTIFICATE.c.incident_id)
        .outerjoin(_REVOCATION, _REVOCATION.c.certificate_id == _CERTIFICATE.c.id)
        .where(_CERTIFICATE.c.incident_id == incident)
        .order_by(_CERTIFICATE.c.id)
        .limit(_PAGE)
    )
    last = 0
    while rows := connection.execute(statement.where(_CERTIFICATE.c.id > last)).all():
        for row in rows:
            yield _certificate(row, (notes or {}).get(CertificateId(row.id), ""))
        last = rows[-1].id


def _certificate(row: Any, note: str) -> CertificateRow:
    return CertificateRow(
        certificate=CertificateId(row.id),
        precertificate_sha256=row.precertificate_sha256,
        certificate_sha256=row.certificate_sha256,
        subject=row.subject,
        issuer=row.issuer,
        not_before=row.not_before,
        not_after=row.not_after,
        serial=row.serial,
        dns_names=tuple(row.dns_names),
        state=None if row.state is None else RevocationState(row.state),
        revocation_time=row.revocation_time,
        revoked_at=row.revoked_at,
        reason=Reason(row.reason),
        restrained_until=row.restrained_until,
        note=note,
    )


def _unscheduled(connection: Connection, incident: IncidentId) -> int:
    return connection.execute(
        select(func.count())
        .select_from(_CERTIFICATE)
        .outerjoin(_REVOCATION, _REVOCATION.c.certificate_id == _CERTIFICATE.c.id)
        .where(
            _CERTIFICATE.c.incident_id == incident,
            _REVOCATION.c.certificate_id.is_(None),
        )
    ).scalar_one()


def _expired(connection: Connection, incident: IncidentId, now: datetime) -> int:
    return connection.execute(
        select(func.count())
        .select_from(_REVOCATION)
        .join(_CERTIFICATE, _CERTIFICATE.c.id == _REVOCATION.c.certificate_id)
        .where(
            _REVOCATION.c.incident_id == incident,
            _REVOCATION.c.state.in_(_UNSENT),
            _CERTIFICATE.c.not_after < now,
        )
    ).scalar_one()


def _notices(connection: Connection, incident: IncidentId) -> tuple[NoticeCount, ...]:
    return tuple(
        NoticeCount(
            kind=NoticeKind(row.kind), state=NoticeState(row.state), count=row.total
        )
        for row in connection.execute(
            select(_NOTICE.c.kind, _NOTICE.c.state, func.count().label("total"))
            .where(_NOTICE.c.incident_id == incident)
            .group_by(_NOTICE.c.kind, _NOTICE.c.state)
            .order_by(_NOTICE.c.kind, _NOTICE.c.state)
        )
    )


def _csrs(connection: Connection, incident: IncidentId) -> Any:
    return connection.execute(
        select(
            func.count().label("csrs"),
            func.count(distinct(_CSR.c.certificate_id)).label("certificates"),
        )
        .select_from(_CSR)
        .join(_CERTIFICATE, _CERTIFICATE.c.id == _CSR.c.certificate_id)
        .where(_CERTIFICATE.c.incident_id == incident)
    ).one()


def _holds(subscriber: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a subscriber is concerned: a directory names all, an incident some."""
    return exists().where(_CERTIFICATE.c.subscriber_id == subscriber)


def _count(
    connection: Connection, counted: Table, *conditions: ColumnElement[bool]
) -> int:
    return connection.execute(
        select(func.count()).select_from(counted).where(*conditions)
    ).scalar_one()


def _grouped(
    connection: Connection, column: ColumnElement[str], *conditions: ColumnElement[bool]
) -> dict[str, int]:
    """Count rows by a column's values; its table is the one counted."""
    return {
        row.word: row.total
        for row in connection.execute(
            select(column.label("word"), func.count().label("total"))
            .where(*conditions)
            .group_by(column)
            .order_by(column)
        )
    }


def _complete(words: type[_Word], counts: Mapping[str, int]) -> dict[_Word, int]:
    """Give every word its count, zero included; an unknown word is an error."""
    known = {words(word): count for word, count in counts.items()}
    return {word: known.get(word, 0) for word in words}
