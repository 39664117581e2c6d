"""Writes a signed CRL in time linear in its entries; the library's builder is quadratic."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_DER = serialization.Encoding.DER
_INTEGER = 0x02
_BIT_STRING = 0x03
_OCTET_STRING = 0x04
_ENUMERATED = 0x0A
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_SEQUENCE = 0x30
_LONG_FORM = 0x80
_FIRST_GENERALIZED_YEAR = 2050  # RFC 5280 section 5.1.2.6
_REASON_CODE_OID = bytes((0x06, 0x03, 0x55, 0x1D, 0x15))  # 2.5.29.21


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """
    One revoked certificate.

    Args:
        serial: The content octets of the serial number's DER INTEGER.
        revoked_at: Seconds since 1970-01-01 UTC.
        reason: The CRLReason code; 0 is written as no extension (TLS BR 7.2.2).

    """

    serial: bytes
    revoked_at: int
    reason: int


def serial_octets(serial: int) -> bytes:
    """Return the content octets of a serial number's DER INTEGER."""
    magnitude = serial if serial >= 0 else -serial - 1
    return serial.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def serial_of_octets(octets: bytes) -> int:
    """Return the serial number whose DER INTEGER has this content."""
    return int.from_bytes(octets, "big", signed=True)


def signed_part(der: bytes) -> bytes:
    """Return the octets of a CRL that its signature is over, as they stand in it."""
    start, _ = _header(der, 0)
    _, end = _header(der, start)
    return der[start:end]


def write_crl(
    issuer: x509.Certificate,
    key: SigningKey,
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    entries: Iterable[CrlEntry],
    shard_url: str | None = None,
) -> bytes:
    """
    Return a signed CRL, DER.

    The library builds and signs an empty one; the entries go between its times and its
    extensions, and it is signed again.

    Args:
        issuer: The issuer's certificate.
        key: Its key.
        number: The CRL's number.
        this_update: When it is issued, UTC.
        next_update: When the next one will be, at the latest, UTC.
        entries: What it lists.
        shard_url: Where it is published, if it lists only the certificates that name
            this place.

    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(_authority_key_identifier(issuer, key), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    if shard_url is not None:
        builder = builder.add_extension(_distribution_point(shard_url), critical=True)
    empty = builder.sign(key, hashes.SHA256())
    *head, extensions = _parts(_content(empty.tbs_certlist_bytes))
    revoked = b"".join(_entries(entries))
    # RFC 5280 section 5.1.2.6: without entries the list itself must be absent.
    listed = [_tlv(_SEQUENCE, revoked)] if revoked else []
    body = _tlv(_SEQUENCE, b"".join((*head, *listed, extensions)))
    whole = _content(empty.public_bytes(_DER))
    _, algorithm, _ = _parts(whole)
    signature = _tlv(_BIT_STRING, b"\0" + _sign(key, body))
    return _tlv(_SEQUENCE, b"".join((body, algorithm, signature)))


def _sign(key: SigningKey, body: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(body, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(body, ec.ECDSA(hashes.SHA256()))


def _distribution_point(url: str) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(url)],
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


def _authority_key_identifier(
    issuer: x509.Certificate, key: SigningKey
) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _entries(entries: Iterable[CrlEntry]) -> Iterator[bytes]:
    times: dict[int, bytes] = {}
    reasons = {0: b""}
    for entry in entries:
        time = times.get(entry.revoked_at)
        if time is None:
            time = times[entry.revoked_at] = _time(entry.revoked_at)
        reason = reasons.get(entry.reason)
        if reason is None:
            reason = reasons[entry.reason] = _reason_code(entry.reason)
        yield _tlv(_SEQUENCE, _tlv(_INTEGER, entry.serial) + time + reason)


def _reason_code(reason: int) -> bytes:
    code = _tlv(_OCTET_STRING, _tlv(_ENUMERATED, bytes((reason,))))
    return _tlv(_SEQUENCE, _tlv(_SEQUENCE, _REASON_CODE_OID + code))


def _time(seconds: int) -> bytes:
    instant = datetime.fromtimestamp(seconds, UTC)
    if instant.year < _FIRST_GENERALIZED_YEAR:
        return _tlv(_UTC_TIME, f"{instant:%y%m%d%H%M%SZ}".encode())
    return _tlv(_GENERALIZED_TIME, f"{instant:%Y%m%d%H%M%SZ}".encode())


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _LONG_FORM:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(octets))) + octets + content


def _header(der: bytes, position: int) -> tuple[int, int]:
    """Return where the content of the element at a position begins and ends."""
    first = der[position + 1]
    start = position + 2
    if first < _LONG_FORM:
        return start, start + first
    size = first & ~_LONG_FORM
    return start + size, start + size + int.from_bytes(der[start : start + size])


def _content(der: bytes) -> bytes:
    start, end = _header(der, 0)
    return der[start:end]


def _parts(content: bytes) -> list[bytes]:
    parts = []
    position = 0
    while position < len(content):
        _, end = _header(content, position)
        parts.append(content[position:end])
        position = end
    return parts
