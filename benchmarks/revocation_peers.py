"""Revocation through a real OpenBao, beside `openssl ca`, and the proof of it."""

import http.client
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from due import NOW, check, launch, serial_number
from fakes.openbao import TOKEN, BaoServer, bao_server
from fakes.openssl_ca import openssl_directory
from fakes.requests import request_for
from figures import Figure, paired

from models.terms import CertificateId, Reason
from tocsin.ca.backend import (
    AnswerKind,
    CaBackend,
    Capabilities,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
)
from tocsin.ca.backends.openbao import BACKEND, spelled
from tocsin.ca.crl import CrlEntry, serial_octets, write_crl
from tocsin.ca.embedded import EmbeddedCa
from tocsin.ca.issuers import (
    add_issued,
    all_issuers,
    create_issuer,
    signing_key,
)
from tocsin.ca.options import read_options
from tocsin.ca.proof import Wanted, prove
from tocsin.ca.transport.published import PublishedAt, PublishedPlaces
from tocsin.clock import SteppedClock, SystemClock
from tocsin.names import key_of_name
from tocsin.steps.revoke import Revoked, submit_due
from tocsin.store.session import open_engine

_BATCH = 500


def measure() -> list[Figure]:
    """Measure beside peers, in turns where both can run."""
    with (
        tempfile.TemporaryDirectory() as folder,
        bao_server(Path(folder)) as server,
    ):
        beside = _beside_openbao(server)
        tail = _tail(server)
    return [beside, tail, _beside_openssl(), _proof()]


def _beside_openbao(server: BaoServer, *, count: int = 2000, rounds: int = 5) -> Figure:
    ours, bare = [], []
    for number in range(rounds):
        mount = f"round-{number}"
        issuer = server.mount(mount)
        serials = [server.issue(mount) for _ in range(2 * count)]
        theirs, mine = serials[:count], serials[count:]
        if number % 2:
            bare.append(_bare_openbao(server, mount, theirs))
        ours.append(count / _through(server, issuer, mount, mine)[-1])
        if not number % 2:
            bare.append(_bare_openbao(server, mount, theirs))
    return paired(
        f"revocation of {count:,} certificates at OpenBao, recorded",
        ours,
        "one connection to the same server in a bare loop",
        bare,
        unit="certificates/s",
        at_least=0.7,
    )


def _bare_openbao(server: BaoServer, mount: str, serials: Sequence[int]) -> float:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    headers = {"X-Vault-Token": TOKEN, "Content-Type": "application/json"}
    done = 0
    started = perf_counter()
    for serial in serials:
        body = json.dumps({"serial_number": spelled(serial)})
        connection.request("POST", f"/v1/{mount}/revoke", body, headers)
        done += (
            json.loads(connection.getresponse().read())["data"]["state"] == "revoked"
        )
    seconds = perf_counter() - started
    connection.close()
    check(done, len(serials))
    return len(serials) / seconds


def _tail(server: BaoServer, *, count: int = 20_000) -> Figure:
    issuer = server.mount("tail")
    serials = [server.issue("tail") for _ in range(count)]
    at = _through(server, issuer, "tail", serials)
    tenth = count // 10
    first, last = at[tenth - 1], at[-1] - at[-tenth - 1]
    return Figure(
        name=f"last tenth of {count:,} certificates at OpenBao, beside the first",
        value=round(last, 2),
        unit="s",
        base="the first tenth",
        base_value=round(first, 2),
        ratio=round(last / first, 3),
        spread=(round(last / first, 3), round(last / first, 3)),
        goal="≤ 1.2 of the base",
        met=last <= 1.2 * first,
    )


def _through(
    server: BaoServer, issuer: x509.Certificate, mount: str, serials: Sequence[int]
) -> list[float]:
    """Revoke and record; return when each was answered, in seconds from the start."""
    backend, _ = BACKEND.open(read_options(server.options((issuer, mount)), BACKEND))
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{folder}/tocsin.sqlite")
        try:
            launch(engine, key_of_name(issuer.subject), serials)
            done = Revoked()
            timed = _Timed(backend)
            started = perf_counter()
            submit_due(
                engine,
                timed,
                SteppedClock(NOW),
                owner="benchmark",
                batch=_BATCH,
                actor="engine",
                grace=timedelta(),
                done=done,
            )
            ended = perf_counter()
        finally:
            engine.dispose()
    check(done.revoked, len(serials))
    return [*(at - started for at in timed.at[:-1]), ended - started]


