"""Which certificate a host presents: seen over real sockets, and nowhere we must not go."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from factories import (
    HOUR,
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from portal_server import GRACE, LINKS, claims_for, nonce_in, portal, visiting
from sqlalchemy import Engine, select

from models.audit import Act
from models.base import table
from models.outreach import Reply
from models.revocation import Revocation
from models.terms import CertificateId, ContactId, IncidentId, SubscriberId, WireFinding
from models.wire import WireCheck
from tocsin.clock import SteppedClock
from tocsin.names import canonical_key
from tocsin.policy.wire import AddressRules, parse_networks
from tocsin.steps.wire import look_on_wire
from tocsin.store.session import reading, writing
from tocsin.wire import Wire

pytestmark = pytest.mark.server

HOST, SECOND = "www.clinic.example", "mail.clinic.example"
ISSUER = canonical_key([("2.5.4.3", "Issuing CA")])
LOOPBACK = AddressRules(allowed=parse_networks("127.0.0.0/8", field="allowed"))


@dataclass
class TlsHost:
    """A server with one certificate, and who came."""

    port: int
    came: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _credentials(folder: Path, serial: int, issuer: str = "Issuing CA") -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(HOST))
        .issuer_name(_name(issuer))
        .serial_number(serial)
        .public_key(key.public_key())
        .not_valid_before(datetime(2026, 3, 1, tzinfo=UTC))
        .not_valid_after(datetime(2026, 9, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{serial:x}-{issuer}.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return file


@contextmanager
def _listening(
    serve: Callable[[socket.socket], None],
) -> Iterator[TlsHost]:
    """Accept connections, and hand each to a function."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = TlsHost(port=listening.getsockname()[1])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    peer, client = listening.accept()
                    host.came.append(client[0])
                    with suppress(OSError), peer:
                        serve(peer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield host
        finally:
            listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def presenting(file: Path) -> Iterator[TlsHost]:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def serve(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as tls:
            tls.recv(1)

    with _listening(serve) as host:
        host.names = names
        yield host


def wire_to(
    host: TlsHost,
    *,
    rules: AddressRules = LOOPBACK,
    seconds: float = 3.0,
    addresses: Sequence[str] = ("127.0.0.1",),
) -> Wire:
    return Wire(
        rules,
        port=host.port,
        seconds=seconds,
        resolver=lambda _host, _port: addresses,
    )


@pytest.fixture
def affected(tmp_path: Path) -> Path:
    return _credentials(tmp_path, 0x1000)


@pytest.fixture
def replaced(tmp_path: Path) -> Path:
    return _credentials(tmp_path, 0xABCDEF)


# The handshake.


def test_certificate_is_seen_that_nobody_would_trust(replaced: Path) -> None:
    with presenting(replaced) as host:
        seen = wire_to(host).look([HOST])[HOST]

    assert seen.der is not None
    assert x509.load_der_x509_certificate(seen.der).serial_number == 0xABCDEF
    assert host.names == [HOST]


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("::ffff:127.0.0.1",)]
)
def test_nobody_comes_when_an_address_is_not_public(
    replaced: Path, addresses: Sequence[str]
) -> None:
    with presenting(replaced) as host:
        wire = wire_to(host, rules=AddressRules(), addresses=addresses)
        seen = wire.look([HOST])[HOST]

        assert seen.problem is WireFinding.NOT_PUBLIC
        assert host.came == []


def test_nobody_comes_to_the_operators_own_network(replaced: Path) -> None:
    rules = AddressRules(
        own=parse_networks("127.0.0.0/16", field="own"), allowed=LOOPBACK.allowed
    )
    with presenting(replaced) as host:
        assert wire_to(host, rules=rules).look([HOST])[HOST].problem is (
            WireFinding.NOT_PUBLIC
        )
        assert host.came == []


