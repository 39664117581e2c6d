"""What Tocsin asks of a CA, and what a CA can say; without it every CA would leak upwards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from models.terms import CertificateId, Reason


class AnswerKind(StrEnum):
    """What a CA's reply to one revocation means."""

    DONE = "done"  # revoked by this call
    ALREADY = "already"  # was revoked before; reason and time are the CA's
    PENDING_APPROVAL = "pending-approval"  # a person at the CA must act: NOT revoked
    UNKNOWN = "unknown"  # the CA does not know the certificate
    EXPIRED = "expired"  # the CA does not list what has expired: NOT revoked
    REFUSED = "refused"  # the CA will not, and says why
    RETRY = "retry"  # not now: busy, rate limited or out of reach
    FATAL = "fatal"  # our configuration or credentials are wrong


class StatusKind(StrEnum):
    """What a CA says of one certificate when it is merely asked."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    NO_ANSWER = "no-answer"  # to this one alone; the CA answers for others


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequest:
    """
    One certificate to revoke.

    Args:
        certificate_id: Our key, returned with the answer.
        issuer_key: SHA-256 of the issuer's name in canonical form, hex.
        serial: The serial number as an integer.
        reason: The CRLReason to publish.
        certificate: The certificate, DER, as it came in, however broken; None where
            only issuer and serial are known, or the backend needs no more.

    """

    certificate_id: CertificateId
    issuer_key: str
    serial: int
    reason: Reason
    certificate: bytes | None = None


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
    """What the CA has on record for one certificate; ``detail`` is for people."""

    certificate_id: CertificateId
    kind: StatusKind
    revoked_at: datetime | None = None
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many calls in any stretch of so many seconds, as CAs publish their limits."""

    calls: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    What a backend can do; the planner, `tocsin doctor` and `tocsin backend` read it.

    Args:
        name: The backend's name.
        keeps_reasons: The reasons that reach the CRL as sent.
        safe_to_repeat: A second identical call changes neither reason nor time.
        checks_unknown: A serial the CA never issued is answered UNKNOWN.
        rate_per_second: Revocations the CA takes per second; used for the plan.
        publication_delay: From an answered revocation to its visibility, at most.
        needs_certificate: Requests are to carry the certificate where it is known.
        tells_status: A look-up tells what the CA has on record; without it only what
            it has published already.
        at_once: How many requests are on their way at the same time, at most.
        limits: What the CA allows; all of them are kept.
        reasons_may_be_lost: The operator accepts that other reasons are not published.

    """

    name: str
    keeps_reasons: frozenset[Reason]
    safe_to_repeat: bool
    checks_unknown: bool
    rate_per_second: float
    publication_delay: timedelta
    needs_certificate: bool = False
    tells_status: bool = True
    at_once: int = 1
    limits: tuple[Limit, ...] = ()
    reasons_may_be_lost: bool = False


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
        Revoke in order, each answer yielded as soon as it is known.

        No more than ``at_once`` requests have been sent and are not yet answered. Never
        raises for what a CA can say; a CA out of reach is answered RETRY.
        """
        ...

    def publish(self, issuer_key: str) -> None:
        """
        Have the CA publish a new CRL where that is ours to trigger.

        Raises:
            Unavailable: The CA does not answer.

        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A backend that can be tried before the day, without touching what is in use."""

    def probe(self, issuer_key: str) -> str:
        """
        Make one call as near to a revocation as can be, and say what it showed.

        Raises:
            Unavailable: The CA does not answer, or refuses our credentials.

        """
        ...

    def remarks(self, issuer_key: str) -> Iterable[str]:
        """
        Return what an officer should know of how this CA is set up.

        Raises:
            Unavailable: The CA does not answer.

        """
        ...


@runtime_checkable
class FollowsCertificates(Protocol):
    """A publication that can read each CRL where the certificates say that it is."""

    def follows_certificates(self, issuer_key: str) -> bool:
        """Whether it does so for an issuer; what names no place is in its CRLs."""
        ...

    def read_crl(self, place: str) -> bytes:
        """
        Return the CRL at one place, DER.

        Raises:
            Unavailable: It cannot be read now.

        """
        ...


class Publication(Protocol):
    """Reads what the CA has published, as anybody outside would."""

    def issuer_certificate(self, issuer_key: str) -> bytes:
        """Return the issuer's certificate, DER, to verify signatures with."""
        ...

    def read_crls(self, issuer_key: str) -> Iterator[bytes]:
        """
        Yield the CRLs in force, DER: one, or all the shards that make up the whole.

        Raises:
            Unavailable: It cannot be read now.

        """
        ...

    def has_ocsp(self, issuer_key: str) -> bool:
        """Whether the issuer answers OCSP; where not, the CRLs alone are the proof."""
        ...

    def ask_ocsp(self, issuer_key: str, serials: Sequence[int]) -> Iterator[bytes]:
        """
        Yield one DER OCSP response for each serial, in order.

        Raises:
            Unavailable: The responder does not answer.

        """
        ...
