"""Signs OCSP answers in the name of an issuer of the embedded CA."""

import hashlib
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from models.terms import Reason
from tocsin.ca.crl import SigningKey
from tocsin.ca.ocsp import key_bits

# TLS BR 4.9.10: valid for at least 8 hours and at most 10 days.
_VALID_WITHIN = timedelta(hours=24)

_FLAG_BY_REASON = {
    Reason.UNSPECIFIED: None,  # said by saying nothing
    Reason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    Reason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    Reason.SUPERSEDED: x509.ReasonFlags.superseded,
    Reason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    Reason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
}


class OcspSigner:
    """
    Answers for one issuer, with the issuer's own key.

    Args:
        issuer: The issuer's certificate.
        key: Its private key.

    """

    def __init__(self, issuer: x509.Certificate, key: SigningKey) -> None:
        self._issuer = issuer
        self._key = key
        self._name_hash = hashlib.sha256(issuer.subject.public_bytes()).digest()
        self._key_hash = hashlib.sha256(key_bits(key.public_key())).digest()

    def good(self, serial: int, *, now: datetime) -> bytes:
        """Answer that a certificate is not revoked, DER."""
        return self._answer(serial, ocsp.OCSPCertStatus.GOOD, now=now)

    def unknown(self, serial: int, *, now: datetime) -> bytes:
        """Answer that the issuer issued no such certificate, DER."""
        return self._answer(serial, ocsp.OCSPCertStatus.UNKNOWN, now=now)

    def revoked(
        self, serial: int, *, revoked_at: datetime, reason: Reason, now: datetime
    ) -> bytes:
        """Answer that a certificate is revoked, since when and why, DER."""
        return self._answer(
            serial,
            ocsp.OCSPCertStatus.REVOKED,
            now=now,
            revoked_at=revoked_at,
            flag=_FLAG_BY_REASON[reason],
        )

    def _answer(
        self,
        serial: int,
        status: ocsp.OCSPCertStatus,
        *,
        now: datetime,
        revoked_at: datetime | None = None,
        flag: x509.ReasonFlags | None = None,
    ) -> bytes:
        this_update = now.replace(microsecond=0)
        return (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                issuer_name_hash=self._name_hash,
                issuer_key_hash=self._key_hash,
                serial_number=serial,
                algorithm=hashes.SHA256(),
                cert_status=status,
                this_update=this_update,
                next_update=this_update + _VALID_WITHIN,
                revocation_time=revoked_at,
                revocation_reason=flag,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, self._issuer)
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )
