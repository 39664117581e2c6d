"""DigiCert CertCentral: its Services API."""

from http import HTTPStatus
from typing import Any

from pydantic import Field

from models.terms import Reason
from tocsin.ca.backend import (
    AnswerKind,
    Capabilities,
    RevocationAnswer,
    RevocationRequest,
)
from tocsin.ca.one_by_one import ToldByCrl, answer
from tocsin.ca.options import (
    BackendKind,
    ExistingFile,
    Given,
    IssuerOptions,
    LimitOptions,
    Url,
    WebOptions,
    open_web,
    read_secret,
)
from tocsin.ca.transport.pacing import Trouble
from tocsin.ca.transport.published import PublishedPlaces
from tocsin.ca.transport.web import Reply
from tocsin.errors import Unavailable

_WORDS = {
    Reason.UNSPECIFIED: "unspecified",
    Reason.KEY_COMPROMISE: "key_compromise",
    Reason.AFFILIATION_CHANGED: "affiliation_changed",
    Reason.SUPERSEDED: "superseded",
    Reason.CESSATION_OF_OPERATION: "cessation_of_operation",
    Reason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
}


class DigiCertOptions(WebOptions):
    """The table [ca] for DigiCert CertCentral."""

    url: Url = Field(
        default="https://www.digicert.com/services/v2",
        description="Where the CA's API is.",
    )
    rate_per_second: float = Field(
        default=3,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    # dev.digicert.com, "rate limits": both hold at any instant.
    limits: tuple[LimitOptions, ...] = Field(
        default=(
            LimitOptions(calls=1000, seconds=300),
            LimitOptions(calls=100, seconds=5),
        ),
        description="Limits the CA publishes; all of them are kept.",
    )
    at_once: int = Field(
        default=2, ge=1, le=16, description="Requests on their way at the same time."
    )
    api_key_file: ExistingFile = Field(
        description="File with an API key that has administrator's rights: others "
        "cannot skip the approval."
    )
    comments: str = Field(
        default="mass revocation", description="What CertCentral keeps with each."
    )


class DigiCert(ToldByCrl[DigiCertOptions, IssuerOptions]):
    """
    A ``CaBackend`` for DigiCert CertCentral.

    204 without a body is the only "done". A body means that a request was filed: what
    its status says is not "revoked" until an administrator has approved it.
    """

    def __init__(
        self, given: Given[DigiCertOptions, IssuerOptions], published: PublishedPlaces
    ) -> None:
        super().__init__(given, published)
        self._web = open_web(
            given.ca,
            headers=lambda: {"X-DC-DEVKEY": read_secret(given.ca.api_key_file)},
        )

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do, as far as its documentation tells."""
        return self._options.capabilities(
            "digicert",
            keeps_reasons=frozenset(Reason),
            safe_to_repeat=False,  # not documented
            checks_unknown=True,
            tells_status=False,
        )

    def probe(self, issuer_key: str) -> str:
        """
        Ask whose key it is.

        Raises:
            Unavailable: The API does not answer, or does not know the key.

        """
        del issuer_key
        reply = self._pacer.once(lambda: self._web.ask("GET", "/user/me"))
        if reply.status != HTTPStatus.OK:
            raise _trouble(reply)
        roles = [role.get("name", "") for role in reply.json().get("access_roles", [])]
        if not any("admin" in role.lower() for role in roles):
            raise Unavailable(
                "the key is not an administrator's: every revocation would wait for "
                "an approval"
            )
        return "the key is an administrator's"

    def remarks(self, issuer_key: str) -> list[str]:
        """Say what its documentation warns of."""
        del issuer_key
        return [
            "a certificate whose reissue is pending cannot be revoked: cancel those"
        ]

    def _revoke(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> RevocationAnswer:
        del issuer
        reply = self._web.ask(
            "PUT",
            f"/certificate/{request.serial:X}/revoke",
            data={
                "skip_approval": True,
                "revocation_reason": _WORDS[request.reason],
                "comments": self._options.comments,
            },
        )
        if reply.status == HTTPStatus.NO_CONTENT:
            return answer(request, AnswerKind.DONE)
        if reply.status < HTTPStatus.BAD_REQUEST:
            filed = str(_body(reply).get("status") or reply.text)
            kind = (
                AnswerKind.REFUSED
                if filed == "rejected"
                else AnswerKind.PENDING_APPROVAL
            )
            return answer(request, kind, f"CertCentral filed a request: {filed}")
        message = _message(reply)
        if "already" in message and "revoked" in message:
            return answer(request, AnswerKind.ALREADY, message)
        if reply.status == HTTPStatus.NOT_FOUND:
            return answer(request, AnswerKind.UNKNOWN, message)
        if reply.status == HTTPStatus.BAD_REQUEST:
            return answer(request, AnswerKind.REFUSED, message)
        raise _trouble(reply)


def open_digicert(
    given: Given[DigiCertOptions, IssuerOptions],
) -> tuple[DigiCert, PublishedPlaces]:
    """Return the backend, and a reader of the places that the options name."""
    published = given.publication()
    return DigiCert(given, published), published


def _body(reply: Reply) -> dict[str, Any]:
    try:
        found = reply.json()
    except Trouble:
        return {}
    return found if isinstance(found, dict) else {}


def _message(reply: Reply) -> str:
    errors = _body(reply).get("errors") or []
    said = "; ".join(f"{e.get('code')}: {e.get('message')}" for e in errors)
    return said or reply.text


def _trouble(reply: Reply) -> Trouble:
    return reply.trouble(_message(reply))


BACKEND = BackendKind(
    title="DigiCert CertCentral, Services API",
    tried="its documentation only",
    ca=DigiCertOptions,
    issuer=IssuerOptions,
    open=open_digicert,
)
