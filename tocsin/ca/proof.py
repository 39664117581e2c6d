"""Reads what a CA published and says which revocations the world can see (I9)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtensionOID

from models.terms import CertificateId, Reason
from tocsin.ca.backend import Publication
from tocsin.ca.ocsp import UNREADABLE, check_in_force, verified_answers
from tocsin.errors import Unavailable

_CODE_BY_FLAG = {
    x509.ReasonFlags.unspecified: 0,
    x509.ReasonFlags.key_compromise: 1,
    x509.ReasonFlags.ca_compromise: 2,
    x509.ReasonFlags.affiliation_changed: 3,
    x509.ReasonFlags.superseded: 4,
    x509.ReasonFlags.cessation_of_operation: 5,
    x509.ReasonFlags.certificate_hold: 6,
    x509.ReasonFlags.remove_from_crl: 8,
    x509.ReasonFlags.privilege_withdrawn: 9,
    x509.ReasonFlags.aa_compromise: 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A certificate that ought to be published, with the reason that was asked for."""

    certificate_id: CertificateId
    serial: int
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """
    A certificate that CRL and OCSP both show as revoked.

    Args:
        certificate_id: Which certificate.
        reason: The CRL's reason code; None where it cannot be read.
        revoked_at: The CRL's revocation date, UTC.

    """

    certificate_id: CertificateId
    reason: int | None
    revoked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOfIssuer:
    """
    What one reading of an issuer's publication showed.

    ``published``, ``missing`` and ``ocsp_disagrees`` are all that were wanted, each once.

    Args:
        read_at: When it was read, UTC.
        crl_number: The CRL's number; None where it has none.
        crl_sha256: Of the CRL's DER, hex.
        crl_this_update: When the CA issued it, UTC.
        crl_entries: How many certificates it lists.
        ocsp_produced_at: Of the oldest OCSP answer; None without any.
        ocsp_answers: How many were read and verified.
        published: What both show.
        wrong_reason: Of those, the ones with another reason than was asked for.
        missing: What the CRL does not list.
        ocsp_disagrees: What the CRL lists and OCSP does not call revoked.

    """

    read_at: datetime
    crl_number: int | None
    crl_sha256: str
    crl_this_update: datetime
    crl_entries: int
    ocsp_produced_at: datetime | None
    ocsp_answers: int
    published: tuple[Published, ...]
    wrong_reason: tuple[CertificateId, ...]
    missing: tuple[CertificateId, ...]
    ocsp_disagrees: tuple[CertificateId, ...]


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the CRL says of one serial."""

    reason: int | None
    revoked_at: datetime


def prove(
    publication: Publication,
    *,
    issuer_key: str,
    wanted: Sequence[Wanted],
    now: datetime,
) -> ProofOfIssuer:
    """
    Read CRL and OCSP of one issuer, verify them, and look for what is wanted.

    Args:
        publication: Reads as anybody outside would.
        issuer_key: Whose publication.
        wanted: What ought to be there.
        now: The instant of reading, UTC.

    Raises:
        Unavailable: Something cannot be read, is not signed by the issuer, or is not
            in force; then nothing is proven.

    """
    issuer = _read_issuer(publication.issuer_certificate(issuer_key))
    der = publication.read_crl(issuer_key)
    crl = _read_crl(der, issuer, now)
    listed = _listed(crl, frozenset(entry.serial for entry in wanted))
    candidates = [entry for entry in wanted if entry.serial in listed]
    answers = verified_answers(
        publication,
        issuer,
        issuer_key=issuer_key,
        serials=[entry.serial for entry in candidates],
        now=now,
    )
    published: list[Published] = []
    wrong_reason: list[CertificateId] = []
    ocsp_disagrees: list[CertificateId] = []
    produced_at: datetime | None = None
    verified = 0
    for entry, answer in zip(candidates, answers, strict=True):
        if answer is None:
            ocsp_disagrees.append(entry.certificate_id)
            continue
        verified += 1
        oldest = produced_at or answer.produced_at_utc
        produced_at = min(oldest, answer.produced_at_utc)
        if answer.certificate_status is not ocsp.OCSPCertStatus.REVOKED:
            ocsp_disagrees.append(entry.certificate_id)
            continue
        found = listed[entry.serial]
        published.append(
            Published(
                certificate_id=entry.certificate_id,
                reason=found.reason,
                revoked_at=found.revoked_at,
            )
        )
        if {found.reason, _code(answer.revocation_reason)} != {int(entry.reason)}:
            wrong_reason.append(entry.certificate_id)
    return ProofOfIssuer(
        read_at=now,
        crl_number=_number(crl),
        crl_sha256=hashlib.sha256(der).hexdigest(),
        crl_this_update=crl.last_update_utc,
        crl_entries=len(crl),
        ocsp_produced_at=produced_at,
        ocsp_answers=verified,
        published=tuple(published),
        wrong_reason=tuple(wrong_reason),
        missing=tuple(
            entry.certificate_id for entry in wanted if entry.serial not in listed
        ),
        ocsp_disagrees=tuple(ocsp_disagrees),
    )


def _read_issuer(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        message = f"the issuer's certificate cannot be read: {error}"
        raise Unavailable(message) from error


def _read_crl(
    der: bytes, issuer: x509.Certificate, now: datetime
) -> x509.CertificateRevocationList:
    try:
        crl = x509.load_der_x509_crl(der)
        is_signed = crl.is_signature_valid(
            issuer.public_key()  # type: ignore[arg-type] # another kind: TypeError
        )
        is_delta = any(
            extension.oid == ExtensionOID.DELTA_CRL_INDICATOR
            for extension in crl.extensions
        )
    except UNREADABLE as error:
        message = f"the CRL cannot be read: {error}"
        raise Unavailable(message) from error
    if not is_signed:
        raise Unavailable("the CRL is not signed by the issuer")
    if is_delta:
        raise Unavailable("the CRL is a delta: it does not list everything")
    check_in_force(
        "the CRL",
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        now=now,
    )
    return crl


def _listed(
    crl: x509.CertificateRevocationList, wanted: frozenset[int]
) -> dict[int, _Listed]:
    # One pass: a look-up by serial walks half of the CRL each time.
    return {
        entry.serial_number: _Listed(_reason(entry), entry.revocation_date_utc)
        for entry in crl
        if entry.serial_number in wanted
    }


def _reason(entry: x509.RevokedCertificate) -> int | None:
    try:
        found = entry.extensions.get_extension_for_class(x509.CRLReason)
    except x509.ExtensionNotFound:
        return int(Reason.UNSPECIFIED)  # RFC 5280 section 5.3.1
    except UNREADABLE:
        return None
    return _CODE_BY_FLAG[found.value.reason]


def _code(flag: x509.ReasonFlags | None) -> int:
    return int(Reason.UNSPECIFIED) if flag is None else _CODE_BY_FLAG[flag]


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        found = crl.extensions.get_extension_for_class(x509.CRLNumber)
    except x509.ExtensionNotFound:
        return None
    return found.value.crl_number
