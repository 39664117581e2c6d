"""CFSSL: its HTTP API revokes, and its database says what is revoked."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from secrets import randbits

from pydantic import Field
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

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
from tocsin.ca.transport.programs import run_program
from tocsin.ca.transport.published import PublishedPlaces
from tocsin.ca.transport.web import Reply

# api/errors of CFSSL: CertStoreError + RecordNotFound.
_NOT_FOUND = 11200
_LOOK_UP = text(
    "SELECT status, reason, revoked_at FROM certificates "
    "WHERE serial_number = :serial AND authority_key_identifier = :authority"
)


class CfsslOptions(WebOptions):
    """The table [ca] for CFSSL."""

    # Measured: 800 a second over the API alone, on the fast disk of one machine.
    rate_per_second: float = Field(
        default=100,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    database_url_file: ExistingFile = Field(
        description="File with the SQLAlchemy URL of CFSSL's own database; an account "
        "that may read the table certificates is enough."
    )
    publish: tuple[str, ...] = Field(
        default=(),
        description="A command that has the CRL written: the API has none. Absent: the "
        "CA writes it by itself.",
    )
    publish_timeout_seconds: float = Field(
        default=300, gt=0, description="How long that command may take."
    )


class CfsslIssuer(IssuerOptions):
    """A table [[issuer]] for CFSSL."""

    authority_key_id: str = Field(
        default="",
        description="As the database has it, in hex; version 1.2 stores an empty one.",
    )


CfsslGiven = Given[CfsslOptions, CfsslIssuer]


def open_cfssl(given: CfsslGiven) -> tuple["Cfssl", PublishedPlaces]:
    """Return the backend, and a reader of the places that the options name."""
    return Cfssl(given), given.publication()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    revoked_at: datetime | None
    reason: Reason | None


class Cfssl(OneByOne[CfsslOptions, CfsslIssuer]):
    """
    A ``CaBackend`` for CFSSL.

    A second call overwrites reason and time, and answers "success": so its database is
    read before each call, and after it for the time.
    """

    def __init__(self, given: CfsslGiven) -> None:
        super().__init__(given)
        self._web = open_web(given.ca)
        self._engine: Engine | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        return self._options.capabilities(
            "cfssl",
            # Its OCSP answers have reasons, its CRLs have none.
            keeps_reasons=frozenset({Reason.UNSPECIFIED}),
            safe_to_repeat=True,
            checks_unknown=True,
        )

    def publish(self, issuer_key: str) -> None:
        """
        Run the command that has the CRL written, where there is one.

        Raises:
            Unavailable: It fails.

        """
        if self._options.publish and self.knows_issuer(issuer_key):
            done = run_program(
                self._options.publish, timeout=self._options.publish_timeout_seconds
            )
            if done.code:
                raise done.trouble("the command that publishes")

    def probe(self, issuer_key: str) -> str:
        """
        Ask for the revocation of a serial that was never issued.

        Raises:
            Unavailable: API or database does not answer.

        """
        issuer = self._given.issuers[issuer_key]
        serial = randbits(158)
        reply = self._pacer.once(
            lambda: self._ask_to_revoke(issuer, serial, Reason.SUPERSEDED)
        )
        self._find(issuer, serial)
        if _code(reply) == _NOT_FOUND:
            return "the API answers; a serial that was never issued is refused"
        raise _trouble(reply)

    def remarks(self, issuer_key: str) -> Iterator[str]:
        """Say what the options leave out."""
        if not self._options.publish:
            yield "no publish: the CA must write its CRL by itself"
        if not self._given.issuers[issuer_key].crl:
            yield "no crl: nothing can be proven as published"

    def _look_up(
        self, request: RevocationRequest, issuer: CfsslIssuer
    ) -> CertificateStatus:
        row = self._find(issuer, request.serial)
        if row is None:
            return status(request, StatusKind.UNKNOWN)
        kind = StatusKind.REVOKED if row.revoked_at else StatusKind.GOOD
        return status(request, kind, revoked_at=row.revoked_at, reason=row.reason)

    def _revoke(
        self, request: RevocationRequest, issuer: CfsslIssuer
    ) -> RevocationAnswer:
        row = self._find(issuer, request.serial)
        if row is None:
            return answer(request, AnswerKind.UNKNOWN, "not in CFSSL's database")
        kind = AnswerKind.ALREADY
        if row.revoked_at is None:
            kind = AnswerKind.DONE
            reply = self._ask_to_revoke(issuer, request.serial, request.reason)
            if reply.status != HTTPStatus.OK or not reply.json().get("success"):
                raise _trouble(reply)
            row = self._find(issuer, request.serial)
        if row is None or row.revoked_at is None:
            raise Trouble(
                "the API says success, and the database that it is not revoked: is it "
                "the database of this server?",
                kind=TroubleKind.BARRED,
            )
        return answer(request, kind, revoked_at=row.revoked_at, reason=row.reason)

    def _ask_to_revoke(self, issuer: CfsslIssuer, serial: int, reason: Reason) -> Reply:
        return self._web.ask(
            "POST",
            "/api/v1/cfssl/revoke",
            data={
                "serial": str(serial),  # decimal; hex would be another certificate
                "authority_key_id": issuer.authority_key_id,
                "reason": reason.label,
            },
        )

    def _find(self, issuer: CfsslIssuer, serial: int) -> _Row | None:
        parameters = {"serial": str(serial), "authority": issuer.authority_key_id}
        try:
            if self._engine is None:
                url = read_secret(self._options.database_url_file)
                self._engine = create_engine(url)
            with self._engine.connect() as connection:
                row = connection.execute(_LOOK_UP, parameters).first()
        except SQLAlchemyError as error:
            # Its words hold the statement, and may hold the URL.
            message = f"CFSSL's database: {type(error).__name__}"
            raise Trouble(message, kind=TroubleKind.AWAY) from error
        if row is None:
            return None
        if _text(row.status) != "revoked":
            return _Row(revoked_at=None, reason=None)
        return _Row(revoked_at=_instant(row.revoked_at), reason=_reason(row.reason))


def _code(reply: Reply) -> int:
    errors = reply.json().get("errors") or [{}]
    return int(errors[0].get("code", 0))


def _trouble(reply: Reply) -> Trouble:
    if reply.status == HTTPStatus.NOT_FOUND:
        return Trouble(
            "no such endpoint: CFSSL was started without -db-config",
            kind=TroubleKind.BARRED,
        )
    return reply.trouble()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _instant(value: object) -> datetime:
    instant = (
        value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    )
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def _reason(code: int) -> Reason | None:
    return Reason(code) if code in set(Reason) else None


BACKEND = BackendKind(
    title="CFSSL",
    tried="the real server (1.2)",
    ca=CfsslOptions,
    issuer=CfsslIssuer,
    open=open_cfssl,
)
