"""Reads what a CA published and says which revocations the world can see (I9)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.x509 import ocsp

from models.terms import CertificateId, Reason
from tocsin.ca.backend import Publication
from tocsin.ca.listing import (
    CODE_BY_FLAG,
    Listed,
    Listing,
    listed_in,
    read_issuer,
    read_listing,
    signed_crl,
)
from tocsin.ca.ocsp import verified_answers
from tocsin.errors import Unavailable

# Nobody is shown as published by these answers: they only tell people where it hangs.
_UNLISTED_AT_ONCE = 1_000


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
        is_in_ocsp: OCSP was seen to call it revoked before: it is not asked again
            until the CRL lists it, too.

    """

    certificate_id: CertificateId
    serial: int
    reason: Reason
    crl_urls: frozenset[str] = frozenset()
    is_in_ocsp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """
    A certificate that CRL and OCSP (where the issuer has it) both show as revoked.

    Args:
        certificate_id: Which certificate.
        reason: The reason code that was published; None where it cannot be read. Where
            CRL and OCSP differ, the one that was not asked for.
        revoked_at: The CRL's revocation date, UTC.

    """

    certificate_id: CertificateId
    reason: int | None
    revoked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOfIssuer:
    """
    What one reading of an issuer's publication showed.

    ``published``, ``missing``, ``other_crl``, ``ocsp_only`` and ``ocsp_disagrees`` are
    all that were wanted, each once.

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
        missing: What no CRL lists, and OCSP does not call revoked or was not asked for.
        other_crl: What only a CRL lists that is not the one of the certificate, so that
            whoever checks the certificate does not see it.
        ocsp_only: What OCSP calls revoked and no CRL lists.
        ocsp_disagrees: What the CRL lists and OCSP does not call revoked.
        unreadable: Why CRLs that certificates name could not be read.

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
    other_crl: tuple[CertificateId, ...]
    ocsp_only: tuple[CertificateId, ...]
    ocsp_disagrees: tuple[CertificateId, ...]
    unreadable: tuple[str, ...] = ()


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
    issuer = read_issuer(publication.issuer_certificate(issuer_key))
    listing = read_listing(
        publication, issuer, issuer_key=issuer_key, wanted=_places(wanted), now=now
    )
    found = [entry for entry in wanted if entry.serial in listing.shown]
    told = _ask_ocsp(publication, issuer, issuer_key=issuer_key, wanted=found, now=now)
    published: list[Published] = []
    wrong_reason: list[CertificateId] = []
    for entry in found:
        if entry.certificate_id in told.disagrees:
            continue
        listed = listing.shown[entry.serial]
        reason = _reason_shown(entry, listed, told)
        published.append(
            Published(
                certificate_id=entry.certificate_id,
                reason=reason,
                revoked_at=listed.revoked_at,
            )
        )
        if reason != entry.reason:
            wrong_reason.append(entry.certificate_id)
    unlisted = [entry for entry in wanted if entry.serial not in listing.shown]
    ocsp_only = _in_ocsp(
        publication,
        issuer,
        issuer_key=issuer_key,
        wanted=[entry for entry in unlisted if entry.serial not in listing.elsewhere],
        now=now,
    )
    return ProofOfIssuer(
        read_at=now,
        crl_number=listing.number,
        crl_sha256=listing.sha256,
        crl_this_update=listing.this_update,
        crl_entries=listing.entries,
        ocsp_produced_at=told.produced_at,
        ocsp_answers=told.verified,
        published=tuple(published),
        wrong_reason=tuple(wrong_reason),
        ocsp_disagrees=tuple(told.disagrees),
        unreadable=listing.unreadable,
        **_sorted_out(unlisted, listing, ocsp_only),
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
    issuer = read_issuer(publication.issuer_certificate(issuer_key))
    wanted = frozenset(serials)
    found: dict[int, Listed] = {}
    for der in publication.read_crls(issuer_key):
        found |= listed_in(signed_crl(der, issuer), wanted)
    return {serial: (entry.revoked_at, entry.reason) for serial, entry in found.items()}


def _places(wanted: Sequence[Wanted]) -> dict[int, frozenset[str]]:
    """Return where each certificate's CRL is, by serial; of what two know, both."""
    places: dict[int, frozenset[str]] = {}
    for entry in wanted:
        known = places.get(entry.serial)
        places[entry.serial] = entry.crl_urls if not known else known | entry.crl_urls
    return places


def _reason_shown(entry: Wanted, listed: Listed, told: "_Told") -> int | None:
    in_ocsp = told.revoked.get(entry.certificate_id)
    if listed.reason == entry.reason and in_ocsp is not None:
        return in_ocsp
    return listed.reason


def _sorted_out(
    unlisted: Sequence[Wanted], listing: Listing, ocsp_only: frozenset[CertificateId]
) -> dict[str, tuple[CertificateId, ...]]:
    """Say of each that is not shown where it is seen instead."""
    sorted_out: dict[str, list[CertificateId]] = {
        "missing": [],
        "other_crl": [],
        "ocsp_only": [],
    }
    for entry in unlisted:
        if entry.serial in listing.elsewhere:
            where = "other_crl"
        elif entry.is_in_ocsp or entry.certificate_id in ocsp_only:
            where = "ocsp_only"
        else:
            where = "missing"
        sorted_out[where].append(entry.certificate_id)
    return {where: tuple(ids) for where, ids in sorted_out.items()}


def _in_ocsp(
    publication: Publication,
    issuer: x509.Certificate,
    *,
    issuer_key: str,
    wanted: Sequence[Wanted],
    now: datetime,
) -> frozenset[CertificateId]:
    """Return what OCSP calls revoked of what no CRL lists; a part of many."""
    asked = [entry for entry in wanted if not entry.is_in_ocsp][:_UNLISTED_AT_ONCE]
    if not asked:
        return frozenset()
    try:
        told = _ask_ocsp(
            publication, issuer, issuer_key=issuer_key, wanted=asked, now=now
        )
    except Unavailable:
        return frozenset()  # what is proven does not depend on it
    return frozenset(told.revoked)


@dataclass(slots=True, kw_only=True)
class _Told:
    """What the OCSP responder said: of those it calls revoked, why, where it says."""

    produced_at: datetime | None = None
    verified: int = 0
    disagrees: dict[CertificateId, None] = field(default_factory=dict)
    revoked: dict[CertificateId, int | None] = field(default_factory=dict)


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
        else:
            flag = answer.revocation_reason
            told.revoked[entry.certificate_id] = flag and CODE_BY_FLAG[flag]
    return told
