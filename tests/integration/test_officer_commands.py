"""`tocsin officer` as an operator types it."""

import json
from pathlib import Path

import pytest
from fakes.office import CHAN, LAM, OFFICERS
from typer.testing import CliRunner, Result

from tocsin.cli.officer import app
from tocsin.errors import BadInput


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_PORTAL_URL", "https://answer.ca.example")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "officers.csv").write_text(OFFICERS, "utf-8")
    return tmp_path / "data"


def tocsin_officer(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_list_names_everybody_and_their_role() -> None:
    listed = json.loads(tocsin_officer("list", "--json").stdout)

    assert [(one["email"], one["role"]) for one in listed][:2] == [
        (CHAN, "officer"),
        (LAM, "officer"),
    ]
    assert "Wong Ka Yan" in tocsin_officer("list").stdout


def test_check_counts_who_may_come_in() -> None:
    done = tocsin_officer("check")

    assert done.exit_code == 0
    assert "3 may come in: 2 as officer, 1 as manager" in done.stdout


def test_check_fails_and_names_the_row_when_one_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text(OFFICERS + "Ho,ho.ca.example,officer\n", "utf-8")

    done = tocsin_officer("check", str(file))

    assert done.exit_code == 1
    assert "new.csv, row 5, field email: no '@'" in done.stderr


def test_check_fails_when_a_launch_takes_two_and_there_is_one(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_LAUNCH_NEEDS_SECOND_OFFICER", "true")
    (data / "officers.csv").write_text(f"name,email,role\nChan,{CHAN},officer\n")

    done = tocsin_officer("check")

    assert done.exit_code == 1
    assert "nothing could be launched" in done.stderr


def test_link_is_alone_on_standard_output_so_that_it_can_be_piped() -> None:
    done = tocsin_officer("link", CHAN.upper())

    assert done.exit_code == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("https://answer.ca.example/desk/in/")
    assert "Lets Chan Tai Man in as officer, once" in done.stderr


def test_no_link_is_printed_for_somebody_who_is_not_on_the_list() -> None:
    done = tocsin_officer("link", "nobody@elsewhere.example")

    assert isinstance(done.exception, BadInput)
    assert done.stdout == ""


def test_missing_list_says_how_to_make_one(data: Path) -> None:
    (data / "officers.csv").unlink()

    done = tocsin_officer("list")

    assert isinstance(done.exception, BadInput)
    assert "name,email,role" in str(done.exception)


def test_sign_out_says_how_many_sessions_ended() -> None:
    done = tocsin_officer("sign-out", CHAN)

    assert done.exit_code == 0
    assert done.stdout.startswith("0 sessions ended")
