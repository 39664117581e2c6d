"""Dogtag and Red Hat Certificate System: the agents' REST API."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pydantic import Field

from models.terms import Reason
from tocsin.ca.backend import (
    AnswerKind,
    Capabilities,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
    StatusKind,
)
from tocsin.ca.one_by_one import OneByOne, answer, status
from tocsin.ca.options import (
    BackendKind,
    Given,
    IssuerOptions,
    WebOptions,
    open_web,
)
from tocsin.ca.transport.pacing import Trouble
from tocsin.ca.transport.published import PublishedPlaces
from tocsin.ca.transport.web import Reply

# CertRevokeRequest: what is not among these words is revoked as Unspecified, silently.
_WORDS = {
    Reason.UNSPECIFIED: "Unspecified",
    Reason.KEY_COMPROMISE: "Key_Compromise",
    Reason.AFFILIATION_CHANGED: "Affiliation_Changed",
    Reason.SUPERSEDED: "Superseded",
    Reason.CESSATION_OF_OPERATION: "Cessation_of_Operation",
    Reason.PRIVILEGE_WITHDRAWN: "Privilege_Withdrawn",
}


class DogtagOptions(WebOptions):
    """The table [ca] for Dogtag; ``url`` is the server, without /ca."""

    rate_per_second: float = Field(
        default=5,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    api: str = Field(
        default="rest", pattern="^(rest|v2)$", description="rest, or v2 from 11.6 on."
    )
    comments: str = Field(
        default="mass revocation", description="What the CA keeps with each request."
    )


class Dogtag(OneByOne[DogtagOptions, IssuerOptions]):
    """
    A ``CaBackend`` for Dogtag.

    The nonce that each revocation needs comes with the certificate's record, in the
    session that asks for it: so the record is read before each call in any case.
    """

    def __init__(self, given: Given[DogtagOptions, IssuerOptions]) -> None:
        super().__init__(given)
        self._web = open_web(given.ca)

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        return self._options.capabilities(
            "dogtag",
            keeps_reasons=frozenset(Reason),
            safe_to_repeat=True,
            checks_unknown=True,
        )

    def _read(self, request: RevocationRequest) -> Reply:
        return self._web.ask(
            "GET", self._path(request), headers={"Accept": "application/json"}
        )

    def _path(self, request: RevocationRequest) -> str:
        return f"/ca/{self._options.api}/agent/certs/0x{request.serial:x}"

    def _look_up(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> CertificateStatus:
        del issuer  # a server is one CA
        reply = self._read(request)
        if reply.status == HTTPStatus.NOT_FOUND:
            return status(request, StatusKind.UNKNOWN)
        if reply.status != HTTPStatus.OK:
            raise reply.trouble()
        return _status(request, reply.json())

    def _revoke(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> RevocationAnswer:
        del issuer
        record = self._read(request)
        if record.status == HTTPStatus.NOT_FOUND:
            return answer(request, AnswerKind.UNKNOWN, record.text)
        if record.status != HTTPStatus.OK:
            raise record.trouble()
        found = _status(request, record.json())
        if found.kind is StatusKind.REVOKED:
            return answer(
                request,
                AnswerKind.ALREADY,
                revoked_at=found.revoked_at,
                reason=found.reason,
            )
        reply = self._web.ask(
            "POST",
            f"{self._path(request)}/revoke",
            data={
                "Reason": _WORDS[request.reason],
                "Comments": self._options.comments,
                "Nonce": record.json().get("Nonce"),
            },
            headers={
                "Accept": "application/json",
                "Cookie": record.headers.get("Set-Cookie", "").partition(";")[0],
            },
        )
        return self._meaning(request, reply)

    def _meaning(self, request: RevocationRequest, reply: Reply) -> RevocationAnswer:
        if reply.status == HTTPStatus.OK:
            said = reply.json()
            if said.get("requestStatus") == "pending":
                return answer(request, AnswerKind.PENDING_APPROVAL, reply.text)
            if said.get("operationResult") != "success":
                detail = str(said.get("errorMessage") or reply.text)
                return answer(request, AnswerKind.REFUSED, detail)
            record = self._read(request)
            found = _status(request, record.json())
            return answer(
                request,
                AnswerKind.DONE,
                revoked_at=found.revoked_at,
                reason=found.reason,
            )
        if reply.status == HTTPStatus.BAD_REQUEST:
            # "already revoked" too: what is, was seen before, or is at the next try.
            return answer(request, AnswerKind.REFUSED, _message(reply))
        if reply.status == HTTPStatus.NOT_FOUND:
            return answer(request, AnswerKind.UNKNOWN, _message(reply))
        raise reply.trouble(_message(reply))


def open_dogtag(
    given: Given[DogtagOptions, IssuerOptions],
) -> tuple[Dogtag, PublishedPlaces]:
    """Return the backend, and a reader of the places that the options name."""
    return Dogtag(given), given.publication()


def _status(request: RevocationRequest, record: dict[str, Any]) -> CertificateStatus:
    if not str(record.get("Status", "")).startswith("REVOKED"):
        return status(request, StatusKind.GOOD)
    code = record.get("RevocationReason")
    return status(
        request,
        StatusKind.REVOKED,
        revoked_at=_instant(record.get("RevokedOn")),
        reason=Reason(code) if code in set(Reason) else None,
    )


def _instant(value: object) -> datetime | None:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC)  # milliseconds, as in Java
    if isinstance(value, str) and value:
        return datetime.fromisoformat(value).astimezone(UTC)
    return None


def _message(reply: Reply) -> str:
    try:
        return str(reply.json()["Message"])
    except (Trouble, KeyError, TypeError):
        return reply.text


BACKEND = BackendKind(
    title="Dogtag and Red Hat Certificate System, agents' REST API",
    tried="its documentation only",
    ca=DogtagOptions,
    issuer=IssuerOptions,
    open=open_dogtag,
)
