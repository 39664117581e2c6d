"""`tocsin ladder`: what is wrong with a ladder, what it would do, how it looks."""

from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tocsin.cli.app import app
from tocsin.errors import BadInput

SHIPPED = resources.files("tocsin.policy") / "ladders"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ladder", *arguments], env={"COLUMNS": "100"})


@pytest.fixture
def five_days(tmp_path: Path) -> Path:
    file = tmp_path / "five-days.toml"
    file.write_text((SHIPPED / "five-days.toml").read_text("utf-8"), "utf-8")
    return file


def test_check_tells_what_a_ladder_would_do_in_both_incidents(five_days: Path) -> None:
    done = run("check", str(five_days))

    assert done.exit_code == 0
    shown = " ".join(done.stdout.split())
    for said in (
        "In an incident of 5 days",
        "In an incident of 24 hours",
        "Operations managers take over missing CSRs (again every 1 d, once at most)",
        "csr-missing: operations-manager",
        "contact 1 gets 6 mails (initial, reminder, reminder, reminder, final, final)",
        "At most 2 of them within 24 hours.",
        "comes back after 6 h without an answer",
        "15 steps, nothing wrong. Next: tocsin ladder draw",
    ):
        assert said in shown, said


def test_check_names_every_problem_and_fails(five_days: Path) -> None:
    text = five_days.read_text("utf-8")
    text = (
        text.replace("share = 0.25", 'share = "soon"')
        .replace('tell = ["call-sheet"', 'tell = ["cal-sheet"')
        .replace('"account-manager", "call-sheet"]', '"acount-manager"]')
    )
    five_days.write_text(text, "utf-8")

    done = run("check", str(five_days))

    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines[-1] == "4 problems: no incident can be launched with it"
    assert sum("step 3, tell" in line for line in lines) == 1
    assert sum("step 6, share" in line for line in lines) == 1
    assert sum("step 9, tell" in line for line in lines) == 1
    assert all("five-days.toml" in line for line in lines[:-1])


@pytest.mark.parametrize(
    ("name", "magic"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG")]
)
def test_draw_writes_a_picture(five_days: Path, name: str, magic: bytes) -> None:
    out = five_days.with_name(name)

    done = run("draw", str(five_days), "--out", str(out), "--hours", "24")

    assert done.exit_code == 0, done.exception
    assert out.read_bytes().startswith(magic)


def test_draw_says_which_pictures_there_are(five_days: Path) -> None:
    done = run("draw", str(five_days), "--out", "ladder.gif")

    assert isinstance(done.exception, BadInput)
    assert "a picture is .svg or .png" in str(done.exception)


def test_file_that_is_not_there_is_named() -> None:
    done = run("check", "nowhere.toml")

    assert "there is no such file" in str(done.exception)
    assert "nowhere.toml" in str(done.exception)
