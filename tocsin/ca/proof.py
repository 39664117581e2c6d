"""Reads what a CA published and says which revocations the world can see (I9)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtensionOID

from models.terms import CertificateId, Reason
from tocsin.ca.backend import Publication
from tocsin.ca.crl import signed_part
from tocsin.ca.ocsp import UNREADABLE, check_in_force, verified_answers, verifies
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
    """
    A certificate that ought to be published, with the reason that was asked for.

    Args:
        certificate_id: Which certificate.
        serial: Its serial number.
        reason: The CRLReason that was asked for.
        crl_urls: Where the certificate itself says that its CRL is; empty: any of the
            issuer's CRLs will do.

    """

    certificate_id: CertificateId
    serial: int
    reason: Reason
    crl_urls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """
    A certificate that CRL and OCSP (where the issuer has it) both show as revoked.

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
        crl_number: The CRL's number; None where it has none, or of shards.
        crl_sha256: Of the CRL's DER, hex; of shards: of all of them in a row.
        crl_this_update: When the CA issued it, UTC; of shards: the oldest one.
        crl_entries: How many certificates it lists; of shards: all of them.
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
    crls = _read_crls(publication.read_crls(issuer_key), issuer, wanted=wanted, now=now)
    found = [entry for entry in wanted if entry.serial in crls.listed]
    told = _ask_ocsp(publication, issuer, issuer_key=issuer_key, wanted=found, now=now)
    published: list[Published] = []
    wrong_reason: list[CertificateId] = []
    for entry in found:
        if entry.certificate_id in told.disagrees:
            continue
        listed = crls.listed[entry.serial]
        published.append(
            Published(
                certificate_id=entry.certificate_id,
                reason=listed.reason,
                revoked_at=listed.revoked_at,
            )
        )
        if {listed.reason, told.reasons.get(entry.certificate_id, entry.reason)} != {
            int(entry.reason)
        }:
            wrong_reason.append(entry.certificate_id)
    return ProofOfIssuer(
        read_at=now,
        crl_number=crls.number,
        crl_sha256=crls.sha256,
        crl_this_update=crls.this_update,
        crl_entries=crls.entries,
        ocsp_produced_at=told.produced_at,
        ocsp_answers=told.verified,
        published=tuple(published),
        wrong_reason=tuple(wrong_reason),
        missing=tuple(
            entry.certificate_id for entry in wanted if entry.serial not in crls.listed
        ),
        ocsp_disagrees=tuple(told.disagrees),
    )


def published_revocations(
    publication: Publication, *, issuer_key: str, serials: Iterable[int]
) -> dict[int, tuple[datetime, int | None]]:
    """
    Return instant and reason code of what the issuer's CRLs list, in force or not.

    Nothing follows from what they do not list; an old CRL's listing is still true.

    Raises:
        Unavailable: They cannot be read, or are not signed by the issuer.

    """
    issuer = _read_issuer(publication.issuer_certificate(issuer_key))
    wanted = frozenset(serials)
    found: dict[int, _Listed] = {}
    for der in publication.read_crls(issuer_key):
        found |= _listed(_read_signed_crl(der, issuer), wanted)
    return {serial: (entry.revoked_at, entry.reason) for serial, entry in found.items()}


@dataclass(slots=True, kw_only=True)
class _Told:
    """What the OCSP responder said of those that the CRL lists."""

    produced_at: datetime | None = None
    verified: int = 0
    disagrees: dict[CertificateId, None] = field(default_factory=dict)
    reasons: dict[CertificateId, int] = field(default_factory=dict)


def _ask_ocsp(
    publication: Publication,
    issuer: x509.Certificate,
    *,
    issuer_key: str,
    wanted: Sequence[Wanted],
    now: datetime,
) -> _Told:
    told = _Told()
    if not publication.has_ocsp(issuer_key):
        return told
    answers = verified_answers(
        publication,
        issuer,
        issuer_key=issuer_key,
        serials=[entry.serial for entry in wanted],
        now=now,
    )
    for entry, answer in zip(wanted, answers, strict=True):
        if answer is None:
            told.disagrees[entry.certificate_id] = None
            continue
        told.verified += 1
        oldest = told.produced_at or answer.produced_at_utc
        told.produced_at = min(oldest, answer.produced_at_utc)
        if answer.certificate_status is not ocsp.OCSPCertStatus.REVOKED:
            told.disagrees[entry.certificate_id] = None
        # TLS BR 7.3 asks for a permitted reason where there is one, not for one.
        elif answer.revocation_reason is not None:
            told.reasons[entry.certificate_id] = _CODE_BY_FLAG[answer.revocation_reason]
    return told


def _read_issuer(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        message = f"the issuer's certificate cannot be read: {error}"
        raise Unavailable(message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crls:
    """The CRLs of an issuer, taken together."""

    number: int | None
    sha256: str
    this_update: datetime
    entries: int
    listed: dict[int, _Listed]


def _read_crls(
    ders: Iterable[bytes],
    issuer: x509.Certificate,
    *,
    wanted: Sequence[Wanted],
    now: datetime,
) -> _Crls:
    serials = frozenset(entry.serial for entry in wanted)
    named = {entry.serial: entry.crl_urls for entry in wanted if entry.crl_urls}
    digest = hashlib.sha256()
    numbers: list[int | None] = []
    this_updates: list[datetime] = []
    entries = 0
    listed: dict[int, _Listed] = {}
    for der in ders:
        digest.update(der)
        crl = _read_crl(der, issuer, now)
        numbers.append(_number(crl))
        this_updates.append(crl.last_update_utc)
        entries += len(crl)
        covers = _distribution_points(crl)
        listed |= {
            serial: entry
            for serial, entry in _listed(crl, serials).items()
            # RFC 5280 section 6.3.3 (b)(2)(i): not the CRL that the certificate names.
            if not covers or not named.get(serial) or covers & named[serial]
        }
    if not this_updates:
        raise Unavailable("no CRL of the issuer is configured")
    return _Crls(
        number=numbers[0] if len(numbers) == 1 else None,
        sha256=digest.hexdigest(),
        this_update=min(this_updates),
        entries=entries,
        listed=listed,
    )


def _read_crl(
    der: bytes, issuer: x509.Certificate, now: datetime
) -> x509.CertificateRevocationList:
    crl = _read_signed_crl(der, issuer)
    check_in_force(
        "the CRL",
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        now=now,
    )
    return crl


def _read_signed_crl(
    der: bytes, issuer: x509.Certificate
) -> x509.CertificateRevocationList:
    try:
        crl = x509.load_der_x509_crl(der)
        key = issuer.public_key()
        # The library writes a large CRL anew before it verifies it: longer than all
        # the rest takes. It has the last word on what is not found valid here.
        is_signed = verifies(
            key, crl.signature, signed_part(der), crl.signature_hash_algorithm
        ) or crl.is_signature_valid(
            key  # type: ignore[arg-type] # another kind: TypeError
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
    return crl


def _distribution_points(crl: x509.CertificateRevocationList) -> frozenset[str]:
    """Return the URLs that a CRL says it is published at; none: it covers all."""
    try:
        found = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(
        name.value
        for name in found.value.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    )


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


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        found = crl.extensions.get_extension_for_class(x509.CRLNumber)
    except x509.ExtensionNotFound:
        return None
    return found.value.crl_number
