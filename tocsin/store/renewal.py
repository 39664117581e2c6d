"""Affected certificates by serial number, for ACME clients that ask when to renew."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from models.base import table
from models.incident import AffectedCertificate, CertificateBody, Incident
from models.replacement import IssuedCertificate
from models.revocation import Revocation
from models.terms import IncidentId, IncidentState, RevocationState
from tocsin.store.session import insert_ignoring

_BODY = table(CertificateBody)
_CERTIFICATE = table(AffectedCertificate)
_INCIDENT = table(Incident)
_ISSUED = table(IssuedCertificate)
_REVOCATION = table(Revocation)


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedBySerial:
    """An affected certificate; its DER is None where only its serial was listed."""

    incident: IncidentId
    launched_at: datetime
    deadline: datetime
    der: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIncident:
    """What anybody may know of an incident whose certificates were told to renew."""

    title: str
    circumstance: str
    rule_pack: str
    made_aware_at: datetime
    deadline: datetime


def affected_by_serial(
    connection: Connection, *, serial: str
) -> list[AffectedBySerial]:
    """Return certificates with this serial in launched incidents, the first launch first."""
    return [
        AffectedBySerial(
            incident=IncidentId(row.id),
            launched_at=row.launched_at,
            deadline=row.deadline,
            der=row.der,
        )
        for row in connection.execute(
            select(
                _INCIDENT.c.id,
                _INCIDENT.c.launched_at,
                _INCIDENT.c.deadline,
                _BODY.c.der,
            )
            .select_from(_CERTIFICATE)
            .join(_INCIDENT, _INCIDENT.c.id == _CERTIFICATE.c.incident_id)
            .outerjoin(_BODY, _BODY.c.certificate_id == _CERTIFICATE.c.id)
            .outerjoin(_REVOCATION, _REVOCATION.c.certificate_id == _CERTIFICATE.c.id)
            .where(
                _CERTIFICATE.c.serial == serial,
                # A drill has no revocations, hence the NULL; one that was withdrawn
                # has no reason to be renewed.
                func.coalesce(_REVOCATION.c.state, "")
                != RevocationState.WITHDRAWN.value,
                _INCIDENT.c.state != IncidentState.DRAFT.value,
            )
            .order_by(_INCIDENT.c.launched_at)
        )
    ]


def record_issued(
    connection: Connection,
    *,
    authority_key: str,
    serial: str,
    not_before: datetime,
    not_after: datetime,
) -> None:
    """Note a certificate that passed the ACME front; once is enough."""
    connection.execute(
        insert_ignoring(connection, _ISSUED, conflict=["authority_key", "serial"]),
        {
            "authority_key": authority_key,
            "serial": serial,
            "not_before": not_before,
            "not_after": not_after,
        },
    )


def validity_of(
    connection: Connection, *, authority_key: str, serial: str
) -> tuple[datetime, datetime] | None:
    """Return when a certificate is valid that passed the front; None: it did not."""
    row = connection.execute(
        select(_ISSUED.c.not_before, _ISSUED.c.not_after).where(
            _ISSUED.c.authority_key == authority_key, _ISSUED.c.serial == serial
        )
    ).one_or_none()
    return None if row is None else (row.not_before, row.not_after)


def public_incident(
    connection: Connection, *, incident: IncidentId
) -> PublicIncident | None:
    """Return what anybody may know of a launched incident; None where there is none."""
    row = connection.execute(
        select(_INCIDENT).where(
            _INCIDENT.c.id == incident, _INCIDENT.c.state != IncidentState.DRAFT.value
        )
    ).one_or_none()
    if row is None:
        return None
    return PublicIncident(
        title=row.title,
        circumstance=row.circumstance,
        rule_pack=row.rule_pack,
        made_aware_at=row.made_aware_at,
        deadline=row.deadline,
    )
