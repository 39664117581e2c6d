"""One certificate on a page of its own: how the new one differs, and what can be done."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import APIRouter
from fastapi.responses import Response

from models.terms import CertificateId
from tocsin.phrases import Phrase, phrase
from tocsin.portal.desk import DeadLink, Desk, TheDesk, Visit
from tocsin.portal.forms import is_key
from tocsin.store.session import reading
from tocsin.store.succession import Succession, succession_of

_READ = ["GET", "HEAD"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCertificate:
    """
    A certificate as far as its owner compares it.

    Args:
        names: DNS names, sorted.
        serial: Lower-case hex, whole octets.
        issuer: The issuer's name.
        not_before: UTC.
        not_after: UTC.
        key: What kind of key it has; empty where that is not known.
        spki_sha256: Hash of its public key, hex.

    """

    names: tuple[str, ...]
    serial: str
    issuer: str
    not_before: datetime
    not_after: datetime
    key: str
    spki_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    What a new certificate's owner should know before installing it.

    Args:
        missing: Names that only the old one has.
        extra: Names that only the new one has.
        key: Whether it has the same key; None where the old key is not known.

    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    key: Phrase | None


def add_certificate_routes(router: APIRouter) -> None:
    """Add the page of a single certificate; it changes nothing (I6)."""
    router.add_api_route(
        "/s/{token}/certificate/{certificate}", _certificate, methods=_READ
    )


def read_new(der: bytes) -> NewCertificate | None:
    """Read a new certificate; None where it cannot be read (it can still be fetched)."""
    try:
        new = x509.load_der_x509_certificate(der)
        key = new.public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        names = new.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return NewCertificate(
            names=tuple(sorted(names.value.get_values_for_type(x509.DNSName))),
            serial=new.serial_number.to_bytes(
                (new.serial_number.bit_length() + 8) // 8, "big"
            ).hex(),
            issuer=new.issuer.rfc4514_string(),
            not_before=new.not_valid_before_utc,
            not_after=new.not_valid_after_utc,
            key=_kind(key),
            spki_sha256=hashlib.sha256(spki).hexdigest(),
        )
    except (ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return None


def compare(old: Succession, new: NewCertificate) -> Difference:
    """Name what differs between a certificate and the one in its place."""
    had, has = ({name.casefold() for name in names} for names in (old.names, new.names))
    key = None
    if old.spki_sha256 is not None:
        key = (
            phrase("the same key as before")
            if old.spki_sha256 == new.spki_sha256
            else phrase("a new key: install it together with the certificate")
        )
    return Difference(
        # Where only a serial number is known, nothing can be missing.
        missing=tuple(sorted(had - has)),
        extra=tuple(sorted(has - had)) if had else (),
        key=key,
    )


def _kind(key: object) -> str:
    match key:
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"ECDSA {key.curve.name}"
        case _:
            return ""


def _certificate(desk: TheDesk, token: str, certificate: str) -> Response:
    visit = desk.open(token)
    if not is_key(certificate):
        raise DeadLink
    key = CertificateId(int(certificate))
    old = _succession(desk, visit, key)
    views = desk.certificates(visit, [key])
    if old is None or not views:
        raise DeadLink
    new = read_new(old.new) if old.new else None
    return desk.render(
        visit,
        "certificate",
        certificate=views[0],
        old=old,
        new=new,
        difference=compare(old, new) if new else None,
    )


def _succession(
    desk: Desk, visit: Visit, certificate: CertificateId
) -> Succession | None:
    with reading(desk.engine) as connection:
        return succession_of(
            connection,
            incident=visit.claims.incident,
            subscriber=visit.claims.subscriber,
            certificate=certificate,
        )