@dataclass
class _Timed:
    """A backend that notes when each answer came."""

    inner: CaBackend
    at: list[float] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def knows_issuer(self, issuer_key: str) -> bool:
        return self.inner.knows_issuer(issuer_key)

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        return self.inner.look_up(requests)

    def publish(self, issuer_key: str) -> None:
        self.inner.publish(issuer_key)

    def revoke(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[RevocationAnswer]:
        for answer in self.inner.revoke(requests):
            self.at.append(perf_counter())
            yield answer


def _beside_openssl(
    *,
    rows: int = 100_000,
    ours_count: int = 2000,
    theirs_count: int = 10,
    rounds: int = 3,
) -> Figure:
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        directory = openssl_directory(Path(folder) / "openssl")
        serials = [serial_number(number) for number in range(rows)]
        with directory.index.open("a") as index:
            index.writelines(
                f"V\t301231000000Z\t\t{_even(serial)}\tunknown\t/CN=host.example\n"
                for serial in serials
            )
        embedded = Path(folder) / "embedded"
        key = create_issuer(embedded, name="Benchmark CA", now=NOW)
        add_issued(embedded, issuer_key=key, serials=serials)
        ca = EmbeddedCa(embedded, clock=SystemClock())
        left = iter(serials)
        for _ in range(rounds):
            for serial in (chosen := [next(left) for _ in range(theirs_count)]):
                (directory.folder / f"{serial}.pem").write_bytes(
                    directory.authority.issue(serial).public_bytes(Encoding.PEM)
                )
            started = perf_counter()
            for serial in chosen:
                check(
                    directory.run(
                        "-revoke", f"{serial}.pem", "-crl_reason", "superseded"
                    ).returncode,
                    0,
                )
            theirs.append(theirs_count / (perf_counter() - started))
            requests = [request_for(key, next(left)) for _ in range(ours_count)]
            started = perf_counter()
            done = [answer.kind for answer in ca.revoke(requests)]
            ours.append(ours_count / (perf_counter() - started))
            check(done.count(AnswerKind.DONE), ours_count)
    return paired(
        f"revocation at the embedded CA that has issued {rows:,}",
        ours,
        f"`openssl ca -revoke` with {rows:,} rows",
        theirs,
        unit="certificates/s",
        at_least=100,
    )


def _proof(
    *, entries: int = 1_000_000, wanted: int = 100_000, rounds: int = 3
) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        key = create_issuer(Path(folder), name="Benchmark CA", now=NOW)
        (issuer,) = all_issuers(Path(folder))
        crl = Path(folder) / "ca.crl"
        crl.write_bytes(
            write_crl(
                issuer.certificate,
                signing_key(Path(folder), key),
                number=1,
                this_update=NOW,
                next_update=NOW + timedelta(days=7),
                entries=(
                    CrlEntry(serial_octets(serial_number(n)), int(NOW.timestamp()), 4)
                    for n in range(entries)
                ),
            )
        )
        place = PublishedAt(certificate=issuer.certificate, crls=(str(crl),))
        publication = PublishedPlaces({key: place}, timeout=10)
        asked = [
            Wanted(
                certificate_id=CertificateId(n),
                serial=serial_number(n * (entries // wanted)),
                reason=Reason.SUPERSEDED,
            )
            for n in range(wanted)
        ]
        ours, bare = [], []
        for _ in range(rounds):
            started = perf_counter()
            seen = 0
            for _entry in x509.load_der_x509_crl(crl.read_bytes()):
                seen += _entry.serial_number > 0
            bare.append(entries / (perf_counter() - started))
            check(seen, entries)
            started = perf_counter()
            proof = prove(publication, issuer_key=key, wanted=asked, now=NOW)
            ours.append(entries / (perf_counter() - started))
            check(len(proof.published) - len(proof.wrong_reason), wanted)
    return paired(
        f"proof of {wanted:,} certificates in a CRL of {entries:,}",
        ours,
        "one bare pass over its serials",
        bare,
        unit="entries/s",
        at_least=0.25,
    )


def _even(serial: int) -> str:
    digits = f"{serial:X}"
    return digits.zfill(len(digits) + len(digits) % 2)
