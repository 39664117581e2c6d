"""A CA directory of `openssl ca`: its index file is the CA's whole memory."""

import fcntl
import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from ssl import DER_cert_to_PEM_cert

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
from tocsin.ca.files import write_atomically
from tocsin.ca.one_by_one import OneByOne, answer, status
from tocsin.ca.options import (
    BackendKind,
    CaOptions,
    ExistingFile,
    Given,
    IssuerOptions,
    Somewhere,
)
from tocsin.ca.transport.pacing import Trouble, TroubleKind
from tocsin.ca.transport.programs import Ended, run_program
from tocsin.ca.transport.published import PublishedPlaces

# openssl-ca(1), -crl_reason: there is no word for privilegeWithdrawn.
_KEEPS = frozenset(Reason) - {Reason.PRIVILEGE_WITHDRAWN}
_REASON_BY_LABEL = {reason.label.lower(): reason for reason in Reason}
_COLUMNS = 6
_NO_CERTIFICATE = (
    "openssl needs the certificate: import it instead of its serial, or set "
    "new_certs_dir"
)


class OpenSslOptions(CaOptions):
    """The table [ca] for directories of `openssl ca`."""

    # Measured: 185 a second with 1,000 rows, 14 with 100,000, since each call reads
    # and writes the whole index.
    rate_per_second: float = Field(
        default=5,
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    publication_delay_seconds: float = Field(
        default=60,
        ge=0,
        description="From an answered revocation to its visibility, at most.",
    )
    timeout_seconds: float = Field(
        default=60, gt=0, le=60, description="How long one call of openssl may take."
    )
    at_once: int = Field(
        default=1,
        ge=1,
        le=1,
        description="Always 1: two at once would overwrite each other's index.",
    )
    openssl: str = Field(default="openssl", description="The program.")


class OpenSslIssuer(IssuerOptions):
    """A table [[issuer]] for a directory of `openssl ca`."""

    config: ExistingFile = Field(description="Its openssl.cnf.")
    section: str | None = Field(
        default=None, description="The CA's section in it. Absent: default_ca."
    )
    database: Somewhere = Field(description="Its index file, as in the configuration.")
    new_certs_dir: Somewhere | None = Field(
        default=None,
        description="Its folder of issued certificates, for those of which only the "
        "serial is known.",
    )
    crl_out: Somewhere | None = Field(
        default=None,
        description="Where a new CRL is written, PEM. Absent: the CA writes it itself.",
    )
    passphrase_file: ExistingFile | None = Field(
        default=None, description="File with the passphrase of its key. Absent: none."
    )


OpenSslGiven = Given[OpenSslOptions, OpenSslIssuer]


def open_openssl(given: OpenSslGiven) -> tuple["OpenSsl", PublishedPlaces]:
    """Return the backend, and a reader of the CRLs it writes."""
    places: dict[str, tuple[tuple[str, ...], str | None]] = {
        key: ((str(issuer.crl_out),), None)
        for key, issuer in given.issuers.items()
        if issuer.crl_out is not None
    }
    return OpenSsl(given), given.publication(places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the index; ``revoked_at`` is None unless it is revoked."""

    revoked_at: datetime | None
    reason: Reason | None


class OpenSsl(OneByOne[OpenSslOptions, OpenSslIssuer]):
    """
    A ``CaBackend`` that runs `openssl ca`.

    It revokes a serial it has never issued by adding it to its index, with exit code 0:
    so the index is read before every call, and again after it, for what it then says.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        return self._options.capabilities(
            "openssl",
            keeps_reasons=_KEEPS,
            safe_to_repeat=True,
            checks_unknown=True,
            needs_certificate=True,
        )

    def publish(self, issuer_key: str) -> None:
        """
        Have a new CRL written, and put it in the place of the old one.

        Raises:
            Unavailable: openssl fails, or the place cannot be written to.

        """
        issuer = self._given.issuers.get(issuer_key)
        if issuer is None or issuer.crl_out is None:
            return
        with _exclusive(issuer) as lock:
            done = self._run(issuer, lock, "-gencrl")
            if done.code:
                raise done.trouble("openssl")
            try:
                write_atomically(issuer.crl_out, done.out.encode())
            except OSError as error:
                message = f"{issuer.crl_out} cannot be written: {error.strerror}"
                raise Trouble(message, kind=TroubleKind.BARRED) from error

    def probe(self, issuer_key: str) -> str:
        """
        Read the index, and take the lock that each revocation needs.

        Raises:
            Unavailable: One of them fails.

        """
        issuer = self._given.issuers[issuer_key]
        with _exclusive(issuer):
            _find(issuer, 0)
        return "the index can be read; its folder can be written to"

    def remarks(self, issuer_key: str) -> Iterator[str]:
        """
        Say what the size of the index means.

        Raises:
            Unavailable: It cannot be read.

        """
        issuer = self._given.issuers[issuer_key]
        with _exclusive(issuer):
            rows = issuer.database.read_bytes().count(b"\n")
        yield (
            f"{issuer.database} has {rows:,} rows; openssl reads and writes all of them "
            "at each revocation"
        )
        if issuer.crl_out is None:
            yield "no crl_out: the CA must write its CRL by itself"

    def _look_up(
        self, request: RevocationRequest, issuer: OpenSslIssuer
    ) -> CertificateStatus:
        with _exclusive(issuer):
            row = _find(issuer, request.serial)
        if row is None:
            return status(request, StatusKind.UNKNOWN)
        kind = StatusKind.REVOKED if row.revoked_at else StatusKind.GOOD
        return status(request, kind, revoked_at=row.revoked_at, reason=row.reason)

    def _revoke(
        self, request: RevocationRequest, issuer: OpenSslIssuer
    ) -> RevocationAnswer:
        kind = AnswerKind.ALREADY
        with _exclusive(issuer) as lock:
            row = _find(issuer, request.serial)
            if row is None:
                return answer(request, AnswerKind.UNKNOWN, "not in the index")
            if row.revoked_at is None:
                kind = AnswerKind.DONE
                with _certificate(issuer, request) as file:
                    if file is None:
                        return answer(request, AnswerKind.REFUSED, _NO_CERTIFICATE)
                    done = self._run(issuer, lock, *_arguments(request, file))
                row = _find(issuer, request.serial)
                if row is None or row.revoked_at is None:
                    raise done.trouble("openssl")
        return answer(request, kind, revoked_at=row.revoked_at, reason=row.reason)

    def _run(self, issuer: OpenSslIssuer, lock: int, *arguments: str) -> Ended:
        command = [self._options.openssl, "ca", "-batch", "-config", str(issuer.config)]
        if issuer.section:
            command += ["-name", issuer.section]
        if issuer.passphrase_file:
            command += ["-passin", f"file:{issuer.passphrase_file}"]
        return run_program(
            [*command, *arguments],
            timeout=self._options.timeout_seconds,
            folder=issuer.config.parent,
            # Whoever kills us leaves openssl at work: it must keep the lock.
            keeps=(lock,),
        )


def _arguments(request: RevocationRequest, certificate: Path) -> list[str]:
    arguments = ["-revoke", str(certificate)]
    # TLS BR 7.2.2: reason 0 is said by saying nothing. So is what openssl has no word
    # for: better revoked without a reason than not revoked.
    if request.reason in _KEEPS - {Reason.UNSPECIFIED}:
        arguments += ["-crl_reason", request.reason.label]
    return arguments


@contextmanager
def _certificate(
    issuer: OpenSslIssuer, request: RevocationRequest
) -> Iterator[Path | None]:
    """Give a file with the certificate, or None where nobody has it."""
    if request.certificate is not None:
        with tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="ascii") as file:
            file.write(DER_cert_to_PEM_cert(request.certificate))
            file.flush()
            yield Path(file.name)
        return
    kept = issuer.new_certs_dir and issuer.new_certs_dir / f"{_hex(request.serial)}.pem"
    yield kept if kept and kept.is_file() else None


@contextmanager
def _exclusive(issuer: OpenSslIssuer) -> Iterator[int]:
    """Hold the directory against every process of ours, and mend what a crash left."""
    index = issuer.database
    try:
        with index.with_name(f"{index.name}.tocsin-lock").open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            _mend(index)
            yield stream.fileno()
    except OSError as error:
        message = f"{index}: {error.strerror}"
        raise Trouble(message, kind=TroubleKind.BARRED) from error


def _mend(index: Path) -> None:
    """
    Finish what a killed openssl began.

    It writes INDEX.new whole, then renames INDEX to INDEX.old and INDEX.new to INDEX,
    and does the same with INDEX.attr: between two renames there is no INDEX.
    """
    for file in (index, index.with_name(f"{index.name}.attr")):
        written = file.with_name(f"{index.name}.new")
        if file != index:
            written = file.with_name(f"{index.name}.attr.new")
        if not file.exists() and written.exists():
            os.replace(written, file)  # noqa: PTH105 - as openssl would


def _find(issuer: OpenSslIssuer, serial: int) -> Row | None:
    """Return what the index says of a serial; None where it is not in it."""
    with issuer.database.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as index:
            at = index.find(f"\t{_hex(serial)}\t".encode())
            if at < 0:
                return None
            start = index.rfind(b"\n", 0, at) + 1
            end = index.find(b"\n", at)
            line = index[start : end if end >= 0 else len(index)].decode("latin-1")
    columns = line.split("\t")
    if len(columns) != _COLUMNS:
        message = f"{issuer.database} has a line that is none: {line[:80]}"
        raise Trouble(message, kind=TroubleKind.FAILED)
    state, _, revoked = columns[:3]
    if state != "R":
        return Row(revoked_at=None, reason=None)
    instant, _, word = revoked.partition(",")
    return Row(
        revoked_at=_instant(instant),
        reason=_REASON_BY_LABEL.get(word.lower()) if word else Reason.UNSPECIFIED,
    )


def _instant(text: str) -> datetime:
    # UTCTime until 2049, GeneralizedTime after.
    digits = re.sub(r"\D", "", text)
    form = "%y%m%d%H%M%S" if len(digits) == len("YYMMDDHHMMSS") else "%Y%m%d%H%M%S"
    return datetime.strptime(digits, form).replace(tzinfo=UTC)


def _hex(serial: int) -> str:
    digits = f"{serial:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


BACKEND = BackendKind(
    title="a CA directory of `openssl ca`",
    tried="the real program",
    ca=OpenSslOptions,
    issuer=OpenSslIssuer,
    open=open_openssl,
)
