from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from models.terms import NoticeKind
from tocsin.cli.templates import app
from tocsin.errors import BadInput, Broken


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOCSIN_TEMPLATE_DIRECTORY", raising=False)


def tocsin_templates(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def own_template(directory: Path, path: str, text: str) -> Path:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return directory


def test_check_passes_and_counts_when_only_shipped_templates_are_there() -> None:
    done = tocsin_templates("check")

    assert done.exit_code == 0, done.output
    # Six kinds for subscribers with six readers each or fewer, one for staff with two.
    assert "9 kinds in 2 languages (en, zh-Hant), each rendered" in done.stdout
    assert "96 notices, nothing wrong" in done.stdout


def test_check_makes_no_data_directory(tmp_path: Path) -> None:
    tocsin_templates("check")

    assert list(tmp_path.iterdir()) == []


def test_check_fails_and_names_the_notice_when_an_own_template_has_a_slip(
    tmp_path: Path,
) -> None:
    own = own_template(tmp_path / "own", "en/final/body.txt", "{{ contcat_name }}")

    done = tocsin_templates("check", "--directory", str(own))

    assert done.exit_code == 1
    assert "en" in done.stderr
    assert "final" in done.stderr
    assert "contcat_name" in done.stderr
    assert "6 findings: an incident cannot use these templates" in done.stderr


def test_check_shows_twenty_findings_and_a_count_when_there_are_more(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own"
    for kind in ("initial", "reminder", "final"):
        own_template(own, f"en/{kind}/body.txt", "Soon.")

    done = tocsin_templates("check", "--directory", str(own))

    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    # Five things are missing in each of three texts, for each of six readers.
    assert lines[20:] == [
        "and 70 more",
        "90 findings: an incident cannot use these templates",
    ]


def test_own_directory_comes_from_the_settings_when_no_option_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_template(
        tmp_path / "own", "en/initial/subject.txt", "Ours, of {{ total }}"
    )
    monkeypatch.setenv("TOCSIN_TEMPLATE_DIRECTORY", str(own))

    done = tocsin_templates("show", "initial")

    assert done.stdout.startswith("Subject: Ours, of 98\n")


def test_check_says_so_when_the_directory_is_not_there(tmp_path: Path) -> None:
    done = tocsin_templates("check", "--directory", str(tmp_path / "nowhere"))

    assert isinstance(done.exception, BadInput)
    assert "no such directory of templates" in str(done.exception)


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_show_prints_subject_and_text_and_writes_html(
    kind: NoticeKind, tmp_path: Path
) -> None:
    file = tmp_path / "notice.html"

    done = tocsin_templates("show", kind.value, "--html", str(file))

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Subject: ")
    # Nothing comes of a withdrawal any more, and contacts are of no date.
    if kind is not NoticeKind.WITHDRAWAL and not kind.is_about_contacts:
        assert "Saturday 7 March 2026, 11:00 HKT" in done.stdout
        assert "Saturday 7 March 2026, 11:00 HKT" in file.read_text("utf-8")
    # What is no part of the notice is not on stdout.
    assert "sample" not in done.stdout
    assert str(file) in done.stderr


def test_show_falls_back_to_english_when_a_language_is_not_there() -> None:
    english = tocsin_templates("show", "final").stdout

    assert tocsin_templates("show", "final", "--language", "fr").stdout == english


def test_show_says_how_many_samples_there_are_when_asked_for_one_too_many() -> None:
    done = tocsin_templates("show", "escalation", "--sample", "3")

    assert isinstance(done.exception, BadInput)
    assert "there are 2 sample readers of escalation" in str(done.exception)


def test_show_says_what_is_wrong_when_a_template_is_broken(tmp_path: Path) -> None:
    own = own_template(tmp_path / "own", "en/initial/body.html", "{% if %}")

    done = tocsin_templates("show", "initial", "--directory", str(own))

    assert isinstance(done.exception, Broken)
    assert "initial" in str(done.exception)
