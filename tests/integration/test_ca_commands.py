from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from factories import LAUNCH
from typer.testing import CliRunner

from tocsin.ca.embedded import EmbeddedCa
from tocsin.ca.issuers import all_issuers, create_issuer, key_file, summarise
from tocsin.cli.ca import app
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_CA_DIRECTORY", str(tmp_path / "ca"))
    return tmp_path / "ca"


def tocsin_ca(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_show_names_the_next_command_when_there_is_no_issuer(directory: Path) -> None:
    assert "tocsin ca create" in tocsin_ca("show")
    assert not directory.exists()


def test_an_issuer_that_was_made_is_shown(directory: Path) -> None:
    made = tocsin_ca("create", "--name", "Test CA R1", "--country", "HK")

    shown = tocsin_ca("show")

    (issuer,) = summarise(directory)
    assert issuer.key in made
    assert "C=HK, CN=Test CA R1" in shown
    assert "no CRL yet" in shown


def test_an_issuer_that_existed_is_added_from_files(
    directory: Path, tmp_path: Path, clock: SteppedClock
) -> None:
    elsewhere = tmp_path / "elsewhere"
    key = create_issuer(elsewhere, name="Old CA", now=LAUNCH)
    certificate = tmp_path / "issuer.crt"
    (made,) = all_issuers(elsewhere)
    certificate.write_bytes(made.certificate.public_bytes(Encoding.PEM))

    tocsin_ca(
        "add", "--certificate", str(certificate), "--key", str(key_file(elsewhere, key))
    )
    EmbeddedCa(directory, clock=clock).publish(key)

    assert [issuer.key for issuer in summarise(directory)] == [key]
    assert "CRL 1, " in tocsin_ca("show")


def test_a_file_that_cannot_be_read_is_named(directory: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")

    with pytest.raises(BadInput, match=r"missing\.pem, field certificate"):
        tocsin_ca("add", "--certificate", missing, "--key", missing)
    assert summarise(directory) == []
