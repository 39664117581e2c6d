"""What the CA is asked about claimed revocations, and answers that it did not give itself."""

from collections.abc import Sequence

from sqlalchemy import Engine

from models.terms import CertificateId
from tocsin.ca.backend import (
    AnswerKind,
    CaBackend,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
)
from tocsin.policy.revocation import DueRevocation
from tocsin.store import revocations
from tocsin.store.session import reading


def requests_for(
    engine: Engine, backend: CaBackend, chosen: Sequence[DueRevocation]
) -> list[RevocationRequest]:
    """Return what the CA is asked, with the certificates where the backend needs them."""
    bodies = (
        _bodies(engine, [due.certificate_id for due in chosen])
        if backend.capabilities.needs_certificate
        else {}
    )
    return [
        RevocationRequest(
            certificate_id=due.certificate_id,
            issuer_key=due.issuer_key,
            serial=due.serial,
            reason=due.reason,
            certificate=bodies.get(due.certificate_id),
        )
        for due in chosen
    ]


def found_revoked(status: CertificateStatus) -> RevocationAnswer:
    """Return the answer that a look-up stands for: it was revoked before."""
    return RevocationAnswer(
        certificate_id=status.certificate_id,
        kind=AnswerKind.ALREADY,
        revoked_at=status.revoked_at,
        reason=status.reason,
        detail="found when it was looked up",
    )


def not_now(due: DueRevocation, why: str) -> RevocationAnswer:
    """Return that there is no answer, so that it is asked again."""
    return RevocationAnswer(
        certificate_id=due.certificate_id, kind=AnswerKind.RETRY, detail=why
    )


def _bodies(
    engine: Engine, certificates: Sequence[CertificateId]
) -> dict[CertificateId, bytes]:
    with reading(engine) as connection:
        return revocations.certificate_bodies(connection, certificates)
