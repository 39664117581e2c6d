"""Sectigo: the partner API's AutoRevokeSSL."""

from http import HTTPStatus

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
    Url,
    WebOptions,
    open_web,
    read_secret,
)
from tocsin.ca.transport.pacing import Trouble, TroubleKind
from tocsin.ca.transport.published import PublishedPlaces

# docs.sectigo.com/sps/auto-revoke-ssl: codeReason 0, 1, 3, 4 and 5.
_KEEPS = frozenset(Reason) - {Reason.PRIVILEGE_WITHDRAWN}
_BARRED = frozenset({-16, -17})  # permission denied; wrong method
_UNKNOWN_ERROR = -14


class SectigoOptions(WebOptions):
    """The table [ca] for Sectigo."""

    url: Url = Field(
        default="https://secure.trust-provider.com/products",
        description="Where the CA's API is.",
    )
    rate_per_second: float = Field(
        default=2,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    login_name: str = Field(description="The account.")
    password_file: ExistingFile = Field(description="File with its password.")
    comment: str = Field(
        default="mass revocation", description="What the account keeps with each."
    )


class Sectigo(ToldByCrl[SectigoOptions, IssuerOptions]):
    """
    A ``CaBackend`` for Sectigo's partner API.

    HTTP says 200 whatever happened: the first line of the body is the answer, 0 or a
    negative code.
    """

    def __init__(
        self, given: Given[SectigoOptions, IssuerOptions], published: PublishedPlaces
    ) -> None:
        super().__init__(given, published)
        self._web = open_web(given.ca)

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do, as far as its documentation tells."""
        return self._options.capabilities(
            "sectigo",
            keeps_reasons=_KEEPS,
            safe_to_repeat=False,  # not documented
            checks_unknown=True,
            tells_status=False,
        )

    def probe(self, issuer_key: str) -> str:
        """
        Ask for the revocation of the issuer's own serial, as a test that does nothing.

        Raises:
            Unavailable: The API does not answer, or not to this account.

        """
        serial = self._given.certificates[issuer_key].serial_number
        code, words = self._pacer.once(
            lambda: self._ask(serial, Reason.SUPERSEDED, test=True)
        )
        if code in _BARRED:
            raise Trouble(words, kind=TroubleKind.BARRED)
        return f"a test call is answered {code}: {words}"

    def remarks(self, issuer_key: str) -> list[str]:
        """Say what its documentation leaves open."""
        del issuer_key
        return [
            "how many calls a second it takes is not documented: ask before the day"
        ]

    def _revoke(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> RevocationAnswer:
        del issuer
        # Better revoked without a reason than not revoked.
        reason = request.reason if request.reason in _KEEPS else Reason.UNSPECIFIED
        code, words = self._ask(request.serial, reason)
        if code == 0:
            return answer(request, AnswerKind.DONE)
        if code in _BARRED:
            raise Trouble(words, kind=TroubleKind.BARRED)
        if code == _UNKNOWN_ERROR:
            raise Trouble(words, kind=TroubleKind.FAILED)
        said = words.lower()
        if "already" in said and "revoked" in said:
            return answer(request, AnswerKind.ALREADY, words)
        if "not found" in said or "unknown" in said:
            return answer(request, AnswerKind.UNKNOWN, words)
        return answer(request, AnswerKind.REFUSED, words)

    def _ask(
        self, serial: int, reason: Reason, *, test: bool = False
    ) -> tuple[int, str]:
        """Return the code and the words; what has no code is no answer."""
        reply = self._web.ask(
            "POST",
            "/!AutoRevokeSSL",
            form={
                "loginName": self._options.login_name,
                "loginPassword": read_secret(self._options.password_file),
                "serialNumber": f"{serial:X}",
                "codeReason": str(int(reason)),
                "revocationReason": self._options.comment,
                "test": "Y" if test else "N",
                # N would mark it as replaced, and leave it valid.
                "includeInCRL": "Y",
            },
        )
        if reply.status != HTTPStatus.OK:
            raise reply.trouble()
        first, _, rest = reply.body.decode("utf-8", "replace").partition("\n")
        try:
            code = int(first)
        except ValueError as error:
            message = f"no answer of this API: {reply.text}"
            raise Trouble(message, kind=TroubleKind.FAILED) from error
        return code, f"{code}: {' '.join(rest.split())}"


def open_sectigo(
    given: Given[SectigoOptions, IssuerOptions],
) -> tuple[Sectigo, PublishedPlaces]:
    """Return the backend, and a reader of the places that the options name."""
    published = given.publication()
    return Sectigo(given, published), published


BACKEND = BackendKind(
    title="Sectigo, partner API (AutoRevokeSSL)",
    tried="its documentation only",
    ca=SectigoOptions,
    issuer=IssuerOptions,
    open=open_sectigo,
)
