"""Answers ACME clients that ask when to renew; only reads."""

from dataclasses import dataclass

from cryptography import x509
from sqlalchemy import Engine

from models.terms import IncidentId
from tocsin.clock import Clock
from tocsin.errors import BadInput
from tocsin.intake.serials import serial_of_integer
from tocsin.policy.renewal import (
    CertificateIdentifier,
    RenewalInfo,
    affected_renewal,
    parse_identifier,
)
from tocsin.store.renewal import affected_by_serial
from tocsin.store.session import reading


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedRenewal:
    """What to tell the client of an affected certificate, and of which incident."""

    incident: IncidentId
    info: RenewalInfo


def renewal_of(
    engine: Engine, *, identifier: str, clock: Clock
) -> AffectedRenewal | None:
    """
    Say when a certificate is to be renewed; None where it is not affected.

    Args:
        engine: The database.
        identifier: As in RFC 9773, 4.1.
        clock: Tells now.

    Raises:
        BadInput: It is no identifier.

    """
    wanted = parse_identifier(identifier)
    try:
        serial = serial_of_integer(wanted.serial)
    except BadInput:
        return None  # longer than any certificate's
    with reading(engine) as connection:
        found = affected_by_serial(connection, serial=serial)
    for one in found:
        if one.der is None or _has_authority(one.der, wanted):
            return AffectedRenewal(
                incident=one.incident,
                info=affected_renewal(
                    launched_at=one.launched_at,
                    deadline=one.deadline,
                    now=clock.now(),
                ),
            )
    return None


def _has_authority(der: bytes, wanted: CertificateIdentifier) -> bool:
    """Whether a certificate names this authority key; True where it cannot be read."""
    try:
        extension = x509.load_der_x509_certificate(der).extensions
        key = extension.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return False
    except (ValueError, x509.DuplicateExtension):
        # Malformed ones are revoked, too. Renewing once too often does no harm.
        return True
    return key.key_identifier == wanted.authority_key
