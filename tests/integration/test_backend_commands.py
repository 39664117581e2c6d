"""`tocsin backend`, and the one door to the CA that the settings name."""

import json
from pathlib import Path

import pytest
from fakes.openssl_ca import OpenSslDirectory, openssl_directory
from typer.testing import CliRunner, Result

from tocsin.ca.backends.openssl import BACKEND, OpenSsl
from tocsin.ca.embedded import EmbeddedCa
from tocsin.ca.factory import GROUP, backend_names, find_backend, open_ca
from tocsin.ca.issuers import create_issuer
from tocsin.cli.backend import app
from tocsin.clock import SteppedClock, SystemClock
from tocsin.errors import BadInput
from tocsin.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "data"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenSslDirectory:
    directory = openssl_directory(tmp_path / "ca")
    monkeypatch.setenv("TOCSIN_CA_BACKEND", "openssl")
    monkeypatch.setenv("TOCSIN_CA_OPTIONS_FILE", str(directory.options()))
    return directory


def backend(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def findings(*arguments: str) -> dict[str, dict[str, str]]:
    done = backend("check", "--json", *arguments)
    return {found["name"]: found for found in json.loads(done.output)}


def test_the_list_says_what_each_backend_was_tried_against() -> None:
    shown = backend("list").output

    for name in backend_names():
        assert name in shown
    assert "the real OpenBao server" in shown


def test_the_embedded_ca_is_opened_when_nothing_is_set(
    clock: SteppedClock,
) -> None:
    ca = open_ca(read_settings(), clock=clock)

    assert isinstance(ca.backend, EmbeddedCa)
    assert ca.list_issuers() == {}


def test_the_chosen_ca_is_opened_with_its_options(
    directory: OpenSslDirectory, clock: SteppedClock
) -> None:
    ca = open_ca(Settings(), clock=clock)

    assert isinstance(ca.backend, OpenSsl)
    assert ca.list_issuers() == {directory.authority.issuer_key: "CN=Test CA of today"}


def test_a_ca_without_options_or_of_no_known_kind_is_named(
    monkeypatch: pytest.MonkeyPatch, clock: SteppedClock
) -> None:
    monkeypatch.setenv("TOCSIN_CA_BACKEND", "openbao")
    with pytest.raises(BadInput, match="field TOCSIN_CA_OPTIONS_FILE: the backend"):
        open_ca(Settings(), clock=clock)

    monkeypatch.setenv("TOCSIN_CA_BACKEND", "notary")
    with pytest.raises(BadInput, match="there is no backend 'notary'; there are: emb"):
        open_ca(Settings(), clock=clock)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[ca", "not TOML"),
        ("[cb]\n[[issuer]]", "field cb: only"),
        ("[ca]", "name each issuer"),
        ("[ca]\n[[issuer]]\ncertificate = 'gone.pem'", r"issuer 1\.certificate: there"),
        ("[ca]\nlimits = [{calls = 0}]\n[[issuer]]", r"field ca\.limits\.0\.calls"),
        ("[ca]\n[[issuer]]", r"field issuer 1\.certificate: missing"),
        (
            "[ca]\n[[issuer]]\ncertificate = 'broken.pem'",
            "no certificate in PEM or DER",
        ),
    ],
)
def test_wrong_options_end_in_one_sentence(
    directory: OpenSslDirectory, clock: SteppedClock, text: str, sentence: str
) -> None:
    (directory.folder / "broken.pem").write_text("nothing")
    (directory.folder / "openssl.cnf").touch()
    more = "\nconfig = 'openssl.cnf'\ndatabase = 'index.txt'" if "=" in text else ""
    (directory.folder / "openssl.toml").write_text(text + more)

    with pytest.raises(BadInput, match=sentence):
        open_ca(Settings(), clock=clock)


def test_another_packages_backend_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "notary-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: notary\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[{GROUP}]\n"
        "notary = tocsin.ca.backends.openssl:BACKEND\n"
        "wrong = tocsin.ca.backends.openssl:OpenSsl\n"
        "gone = nowhere.at.all:BACKEND\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert find_backend("notary") is BACKEND
    assert backend_names()[-3:] == ["gone", "notary", "wrong"]
    with pytest.raises(BadInput, match="the backend wrong is no BackendKind"):
        find_backend("wrong")
    with pytest.raises(BadInput, match="the backend gone cannot be loaded"):
        find_backend("gone")
    assert "cannot be loaded" in backend("list").output


def test_a_check_says_which_circumstances_need_a_reason_that_is_dropped(
    directory: OpenSslDirectory,
) -> None:
    # openssl has no word for privilegeWithdrawn.
    found = findings()["reasons"]

    assert found["state"] == "missing"
    assert "privilegeWithdrawn; needed for not-authorised, misused" in found["detail"]
    assert "reasons_may_be_lost" in found["advice"]
    assert backend("check").exit_code == 1

    directory.options(reasons_may_be_lost=True)
    assert findings()["reasons"]["state"] == "note"


def test_a_check_reads_what_is_published(directory: OpenSslDirectory) -> None:
    before = findings()["publication"]
    ca = open_ca(Settings(), clock=SystemClock())
    ca.backend.publish(directory.authority.issuer_key)
    after = findings()["publication"]

    assert before["state"] == "missing"
    assert "ca.crl cannot be read" in before["detail"]
    assert after["state"] == "ok"
    assert "lists 0; no OCSP: the CRL alone is the proof" in after["detail"]


def test_a_check_finds_a_ca_that_does_not_answer(directory: OpenSslDirectory) -> None:
    directory.index.unlink()

    found = findings()

    assert found["answers"]["state"] == "missing"
    assert "index.txt" in found["answers"]["detail"]


def test_a_probe_measures_the_rate_and_revokes_nothing(
    directory: OpenSslDirectory,
) -> None:
    directory.issue()
    before = directory.index.read_bytes()

    found = findings("--probe", "--seconds", "0.1")

    assert found["probe"]["state"] == "ok"
    assert "calls a second" in found["probe"]["detail"]
    assert "has 1 rows" in found["set-up"]["detail"]
    assert directory.index.read_bytes() == before


def test_a_check_of_the_embedded_ca_names_what_is_missing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings()["issuers"]["state"] == "missing"

    create_issuer(data / "ca", name="Test CA R1", now=SystemClock().now())
    monkeypatch.setenv("TOCSIN_CA_BACKEND", "embedded")
    found = findings("--probe")

    assert found["reasons"]["state"] == "ok"
    assert found["answers"]["state"] == "ok"
    assert "no CRL of issuer" in found["publication"]["detail"]
    assert "has none" in found["probe"]["detail"]