def test_name_is_resolved_once_and_its_checked_address_is_connected_to(
    replaced: Path,
) -> None:
    # A second answer would be another one, as whoever rebinds a name would want it.
    answers = iter((["127.0.0.1"], ["10.0.0.1"]))
    asked: list[str] = []

    def resolver(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    with presenting(replaced) as host:
        wire = Wire(LOOPBACK, port=host.port, seconds=3, resolver=resolver)
        seen = wire.look([HOST])[HOST]

    assert seen.der is not None
    assert asked == [HOST]


def test_name_without_an_address_is_told(replaced: Path) -> None:
    def resolver(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror

    with presenting(replaced) as host:
        wire = Wire(LOOPBACK, port=host.port, resolver=resolver)

        assert wire.look([HOST])[HOST].problem is WireFinding.NO_ADDRESS


def _silent(peer: socket.socket) -> None:
    peer.settimeout(5)
    while peer.recv(1024):
        pass


def _dripping(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"\x16")
        threading.Event().wait(0.05)


def _flooding(peer: socket.socket) -> None:
    # A handshake message of 16 MB, which the client has to wait for.
    record = b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + b"\x00" * (16_384 - 4)
    while True:
        peer.sendall(record)


def _plain(peer: socket.socket) -> None:
    peer.recv(1024)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("serve", "problems"),
    [
        (_silent, {WireFinding.NO_ANSWER}),
        (_dripping, {WireFinding.NO_ANSWER, WireFinding.NO_TLS}),
        (_flooding, {WireFinding.NO_TLS}),
        (_plain, {WireFinding.NO_TLS}),
    ],
)
def test_host_is_left_in_time_whatever_it_does(
    serve: Callable[[socket.socket], None], problems: set[WireFinding]
) -> None:
    with _listening(serve) as host:
        started_at = time.monotonic()
        seen = wire_to(host, seconds=0.5).look([HOST])[HOST]
        took = time.monotonic() - started_at

    assert seen.problem in problems
    assert took < 2


def test_resolver_that_never_answers_holds_nobody_up() -> None:
    never = threading.Event()

    def resolver(_host: str, _port: int) -> Sequence[str]:
        never.wait(20)
        return []

    wire = Wire(LOOPBACK, seconds=0.3, resolver=resolver)
    started_at = time.monotonic()
    seen = wire.look([HOST, SECOND])
    took = time.monotonic() - started_at
    never.set()

    assert {one.problem for one in seen.values()} == {WireFinding.NO_ANSWER}
    assert took < 2


def test_whoever_comes_when_many_look_is_told_and_does_not_wait() -> None:
    never = threading.Event()
    busy = threading.Barrier(9)

    def resolver(_host: str, _port: int) -> Sequence[str]:
        busy.wait(10)
        never.wait(10)
        return []

    wire = Wire(LOOPBACK, seconds=8, resolver=resolver)
    looking = [
        threading.Thread(target=wire.look, args=([f"h{number}.example.org"],))
        for number in range(8)
    ]
    for one in looking:
        one.start()
    busy.wait(10)

    seen = wire.look([HOST])
    never.set()
    for one in looking:
        one.join(10)

    assert seen[HOST].problem is WireFinding.BUSY
    assert wire.look([]) == {}


# On record.


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """A subscriber with two certificates, and another one's beside it."""

    engine: Engine
    clock: SteppedClock
    incident: IncidentId
    subscriber: SubscriberId
    contact: ContactId
    certificates: list[CertificateId]
    others: list[CertificateId]

    def look(
        self, wire: Wire, *certificates: CertificateId, per_hour: int = 60
    ) -> list[WireFinding]:
        looked = look_on_wire(
            self.engine,
            wire,
            claims=claims_for(self.incident, self.subscriber, self.contact),
            certificates=certificates or tuple(self.certificates),
            per_hour=per_hour,
            clock=self.clock,
        )
        return [view.finding for view in looked.views]

    def checks(self) -> list[object]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(table(WireCheck))))

    def details(self, action: str) -> list[object]:
        with reading(self.engine) as connection:
            return [
                json.loads(row.detail)
                for row in connection.execute(select(table(Act)))
                if row.action == action
            ]


def _clinic(engine: Engine, clock: SteppedClock) -> Clinic:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        certificates = [
            *insert_certificates(
                connection,
                incident,
                subscriber,
                1,
                issuer_key=ISSUER,
                dns_names=["*.clinic.example", HOST],
            ),
            *insert_certificates(
                connection,
                incident,
                subscriber,
                1,
                issuer_key=ISSUER,
                first_serial=0x1001,
                dns_names=[SECOND],
            ),
        ]
        other = insert_subscriber(connection, incident, "Other School")
        others = insert_certificates(
            connection, incident, other, 1, first_serial=0x2000
        )
        insert_revocations(connection, incident, [*certificates, *others])
    return Clinic(
        engine=engine,
        clock=clock,
        incident=incident,
        subscriber=subscriber,
        contact=contact,
        certificates=certificates,
        others=others,
    )


@pytest.fixture
def clinic(engine: Engine, clock: SteppedClock) -> Clinic:
    return _clinic(engine, clock)


