"""OpenBao and HashiCorp Vault: the PKI secrets engine, over its HTTP API."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from secrets import randbits
from ssl import DER_cert_to_PEM_cert
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

_LONG_AGO = datetime.fromtimestamp(0, UTC)


class OpenBaoOptions(WebOptions):
    """The table [ca] for OpenBao and Vault."""

    # Measured: 1,200 a second with auto_rebuild, and 28 without it once 4,000 are
    # revoked, since each revocation then writes the whole CRL.
    rate_per_second: float = Field(
        default=200,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    at_once: int = Field(
        default=4, ge=1, le=64, description="Requests on their way at the same time."
    )
    token_file: ExistingFile = Field(
        description="File with a token that may update MOUNT/revoke, read MOUNT/cert/* "
        "and, to rotate, read MOUNT/crl/rotate."
    )
    namespace: str | None = Field(
        default=None, description="The namespace of the mounts. Absent: the root."
    )
    rotate: bool = Field(
        default=True,
        description="Have the CRL rebuilt after revoking; false where the CA does it "
        "by itself often enough.",
    )
    by_certificate: bool = Field(
        default=False,
        description="Send the certificate where its serial is not found: for roles "
        "with no_store.",
    )


class OpenBaoIssuer(IssuerOptions):
    """A table [[issuer]] for OpenBao and Vault."""

    mount: str = Field(default="pki", description="The mount of the PKI engine.")


OpenBaoGiven = Given[OpenBaoOptions, OpenBaoIssuer]


def open_openbao(given: OpenBaoGiven) -> tuple["OpenBao", PublishedPlaces]:
    """Return the backend, and a reader of what the mounts publish."""
    places = {}
    for key, issuer in given.issuers.items():
        base = f"{given.ca.url}/v1/{issuer.mount}"
        places[key] = ((f"{base}/crl",), f"{base}/ocsp")
    return OpenBao(given), given.publication(places)


class OpenBao(OneByOne[OpenBaoOptions, OpenBaoIssuer]):
    """
    A ``CaBackend`` for mounts of the PKI secrets engine.

    The engine keeps no reasons at all. Its HTTP status says nothing about a
    certificate: revoked is what ``data.state`` calls so.
    """

    def __init__(self, given: OpenBaoGiven) -> None:
        super().__init__(given)
        self._web = open_web(given.ca, headers=self._headers)
        self._server_time = _ServerTime()

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        return self._options.capabilities(
            "openbao",
            keeps_reasons=frozenset({Reason.UNSPECIFIED}),
            safe_to_repeat=True,
            checks_unknown=True,
            needs_certificate=self._options.by_certificate,
        )

    def publish(self, issuer_key: str) -> None:
        """
        Have the CRL rebuilt, unless the CA does that by itself.

        Raises:
            Unavailable: The CA does not answer, or the token may not rotate.

        """
        issuer = self._given.issuers.get(issuer_key)
        if issuer is None or not self._options.rotate:
            return
        reply = self._ask("GET", f"{issuer.mount}/crl/rotate")
        if reply.status == HTTPStatus.FORBIDDEN:
            raise Trouble(
                f"the token may not read {issuer.mount}/crl/rotate: allow it, or set "
                "rotate = false",
                kind=TroubleKind.BARRED,
            )
        if reply.status != HTTPStatus.OK:
            raise _trouble(reply)

    def probe(self, issuer_key: str) -> str:
        """
        Ask for the revocation of a serial that was never issued.

        Raises:
            Unavailable: The CA does not answer, or the token may not revoke.

        """
        mount = self._given.issuers[issuer_key].mount
        reply = self._pacer.once(lambda: self._ask_to_revoke(mount, randbits(158)))
        if reply.status == HTTPStatus.BAD_REQUEST and "not found" in _errors(reply):
            return "the token may revoke; a serial that was never issued is refused"
        raise _trouble(reply)

    def remarks(self, issuer_key: str) -> Iterator[str]:
        """
        Say how the mount writes its CRL.

        Raises:
            Unavailable: The CA does not answer.

        """
        mount = self._given.issuers[issuer_key].mount
        reply = self._ask("GET", f"{mount}/config/crl")
        if reply.status == HTTPStatus.FORBIDDEN:
            yield (
                f"the token may not read {mount}/config/crl: whether auto_rebuild is "
                "on is not known"
            )
            return
        if reply.status != HTTPStatus.OK:
            raise _trouble(reply)
        config = reply.json()["data"]
        if not config["auto_rebuild"]:
            yield (
                f"{mount} writes its whole CRL at each revocation, which gets slower "
                "with each: set auto_rebuild = true in config/crl before the day"
            )
        elif not self._options.rotate:
            yield (
                f"{mount} rebuilds its CRL by itself, {config['auto_rebuild_grace_period']} "
                "before it expires: publication_delay_seconds must cover that"
            )
        if config["disable"]:
            yield f"{mount} publishes no CRL: set disable = false in config/crl"
        if not config.get("allow_expired_cert_revocation", False):
            yield f"{mount} does not list what has expired: such are answered 'expired'"

    def _headers(self) -> dict[str, str]:
        headers = {"X-Vault-Token": read_secret(self._options.token_file)}
        if self._options.namespace:
            headers["X-Vault-Namespace"] = self._options.namespace
        return headers

    def _ask(self, method: str, path: str, data: Any = None) -> Reply:
        reply = self._web.ask(method, f"/v1/{path}", data=data)
        self._server_time.saw_reply(reply)
        return reply

    def _ask_to_revoke(self, mount: str, serial: int) -> Reply:
        return self._ask("POST", f"{mount}/revoke", {"serial_number": spelled(serial)})

    def _look_up(
        self, request: RevocationRequest, issuer: OpenBaoIssuer
    ) -> CertificateStatus:
        reply = self._ask("GET", f"{issuer.mount}/cert/{spelled(request.serial)}")
        if reply.status == HTTPStatus.NOT_FOUND and not _errors(reply):
            return status(request, StatusKind.UNKNOWN)
        if reply.status != HTTPStatus.OK:
            raise _trouble(reply)
        revoked_at = _revocation_time(reply.json()["data"])
        kind = StatusKind.REVOKED if revoked_at else StatusKind.GOOD
        return status(request, kind, revoked_at=revoked_at)

    def _revoke(
        self, request: RevocationRequest, issuer: OpenBaoIssuer
    ) -> RevocationAnswer:
        if self._server_time.is_unknown:
            self._ask("GET", "sys/seal-status")
        before = self._server_time.bound()
        reply = self._ask_to_revoke(issuer.mount, request.serial)
        if (
            reply.status == HTTPStatus.BAD_REQUEST
            and self._options.by_certificate
            and request.certificate is not None
        ):
            certificate = DER_cert_to_PEM_cert(request.certificate)
            reply = self._ask(
                "POST", f"{issuer.mount}/revoke", {"certificate": certificate}
            )
        kind, revoked_at, detail = _meaning(reply)
        if kind is AnswerKind.DONE and revoked_at is not None:
            if revoked_at < before:
                kind = AnswerKind.ALREADY
            self._server_time.saw_revocation(revoked_at)
        return answer(request, kind, detail, revoked_at=revoked_at)


class _ServerTime:
    """
    Knows what the CA's clock must at least have shown.

    The engine answers a repeated revocation as it did the first, with the first time.
    What lies before an earlier reply was therefore not revoked by this call.
    """

    def __init__(self) -> None:
        self._bound = _LONG_AGO
        self._lock = threading.Lock()

    @property
    def is_unknown(self) -> bool:
        return self._bound == _LONG_AGO

    def bound(self) -> datetime:
        return self._bound

    def saw_reply(self, reply: Reply) -> None:
        try:
            self._at_least(parsedate_to_datetime(reply.headers.get("Date", "")))
        except ValueError:
            return

    def saw_revocation(self, at: datetime) -> None:
        # The next one is later, if only by a microsecond.
        self._at_least(at + datetime.resolution)

    def _at_least(self, instant: datetime) -> None:
        with self._lock:
            self._bound = max(self._bound, instant)


def spelled(serial: int) -> str:
    """Spell a serial as the engine does; plain hex it does not find."""
    octets = serial.to_bytes(max(1, (serial.bit_length() + 7) // 8), "big")
    return octets.hex(":")


def _meaning(reply: Reply) -> tuple[AnswerKind, datetime | None, str]:
    if reply.status == HTTPStatus.OK:
        content = reply.json()
        data, warnings = content.get("data"), "; ".join(content.get("warnings") or ())
        if data is not None and data.get("state") == "revoked":
            return AnswerKind.DONE, _revocation_time(data), warnings
        kind = AnswerKind.EXPIRED if "expired" in warnings else AnswerKind.REFUSED
        return kind, None, warnings or f"state {data and data.get('state')}"
    errors = _errors(reply)
    if reply.status == HTTPStatus.BAD_REQUEST:
        unknown = "not found" in errors
        return AnswerKind.UNKNOWN if unknown else AnswerKind.REFUSED, None, errors
    if "unable to verify signature" in errors:
        return AnswerKind.UNKNOWN, None, errors  # another CA's certificate
    raise _trouble(reply)


def _trouble(reply: Reply) -> Trouble:
    errors = _errors(reply) or reply.text
    if reply.status == HTTPStatus.NOT_FOUND:
        return Trouble(f"no such mount: {errors}", kind=TroubleKind.BARRED)
    if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
        # Sealed, or a standby: to wait a little would not help.
        return Trouble(f"HTTP 503: {errors}", kind=TroubleKind.AWAY)
    return reply.trouble(errors)


def _errors(reply: Reply) -> str:
    try:
        return "; ".join(str(error) for error in reply.json().get("errors") or ())
    except (Trouble, AttributeError):
        return reply.text


def _revocation_time(data: dict[str, Any]) -> datetime | None:
    if exact := data.get("revocation_time_rfc3339"):
        return datetime.fromisoformat(exact)
    seconds = data.get("revocation_time") or 0
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


BACKEND = BackendKind(
    title="OpenBao and HashiCorp Vault, PKI secrets engine",
    tried="the real OpenBao server",
    ca=OpenBaoOptions,
    issuer=OpenBaoIssuer,
    open=open_openbao,
)
