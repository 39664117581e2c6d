"""A lenient reading of X.509; affected certificates are often malformed, and still to be revoked."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tocsin.errors import BadInput
from tocsin.names import decoded_value

_INTEGER = 0x02
_BIT_STRING = 0x03
_OID = 0x06
_BOOLEAN = 0x01
_SEQUENCE = 0x30
_SET = 0x31
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_VERSION = 0xA0
_EXTENSIONS = 0xA3
_DNS_NAME = 0x82
_POINT_NAME = 0xA0
_FULL_NAME = 0xA0
_URI = 0x86
_LONG_FORM = 0x80
_LONGEST_LENGTH = 4  # octets of a length: four gigabytes

_POISON = bytes.fromhex("2b06010401d679020403")  # RFC 6962: 1.3.6.1.4.1.11129.2.4.3
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")
_BASIC_CONSTRAINTS = bytes.fromhex("551d13")
_CRL_POINTS = bytes.fromhex("551d1f")
_LOOKED_AT = frozenset((_POISON, _SUBJECT_ALT_NAME, _BASIC_CONSTRAINTS, _CRL_POINTS))

_AFTER_THE_YEAR = rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:[.,]\d+)?(?:Z|([+-]\d{4}))?"
_SHAPES = {
    _UTC_TIME: re.compile(rb"(\d\d)" + _AFTER_THE_YEAR),
    _GENERALIZED_TIME: re.compile(rb"(\d{4})" + _AFTER_THE_YEAR),
}
_BLANK = re.compile(r"\s")
_CENTURY_TURNS_AT = 50  # RFC 5280 4.1.2.5.1


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """
    What identifies and describes a certificate, as far as it can be read.

    Args:
        length: How many octets the certificate has; more may have been given.
        serial: The serial number, negative where the certificate has it so.
        issuer: The issuer's name, DER.
        subject: The subject's name, DER.
        not_before: UTC, or None.
        not_after: UTC, or None.
        spki: The subject's public key info, DER; empty where there is none.
        dns_names: The dNSNames, lower case.
        crl_urls: Where it says that its CRL is.
        is_precertificate: Whether it carries the critical poison extension.
        is_authority: Whether it is a CA's own certificate.
        findings: What could not be read.

    """

    length: int
    serial: int
    issuer: bytes
    subject: bytes
    not_before: datetime | None
    not_after: datetime | None
    spki: bytes
    dns_names: tuple[str, ...]
    crl_urls: tuple[str, ...]
    is_precertificate: bool
    is_authority: bool
    findings: tuple[str, ...]


class _MalformedError(Exception):
    """The octets are not what their tags and lengths say."""


def parse_certificate(der: bytes) -> CertificateFields:
    """
    Read a certificate, needing no more than issuer and serial to be in their places.

    Raises:
        BadInput: It is no certificate.

    """
    try:
        return _certificate(der)
    except (IndexError, _MalformedError):
        raise BadInput(
            f"not a certificate ({_looks_like(der)}). Give X.509 certificates or "
            f"precertificates as PEM or DER."
        ) from None


def read_name(der: bytes) -> list[tuple[str, str]]:
    """
    Read a name into dotted OID and value; empty parts are passed over.

    A name that cannot be read is one attribute that holds its DER, so that even then
    the same name has the same key.
    """
    try:
        return _name(der)
    except (IndexError, _MalformedError):
        return [("0.0", "#" + der.hex())]


def length_of_element(head: bytes) -> int | None:
    """Return how many octets the DER element has that begins here; None for no element."""
    if len(head) < 2:  # noqa: PLR2004
        return None
    length = head[1]
    if length < _LONG_FORM:
        return 2 + length
    size = length - _LONG_FORM
    if not 1 <= size <= _LONGEST_LENGTH or len(head) < 2 + size:
        return None
    return 2 + size + int.from_bytes(head[2 : 2 + size], "big")


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return tag, start and end of the content of the element that begins here."""
    tag = data[at]
    length = data[at + 1]
    at += 2
    if length >= _LONG_FORM:
        size = length - _LONG_FORM
        if not 1 <= size <= _LONGEST_LENGTH:
            raise _MalformedError
        length = int.from_bytes(data[at : at + size], "big")
        at += size
    stop = at + length
    if stop > end:
        raise _MalformedError
    return tag, at, stop


