"""step-ca: its revoke endpoint, with a one-time token of a JWK provisioner."""

import json
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from josepy.errors import Error as JoseError
from josepy.json_util import encode_b64jose
from josepy.jwa import ES256, RS256
from josepy.jwk import JWK, JWKEC, JWKRSA
from josepy.jws import JWS
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
from tocsin.ca.transport.pacing import Trouble
from tocsin.ca.transport.published import PublishedPlaces
from tocsin.ca.transport.web import Reply
from tocsin.clock import Clock, SystemClock
from tocsin.errors import BadInput, Unavailable

_TOKEN_WITHIN = timedelta(minutes=5)
_SKEW = timedelta(minutes=1)


class StepCaOptions(WebOptions):
    """The table [ca] for step-ca."""

    rate_per_second: float = Field(
        default=20,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    at_once: int = Field(
        default=2, ge=1, le=64, description="Requests on their way at the same time."
    )
    provisioner: str = Field(description="The name of a JWK provisioner.")
    provisioner_key_file: ExistingFile = Field(
        description="Its private key, PEM, not encrypted (EC P-256 or RSA)."
    )


class StepCa(ToldByCrl[StepCaOptions, IssuerOptions]):
    """
    A ``CaBackend`` for step-ca.

    It takes any serial for one of its own and stores it as revoked; it tells no status.
    A repeat is answered 400, "already revoked", and changes nothing.
    """

    def __init__(
        self,
        given: Given[StepCaOptions, IssuerOptions],
        published: PublishedPlaces,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(given, published)
        self._clock = clock or SystemClock()
        self._web = open_web(given.ca)
        self._key = _read_key(given.ca)

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        return self._options.capabilities(
            "step-ca",
            # Its database keeps the reason; its CRL has none.
            keeps_reasons=frozenset({Reason.UNSPECIFIED}),
            safe_to_repeat=True,
            checks_unknown=False,
            tells_status=False,
        )

    def probe(self, issuer_key: str) -> str:
        """
        Ask for its health; a revocation cannot be tried, since it takes any serial.

        Raises:
            Unavailable: It does not answer.

        """
        del issuer_key
        reply = self._pacer.once(lambda: self._web.ask("GET", "/health"))
        if reply.status != HTTPStatus.OK or reply.json().get("status") != "ok":
            raise Unavailable(f"its health is: {reply.text}")
        return "it is well; whether it takes our tokens can only be tried on the day"

    def remarks(self, issuer_key: str) -> Iterator[str]:
        """Say what has to be set up at the CA."""
        del issuer_key
        yield (
            "crl.enabled and crl.generateOnRevoke decide when its CRL shows anything: "
            "without them nothing is published"
        )

    def _revoke(
        self, request: RevocationRequest, issuer: IssuerOptions
    ) -> RevocationAnswer:
        del issuer
        serial = str(request.serial)
        reply = self._web.ask(
            "POST",
            "/1.0/revoke",
            data={
                "serial": serial,
                "ott": self._token(serial),
                "reasonCode": int(request.reason),
                "reason": request.reason.label,
                "passive": True,  # the only kind there is
            },
        )
        message = _message(reply)
        if reply.status == HTTPStatus.OK and reply.json().get("status") == "ok":
            return answer(request, AnswerKind.DONE)
        if "already revoked" in message:
            return answer(request, AnswerKind.ALREADY, message)
        if reply.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_IMPLEMENTED):
            return answer(request, AnswerKind.REFUSED, message)
        raise reply.trouble(message)

    def _token(self, serial: str) -> str:
        now = self._clock.now()
        claims = {
            "iss": self._options.provisioner,
            "aud": f"{self._options.url}/1.0/revoke",
            "sub": serial,
            "jti": uuid4().hex,
            "iat": int(now.timestamp()),
            "nbf": int((now - _SKEW).timestamp()),
            "exp": int((now + _TOKEN_WITHIN).timestamp()),
        }
        signed = JWS.sign(
            json.dumps(claims).encode(),
            key=self._key,
            alg=RS256 if isinstance(self._key, JWKRSA) else ES256,
            include_jwk=False,
            protect=frozenset({"alg", "kid"}),
            kid=encode_b64jose(self._key.thumbprint(hash_function=hashes.SHA256)),
        )
        return str(signed.to_compact().decode())


def open_step_ca(
    given: Given[StepCaOptions, IssuerOptions],
) -> tuple[StepCa, PublishedPlaces]:
    """Return the backend, and a reader of its CRL."""
    places: dict[str, tuple[tuple[str, ...], str | None]] = dict.fromkeys(
        given.issuers, ((f"{given.ca.url}/1.0/crl",), None)
    )
    published = given.publication(places)
    return StepCa(given, published), published


def _read_key(options: StepCaOptions) -> JWK:
    file = options.provisioner_key_file
    try:
        key = JWK.load(file.read_bytes())
    except JoseError as error:
        raise BadInput(f"no private key in PEM: {error}", file=str(file)) from error
    if not isinstance(key, JWKRSA | JWKEC):
        raise BadInput("no RSA or EC key in PEM", file=str(file))
    return key


def _message(reply: Reply) -> str:
    try:
        return str(reply.json().get("message") or reply.text)
    except (Trouble, AttributeError):
        return reply.text


BACKEND = BackendKind(
    title="step-ca",
    tried="its source code only",
    ca=StepCaOptions,
    issuer=IssuerOptions,
    open=open_step_ca,
)
