"""Reads an issuer's CRLs, verifies them, and says what each of them lists and covers."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from models.terms import Reason
from tocsin.ca.backend import FollowsCertificates, Publication
from tocsin.ca.crl import signed_part
from tocsin.ca.ocsp import UNREADABLE, check_in_force, verifies
from tocsin.errors import Unavailable
from tocsin.names import key_of_name

CODE_BY_FLAG = {
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

# Critical extensions that change nothing about what a CRL without them would mean, or
# that are looked at here. RFC 5280 section 5.2: with another one it says nothing.
_UNDERSTOOD = frozenset(
    (
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.DELTA_CRL_INDICATOR,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
    )
)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a CRL says of one serial; the reason is None where it cannot be read."""

    reason: int | None
    revoked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    The CRLs of an issuer, taken together.

    Args:
        number: The CRL's number; None where it has none, or of shards.
        sha256: Of the DER, hex; of shards: of all of them in a row.
        this_update: When it was issued, UTC; of shards: the oldest one.
        entries: How many certificates it lists; of shards: all of them.
        shown: What is listed where whoever checks the certificate looks, by serial.
        elsewhere: Serials that only a CRL lists which does not cover the certificate.
        unreadable: Why a CRL that some certificates name could not be read.

    """

    number: int | None
    sha256: str
    this_update: datetime
    entries: int
    shown: Mapping[int, Listed]
    elsewhere: frozenset[int]
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scope:
    """
    Which certificates a CRL is about.

    Args:
        places: Its own distribution point; empty: it has none, and covers all.
        reasons: Reasons that it is limited to; None: all.
        is_for_others: Of CA certificates, of attribute certificates, or with a
            distribution point that cannot be compared: nothing here is about.

    """

    places: frozenset[str] = frozenset()
    reasons: frozenset[int] | None = None
    is_for_others: bool = False

    @property
    def is_everything(self) -> bool:
        return not (self.places or self.reasons is not None or self.is_for_others)

    def covers(self, named: frozenset[str], listed: Listed) -> bool:
        """Whether it is the CRL of a certificate that names these places."""
        if self.is_for_others:
            return False
        # RFC 5280 section 6.3.3 (b)(2)(i): one name in common. Where nobody knows what
        # the certificate names, any of the issuer's CRLs will do.
        if self.places and named and not self.places & named:
            return False
        return self.reasons is None or listed.reason in self.reasons


_EVERYTHING = _Scope()


@dataclass(slots=True)
class _Group:
    """Certificates that look for their CRL at the same place, and what else they name."""

    places: frozenset[str]
    serials: set[int] = field(default_factory=set)


def read_listing(
    publication: Publication,
    issuer: x509.Certificate,
    *,
    issuer_key: str,
    wanted: Mapping[int, frozenset[str]],
    now: datetime,
) -> Listing:
    """
    Read every CRL that concerns what is wanted, once, in one pass each.

    Args:
        publication: Reads as anybody outside would.
        issuer: The issuer's certificate.
        issuer_key: SHA-256 of its name in canonical form, hex.
        wanted: Serials, each with the places where its certificate says that its CRL
            is; none: nobody knows.
        now: The instant of reading, UTC.

    Raises:
        Unavailable: One of the CRLs that are configured cannot be read, or none of
            those that the certificates name.

    """
    digest = hashlib.sha256()
    numbers: list[int | None] = []
    this_updates: list[datetime] = []
    entries = 0
    shown: dict[int, Listed] = {}
    elsewhere: set[int] = set()
    unreadable: list[str] = []
    serials = frozenset(wanted)
    for own, der in _crls(publication, issuer_key, wanted, unreadable):
        digest.update(der)
        crl = _crl_in_force(der, issuer, now)
        numbers.append(_number(crl))
        this_updates.append(crl.last_update_utc)
        entries += len(crl)
        scope = _scope(crl)
        found = listed_in(crl, serials)
        if not scope.is_everything or own is not None:
            covered = {
                serial: entry
                for serial, entry in found.items()
                if (own is None or serial in own)
                and scope.covers(wanted[serial], entry)
            }
            elsewhere.update(found.keys() - covered.keys())
            found = covered
        shown |= found
    if not this_updates:
        raise Unavailable("; ".join(unreadable) or "no CRL of the issuer is configured")
    return Listing(
        number=numbers[0] if len(numbers) == 1 else None,
        sha256=digest.hexdigest(),
        this_update=min(this_updates),
        entries=entries,
        shown=shown,
        elsewhere=frozenset(elsewhere - shown.keys()),
        unreadable=tuple(unreadable),
    )


def read_issuer(der: bytes) -> x509.Certificate:
    """
    Read an issuer's certificate.

    Raises:
        Unavailable: It cannot be read.

    """
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        message = f"the issuer's certificate cannot be read: {error}"
        raise Unavailable(message) from error


def signed_crl(der: bytes, issuer: x509.Certificate) -> x509.CertificateRevocationList:
    """
    Read a whole CRL of an issuer, in force or not.

    Raises:
        Unavailable: It cannot be read, is not the issuer's, or does not list what the
            issuer revoked and nothing else.

    """
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
        is_of_issuer = key_of_name(crl.issuer) == key_of_name(issuer.subject)
        critical = {each.oid for each in crl.extensions if each.critical}
        oids = {each.oid for each in crl.extensions}
    except UNREADABLE as error:
        message = f"the CRL cannot be read: {error}"
        raise Unavailable(message) from error
    if not is_signed:
        raise Unavailable("the CRL is not signed by the issuer")
    if not is_of_issuer:
        raise Unavailable("the CRL is of another issuer with the same key")
    if ExtensionOID.DELTA_CRL_INDICATOR in oids:
        raise Unavailable("the CRL is a delta: it does not list everything")
    if strange := sorted(oid.dotted_string for oid in critical - _UNDERSTOOD):
        message = f"the CRL has a critical extension that is not known: {strange[0]}"
        raise Unavailable(message)
    return crl


def listed_in(
    crl: x509.CertificateRevocationList, wanted: frozenset[int]
) -> dict[int, Listed]:
    """Return what a CRL lists of what is wanted, in one pass."""
    # A look-up by serial walks half of the CRL each time.
    return {
        entry.serial_number: Listed(_reason(entry), entry.revocation_date_utc)
        for entry in crl
        if entry.serial_number in wanted
    }


def _crls(
    publication: Publication,
    issuer_key: str,
    wanted: Mapping[int, frozenset[str]],
    unreadable: list[str],
) -> Iterator[tuple[frozenset[int] | None, bytes]]:
    """Yield CRLs, each with the serials whose CRL it is; None: of any it covers."""
    if not (
        isinstance(publication, FollowsCertificates)
        and publication.follows_certificates(issuer_key)
    ):
        for der in publication.read_crls(issuer_key):
            yield None, der
        return
    silent: set[int] = set()
    groups: dict[str, _Group] = {}
    for serial, places in wanted.items():
        if not places:
            silent.add(serial)
            continue
        first = min(places, key=_web_first)
        group = groups.setdefault(first, _Group(places))
        group.serials.add(serial)
        group.places &= places
    for first in sorted(groups):
        der_of_group = _crl_of_group(publication, groups[first], unreadable)
        if der_of_group is not None:
            yield frozenset(groups[first].serials), der_of_group
    if silent:
        for der in publication.read_crls(issuer_key):
            yield frozenset(silent), der


def _crl_of_group(
    publication: FollowsCertificates, group: _Group, unreadable: list[str]
) -> bytes | None:
    """Read the CRL that some certificates share, at the first place that answers."""
    complaints = []
    for place in sorted(group.places, key=_web_first):
        try:
            return publication.read_crl(place)
        except Unavailable as error:
            complaints.append(str(error))
    unreadable.append("; ".join(complaints))
    return None


def _web_first(place: str) -> tuple[bool, str]:
    return not place.startswith("http"), place


def _crl_in_force(
    der: bytes, issuer: x509.Certificate, now: datetime
) -> x509.CertificateRevocationList:
    crl = signed_crl(der, issuer)
    check_in_force(
        "the CRL",
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        now=now,
    )
    return crl


def _scope(crl: x509.CertificateRevocationList) -> _Scope:
    """
    Return what a CRL says that it is about (RFC 5280 section 5.2.5).

    Raises:
        Unavailable: It lists certificates of other issuers, too.

    """
    try:
        point = crl.extensions.get_extension_for_class(
            x509.IssuingDistributionPoint
        ).value
    except x509.ExtensionNotFound:
        return _EVERYTHING
    if point.indirect_crl:
        raise Unavailable("the CRL is indirect: a serial in it may be another issuer's")
    places = _uris(point.full_name or ())
    has_name = bool(point.full_name) or point.relative_name is not None
    return _Scope(
        places=places,
        reasons=None
        if point.only_some_reasons is None
        else frozenset(CODE_BY_FLAG[flag] for flag in point.only_some_reasons),
        is_for_others=point.only_contains_ca_certs
        or point.only_contains_attribute_certs
        or (has_name and not places),
    )


def _uris(names: Iterable[x509.GeneralName]) -> frozenset[str]:
    return frozenset(
        name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)
    )


def _reason(entry: x509.RevokedCertificate) -> int | None:
    try:
        found = entry.extensions.get_extension_for_class(x509.CRLReason)
    except x509.ExtensionNotFound:
        return int(Reason.UNSPECIFIED)  # RFC 5280 section 5.3.1
    except UNREADABLE:
        return None
    return CODE_BY_FLAG[found.value.reason]


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        found = crl.extensions.get_extension_for_class(x509.CRLNumber)
    except x509.ExtensionNotFound:
        return None
    return found.value.crl_number
