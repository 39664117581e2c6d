"""The certificates that withdrawals and court orders name, and what they are to others."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select

from models.base import table
from models.incident import AffectedCertificate
from models.revocation import Revocation
from models.scope import ScopeChange, ScopedCertificate
from models.subscriber import Subscriber
from models.terms import (
    CertificateId,
    IncidentId,
    RevocationState,
    ScopeChangeId,
    ScopeOutcome,
    ScopeState,
    SubscriberId,
)
from tocsin.policy.scope import NamedCertificate
from tocsin.store.revocations import UNREVOKED

_CERTIFICATE = table(AffectedCertificate)
_CHANGE = table(ScopeChange)
_REVOCATION = table(Revocation)
_SCOPED = table(ScopedCertificate)
_SUBSCRIBER = table(Subscriber)

_IN_ONE_STATEMENT = 400


def named_certificates(
    connection: Connection, *, change: ScopeChangeId
) -> list[NamedCertificate]:
    """Return the certificates that a proposal names, as they stand."""
    return [
        _named(row, ScopeOutcome(row.outcome))
        for row in connection.execute(
            _standing(_SCOPED.c.outcome)
            .join(_SCOPED, _SCOPED.c.certificate_id == _CERTIFICATE.c.id)
            .where(_SCOPED.c.change_id == change)
        )
    ]


def certificates_as_they_stand(
    connection: Connection, *, certificates: Collection[CertificateId]
) -> list[NamedCertificate]:
    """Return certificates that nobody has proposed anything about yet."""
    wanted = sorted(certificates)
    return [
        _named(row, ScopeOutcome.OPEN)
        for start in range(0, len(wanted), _IN_ONE_STATEMENT)
        for row in connection.execute(
            _standing().where(
                _CERTIFICATE.c.id.in_(wanted[start : start + _IN_ONE_STATEMENT])
            )
        )
    ]


def _standing(*further: Any) -> Select[Any]:
    return (
        select(
            _REVOCATION.c.certificate_id,
            _CERTIFICATE.c.serial,
            _CERTIFICATE.c.dns_names,
            _CERTIFICATE.c.subject,
            _SUBSCRIBER.c.name.label("subscriber"),
            _REVOCATION.c.state,
            _REVOCATION.c.lease_owner,
            _REVOCATION.c.attempts,
            _REVOCATION.c.revocation_time,
            _REVOCATION.c.restrained_until,
            *further,
        )
        .select_from(_CERTIFICATE)
        .join(_REVOCATION, _REVOCATION.c.certificate_id == _CERTIFICATE.c.id)
        .outerjoin(_SUBSCRIBER, _SUBSCRIBER.c.id == _CERTIFICATE.c.subscriber_id)
        .order_by(_CERTIFICATE.c.id)
    )


def _named(row: Any, outcome: ScopeOutcome) -> NamedCertificate:
    return NamedCertificate(
        certificate=CertificateId(row.certificate_id),
        serial=row.serial,
        title=(row.dns_names or [row.subject or f"serial number {row.serial}"])[0],
        subscriber=row.subscriber or "",
        state=RevocationState(row.state),
        is_claimed=row.lease_owner is not None,
        was_asked=row.attempts > 0,
        revocation_time=row.revocation_time,
        restrained_until=row.restrained_until,
        outcome=outcome,
    )


def find_certificates(
    connection: Connection,
    *,
    incident: IncidentId,
    serials: Collection[str],
    fingerprints: Collection[str],
) -> dict[str, list[CertificateId]]:
    """Find an incident's scheduled certificates by serial or by SHA-256, all of each."""
    found: dict[str, list[CertificateId]] = {}
    for names, columns in (
        (serials, (_CERTIFICATE.c.serial,)),
        (
            fingerprints,
            (_CERTIFICATE.c.certificate_sha256, _CERTIFICATE.c.precertificate_sha256),
        ),
    ):
        wanted = sorted(set(names))
        for start in range(0, len(wanted), _IN_ONE_STATEMENT):
            some = wanted[start : start + _IN_ONE_STATEMENT]
            for row in connection.execute(
                select(_CERTIFICATE.c.id, *columns)
                .join(_REVOCATION, _REVOCATION.c.certificate_id == _CERTIFICATE.c.id)
                .where(
                    _CERTIFICATE.c.incident_id == incident,
                    or_(*(column.in_(some) for column in columns)),
                )
                .order_by(_CERTIFICATE.c.id)
            ):
                for name in set(row[1:]) & set(some):
                    found.setdefault(name, []).append(CertificateId(row.id))
    return found


