"""Any executable as a CA: JSON lines in, JSON lines out; for CAs with a tool of their own."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
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
from tocsin.ca.options import BackendKind, CaOptions, Given, IssuerOptions
from tocsin.ca.transport.pacing import Trouble, TroubleKind
from tocsin.ca.transport.programs import run_program
from tocsin.ca.transport.published import PublishedPlaces
from tocsin.errors import Unavailable

_REASON_BY_LABEL = {reason.label: reason for reason in Reason}
_LONGEST_DETAIL = 300


class CommandOptions(CaOptions):
    """The table [ca] for a command."""

    rate_per_second: float = Field(
        default=1,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    timeout_seconds: float = Field(
        default=300, gt=0, description="How long one run of the command may take."
    )
    at_once: int = Field(
        default=1, ge=1, le=1000, description="Certificates given to one run."
    )
    revoke: tuple[str, ...] = Field(
        min_length=1, description="The command that revokes, and its arguments."
    )
    look_up: tuple[str, ...] = Field(
        default=(), description="The command that tells what is revoked. Absent: none."
    )
    publish: tuple[str, ...] = Field(
        default=(), description="The command that publishes a new CRL. Absent: none."
    )
    probe: tuple[str, ...] = Field(
        default=(),
        description="A command that does what revoke does, and revokes nothing. "
        "Absent: none.",
    )
    keeps_reasons: tuple[str, ...] = Field(
        default=tuple(_REASON_BY_LABEL),
        description="Reasons that reach the CRL as sent. Absent: all.",
    )
    safe_to_repeat: bool = Field(
        default=False,
        description="Whether a second call changes neither reason nor time.",
    )
    checks_unknown: bool = Field(
        default=False,
        description="Whether it answers unknown for what is not the CA's.",
    )
    needs_certificate: bool = Field(
        default=False, description="Give it the certificate, too, where it is known."
    )


CommandGiven = Given[CommandOptions, IssuerOptions]


def open_command(given: CommandGiven) -> tuple["CommandCa", PublishedPlaces]:
    """Return the backend, and a reader of the places that the options name."""
    return CommandCa(given), given.publication()


class CommandCa:
    """
    A ``CaBackend`` that runs an executable.

    What a run did not answer is in doubt: it is looked up before it is asked again.
    """

    def __init__(self, given: CommandGiven) -> None:
        self._given = given
        self._options = given.ca
        self._pacer = given.pacer()

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do, as the options say."""
        options = self._options
        return options.capabilities(
            "command",
            keeps_reasons=frozenset(
                reason
                for label, reason in _REASON_BY_LABEL.items()
                if label in options.keeps_reasons
            ),
            safe_to_repeat=options.safe_to_repeat,
            checks_unknown=options.checks_unknown,
            needs_certificate=options.needs_certificate,
            tells_status=bool(options.look_up),
        )

    def knows_issuer(self, issuer_key: str) -> bool:
        """Whether certificates of this issuer can be revoked here."""
        return issuer_key in self._given.issuers

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        """
        Run the command that looks up; without one, nothing is known of any.

        Raises:
            Unavailable: It fails, or does not answer for each.

        """
        for some in _chunks(requests, self._options.at_once):
            known = [each for each in some if self.knows_issuer(each.issuer_key)]
            found: dict[int, Mapping[str, Any]] = {}
            if known and self._options.look_up:
                found, trouble = self._run(self._options.look_up, known)
                if trouble is not None and len(found) < len(known):
                    raise trouble
            for request in some:
                yield _status(request, found.get(request.certificate_id))

    def revoke(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[RevocationAnswer]:
        """Run the command for so many at once, and yield what it said of each."""
        for some in _chunks(requests, self._options.at_once):
            known = [each for each in some if self.knows_issuer(each.issuer_key)]
            found: dict[int, Mapping[str, Any]] = {}
            trouble: Trouble | None = None
            if known:
                try:
                    found, trouble = self._run(self._options.revoke, known)
                except Trouble as error:
                    trouble = error
            for request in some:
                if not self.knows_issuer(request.issuer_key):
                    yield RevocationAnswer(
                        certificate_id=request.certificate_id,
                        kind=AnswerKind.UNKNOWN,
                        detail="its issuer is not configured",
                    )
                else:
                    yield _answer(request, found.get(request.certificate_id), trouble)

    def publish(self, issuer_key: str) -> None:
        """
        Run the command that publishes, where there is one.

        Raises:
            Unavailable: It fails.

        """
        if self._options.publish and self.knows_issuer(issuer_key):
            _, trouble = self._start(self._options.publish, {"issuer": issuer_key})
            if trouble is not None:
                raise trouble

    def probe(self, issuer_key: str) -> str:
        """
        Run the command that does as if.

        Raises:
            Unavailable: It fails.

        """
        if not self._options.probe:
            raise Unavailable("the options name no command to probe with")
        lines, trouble = self._start(self._options.probe, {"issuer": issuer_key})
        if trouble is not None:
            raise trouble
        return lines[-1][:_LONGEST_DETAIL] if lines else "it ended well"

    def remarks(self, issuer_key: str) -> Iterator[str]:
        """Say what the options leave out."""
        if not self._options.look_up and not self._options.safe_to_repeat:
            yield (
                "no look_up, and not safe_to_repeat: what a killed run did is not "
                "known, and it will be asked again"
            )
        if not self._given.issuers[issuer_key].crl:
            yield "no crl: nothing can be proven as published"

    def _run(
        self, command: Sequence[str], requests: Sequence[RevocationRequest]
    ) -> tuple[dict[int, Mapping[str, Any]], Trouble | None]:
        lines, trouble = self._pacer.once(
            lambda: self._start(command, *[_line(request) for request in requests])
        )
        asked = {request.certificate_id for request in requests}
        found: dict[int, Mapping[str, Any]] = {}
        for line in lines:
            try:
                said = json.loads(line)
                identifier = said["id"]
            except (ValueError, TypeError, KeyError):
                trouble = trouble or _broken(f"it wrote no answer but: {line}")
                continue
            if identifier in asked:
                found[identifier] = said
        return found, trouble

    def _start(
        self, command: Sequence[str], *lines: Mapping[str, Any]
    ) -> tuple[list[str], Trouble | None]:
        """Run to the end; what was written before a failure still counts."""
        given = "".join(f"{json.dumps(line)}\n" for line in lines)
        done = run_program(command, timeout=self._options.timeout_seconds, given=given)
        said = [line for line in done.out.splitlines() if line.strip()]
        return said, None if done.code == 0 else done.trouble("the command")


def _line(request: RevocationRequest) -> dict[str, Any]:
    certificate = request.certificate
    return {
        "id": request.certificate_id,
        "issuer": request.issuer_key,
        "serial": f"{request.serial:x}",
        "reason": request.reason.label,
        "reason_code": int(request.reason),
        "certificate": certificate and DER_cert_to_PEM_cert(certificate),
    }


def _answer(
    request: RevocationRequest,
    said: Mapping[str, Any] | None,
    trouble: Trouble | None,
) -> RevocationAnswer:
    silent = RevocationAnswer(
        certificate_id=request.certificate_id,
        kind=AnswerKind.RETRY,
        detail=str(trouble or "it said nothing of this one"),
    )
    if said is None:
        barred = trouble is not None and trouble.kind is TroubleKind.BARRED
        return replace(silent, kind=AnswerKind.FATAL) if barred else silent
    try:
        wait = said.get("retry_after")
        return RevocationAnswer(
            certificate_id=request.certificate_id,
            kind=AnswerKind(said["answer"]),
            revoked_at=_instant(said),
            reason=_reason(said),
            detail=str(said.get("detail", ""))[:_LONGEST_DETAIL],
            retry_after=None if wait is None else timedelta(seconds=float(wait)),
        )
    except (KeyError, ValueError, TypeError) as error:
        return replace(silent, detail=f"its answer cannot be read: {error}")


def _status(
    request: RevocationRequest, said: Mapping[str, Any] | None
) -> CertificateStatus:
    unknown = CertificateStatus(
        certificate_id=request.certificate_id, kind=StatusKind.UNKNOWN
    )
    if said is None:
        return unknown
    try:
        return replace(
            unknown,
            kind=StatusKind(said["status"]),
            revoked_at=_instant(said),
            reason=_reason(said),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise _broken(f"its answer cannot be read: {error}") from error


def _instant(said: Mapping[str, Any]) -> datetime | None:
    text = said.get("revoked_at")
    if text is None:
        return None
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        message = f"revoked_at {text} has no zone"
        raise ValueError(message)
    return instant.astimezone(UTC)


def _reason(said: Mapping[str, Any]) -> Reason | None:
    label = said.get("reason")
    return None if label is None else _REASON_BY_LABEL[label]


def _broken(said: str) -> Trouble:
    return Trouble(f"the command: {said[:_LONGEST_DETAIL]}", kind=TroubleKind.FAILED)


def _chunks(
    requests: Sequence[RevocationRequest], size: int
) -> Iterator[list[RevocationRequest]]:
    remaining = iter(requests)
    while some := list(islice(remaining, size)):
        yield some


BACKEND = BackendKind(
    title="any executable: JSON lines in, JSON lines out",
    tried="executables",
    ca=CommandOptions,
    issuer=IssuerOptions,
    open=open_command,
)
