"""What Tocsin asks of a CA, and what a CA can say; without it every CA would leak upwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from models.terms import CertificateId, Reason


class AnswerKind(StrEnum):
    """What a CA's reply to one revocation means."""

    DONE = "done"  # revoked by this call
    ALREADY = "already"  # was revoked before; reason and time are the CA's
    PENDING_APPROVAL = "pending-approval"  # a person at the CA must act: NOT revoked
    UNKNOWN = "unknown"  # the CA does not know the certificate
    REFUSED = "refused"  # the CA will not, and says why
    RETRY = "retry"  # not now: busy, rate limited or out of reach
    FATAL = "fatal"  # our configuration or credentials are wrong


class StatusKind(StrEnum):
    """What a CA says of one certificate when it is merely asked."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequest:
    """
    One certificate to revoke.

    Args:
        certificate_id: Our key, returned with the answer.
        issuer_key: SHA-256 of the issuer's name in canonical form, hex.
        serial: The serial number as an integer.
        reason: The CRLReason to publish.

    """

    certificate_id: CertificateId
    issuer_key: str
    serial: int
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationAnswer:
    """
    What the CA said to one request.

    Args:
        certificate_id: The request's.
        kind: What it means.
        revoked_at: The CA's own revocation time, UTC; with DONE and ALREADY.
        reason: The reason the CA has on record; with DONE and ALREADY, where it says.
        detail: The CA's words, for people.
        retry_after: How long to wait; with RETRY, where the CA says.

    """

    certificate_id: CertificateId
    kind: AnswerKind
    revoked_at: datetime | None = None
    reason: Reason | None = None
    detail: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatus:
    """What the CA has on record for one certificate."""

    certificate_id: CertificateId
    kind: StatusKind
    revoked_at: datetime | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    What a backend can do; the planner and `tocsin doctor` read it.

    Args:
        name: The backend's name.
        keeps_reasons: The reasons that reach the CRL as sent.
        safe_to_repeat: A second identical call changes neither reason nor time.
        checks_unknown: A serial the CA never issued is answered UNKNOWN.
        rate_per_second: Revocations the CA takes per second; used for the plan.
        publication_delay: From an answered revocation to its visibility, at most.

    """

    name: str
    keeps_reasons: frozenset[Reason]
    safe_to_repeat: bool
    checks_unknown: bool
    rate_per_second: float
    publication_delay: timedelta


class CaBackend(Protocol):
    """Asks one CA to revoke, and to publish."""

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        ...

    def knows_issuer(self, issuer_key: str) -> bool:
        """Whether certificates of this issuer can be revoked here."""
        ...

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        """
        Ask for what the CA has on record; changes nothing.

        Raises:
            Unavailable: The CA does not answer.

        """
        ...

    def revoke(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[RevocationAnswer]:
        """
        Revoke one after the other, each answer yielded as soon as it is known.

        Never raises for what a CA can say; a CA out of reach is answered RETRY.
        """
        ...

    def publish(self, issuer_key: str) -> None:
        """
        Have the CA publish a new CRL where that is ours to trigger.

        Raises:
            Unavailable: The CA does not answer.

        """
        ...


class Publication(Protocol):
    """Reads what the CA has published, as anybody outside would."""

    def issuer_certificate(self, issuer_key: str) -> bytes:
        """Return the issuer's certificate, DER, to verify signatures with."""
        ...

    def read_crl(self, issuer_key: str) -> bytes:
        """
        Return the CRL in force, DER.

        Raises:
            Unavailable: It cannot be read now.

        """
        ...

    def ask_ocsp(self, issuer_key: str, serials: Sequence[int]) -> Iterator[bytes]:
        """
        Yield one DER OCSP response for each serial, in order.

        Raises:
            Unavailable: The responder does not answer.

        """
        ...
