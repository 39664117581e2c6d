"""An affected certificate beside what was issued in its place."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from models.base import table
from models.incident import AffectedCertificate, Issuer
from models.replacement import Replacement
from models.terms import CertificateId, IncidentId, SubscriberId

_CERTIFICATE = table(AffectedCertificate)
_ISSUER = table(Issuer)
_REPLACEMENT = table(Replacement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """
    What is on record of an old certificate, and the newest in its place.

    Args:
        names: DNS names of the old one.
        serial: Its serial number, lower-case hex.
        issuer: Its issuer's name.
        not_before: UTC; None where only its serial number is known.
        not_after: As for ``not_before``.
        spki_sha256: Hash of its public key, hex; None where that is not known.
        new: The newest certificate in its place, DER; None: there is none yet.

    """

    names: tuple[str, ...]
    serial: str
    issuer: str
    not_before: datetime | None
    not_after: datetime | None
    spki_sha256: str | None
    new: bytes | None


def succession_of(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    certificate: CertificateId,
) -> Succession | None:
    """Read one of a subscriber's certificates; None where it is not theirs."""
    row = connection.execute(
        select(
            _CERTIFICATE.c.dns_names,
            _CERTIFICATE.c.serial,
            _ISSUER.c.name,
            _CERTIFICATE.c.not_before,
            _CERTIFICATE.c.not_after,
            _CERTIFICATE.c.spki_sha256,
            _REPLACEMENT.c.der,
        )
        .join(_ISSUER, _ISSUER.c.id == _CERTIFICATE.c.issuer_id)
        .outerjoin(_REPLACEMENT, _REPLACEMENT.c.certificate_id == _CERTIFICATE.c.id)
        .where(
            _CERTIFICATE.c.id == certificate,
            _CERTIFICATE.c.incident_id == incident,
            _CERTIFICATE.c.subscriber_id == subscriber,
        )
        .order_by(_REPLACEMENT.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return Succession(
        names=tuple(row.dns_names),
        serial=row.serial,
        issuer=row.name,
        not_before=row.not_before,
        not_after=row.not_after,
        spki_sha256=row.spki_sha256,
        new=row.der,
    )
