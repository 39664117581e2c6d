"""CFSSL, against the real server (Debian: golang-cfssl)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fakes.cfssl import CfsslServer, cfssl_server
from fakes.requests import request_for

from models.terms import Reason
from tocsin.ca.backend import AnswerKind, CaBackend, Publication
from tocsin.ca.backends.cfssl import BACKEND, Cfssl
from tocsin.ca.contract import BackendContract, Subject
from tocsin.ca.options import read_options
from tocsin.clock import SystemClock
from tocsin.errors import Unavailable

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not shutil.which("cfssl"), reason="needs golang-cfssl"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CfsslServer]:
    with cfssl_server(tmp_path_factory.mktemp("cfssl")) as server:
        yield server


def opened(options: Path) -> tuple[Cfssl, Publication]:
    return BACKEND.open(read_options(options, BACKEND))  # type: ignore[return-value]


@pytest.fixture
def ca(server: CfsslServer) -> Cfssl:
    return opened(server.options())[0]


class TestCfssl(BackendContract):
    @pytest.fixture
    def subject(self, server: CfsslServer) -> Subject:
        backend, publication = opened(server.options())
        return Subject(
            backend=backend,
            publication=publication,
            clock=SystemClock(),
            issuer_key=server.authority.issuer_key,
            new_serial=server.issue,
            unissued_serial=lambda: 0xDEADBEEF,
        )


def test_cfssl_fits_the_protocols(ca: Cfssl) -> None:
    backend: CaBackend = ca

    assert backend.capabilities.safe_to_repeat


def test_a_repeat_changes_neither_reason_nor_time_although_the_server_would(
    server: CfsslServer, ca: Cfssl
) -> None:
    serial = server.issue()
    key = server.authority.issuer_key
    list(ca.revoke([request_for(key, serial, reason=Reason.SUPERSEDED)]))
    first = server.rows()[serial]

    (again,) = ca.revoke([request_for(key, serial, reason=Reason.KEY_COMPROMISE)])
    after = server.rows()[serial]
    server.ask(
        "revoke", serial=str(serial), authority_key_id="", reason="keyCompromise"
    )

    assert (again.kind, again.reason) == (AnswerKind.ALREADY, Reason.SUPERSEDED)
    assert after == first
    assert server.rows()[serial][1] == Reason.KEY_COMPROMISE  # what a blind one does


def test_a_serial_in_hex_would_be_another_certificates(
    server: CfsslServer, ca: Cfssl
) -> None:
    serial = server.issue()

    (answer,) = ca.revoke([request_for(server.authority.issuer_key, serial)])

    assert answer.kind is AnswerKind.DONE
    assert str(serial).isdecimal()
    assert server.rows()[serial][0] == "revoked"


def test_nothing_is_believed_when_the_database_is_another_servers(
    server: CfsslServer, tmp_path: Path
) -> None:
    serial = server.issue()
    options = server.options()
    shutil.copy(server.folder / "certs.db", tmp_path / "old.db")
    (server.folder / "database-url").write_text(f"sqlite:///{tmp_path / 'old.db'}")
    ca, _ = opened(options)

    (answer,) = ca.revoke([request_for(server.authority.issuer_key, serial)])

    assert answer.kind is AnswerKind.FATAL
    assert "is it the database of this server?" in answer.detail


def test_a_database_that_is_away_is_said_without_its_url(
    server: CfsslServer,
) -> None:
    options = server.options()
    (server.folder / "database-url").write_text("sqlite:////nowhere/secret.db")
    ca, _ = opened(options)
    request = request_for(server.authority.issuer_key, server.issue())

    (answer,) = ca.revoke([request])

    assert answer.kind is AnswerKind.RETRY
    assert "secret" not in answer.detail
    with pytest.raises(Unavailable):
        list(ca.look_up([request]))


def test_a_probe_revokes_nothing(server: CfsslServer, ca: Cfssl) -> None:
    before = server.rows()

    said = ca.probe(server.authority.issuer_key)

    assert "never issued is refused" in said
    assert server.rows() == before


def test_a_server_without_database_is_named(
    server: CfsslServer,
) -> None:
    # Its revoke endpoint is not there: 404, as for any other wrong path.
    wrong = opened(server.options(url=f"{server.url}/elsewhere"))[0]
    request = request_for(server.authority.issuer_key, server.issue())

    (answer,) = wrong.revoke([request])

    assert answer.kind is AnswerKind.FATAL
    assert "-db-config" in answer.detail
    assert httpx.post(f"{server.url}/elsewhere", trust_env=False).status_code == 404
