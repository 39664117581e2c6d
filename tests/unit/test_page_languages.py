"""Every sentence of a subscriber's page is there in every language, or a check says so."""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from tocsin.phrases import phrase
from tocsin.portal.asked import Asked, asked_by, tongue_for
from tocsin.portal.checks import check_pages, sentences
from tocsin.portal.moments import Glance, distance, moment
from tocsin.portal.tongues import read_tongues

PORTAL = Path(__file__).parents[2] / "tocsin" / "portal"
SHIPPED = (
    Path(__file__).parents[2] / "templates" / "portal" / "zh-Hant" / "words.po"
).read_text("utf-8")
NOW = datetime(2026, 3, 5, 3, tzinfo=UTC)
TAGS = ("en", "zh-Hant")


def findings(tmp_path: Path, catalogue: str) -> list[str]:
    folder = tmp_path / "xx"
    folder.mkdir()
    (folder / "words.po").write_text(catalogue, "utf-8")
    return list(check_pages(tmp_path))


def request(query: str = "", **headers: str) -> HTTPConnection:
    return HTTPConnection(
        {
            "type": "http",
            "method": "GET",
            "query_string": query.encode(),
            "headers": Headers(headers).raw,
        }
    )


def test_every_language_that_we_ship_is_complete() -> None:
    assert list(check_pages()) == []
    assert len(sentences()) > 300


def test_folder_without_a_catalogue_is_named(tmp_path: Path) -> None:
    (tmp_path / "xx").mkdir()

    assert list(check_pages(tmp_path)) == ["xx/words.po: not there"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('msgstr "繼續"', 'msgstr ""', "not translated: Continue"),
        ('msgid "Continue"', 'msgid "Contniue"', "not translated: Continue"),
        ('msgid "Continue"', 'msgid "Go"', "said on no page any more: Go"),
        ('msgid "Continue"', '#, fuzzy\nmsgid "Continue"', "marked as uncertain"),
        ("返回%(name)s的證書", "返回證書", "%(name)s is not on both sides"),
        ("返回%(name)s的證書", "返回%(nam)s的證書", "%(nam)s is not on both sides"),
        ("<strong>這是演習。</strong>", "這是演習。", "other marks of HTML"),
        ("返回%(name)s的證書", "返回<b>%(name)s</b>", "other marks of HTML"),
        ("nplurals=1", "nplurals=2", "needs 2 forms: %(shown)s certificate"),
        ('msgid_plural "%(shown)s CSRs"', 'msgid_plural "x"', "another one in English"),
        ('msgid "Continue"', 'msgud "Continue"', "cannot be read"),
    ],
)
def test_slip_in_a_catalogue_is_found_and_named(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in SHIPPED

    found = findings(tmp_path, SHIPPED.replace(old, new))

    assert any(complaint in one for one in found), found


def test_subscribers_problems_are_phrases_and_so_can_be_said_in_any_language() -> None:
    said = []
    for name in ("pages.py", "forms.py", "ask_forms.py"):
        for node in ast.walk(ast.parse((PORTAL / name).read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
                (message,) = [one for one in node.keywords if one.arg == "message"]
                said.append(ast.unparse(message.value).partition("(")[0])

    assert len(said) > 10
    assert set(said) <= {"phrase", "message"}


def test_what_a_reader_chose_comes_before_the_directory_and_the_browser() -> None:
    just_now = Asked(chosen="zh-Hant", kept="en", accepted=("en",))
    before = Asked(chosen="tlh", kept="zh-Hant", accepted=("en",))
    nothing = Asked(accepted=("fr", "zh-HK", "en"))

    assert tongue_for(just_now, TAGS, own="en") == "zh-Hant"
    assert tongue_for(before, TAGS, own="en") == "zh-Hant"
    assert tongue_for(nothing, TAGS, own="en") == "en"
    assert tongue_for(nothing, TAGS, own="zh-TW") == "zh-Hant"
    assert tongue_for(nothing, TAGS, own="pt-BR") == "zh-Hant"
    assert tongue_for(nothing, TAGS) == "zh-Hant"
    assert tongue_for(Asked(), TAGS) == "en"


def test_request_says_what_was_chosen_kept_and_accepted() -> None:
    read = asked_by(
        request(
            "page=2&lang=zh-Hant",
            cookie="language=en",
            **{"accept-language": "en;q=0.3, zh-HK, *;q=0, fr;q=x, de;q=0.8"},
        )
    )

    assert read == Asked(
        chosen="zh-Hant",
        kept="en",
        accepted=("zh-HK", "de", "en"),
        others=(("page", "2"),),
        can_choose=True,
    )


@pytest.mark.parametrize(
    ("span", "english", "chinese"),
    [
        (timedelta(days=2, hours=4, minutes=3), "in 2 days 4 hours", "2天4小時後"),
        (timedelta(days=1), "in 1 day", "1天後"),
        (timedelta(hours=1, minutes=1), "in 1 hour 1 minute", "1小時1分鐘後"),
        (timedelta(seconds=9), "in less than a minute", "不足一分鐘後"),
        (timedelta(0), "just now", "剛才"),
        (-timedelta(minutes=5), "5 minutes ago", "5分鐘前"),
    ],
)
def test_distance_is_said_in_both_languages(
    span: timedelta, english: str, chinese: str
) -> None:
    tongues = read_tongues()

    assert tongues["en"].say(distance(span)) == str(distance(span)) == english
    assert tongues["zh-Hant"].say(distance(span)) == chinese


def test_instant_is_written_as_each_language_writes_it() -> None:
    at = datetime(2026, 3, 6, 17, tzinfo=UTC)
    english, chinese = (
        moment(
            at,
            zone="Asia/Hong_Kong",
            glance=Glance(NOW),
            language=read_tongues()[tag].language,
        )
        for tag in TAGS
    )

    assert english.local == "Saturday 7 March 2026, 01:00 HKT"
    assert english.utc == "Friday 6 March, 17:00 UTC"
    assert english.day == "7 March 2026"
    assert chinese.local.startswith("2026年3月7日（星期六）01:00（香港")
    assert chinese.utc == "協調世界時（UTC）3月6日（星期五）17:00"
    assert chinese.day == "2026年3月7日"


def test_phrase_within_a_phrase_is_said_in_the_same_language() -> None:
    what = phrase(
        "In %(file)s: %(finding)s", file="a.csr", finding=phrase("It is empty.")
    )

    assert str(what) == "In a.csr: It is empty."
    assert read_tongues()["zh-Hant"].say(what) == "a.csr：內容是空白的。"
