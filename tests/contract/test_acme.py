"""ACME's revokeCert, against Pebble (Debian: pebble)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.authority import DER, new_authority
from fakes.pebble import PebbleServer, pebble_server
from fakes.requests import request_for

from models.terms import Reason
from tocsin.ca.backend import AnswerKind, CaBackend
from tocsin.ca.backends.acme import BACKEND, Acme
from tocsin.ca.contract import BackendContract, Subject
from tocsin.ca.options import read_options
from tocsin.clock import SystemClock
from tocsin.errors import BadInput, Unavailable

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not shutil.which("pebble"), reason="needs pebble"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PebbleServer]:
    with pebble_server(tmp_path_factory.mktemp("pebble")) as server:
        yield server


def opened(options: Path) -> Acme:
    backend = BACKEND.open(read_options(options, BACKEND))[0]
    assert isinstance(backend, Acme)
    return backend


@pytest.fixture
def ca(server: PebbleServer) -> Acme:
    return opened(server.options())


class TestAcme(BackendContract):
    @pytest.fixture
    def subject(self, server: PebbleServer) -> Subject:
        return Subject(
            backend=opened(server.options()),
            publication=None,  # Pebble has neither CRL nor OCSP
            clock=SystemClock(),
            issuer_key=server.issuer_key,
            new_serial=server.issue,
            unissued_serial=lambda: 1,
            certificate_of=lambda serial: (
                server.certificates.get(serial)
                or new_authority().certificate.public_bytes(DER)
            ),
        )


def test_acme_fits_the_protocols(ca: Acme) -> None:
    backend: CaBackend = ca

    assert not backend.capabilities.tells_status


@pytest.mark.parametrize(
    ("reason", "published"),
    [
        (Reason.KEY_COMPROMISE, 1),
        (Reason.SUPERSEDED, 4),
        (Reason.UNSPECIFIED, 0),
        (Reason.PRIVILEGE_WITHDRAWN, 0),  # not among those that are sent
    ],
)
def test_the_server_has_the_reason_that_was_sent(
    server: PebbleServer, ca: Acme, reason: Reason, published: int
) -> None:
    serial = server.issue()
    request = request_for(
        server.issuer_key,
        serial,
        reason=reason,
        certificate=server.certificates[serial],
    )

    (answer,) = ca.revoke([request])

    assert answer.kind is AnswerKind.DONE
    status = server.status(serial)
    assert status["Status"] == "Revoked"
    assert status.get("Reason", 0) == published


def test_a_reason_that_the_server_refuses_is_an_answer(server: PebbleServer) -> None:
    # Pebble takes any reason that RFC 5280 names; it is the words that are tested.
    serial = server.issue()
    ca = opened(server.options(keeps_reasons=["privilegeWithdrawn"]))
    request = request_for(
        server.issuer_key,
        serial,
        reason=Reason.PRIVILEGE_WITHDRAWN,
        certificate=server.certificates[serial],
    )

    (answer,) = ca.revoke([request])

    assert answer.kind in {AnswerKind.DONE, AnswerKind.REFUSED}


def test_another_accounts_certificate_is_refused_and_stops_no_other(
    server: PebbleServer,
) -> None:
    server.new_account("other")
    ca = opened(server.options(account="other"))
    serials = [server.issue() for _ in range(5)]
    requests = [
        request_for(server.issuer_key, s, certificate=server.certificates[s])
        for s in serials
    ]

    kinds = [answer.kind for answer in ca.revoke(requests)]

    assert kinds == [AnswerKind.REFUSED] * 5


def test_an_account_that_the_server_does_not_know_is_fatal(
    server: PebbleServer,
) -> None:
    (server.folder / "stranger.pem").write_bytes(
        (server.folder / "tls-key.pem").read_bytes()
    )
    ca = opened(server.options(account="stranger"))
    serial = server.issue()
    request = request_for(
        server.issuer_key, serial, certificate=server.certificates[serial]
    )

    (answer,) = ca.revoke([request])

    assert answer.kind is AnswerKind.FATAL
    assert server.status(serial)["Status"] == "Valid"
    with pytest.raises(Unavailable, match="does not know our key"):
        ca.probe(server.issuer_key)


def test_a_serial_alone_is_refused_with_what_to_do(
    server: PebbleServer, ca: Acme
) -> None:
    (answer,) = ca.revoke([request_for(server.issuer_key, 1)])

    assert answer.kind is AnswerKind.REFUSED
    assert "import it instead of its serial" in answer.detail


def test_a_server_that_cannot_be_trusted_is_fatal(
    server: PebbleServer,
) -> None:
    serial = server.issue()
    options = server.options()
    text = options.read_text().replace('trust_file = "tls.pem"\n', "")
    options.write_text(text)
    ca = opened(options)

    (answer,) = ca.revoke(
        [
            request_for(
                server.issuer_key, serial, certificate=server.certificates[serial]
            )
        ]
    )

    assert answer.kind is AnswerKind.FATAL
    assert "no TLS with 127.0.0.1" in answer.detail


def test_a_probe_shows_that_the_account_is_known_and_revokes_nothing(
    server: PebbleServer, ca: Acme
) -> None:
    assert "the account is known" in ca.probe(server.issuer_key)


def test_a_key_that_is_none_is_named(server: PebbleServer) -> None:
    (server.folder / "none.pem").write_text("no key")

    with pytest.raises(BadInput, match=r"none\.pem: no RSA or EC key"):
        opened(server.options(account="none"))


def test_another_nonce_is_taken_when_the_server_does_not_take_one(
    server: PebbleServer, ca: Acme
) -> None:
    serials = [server.issue(), server.issue()]
    first, second = (
        request_for(server.issuer_key, s, certificate=server.certificates[s])
        for s in serials
    )
    list(ca.revoke([first]))
    ca._server._nonces += ["c3RhbGU"] * 2

    (answer,) = ca.revoke([second])

    assert answer.kind is AnswerKind.DONE
