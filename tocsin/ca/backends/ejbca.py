"""EJBCA: the Certificate Management REST API, version 1."""

from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, urlencode

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
    ExistingFile,
    Given,
    IssuerOptions,
    WebOptions,
    open_web,
    read_secret,
)
from tocsin.ca.transport.pacing import Trouble, TroubleKind
from tocsin.ca.transport.published import PublishedPlaces
from tocsin.ca.transport.web import Reply

# RevocationReasons.java: another spelling is answered 400.
_WORDS = {
    Reason.UNSPECIFIED: "UNSPECIFIED",
    Reason.KEY_COMPROMISE: "KEY_COMPROMISE",
    Reason.AFFILIATION_CHANGED: "AFFILIATION_CHANGED",
    Reason.SUPERSEDED: "SUPERSEDED",
    Reason.CESSATION_OF_OPERATION: "CESSATION_OF_OPERATION",
    Reason.PRIVILEGE_WITHDRAWN: "PRIVILEGES_WITHDRAWN",
}
_REASON_BY_WORD = {word: reason for reason, word in _WORDS.items()}


class EjbcaOptions(WebOptions):
    """The table [ca] for EJBCA; ``url`` ends in /ejbca/ejbca-rest-api."""

    rate_per_second: float = Field(
        default=10,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    at_once: int = Field(
        default=4, ge=1, le=64, description="Requests on their way at the same time."
    )
    token_file: ExistingFile | None = Field(
        default=None,
        description="File with an OAuth token. Absent: client_certificate_file says "
        "who we are.",
    )


class EjbcaIssuer(IssuerOptions):
    """A table [[issuer]] for EJBCA."""

    issuer_dn: str | None = Field(
        default=None,
        description="The issuer's name as EJBCA writes it. Absent: from its "
        "certificate, the common name first.",
    )


class Ejbca(OneByOne[EjbcaOptions, EjbcaIssuer]):
    """
    A ``CaBackend`` for EJBCA.

    202 means that a person has to approve it: not revoked. 409 is what it says of a
    certificate that is revoked already, and of one whose approval is waited for.
    """

    def __init__(self, given: Given[EjbcaOptions, EjbcaIssuer]) -> None:
        super().__init__(given)
        self._web = open_web(given.ca, headers=self._headers)

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        return self._options.capabilities(
            "ejbca",
            keeps_reasons=frozenset(Reason),
            safe_to_repeat=True,
            checks_unknown=True,
        )

    def _headers(self) -> dict[str, str]:
        if self._options.token_file is None:
            return {}
        return {"Authorization": f"Bearer {read_secret(self._options.token_file)}"}

    def _path(self, request: RevocationRequest, issuer: EjbcaIssuer) -> str:
        certificate = self._given.certificates[request.issuer_key]
        name = issuer.issuer_dn or certificate.subject.rfc4514_string()
        return f"/v1/certificate/{quote(name, safe='')}/{request.serial:x}"

    def _look_up(
        self, request: RevocationRequest, issuer: EjbcaIssuer
    ) -> CertificateStatus:
        path = self._path(request, issuer)
        reply = self._web.ask("GET", f"{path}/revocationstatus")
        if reply.status == HTTPStatus.NOT_FOUND:
            return status(request, StatusKind.UNKNOWN)
        if reply.status != HTTPStatus.OK:
            raise _trouble(reply)
        said = reply.json()
        if not said.get("revoked"):
            return status(request, StatusKind.GOOD)
        return status(
            request,
            StatusKind.REVOKED,
            revoked_at=_instant(said.get("revocation_date")),
            reason=_REASON_BY_WORD.get(said.get("revocation_reason") or ""),
        )

    def _revoke(
        self, request: RevocationRequest, issuer: EjbcaIssuer
    ) -> RevocationAnswer:
        query = urlencode({"reason": _WORDS[request.reason]})
        reply = self._web.ask("PUT", f"{self._path(request, issuer)}/revoke?{query}")
        match reply.status:
            case HTTPStatus.OK:
                said = reply.json()
                if not said.get("revoked"):
                    return answer(
                        request, AnswerKind.REFUSED, said.get("message") or reply.text
                    )
                return answer(
                    request,
                    AnswerKind.DONE,
                    revoked_at=_instant(said.get("revocation_date")),
                    reason=_REASON_BY_WORD.get(said.get("revocation_reason") or ""),
                )
            case HTTPStatus.ACCEPTED:
                return answer(request, AnswerKind.PENDING_APPROVAL, reply.text)
            case HTTPStatus.CONFLICT:
                found = self._look_up(request, issuer)
                return answer(
                    request,
                    AnswerKind.ALREADY
                    if found.kind is StatusKind.REVOKED
                    else AnswerKind.PENDING_APPROVAL,
                    _message(reply),
                    revoked_at=found.revoked_at,
                    reason=found.reason,
                )
            case HTTPStatus.NOT_FOUND:
                return answer(request, AnswerKind.UNKNOWN, _message(reply))
            case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
                return answer(request, AnswerKind.REFUSED, _message(reply))
            case _:
                raise _trouble(reply)


def open_ejbca(
    given: Given[EjbcaOptions, EjbcaIssuer],
) -> tuple[Ejbca, PublishedPlaces]:
    """Return the backend, and a reader of the places that the options name."""
    return Ejbca(given), given.publication()


def _message(reply: Reply) -> str:
    try:
        return str(reply.json()["error_message"])
    except (Trouble, KeyError, TypeError):
        return reply.text


def _trouble(reply: Reply) -> Trouble:
    if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
        # The CA or its key is offline: a person has to activate it.
        return Trouble(f"HTTP 503: {_message(reply)}", kind=TroubleKind.AWAY)
    return reply.trouble(_message(reply))


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


BACKEND = BackendKind(
    title="EJBCA, REST API",
    tried="its documentation only",
    ca=EjbcaOptions,
    issuer=EjbcaIssuer,
    open=open_ejbca,
)