def test_i5_what_was_seen_is_on_record(clinic: Clinic, replaced: Path) -> None:
    with presenting(replaced) as host:
        found = clinic.look(wire_to(host))

    assert found == [WireFinding.OTHER, WireFinding.OTHER]
    row = clinic.checks()[0]
    assert (row.host, row.serial) == (HOST, "abcdef")  # type: ignore[attr-defined]
    assert row.issuer == "CN=Issuing CA"  # type: ignore[attr-defined]
    assert row.not_after == datetime(2026, 9, 1, tzinfo=UTC)  # type: ignore[attr-defined]
    (detail,) = clinic.details("hosts-looked-at")
    assert detail == {
        "subscriber": clinic.subscriber,
        "seen": [[key, "other"] for key in clinic.certificates],
    }


def test_affected_certificate_is_told_from_another_affected_one(
    clinic: Clinic, affected: Path
) -> None:
    with presenting(affected) as host:
        found = clinic.look(wire_to(host))

    assert found == [WireFinding.AFFECTED, WireFinding.ANOTHER_AFFECTED]


def test_certificate_of_another_ca_is_another_one_though_its_serial_is_the_same(
    clinic: Clinic, tmp_path: Path
) -> None:
    with presenting(_credentials(tmp_path, 0x1000, "Another CA")) as host:
        found = clinic.look(wire_to(host), clinic.certificates[0])

    assert found == [WireFinding.OTHER]


def test_host_of_another_subscriber_is_not_looked_at(
    clinic: Clinic, replaced: Path
) -> None:
    with presenting(replaced) as host:
        assert clinic.look(wire_to(host), *clinic.others) == []
        assert host.came == []


def test_hosts_are_looked_at_so_often_an_hour_and_no_more(
    clinic: Clinic, replaced: Path
) -> None:
    with presenting(replaced) as host:
        wire = wire_to(host)
        assert len(clinic.look(wire, per_hour=3)) == 2
        assert len(clinic.look(wire, per_hour=3)) == 1
        assert clinic.look(wire, per_hour=3) == []
        clinic.clock.step_to(LAUNCH + HOUR)
        assert len(clinic.look(wire, per_hour=3)) == 2


# On the page.


@pytest.mark.parametrize(
    ("serial", "words"),
    [
        (0x1000, "still presents the affected certificate"),
        (0xABCDEF, "presents another certificate: good"),
    ],
)
def test_report_is_told_what_the_host_presents_and_taken_all_the_same(
    sqlite_engine: Engine,
    clock: SteppedClock,
    tmp_path: Path,
    serial: int,
    words: str,
) -> None:
    clinic = _clinic(sqlite_engine, clock)
    token = LINKS.sign(claims_for(clinic.incident, clinic.subscriber, clinic.contact))
    data = {"certificate": str(clinic.certificates[0])}
    with presenting(_credentials(tmp_path, serial)) as host:
        app = portal(sqlite_engine, clock, wire=wire_to(host))
        with visiting(app) as http:
            form = http.get(f"/s/{token}/replaced")
            unasked = http.post(f"/s/{token}/replaced/check", data=data)
            assert host.came == []
            check = http.post(f"/s/{token}/replaced/check", data=data | {"look": "1"})
            done = http.post(
                f"/s/{token}/replaced", data=data | {"nonce": nonce_in(check)}
            )
            page = http.get(done.headers["location"])

    assert 'name="look" value="1">' in form.text
    assert "present" not in unasked.text.partition("<main")[2]
    assert words in check.text
    assert "CN=Issuing CA" in check.text
    assert done.status_code == 303
    assert words in page.text
    (detail,) = clinic.details("reply-received")
    finding = "affected" if serial == 0x1000 else "other"
    assert detail["seen"] == [[clinic.certificates[0], finding]]  # type: ignore[index]
    with reading(sqlite_engine) as connection:
        (reply,) = connection.execute(select(table(Reply)))
        times = {
            row.revocation_time for row in connection.execute(select(table(Revocation)))
        }
    assert reply.effective_at == LAUNCH + GRACE
    assert len(times) == 1


def test_look_is_not_offered_when_the_operator_does_not_want_it(
    sqlite_engine: Engine, clock: SteppedClock
) -> None:
    clinic = _clinic(sqlite_engine, clock)
    token = LINKS.sign(claims_for(clinic.incident, clinic.subscriber, clinic.contact))
    data = {"certificate": str(clinic.certificates[0]), "look": "1"}
    with visiting(portal(sqlite_engine, clock)) as http:
        assert 'name="look"' not in http.get(f"/s/{token}/replaced").text
        check = http.post(f"/s/{token}/replaced/check", data=data)

    assert check.status_code == 200
    assert clinic.checks() == []
