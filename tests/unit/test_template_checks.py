"""Every slip that would reach a reader is found before the first mail, and named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.terms import NoticeKind
from tocsin.mail.checks import check_templates
from tocsin.mail.render import TemplateSet

SOURCES = TemplateSet.from_files().sources()
HTML = "en/final/body.html"
READERS = 6 * sum(
    kind not in {NoticeKind.ESCALATION, NoticeKind.WITHDRAWAL}
    and not kind.is_about_contacts
    for kind in NoticeKind
)
"""Notices of a revocation in one language: six sample readers of each kind."""
WITHDRAWALS = 3
"""Sample readers in one language who are told that nothing is revoked after all."""


def findings(**changes: str | None) -> list[str]:
    """Check the shipped templates with some of them changed, or taken away."""
    sources = {**SOURCES, **changes}
    return list(
        check_templates(
            TemplateSet.from_sources(
                {path: text for path, text in sources.items() if text is not None}
            )
        )
    )


def inserted(markup: str) -> Callable[[str], str]:
    block = "{% block content %}"
    return lambda source: source.replace(block, block + markup)


@pytest.mark.parametrize(
    ("markup", "complaint"),
    [
        ("<b>now", "closes nothing"),
        ("</i>", "</i> closes nothing"),
        ("<img src='https://ca.example/logo.png'>", "<img> loads something"),
        ("<script>alert(1)</script>", "<script> works in no mail program"),
        ("<form></form>", "<form> works in no mail program"),
        ("<p onclick='go()'></p>", "<p> works in no mail program"),
        ("<style>p { background: url(x.png) }</style>", "style loads something"),
    ],
)
def test_markup_that_a_mail_program_trips_over_is_found(
    markup: str, complaint: str
) -> None:
    found = findings(**{HTML: inserted(markup)(SOURCES[HTML])})

    assert len(found) >= 6  # for each of the sample readers
    assert all(finding.startswith("en/final with ") for finding in found)
    assert any(complaint in finding for finding in found)


def test_element_that_is_never_closed_is_named_with_its_line() -> None:
    found = findings(**{HTML: '<html lang="en">\n<p>{{ link }}'})

    assert any("<p> of line 2 is never closed" in finding for finding in found)


def test_wrong_language_is_found() -> None:
    frame = SOURCES["_base/frame.html"].replace('lang="{{ lang }}"', 'lang="fr"')

    found = findings(**{"_base/frame.html": frame})

    assert all("lang=" in finding for finding in found)
    assert {finding.split(" ")[0] for finding in found} == {
        f"{tag}/{kind}" for tag in ("en", "zh-Hant") for kind in NoticeKind
    }


def test_what_comes_only_after_the_first_screen_is_found() -> None:
    pushed = inserted("<p>We regret this.</p>" * 40)(SOURCES[HTML])

    found = findings(**{HTML: pushed})

    assert found[0] == (
        "en/final with 1 certificates: the link is not on the first screen of body.html"
    )
    assert found[1].endswith("the phone number is not on the first screen of body.html")


def test_page_whose_button_leads_elsewhere_is_found() -> None:
    base = SOURCES["_base/certificates.html"].replace('href="{{ link }}"', 'href="#"')

    found = findings(**{"_base/certificates.html": base})

    assert all("nothing in body.html leads to the link" in one for one in found)
    assert len(found) == 2 * (READERS + WITHDRAWALS)


def test_long_line_is_named_and_a_long_link_is_none() -> None:
    long_line = "\n" + "x " * 40

    found = findings(**{"en/notice.txt": SOURCES["en/notice.txt"] + long_line})
    assert len(found) == READERS
    assert "of body.txt has 80 columns, 78 at most: x x x" in found[0]


def test_chinese_line_is_measured_in_columns() -> None:
    line = "\n" + "證" * 40

    found = findings(**{"zh-Hant/notice.txt": SOURCES["zh-Hant/notice.txt"] + line})

    assert "has 80 columns" in found[0]


@pytest.mark.parametrize(
    "path", ["en/final/body.txt", "en/event.txt", "en/reminder/subject.txt"]
)
def test_missing_file_is_named(path: str) -> None:
    assert f"{path}: not there" in findings(**{path: None})


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("en/inital/body.txt", "there is no kind of notice called inital"),
        ("en/final/body.text.txt", "not a part of a notice"),
    ],
)
def test_file_that_nothing_reads_is_named(path: str, complaint: str) -> None:
    (found,) = findings(**{path: "Soon."})

    assert found.startswith(f"{path}: ")
    assert complaint in found


def test_event_without_a_title_is_found() -> None:
    found = findings(**{"en/event.txt": "\n\nwords"})

    assert all("the first line of event.txt is empty" in one for one in found)
    assert len(found) == READERS


def test_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    subject = tmp_path / "en" / "initial" / "subject.txt"
    subject.parent.mkdir(parents=True)
    subject.write_bytes("Café".encode("latin-1"))

    found = check_templates(TemplateSet.from_files(tmp_path))

    assert found == ("en/initial/subject.txt: not UTF-8: save it as that",)
