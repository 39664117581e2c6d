"""CSRs as values: names, key, and whether the sender has the key."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrRequest:
    """
    A CSR that was read as far as it can be.

    Args:
        sha256: Of its DER, hex.
        request: What it says; None where it is none.
        names: The names it asks for.
        is_signed: Its sender has shown possession of the key (RFC 2986).
        key: Its public key; None where that is of a kind nobody knows.
        spki_sha256: The key's hash, hex; empty where there is none.

    """

    sha256: str
    request: x509.CertificateSigningRequest | None = None
    names: frozenset[str] = frozenset()
    is_signed: bool = False
    key: object = None
    spki_sha256: str = ""


def read_request(csr: bytes) -> CsrRequest:
    """Read a CSR, DER, as far as it can be."""
    sha256 = hashlib.sha256(csr).hexdigest()
    try:
        request = x509.load_der_x509_csr(csr)
        names = _names(request)
        is_signed = _is_signed(request)
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
    ):
        return CsrRequest(sha256=sha256)
    try:
        key = request.public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return CsrRequest(sha256=sha256, request=request, names=names)
    return CsrRequest(
        sha256=sha256,
        request=request,
        names=names,
        is_signed=is_signed,
        key=key,
        spki_sha256=hashlib.sha256(spki).hexdigest(),
    )


def _names(request: x509.CertificateSigningRequest) -> frozenset[str]:
    """Return the DNS names a CSR asks for, its common name included where it is one."""
    names = [
        text
        for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if HOST.fullmatch(text := normal_name(str(attribute.value)))
    ]
    try:
        extension = request.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        pass
    else:
        names += map(normal_name, extension.value.get_values_for_type(x509.DNSName))
    return frozenset(names)


def normal_name(name: str) -> str:
    """Return a host name as it is compared: lower case, IDNA, no dot at its end."""
    text = name.strip().rstrip(".").lower()
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    """Whether the sender has shown possession of the key (RFC 2986)."""
    try:
        return request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def making_command(names: Sequence[str]) -> str:
    """Return the ``openssl`` command that makes a CSR for these names."""
    hosts = [name for name in names if HOST.fullmatch(name)] or ["www.example.org"]
    base = re.sub(r"[^a-z0-9.-]", "_", hosts[0].removeprefix("*."))
    alternatives = ",".join(f"DNS:{name}" for name in hosts)
    return (
        "openssl req -new -newkey rsa:2048 -nodes"
        f" -keyout {base}.key -out {base}.csr"
        f" -subj '/CN={hosts[0]}' -addext 'subjectAltName={alternatives}'"
    )
