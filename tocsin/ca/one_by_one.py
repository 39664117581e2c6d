"""What backends share whose CA is asked for one certificate at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from models.terms import Reason
from tocsin.ca.backend import (
    AnswerKind,
    Capabilities,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
    StatusKind,
)
from tocsin.ca.options import CaOptions, Given, IssuerOptions
from tocsin.ca.proof import published_revocations
from tocsin.ca.transport.pacing import answers, statuses
from tocsin.ca.transport.published import PublishedPlaces

_C = TypeVar("_C", bound=CaOptions)
_I = TypeVar("_I", bound=IssuerOptions)


class OneByOne(ABC, Generic[_C, _I]):
    """
    A ``CaBackend`` but for what its CA's replies mean.

    A subclass asks about one certificate in ``_revoke`` and ``_look_up``, and raises
    ``Trouble`` where it gets no answer; order, limits and pauses are seen to here.

    Args:
        given: The options of the CA.

    """

    def __init__(self, given: Given[_C, _I]) -> None:
        self._given = given
        self._options = given.ca
        self._pacer = given.pacer()

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this CA can do."""

    def knows_issuer(self, issuer_key: str) -> bool:
        """Whether certificates of this issuer can be revoked here."""
        return issuer_key in self._given.issuers

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        """
        Ask for what the CA has on record; changes nothing.

        Raises:
            Unavailable: The CA does not answer.

        """
        return statuses(self._pacer, requests, self._look_up_ours)

    def revoke(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[RevocationAnswer]:
        """Revoke in order; a CA out of reach or busy is answered RETRY."""
        return answers(self._pacer, requests, self._revoke_ours)

    def publish(self, issuer_key: str) -> None:
        """Do nothing: unless a subclass says otherwise, the CA publishes by itself."""

    @abstractmethod
    def _look_up(self, request: RevocationRequest, issuer: _I) -> CertificateStatus: ...

    @abstractmethod
    def _revoke(self, request: RevocationRequest, issuer: _I) -> RevocationAnswer: ...

    def _look_up_ours(self, request: RevocationRequest) -> CertificateStatus:
        issuer = self._given.issuers.get(request.issuer_key)
        if issuer is None:
            return status(request, StatusKind.UNKNOWN)
        return self._look_up(request, issuer)

    def _revoke_ours(self, request: RevocationRequest) -> RevocationAnswer:
        issuer = self._given.issuers.get(request.issuer_key)
        if issuer is None:
            return answer(request, AnswerKind.UNKNOWN, "its issuer is not configured")
        return self._revoke(request, issuer)


class ToldByCrl(OneByOne[_C, _I]):
    """
    A backend whose CA tells no status: its CRLs are looked at instead.

    Args:
        given: The options of the CA.
        published: Reads what it publishes.

    """

    def __init__(self, given: Given[_C, _I], published: PublishedPlaces) -> None:
        super().__init__(given)
        self._published = published

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        """
        Look at what is published; what is not listed is UNKNOWN.

        Raises:
            Unavailable: A CRL cannot be read.

        """
        listed: dict[str, dict[int, tuple[datetime, int | None]]] = {}
        for key in {request.issuer_key for request in requests}:
            if self.knows_issuer(key) and self._published.has_crl(key):
                listed[key] = published_revocations(
                    self._published,
                    issuer_key=key,
                    serials=[each.serial for each in requests],
                )
        for request in requests:
            found = listed.get(request.issuer_key, {}).get(request.serial)
            if found is None:
                yield status(request, StatusKind.UNKNOWN)
            else:
                revoked_at, code = found
                yield status(
                    request,
                    StatusKind.REVOKED,
                    revoked_at=revoked_at,
                    reason=Reason(code) if code in set(Reason) else None,
                )

    def _look_up(self, request: RevocationRequest, issuer: _I) -> CertificateStatus:
        del issuer
        return status(request, StatusKind.UNKNOWN)


def answer(
    request: RevocationRequest,
    kind: AnswerKind,
    detail: str = "",
    *,
    revoked_at: datetime | None = None,
    reason: Reason | None = None,
) -> RevocationAnswer:
    """Return what a CA said to a request."""
    return RevocationAnswer(
        certificate_id=request.certificate_id,
        kind=kind,
        detail=detail,
        revoked_at=revoked_at,
        reason=reason,
    )


def status(
    request: RevocationRequest,
    kind: StatusKind,
    *,
    revoked_at: datetime | None = None,
    reason: Reason | None = None,
) -> CertificateStatus:
    """Return what a CA has on record for a request."""
    return CertificateStatus(
        certificate_id=request.certificate_id,
        kind=kind,
        revoked_at=revoked_at,
        reason=reason,
    )
