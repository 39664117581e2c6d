"""Answers ACME clients that ask when to renew; only reads."""

from dataclasses import dataclass
from datetime import timedelta

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
    ordinary_renewal,
    parse_identifier,
)
from tocsin.store.renewal import affected_by_serial, record_issued, validity_of
from tocsin.store.session import reading, writing


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


def ordinary_renewal_of(
    engine: Engine, *, identifier: str, retry_after: timedelta
) -> RenewalInfo | None:
    """
    Say when a certificate that passed the front is to be renewed; None: it did not.

    Args:
        engine: The database.
        identifier: As in RFC 9773, 4.1.
        retry_after: When clients ask again.

    Raises:
        BadInput: It is no identifier.

    """
    wanted = parse_identifier(identifier)
    with reading(engine) as connection:
        valid = validity_of(
            connection,
            authority_key=wanted.authority_key.hex(),
            serial=serial_of_integer(wanted.serial),
        )
    if valid is None:
        return None
    return ordinary_renewal(
        not_before=valid[0], not_after=valid[1], retry_after=retry_after
    )


def note_issued(engine: Engine, *, chain: bytes) -> None:
    """Note the certificate that an ACME server has just given out, PEM, chain behind."""
    certificate = x509.load_pem_x509_certificate(chain)
    try:
        extension = certificate.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        )
    except x509.ExtensionNotFound:
        return  # it has no name in ARI
    if extension.value.key_identifier is None:
        return
    with writing(engine) as connection:
        record_issued(
            connection,
            authority_key=extension.value.key_identifier.hex(),
            serial=serial_of_integer(certificate.serial_number),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


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
