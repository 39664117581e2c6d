"""Reads OCSP answers and verifies them, as a browser would."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tocsin.ca.backend import Publication
from tocsin.errors import Unavailable

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)

MAY_BE_AHEAD = timedelta(minutes=5)
"""
How long after the instant of asking a statement may have been made.

A responder that signs when it is asked does so while a long list is read, and its clock
may be ahead of ours.
"""


def verified_answers(
    publication: Publication,
    issuer: x509.Certificate,
    *,
    issuer_key: str,
    serials: Sequence[int],
    now: datetime,
) -> Iterator[ocsp.OCSPResponse | None]:
    """
    Yield a verified answer for each serial, in order; None where there is none.

    Args:
        publication: Asks the responder.
        issuer: The issuer's certificate.
        issuer_key: SHA-256 of its name in canonical form, hex.
        serials: What to ask for.
        now: The instant of asking, UTC.

    Raises:
        Unavailable: An answer cannot be read, is about something else, is not signed in
            the issuer's name, or is not in force.

    """
    responders = _Responders(issuer, now)
    answers = publication.ask_ocsp(issuer_key, serials)
    for serial, der in zip(serials, answers, strict=True):
        try:
            answer = ocsp.load_der_ocsp_response(der)
            if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                yield None
                continue
            _check_answer(answer, serial=serial, responders=responders, now=now)
        except UNREADABLE as error:
            message = f"an OCSP answer cannot be read: {error}"
            raise Unavailable(message) from error
        yield answer


def check_in_force(
    what: str, *, this_update: datetime, next_update: datetime | None, now: datetime
) -> None:
    """
    Check that a signed statement holds at an instant.

    Args:
        what: For the error.
        this_update: When it was made, UTC; up to ``MAY_BE_AHEAD`` after the instant.
        next_update: Until when it holds, UTC; None: nobody says.
        now: The instant of asking, UTC.

    Raises:
        Unavailable: It does not hold yet, or no longer.

    """
    if now + MAY_BE_AHEAD < this_update:
        message = f"{what} is not in force before {this_update}"
        raise Unavailable(message)
    if next_update is not None and next_update < now:
        message = f"{what} was in force until {next_update}"
        raise Unavailable(message)


def key_bits(key: CertificatePublicKeyTypes) -> bytes:
    """Return a public key as OCSP hashes it: the bit string, without the algorithm."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        )
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    raise Unavailable("the issuer's key is neither RSA nor EC")


def verifies(
    key: CertificatePublicKeyTypes,
    signature: bytes,
    signed: bytes,
    algorithm: hashes.HashAlgorithm | None,
) -> bool:
    """Whether a signature of RSA (PKCS #1 v1.5) or ECDSA is the key's; False of others."""
    if algorithm is None:
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _check_answer(
    answer: ocsp.OCSPResponse, *, serial: int, responders: "_Responders", now: datetime
) -> None:
    if answer.serial_number != serial:
        raise Unavailable("an OCSP answer is about another certificate")
    if not responders.signed(answer):
        raise Unavailable("an OCSP answer is not signed in the issuer's name")
    if answer.issuer_key_hash != responders.issuer_key_hash(answer.hash_algorithm):
        raise Unavailable("an OCSP answer is about another issuer")
    check_in_force(
        "an OCSP answer",
        this_update=answer.this_update_utc,
        next_update=answer.next_update_utc,
        now=now,
    )


class _Responders:
    """Who may sign OCSP answers for an issuer: itself, and whom it certified for that."""

    def __init__(self, issuer: x509.Certificate, now: datetime) -> None:
        self._issuer = issuer
        self._now = now
        self._trusted: dict[bytes, bool] = {}
        self._key_hashes: dict[str, bytes] = {}

    def signed(self, answer: ocsp.OCSPResponse) -> bool:
        """Whether the signature is the issuer's or a delegated responder's."""
        signers = [self._issuer]
        signers += [sent for sent in answer.certificates if self._is_delegated(sent)]
        return any(
            verifies(
                signer.public_key(),
                answer.signature,
                answer.tbs_response_bytes,
                answer.signature_hash_algorithm,
            )
            for signer in signers
        )

    def issuer_key_hash(self, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the hash of the issuer's key as an OCSP answer names it."""
        if algorithm.name not in self._key_hashes:
            digest = hashes.Hash(algorithm)
            digest.update(key_bits(self._issuer.public_key()))
            self._key_hashes[algorithm.name] = digest.finalize()
        return self._key_hashes[algorithm.name]

    def _is_delegated(self, certificate: x509.Certificate) -> bool:
        fingerprint = certificate.fingerprint(hashes.SHA256())
        if fingerprint not in self._trusted:
            self._trusted[fingerprint] = self._may_answer(certificate)
        return self._trusted[fingerprint]

    def _may_answer(self, certificate: x509.Certificate) -> bool:
        """RFC 6960 section 4.2.2.2: issued by the issuer itself, for this purpose."""
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begins <= self._now <= ends:
            return False
        try:
            certificate.verify_directly_issued_by(self._issuer)
            usage = certificate.extensions.get_extension_for_class(
                x509.ExtendedKeyUsage
            )
        except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound):
            return False
        return ExtendedKeyUsageOID.OCSP_SIGNING in usage.value
