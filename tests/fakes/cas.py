"""CAs that misbehave in a stated way around the real embedded one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tocsin.ca.backend import (
    AnswerKind,
    Capabilities,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
    StatusKind,
)
from tocsin.ca.embedded import EmbeddedCa
from tocsin.ca.issuers import open_database
from tocsin.errors import Unavailable


@dataclass
class WaywardCa:
    """
    The embedded CA, but for what is listed here.

    Args:
        inner: The real one.
        answers: By serial, what it says instead of revoking.
        away_after: Answers after which it is gone: Unavailable.
        silent_after: Answers after which it says nothing more.
        cannot_look_up: Whether a look-up finds it gone.
        cannot_publish: Whether publishing finds it gone.
        no_status: Serials of which a look-up tells nothing.
        forgets_to_publish: Whether publishing says yes and does nothing.
        before_answer: Called before each answer with the number of answers so far.
        before_status: The same for look-ups.

    """

    inner: EmbeddedCa
    answers: dict[int, AnswerKind] = field(default_factory=dict)
    away_after: int | None = None
    silent_after: int | None = None
    cannot_look_up: bool = False
    no_status: set[int] = field(default_factory=set)
    cannot_publish: bool = False
    forgets_to_publish: bool = False
    before_answer: Callable[[int], None] = lambda _: None
    before_status: Callable[[int], None] = lambda _: None
    asked: list[int] = field(default_factory=list)
    looked_up: list[int] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def knows_issuer(self, issuer_key: str) -> bool:
        return self.inner.knows_issuer(issuer_key)

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        if self.cannot_look_up:
            raise Unavailable("out of reach")
        for count, request in enumerate(requests):
            self.before_status(count)
            self.looked_up.append(request.serial)
            if request.serial in self.no_status:
                yield CertificateStatus(
                    certificate_id=request.certificate_id,
                    kind=StatusKind.NO_ANSWER,
                    detail="HTTP 500",
                )
            else:
                yield from self.inner.look_up([request])

    def revoke(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[RevocationAnswer]:
        for count, request in enumerate(requests):
            if self.away_after is not None and count >= self.away_after:
                raise Unavailable("out of reach")
            if self.silent_after is not None and count >= self.silent_after:
                return
            self.before_answer(count)
            self.asked.append(request.serial)
            kind = self.answers.get(request.serial)
            if kind is None:
                yield from self.inner.revoke([request])
            else:
                yield RevocationAnswer(
                    certificate_id=request.certificate_id, kind=kind, detail="no"
                )

    def publish(self, issuer_key: str) -> None:
        if self.cannot_publish:
            raise Unavailable("out of reach")
        if not self.forgets_to_publish:
            self.inner.publish(issuer_key)


def calls_by_serial(directory: Path) -> dict[int, int]:
    """Return from the CA's own log how often it was asked to revoke each serial."""
    with open_database(directory) as database:
        rows = database.execute("SELECT serial, calls FROM revoked").fetchall()
    return {int.from_bytes(serial, "big", signed=True): calls for serial, calls in rows}
