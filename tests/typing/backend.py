"""
A backend of another package: only type-checked, as an example to begin from.

Its package names it in its metadata::

    [project.entry-points."tocsin.backends"]
    notary = "notary_backend:BACKEND"

and TOCSIN_CA_BACKEND=notary chooses it. Its tests derive from
``tocsin.ca.contract.BackendContract``.
"""

from http import HTTPStatus

from pydantic import Field

from models.terms import Reason
from tocsin.ca.backend import (
    AnswerKind,
    CaBackend,
    Capabilities,
    CertificateStatus,
    Publication,
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


class NotaryOptions(WebOptions):
    """The table [ca]."""

    rate_per_second: float = Field(
        default=10, gt=0, description="Revocations the CA takes per second."
    )
    token_file: ExistingFile = Field(description="File with the API's token.")


class Notary(OneByOne[NotaryOptions, IssuerOptions]):
    """Revokes at a CA that keeps every reason and answers a repeat with 409."""

    def __init__(self, given: Given[NotaryOptions, IssuerOptions]) -> None:
        super().__init__(given)
        self._web = open_web(
            given.ca,
            headers=lambda: {"Authorization": read_secret(given.ca.token_file)},
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._options.capabilities(
            "notary",
            keeps_reasons=frozenset(Reason),
            safe_to_repeat=True,
            checks_unknown=True,
        )

    def _look_up(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> CertificateStatus:
        del issuer
        reply = self._web.ask("GET", f"/certificates/{request.serial:x}")
        if reply.status != HTTPStatus.OK:
            raise reply.trouble()
        return status(request, StatusKind(reply.json()["status"]))

    def _revoke(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> RevocationAnswer:
        del issuer
        reply = self._web.ask(
            "PUT",
            f"/certificates/{request.serial:x}/revocation",
            data={"reason": request.reason.label},
        )
        kinds = {
            HTTPStatus.OK: AnswerKind.DONE,
            HTTPStatus.CONFLICT: AnswerKind.ALREADY,
            HTTPStatus.NOT_FOUND: AnswerKind.UNKNOWN,
        }
        if reply.status not in kinds:
            raise reply.trouble()
        return answer(request, kinds[HTTPStatus(reply.status)])


def open_notary(
    given: Given[NotaryOptions, IssuerOptions],
) -> tuple[CaBackend, Publication]:
    return Notary(given), given.publication()


BACKEND = BackendKind(
    title="the notary's CA",
    tried="nothing: an example",
    ca=NotaryOptions,
    issuer=IssuerOptions,
    open=open_notary,
)
