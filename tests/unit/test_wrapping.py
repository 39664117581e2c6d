"""Lines of plain text in letters and in Chinese signs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.mail.wrapping import columns, wrap


@pytest.mark.parametrize(
    ("text", "wide"), [("", 0), ("abc", 3), ("證書", 4), ("CSR檔", 5), ("e\u0301", 1)]
)
def test_chinese_sign_takes_two_columns(text: str, wide: int) -> None:
    assert columns(text) == wide


def test_line_ends_between_words() -> None:
    assert wrap("one two three four", 9) == "one two\nthree\nfour"


def test_chinese_line_ends_between_signs_and_begins_with_no_comma() -> None:
    assert wrap("證書將被撤銷，請安裝", 12) == "證書將被撤\n銷，請安裝"  # noqa: RUF001


def test_opening_bracket_ends_no_line() -> None:
    assert wrap("證書撤銷（星期六）", 10) == "證書撤銷\n（星期六）"  # noqa: RUF001


def test_word_that_is_too_long_stays_whole() -> None:
    assert wrap("see https://ca.example/long here", 10) == (
        "see\nhttps://ca.example/long\nhere"
    )


@given(st.text(st.sampled_from("ab 證，（"), max_size=200))  # noqa: RUF001
def test_nothing_but_spaces_is_lost(text: str) -> None:
    assert wrap(text, 10).replace("\n", "").replace(" ", "") == text.replace(" ", "")
