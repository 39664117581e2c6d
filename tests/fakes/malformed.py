"""Certificates with the defects that mass revocations are about; made here, byte by byte."""

from collections.abc import Callable

from cryptography import x509

_SUBJECT_ALT_NAME = bytes.fromhex("0603551d11")
_EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")
_EMPTY_SET = bytes.fromhex("3100")


def empty_rdn(der: bytes) -> bytes:
    """End the issuer's name with an RDN of no attribute."""
    peer = x509.load_der_x509_certificate(der)
    issuer = peer.issuer.public_bytes()
    longer = _tlv(0x30, _content(issuer) + _EMPTY_SET)
    body = _content(peer.tbs_certificate_bytes)
    rest = _content(der)[len(peer.tbs_certificate_bytes) :]
    # The first of two where it issued to itself: the issuer stands before the subject.
    return _tlv(0x30, _tlv(0x30, body.replace(issuer, longer, 1)) + rest)


def broken_extension(der: bytes) -> bytes:
    """Make the alternative names a SET where a SEQUENCE belongs."""
    at = der.index(_SUBJECT_ALT_NAME) + len(_SUBJECT_ALT_NAME) + 2
    assert der[at] == 0x30
    return der[:at] + b"\x31" + der[at + 1 :]


def unparsable_key(der: bytes) -> bytes:
    """Name an algorithm for the key that nobody knows."""
    assert der.count(_EC_PUBLIC_KEY) == 1
    return der.replace(_EC_PUBLIC_KEY, b"\x2a" * len(_EC_PUBLIC_KEY))


def trailing_data(der: bytes) -> bytes:
    """Append octets that belong to nothing."""
    return der + b"\0\0trailing"


def read_whole(der: bytes) -> None:
    """Have the library read everything that most programs would look at."""
    certificate = x509.load_der_x509_certificate(der)
    _ = certificate.issuer, certificate.extensions, certificate.public_key()


DEFECTS: dict[str, Callable[[bytes], bytes]] = {
    "an empty RDN": empty_rdn,
    "a broken extension": broken_extension,
    "an unparsable key": unparsable_key,
    "trailing data": trailing_data,
}


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _content(der: bytes) -> bytes:
    return der[2:] if der[1] < 0x80 else der[2 + (der[1] & 0x7F) :]
