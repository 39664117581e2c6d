"""Any CA that speaks ACME: revokeCert of RFC 8555 section 7.6."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from acme import jws
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.errors import Error as JoseError
from josepy.json_util import decode_b64jose, encode_b64jose
from josepy.jwa import ES256, ES384, ES512, RS256, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA
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
    WebOptions,
    open_web,
)
from tocsin.ca.transport.pacing import Trouble, TroubleKind
from tocsin.ca.transport.published import PublishedPlaces
from tocsin.ca.transport.web import Reply, Web
from tocsin.errors import BadInput, Unavailable

_PROBLEM = "urn:ietf:params:acme:error:"
_NONCES_TRIED = 4
_JOSE = {"Content-Type": "application/jose+json"}
_ALGORITHM_BY_BITS = {256: ES256, 384: ES384, 521: ES512}
# How servers say that they never issued it; RFC 8555 has no problem type for that.
_NOT_OURS = ("unable to find", "no such cert", "unrecognized issuer", "not found")


class AcmeOptions(WebOptions):
    """The table [ca] for ACME."""

    rate_per_second: float = Field(
        default=20,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    account_key_file: ExistingFile = Field(
        description="The key of the account that may revoke, PEM."
    )
    account_url: str | None = Field(
        default=None, description="The account. Absent: asked for with its key."
    )
    at_once: int = Field(
        default=1, ge=1, le=16, description="Requests on their way at the same time."
    )
    keeps_reasons: tuple[str, ...] = Field(
        # What Let's Encrypt takes from subscribers.
        default=("unspecified", "keyCompromise", "superseded", "cessationOfOperation"),
        description="Reasons the CA takes over this interface; others are not sent.",
    )


AcmeGiven = Given[AcmeOptions, IssuerOptions]


def open_acme(given: AcmeGiven) -> tuple["Acme", PublishedPlaces]:
    """Return the backend, and a reader of the places that the options name."""
    published = given.publication()
    return Acme(given, published), published


class Acme(ToldByCrl[AcmeOptions, IssuerOptions]):
    """
    A ``CaBackend`` for CAs that speak ACME.

    It sends the certificate as it came in: what a library refuses to parse is revoked
    like any other. ACME tells neither status nor time; a repeat is answered
    "alreadyRevoked" and changes nothing.
    """

    def __init__(self, given: AcmeGiven, published: PublishedPlaces) -> None:
        super().__init__(given, published)
        self._key = _read_key(given.ca.account_key_file)
        self._server = _Server(given.ca)
        self._lock = Lock()
        self._account = given.ca.account_url

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do, as far as ACME goes."""
        return self._options.capabilities(
            "acme",
            keeps_reasons=frozenset(r for r in Reason if self._sends(r)),
            safe_to_repeat=True,
            checks_unknown=True,
            needs_certificate=True,
            tells_status=False,
        )

    def probe(self, issuer_key: str) -> str:
        """
        Ask for the revocation of the issuer's own certificate, which no account holds.

        Raises:
            Unavailable: The CA does not answer, or does not know the account.

        """
        certificate = self._given.certificates[issuer_key].public_bytes(Encoding.DER)
        reply = self._pacer.once(lambda: self._ask_to_revoke(certificate, None))
        problem, detail = _problem(reply)
        if reply.status == HTTPStatus.OK:
            raise Unavailable("the CA revoked what no account holds: tell its people")
        if problem in ("malformed", "unauthorized", "notFound"):
            return f"the account is known; what it does not hold is refused ({detail})"
        raise _trouble(reply)

    def remarks(self, issuer_key: str) -> Iterator[str]:
        """Say what ACME leaves out."""
        yield (
            "an account can revoke what it ordered, or holds authorisations for: have "
            "the CA confirm that this one may revoke everything"
        )
        if not self._given.issuers[issuer_key].crl:
            yield "no crl: nothing can be proven as published"

    def _sends(self, reason: Reason) -> bool:
        return reason.label in self._options.keeps_reasons

    def _revoke(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> RevocationAnswer:
        del issuer  # the certificate says enough
        if request.certificate is None:
            return answer(
                request,
                AnswerKind.REFUSED,
                "ACME needs the certificate: import it instead of its serial",
            )
        # Better revoked without a reason than not revoked.
        reason = request.reason if self._sends(request.reason) else None
        reply = self._ask_to_revoke(request.certificate, reason)
        if reply.status == HTTPStatus.OK:
            return answer(request, AnswerKind.DONE)
        problem, detail = _problem(reply)
        match problem:
            case "alreadyRevoked":
                return answer(request, AnswerKind.ALREADY, detail)
            case "badRevocationReason" | "unauthorized":
                return answer(request, AnswerKind.REFUSED, detail)
            case "malformed" | "notFound":
                is_unknown = any(word in detail.lower() for word in _NOT_OURS)
                kind = AnswerKind.UNKNOWN if is_unknown else AnswerKind.REFUSED
                return answer(request, kind, detail)
            case _:
                raise _trouble(reply)

    def _ask_to_revoke(self, certificate: bytes, reason: Reason | None) -> Reply:
        payload: dict[str, Any] = {"certificate": encode_b64jose(certificate)}
        if reason:  # RFC 8555 section 7.6: absent, it is published without one
            payload["reason"] = int(reason)
        url = self._server.directory()["revokeCert"]
        return self._server.post(url, payload, key=self._key, account=self._who())

    def _who(self) -> str:
        with self._lock:
            if self._account is None:
                reply = self._server.post(
                    self._server.directory()["newAccount"],
                    {"onlyReturnExisting": True},
                    key=self._key,
                    account=None,
                )
                if reply.status != HTTPStatus.OK:
                    raise _trouble(reply)
                self._account = reply.headers["Location"]
            return self._account


class _Server:
    """Speaks ACME's envelope: directory, nonces, signatures."""

    def __init__(self, options: AcmeOptions) -> None:
        self._options = options
        self._webs: dict[str, Web] = {}
        self._nonces: list[str] = []
        self._directory: dict[str, str] = {}

    def directory(self) -> dict[str, str]:
        if not self._directory:
            reply = self._ask("GET", self._options.url)
            if reply.status != HTTPStatus.OK:
                raise reply.trouble()
            self._directory = reply.json()
        return self._directory

    def post(
        self, url: str, payload: dict[str, Any], *, key: JWK, account: str | None
    ) -> Reply:
        """Sign and send; again where the nonce is not taken (section 6.5)."""
        detail = ""
        for _ in range(_NONCES_TRIED):
            reply = self._post_once(url, payload, key=key, account=account)
            problem, detail = _problem(reply)
            if problem != "badNonce":
                return reply
        raise Trouble(f"no nonce is taken: {detail}", kind=TroubleKind.FAILED)

    def _post_once(
        self, url: str, payload: dict[str, Any], *, key: JWK, account: str | None
    ) -> Reply:
        signed = jws.JWS.sign(
            json.dumps(payload).encode(),
            key=key,
            alg=_algorithm(key),
            nonce=decode_b64jose(self._nonce()),
            url=url,
            kid=account,
        )
        reply = self._ask("POST", url, signed.json_dumps().encode())
        if nonce := reply.headers.get("Replay-Nonce"):
            self._nonces.append(nonce)
        return reply

    def _nonce(self) -> str:
        try:
            return self._nonces.pop()
        except IndexError:
            reply = self._ask("HEAD", self.directory()["newNonce"])
            return reply.headers["Replay-Nonce"]

    def _ask(self, method: str, url: str, body: bytes | None = None) -> Reply:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._webs:
            self._webs[origin] = open_web(
                self._options.model_copy(update={"url": origin})
            )
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return self._webs[origin].ask(method, path, body=body, headers=_JOSE)


def _read_key(file: Path) -> JWK:
    try:
        key = JWK.load(file.read_bytes())
    except JoseError as error:
        raise BadInput(f"no private key in PEM: {error}", file=str(file)) from error
    if not isinstance(key, JWKRSA | JWKEC):
        raise BadInput("no RSA or EC key in PEM", file=str(file))
    return key


def _algorithm(key: JWK) -> JWASignature:
    inner = getattr(key.key, "_wrapped", None)
    if isinstance(inner, ec.EllipticCurvePrivateKey):
        return _ALGORITHM_BY_BITS[inner.curve.key_size]
    return RS256


def _problem(reply: Reply) -> tuple[str, str]:
    """Return the type of an ACME problem, without its prefix, and its words."""
    if reply.status < HTTPStatus.BAD_REQUEST:
        return "", ""
    try:
        problem = reply.json()
        return str(problem.get("type", "")).removeprefix(_PROBLEM), str(
            problem.get("detail", "")
        )
    except (Trouble, AttributeError):
        return "", reply.text


def _trouble(reply: Reply) -> Trouble:
    problem, detail = _problem(reply)
    if problem == "accountDoesNotExist":
        return Trouble(
            f"the CA does not know our key: {detail}", kind=TroubleKind.BARRED
        )
    if problem == "rateLimited":
        return Trouble(detail, kind=TroubleKind.BUSY, retry_after=reply.retry_after)
    return reply.trouble(f"{problem} {detail}".strip())


BACKEND = BackendKind(
    title="any CA that speaks ACME (RFC 8555)",
    tried="Pebble, Let's Encrypt's test server",
    ca=AcmeOptions,
    issuer=IssuerOptions,
    open=open_acme,
)
