"""What hosts presented, as subscribers and officers are shown it; revocation reads none."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from models.base import table
from models.incident import AffectedCertificate, Issuer
from models.terms import (
    CertificateId,
    ContactId,
    IncidentId,
    SubscriberId,
    WireFinding,
)
from models.wire import WireCheck
from tocsin.policy.wire import Identity

_CERT = table(AffectedCertificate)
_CHECK = table(WireCheck)
_ISSUER = table(Issuer)

_CHUNK = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WireView:
    """
    What a host presented.

    Args:
        certificate: The affected one that was to be replaced there.
        host: Which host.
        finding: What it means.
        checked_at: When, UTC.
        sha256: Of what was presented, hex; this and the rest empty where nothing was.
        serial: Its serial, hex.
        subject: Its name.
        issuer: Its issuer's name.
        not_after: Until when it is valid, UTC; None where that cannot be read.

    """

    certificate: CertificateId
    host: str
    finding: WireFinding
    checked_at: datetime
    sha256: str = ""
    serial: str = ""
    subject: str = ""
    issuer: str = ""
    not_after: datetime | None = None


def checks_since(
    connection: Connection, *, subscriber: SubscriberId, since: datetime
) -> int:
    """Count the looks at a subscriber's hosts since an instant."""
    return connection.execute(
        select(func.count())
        .select_from(_CHECK)
        .where(_CHECK.c.subscriber_id == subscriber, _CHECK.c.checked_at > since)
    ).scalar_one()


def identities(
    connection: Connection, *, incident: IncidentId, subscriber: SubscriberId
) -> dict[CertificateId, Identity]:
    """Return what tells a subscriber's affected certificates from all others."""
    return {
        CertificateId(row.id): Identity(issuer_key=row.key, serial=row.serial)
        for row in connection.execute(
            select(_CERT.c.id, _CERT.c.serial, _ISSUER.c.key)
            .join(_ISSUER, _ISSUER.c.id == _CERT.c.issuer_id)
            .where(_CERT.c.subscriber_id == subscriber, _CERT.c.incident_id == incident)
        )
    }


def record_checks(
    connection: Connection,
    views: Sequence[WireView],
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    contact: ContactId,
) -> None:
    """Put on record what was seen."""
    if views:
        connection.execute(
            insert(_CHECK),
            [
                {
                    "incident_id": incident,
                    "subscriber_id": subscriber,
                    "contact_id": contact,
                    "certificate_id": view.certificate,
                    "checked_at": view.checked_at,
                    "host": view.host,
                    "finding": view.finding.value,
                    "sha256": view.sha256,
                    "serial": view.serial,
                    "subject": view.subject,
                    "issuer": view.issuer,
                    "not_after": view.not_after,
                }
                for view in views
            ],
        )


def latest_checks(
    connection: Connection, certificates: Collection[CertificateId]
) -> Mapping[CertificateId, WireView]:
    """Return the last look for each of these certificates that was looked at."""
    wanted = sorted(set(certificates))
    found: dict[CertificateId, WireView] = {}
    for start in range(0, len(wanted), _CHUNK):
        latest = (
            select(func.max(_CHECK.c.id))
            .where(_CHECK.c.certificate_id.in_(wanted[start : start + _CHUNK]))
            .group_by(_CHECK.c.certificate_id)
        )
        for row in connection.execute(select(_CHECK).where(_CHECK.c.id.in_(latest))):
            found[CertificateId(row.certificate_id)] = WireView(
                certificate=CertificateId(row.certificate_id),
                host=row.host,
                finding=WireFinding(row.finding),
                checked_at=row.checked_at,
                sha256=row.sha256,
                serial=row.serial,
                subject=row.subject,
                issuer=row.issuer,
                not_after=row.not_after,
            )
    return found
