"""Real CAs with certificates to revoke: what they know themselves is what is counted."""

import fcntl
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fakes.cfssl import CfsslServer, cfssl_server
from fakes.openbao import BaoServer, bao_server
from fakes.openssl_ca import OpenSslDirectory, openssl_directory
from fakes.wire import Wire, wire

from tocsin.names import key_of_name

Fact = tuple[str, str]
"""Reason and time of a revocation, in the CA's own words."""


class RealCa(Protocol):
    """A CA under test."""

    name: str
    options: Path
    issuer_key: str
    serials: list[int]

    def issue(self, count: int) -> list[int]:
        """Issue more certificates, and return their serials."""
        ...

    def certificate(self, serial: int) -> bytes | None:
        """Return a certificate, DER, where the backend needs it."""
        ...

    def facts(self, known: dict[int, Fact]) -> dict[int, Fact]:
        """Return what is revoked; of what is known already, nothing need be asked."""
        ...

    def calls(self) -> Counter[int]:
        """Return how often it was asked to revoke each serial."""
        ...

    def progress(self) -> int:
        """Return how often it was asked in all."""
        ...


@dataclass
class Bao:
    """OpenBao, behind a wire."""

    server: BaoServer
    wire: Wire
    options: Path
    issuer_key: str
    serials: list[int] = field(default_factory=list)
    name: str = "openbao"

    def issue(self, count: int) -> list[int]:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: self.server.issue(), range(count)))
        self.serials += made
        return made

    def certificate(self, serial: int) -> bytes | None:
        del serial
        return None

    def facts(self, known: dict[int, Fact]) -> dict[int, Fact]:
        reply = self.server.client.request("LIST", "pki/certs/revoked")
        keys = reply.json()["data"]["keys"] if reply.is_success else []
        told = {int(key.replace(":", ""), 16): key for key in keys}
        new = [serial for serial in told if serial not in known]
        with ThreadPoolExecutor(4) as pool:
            times = pool.map(lambda serial: self._time(told[serial]), new)
            return dict(zip(new, times, strict=True))

    def _time(self, key: str) -> Fact:
        data = self.server.ask("GET", f"pki/cert/{key}")["data"]
        return "", str(data["revocation_time_rfc3339"])

    def calls(self) -> Counter[int]:
        return Counter(self.wire.revocations)

    def progress(self) -> int:
        return self.wire.calls


@contextmanager
def bao(folder: Path, *, count: int, **ca: Any) -> Iterator[Bao]:
    """Start OpenBao with so many certificates."""

    def serial_of(path: str, body: bytes) -> int | None:
        if not path.endswith("/revoke"):
            return None
        return int(json.loads(body)["serial_number"].replace(":", ""), 16)

    with bao_server(folder) as server, wire(server.url, serial_of) as line:
        issuer = server.mount()
        made = Bao(
            server=server,
            wire=line,
            options=server.options((issuer, "pki"), **{"url": line.url} | ca),
            issuer_key=key_of_name(issuer.subject),
        )
        made.issue(count)
        yield made


@dataclass
class Cfssl:
    """CFSSL, behind a wire; a second call would change reason and time."""

    server: CfsslServer
    wire: Wire
    options: Path
    issuer_key: str
    serials: list[int] = field(default_factory=list)
    name: str = "cfssl"

    def issue(self, count: int) -> list[int]:
        made = [self.server.issue() for _ in range(count)]
        self.serials += made
        return made

    def certificate(self, serial: int) -> bytes | None:
        del serial
        return None

    def facts(self, known: dict[int, Fact]) -> dict[int, Fact]:
        del known
        return {
            serial: (str(reason), str(at))
            for serial, (status, reason, at) in self.server.rows().items()
            if status == "revoked"
        }

    def calls(self) -> Counter[int]:
        return Counter(self.wire.revocations)

    def progress(self) -> int:
        return self.wire.calls


@contextmanager
def cfssl(folder: Path, *, count: int, **ca: Any) -> Iterator[Cfssl]:
    """Start CFSSL with so many certificates."""

    def serial_of(path: str, body: bytes) -> int | None:
        return int(json.loads(body)["serial"]) if path.endswith("/revoke") else None

    with cfssl_server(folder) as server, wire(server.url, serial_of) as line:
        made = Cfssl(
            server=server,
            wire=line,
            options=server.options(**{"url": line.url} | ca),
            issuer_key=server.authority.issuer_key,
        )
        made.issue(count)
        yield made


_COUNTING = """\
#!/bin/sh
# The real program; each call that revokes leaves a line.
{openssl} "$@"
code=$?
case " $* " in *" -revoke "*) echo $code >> {log} ;; esac
exit $code
"""


@dataclass
class OpenSsl:
    """A directory of `openssl ca`; which serial a call was for, only the index tells."""

    directory: OpenSslDirectory
    log: Path
    options: Path
    issuer_key: str
    serials: list[int] = field(default_factory=list)
    name: str = "openssl"
    last: dict[int, Fact] = field(default_factory=dict)

    def issue(self, count: int) -> list[int]:
        """Under the lock that Tocsin takes: openssl replaces the index as a whole."""
        lock = self.directory.index.with_name("index.txt.tocsin-lock")
        with lock.open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            made = [self.directory.issue() for _ in range(count)]
        self.serials += made
        return made

    def certificate(self, serial: int) -> bytes | None:
        return self.directory.certificates[serial]

    def facts(self, known: dict[int, Fact]) -> dict[int, Fact]:
        del known
        if self.directory.index.exists():  # it is not, between two renames
            rows = self.directory.rows().items()
            self.last = {
                serial: (row[2].partition(",")[2], row[2].partition(",")[0])
                for serial, row in rows
                if row[0] == "R"
            }
        return dict(self.last)

    def calls(self) -> Counter[int]:
        """Count calls beyond one for each that is revoked as calls for nobody."""
        revoked = self.facts({})
        counted = Counter(dict.fromkeys(revoked, 1))
        if beyond := self.progress() - len(revoked):
            counted[-1] = 1 + beyond
        return counted

    def progress(self) -> int:
        return len(self.log.read_text().splitlines())


@contextmanager
def openssl(folder: Path, *, count: int, **ca: Any) -> Iterator[OpenSsl]:
    """Make a CA directory with so many certificates."""
    directory = openssl_directory(folder)
    log, program = folder / "calls.log", folder / "counting-openssl"
    log.write_text("")
    program.write_text(_COUNTING.format(openssl=shutil.which("openssl"), log=log))
    program.chmod(0o700)
    made = OpenSsl(
        directory=directory,
        log=log,
        options=directory.options(**{"openssl": program} | ca),
        issuer_key=directory.authority.issuer_key,
    )
    made.issue(count)
    yield made


REAL_CAS: dict[str, Callable[..., AbstractContextManager[RealCa]]] = {
    "openbao": bao,
    "cfssl": cfssl,
    "openssl": openssl,
}
NAMES: Sequence[str] = tuple(REAL_CAS)
