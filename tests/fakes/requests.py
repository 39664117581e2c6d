"""Requests to a CA, as short as tests need them."""

from itertools import count

from models.terms import CertificateId, Reason
from tocsin.ca.backend import RevocationRequest

_IDS = count(1)


def request_for(
    issuer_key: str,
    serial: int,
    *,
    reason: Reason = Reason.SUPERSEDED,
    certificate: bytes | None = None,
) -> RevocationRequest:
    return RevocationRequest(
        certificate_id=CertificateId(next(_IDS)),
        issuer_key=issuer_key,
        serial=serial,
        reason=reason,
        certificate=certificate,
    )