def _expect(data: bytes, at: int, end: int, expected: int) -> tuple[int, int]:
    tag, start, stop = _element(data, at, end)
    if tag != expected:
        raise _MalformedError
    return start, stop


def _certificate(der: bytes) -> CertificateFields:
    start, length = _expect(der, 0, len(der), _SEQUENCE)
    at, end = _expect(der, start, length, _SEQUENCE)
    _, signature = _expect(der, end, length, _SEQUENCE)
    _expect(der, signature, length, _BIT_STRING)

    if der[at] == _VERSION:
        _, _, at = _element(der, at, end)
    start, at = _expect(der, at, end, _INTEGER)
    if start == at:
        raise _MalformedError
    serial = int.from_bytes(der[start:at], "big", signed=True)
    _, issuer_at = _expect(der, at, end, _SEQUENCE)
    _, validity_at = _expect(der, issuer_at, end, _SEQUENCE)
    validity, subject_at = _expect(der, validity_at, end, _SEQUENCE)
    _, key_at = _expect(der, subject_at, end, _SEQUENCE)

    findings: list[str] = []
    not_before, not_after = _validity(der, validity, subject_at)
    if not_before is None or not_after is None:
        findings.append("its validity cannot be read")
    spki = b""
    extensions = _Extensions()
    try:
        _, at = _expect(der, key_at, end, _SEQUENCE)
        spki = der[key_at:at]
        while at < end:
            tag, start, at = _element(der, at, end)
            if tag == _EXTENSIONS:
                extensions.read(der, start, at)
    except (IndexError, _MalformedError):
        findings.append("its key or extensions cannot be read to the end")
    if extensions.unreadable:
        findings.append("its subjectAltName or basicConstraints cannot be read")
    if extensions.soft_poison:
        findings.append("its poison extension is not critical: taken as a certificate")
    return CertificateFields(
        length,
        serial,
        der[issuer_at:validity_at],
        der[subject_at:key_at],
        not_before,
        not_after,
        spki,
        extensions.dns_names,
        extensions.crl_urls,
        extensions.poison,
        extensions.authority,
        tuple(findings),
    )


class _Extensions:
    """The few extensions that intake looks at."""

    __slots__ = (
        "authority",
        "crl_urls",
        "dns_names",
        "poison",
        "soft_poison",
        "unreadable",
    )

    def __init__(self) -> None:
        self.dns_names: tuple[str, ...] = ()
        self.crl_urls: tuple[str, ...] = ()
        self.poison = False
        self.soft_poison = False
        self.authority = False
        self.unreadable = False

    def read(self, der: bytes, at: int, end: int) -> None:
        at, end = _expect(der, at, end, _SEQUENCE)
        while at < end:
            start, stop = _expect(der, at, end, _SEQUENCE)
            at = stop
            oid_start, oid_stop = _expect(der, start, stop, _OID)
            oid = der[oid_start:oid_stop]
            if oid == _CRL_POINTS:
                self.crl_urls = _crl_urls(der, oid_stop, stop)
            elif oid in _LOOKED_AT:
                self._look_at(oid, der, oid_stop, stop)

    def _look_at(self, oid: bytes, der: bytes, at: int, end: int) -> None:
        try:
            critical = False
            tag, start, stop = _element(der, at, end)
            if tag == _BOOLEAN:
                critical = der[start] != 0
                _, start, stop = _element(der, stop, end)
            if oid == _POISON:
                self.poison = critical
                self.soft_poison = not critical
            elif oid == _BASIC_CONSTRAINTS:
                start, stop = _expect(der, start, stop, _SEQUENCE)
                self.authority = (
                    start < stop and der[start] == _BOOLEAN and der[start + 2] != 0
                )
            else:
                self.dns_names = _dns_names(der, start, stop)
        except (IndexError, _MalformedError):
            self.unreadable = True


def _dns_names(der: bytes, at: int, end: int) -> tuple[str, ...]:
    at, end = _expect(der, at, end, _SEQUENCE)
    names: list[str] = []
    while at < end:
        tag, start, at = _element(der, at, end)
        if tag == _DNS_NAME:
            names.append(der[start:at].decode("utf-8", "replace").lower())
    return tuple(names)


def _crl_urls(der: bytes, at: int, end: int) -> tuple[str, ...]:
    """
    Return the URLs of cRLDistributionPoints; none where it cannot be read.

    A point for some reasons only, or for the CRL of another issuer, is not one at which
    the certificate's own issuer shows every revocation (RFC 5280 section 4.2.1.13).
    """
    urls: list[str] = []
    try:
        tag, start, stop = _element(der, at, end)
        if tag == _BOOLEAN:
            _, start, stop = _element(der, stop, end)
        at, end = _expect(der, start, stop, _SEQUENCE)
        while at < end:
            point, at = _expect(der, at, end, _SEQUENCE)
            tag, start, stop = _element(der, point, at)
            if tag != _POINT_NAME or stop < at or der[start] != _FULL_NAME:
                continue
            part, stop = _expect(der, start, stop, _FULL_NAME)
            while part < stop:
                tag, start, part = _element(der, part, stop)
                if tag == _URI:
                    urls.append(der[start:part].decode("ascii"))
    except (IndexError, _MalformedError, UnicodeDecodeError):
        return ()
    return tuple(dict.fromkeys(url for url in urls if not _BLANK.search(url)))


def _validity(der: bytes, at: int, end: int) -> tuple[datetime | None, datetime | None]:
    try:
        tag, start, stop = _element(der, at, end)
        not_before = _instant(tag, der[start:stop])
        tag, start, stop = _element(der, stop, end)
        return not_before, _instant(tag, der[start:stop])
    except (IndexError, _MalformedError):
        return None, None


def _instant(tag: int, text: bytes) -> datetime | None:
    shape = _SHAPES.get(tag)
    match = shape.fullmatch(text) if shape else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (
        int(part or 0) for part in match.groups()[:6]
    )
    if tag == _UTC_TIME:
        year += 1900 if year >= _CENTURY_TURNS_AT else 2000
    offset = match[7]
    try:
        instant = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if offset:  # RFC 5280 forbids it, certificates have it
            ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
            instant += ahead if offset[:1] == b"-" else -ahead
    except (ValueError, OverflowError):
        return None
    return instant


def _name(der: bytes) -> list[tuple[str, str]]:
    attributes: list[tuple[str, str]] = []
    at, end = _expect(der, 0, len(der), _SEQUENCE)
    while at < end:
        part, at = _expect(der, at, end, _SET)
        while part < at:
            pair, part = _expect(der, part, at, _SEQUENCE)
            start, stop = _expect(der, pair, part, _OID)
            oid = der[start:stop]
            tag, start, stop = _element(der, stop, part)
            attributes.append((_dotted(oid), decoded_value(tag, der[start:stop])))
    return attributes


_KNOWN_OIDS: dict[bytes, str] = {
    bytes((0x55, 0x04, arc)): f"2.5.4.{arc}" for arc in range(128)
}


def _dotted(oid: bytes) -> str:
    known = _KNOWN_OIDS.get(oid)
    if known:
        return known
    if not oid or oid[-1] >= _LONG_FORM:
        raise _MalformedError
    arcs: list[int] = []
    arc = 0
    for octet in oid:
        arc = arc << 7 | octet & 0x7F
        if octet < _LONG_FORM:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def _looks_like(der: bytes) -> str:
    length = length_of_element(der)
    if not der:
        return "it is empty"
    if der[0] != _SEQUENCE or length is None:
        return "it does not begin as one"
    if length > len(der):
        return f"it ends early: {len(der)} of {length} octets"
    return "its parts are not those of one; a signing request, CRL or PKCS#7, perhaps"