def overtaken_proposals(
    connection: Connection, *, now: datetime
) -> list[tuple[ScopeChangeId, IncidentId]]:
    """Return proposals of which nothing is left that they could change."""
    is_left = exists().where(
        _SCOPED.c.change_id == _CHANGE.c.id,
        _REVOCATION.c.certificate_id == _SCOPED.c.certificate_id,
        _REVOCATION.c.state.in_([state.value for state in UNREVOKED]),
    )
    return [
        (ScopeChangeId(row.id), IncidentId(row.incident_id))
        for row in connection.execute(
            select(_CHANGE.c.id, _CHANGE.c.incident_id)
            .where(
                _CHANGE.c.state == ScopeState.PROPOSED.value,
                or_(~is_left, _CHANGE.c.ends_at <= now),
            )
            .order_by(_CHANGE.c.id)
        )
    ]


def subscribers_of(
    connection: Connection, *, change: ScopeChangeId
) -> list[SubscriberId]:
    """Return whose certificates a decision has touched."""
    return [
        SubscriberId(key)
        for key in connection.execute(
            select(_CERTIFICATE.c.subscriber_id)
            .join(_SCOPED, _SCOPED.c.certificate_id == _CERTIFICATE.c.id)
            .where(
                _SCOPED.c.change_id == change,
                _SCOPED.c.outcome == ScopeOutcome.APPLIED.value,
                _CERTIFICATE.c.subscriber_id.is_not(None),
            )
            .distinct()
            .order_by(_CERTIFICATE.c.subscriber_id)
        ).scalars()
    ]


def notes_by_certificate(
    connection: Connection, *, incident: IncidentId
) -> dict[CertificateId, tuple[ScopeChangeId, ...]]:
    """Return which agreed decisions concern which certificates of an incident."""
    found: dict[CertificateId, tuple[ScopeChangeId, ...]] = {}
    for row in _applied(connection, incident):
        known = found.get(CertificateId(row.certificate_id), ())
        found[CertificateId(row.certificate_id)] = (
            *known,
            ScopeChangeId(row.change_id),
        )
    return found


def _applied(connection: Connection, incident: IncidentId) -> Iterator[Any]:
    yield from connection.execute(
        select(_SCOPED.c.certificate_id, _SCOPED.c.change_id)
        .join(
            _CHANGE,
            and_(
                _CHANGE.c.id == _SCOPED.c.change_id, _CHANGE.c.incident_id == incident
            ),
        )
        .where(_SCOPED.c.outcome == ScopeOutcome.APPLIED.value)
        .order_by(_SCOPED.c.change_id)
    )


def restrained_now(
    connection: Connection, *, incident: IncidentId, now: datetime
) -> Any:
    """Count what court orders keep from the CA; what has expired is no loss to anybody."""
    until = _REVOCATION.c.restrained_until
    return connection.execute(
        select(
            func.count().label("total"),
            func.count().filter(_REVOCATION.c.revocation_time <= now).label("overdue"),
            func.max(until, type_=until.type).label("until"),
        )
        .select_from(_REVOCATION)
        .join(_CERTIFICATE, _CERTIFICATE.c.id == _REVOCATION.c.certificate_id)
        .where(
            _REVOCATION.c.incident_id == incident,
            until.is_not(None),
            until > now,
            _REVOCATION.c.state.in_([state.value for state in UNREVOKED]),
            or_(_CERTIFICATE.c.not_after.is_(None), _CERTIFICATE.c.not_after >= now),
        )
    ).one()
