"""How mail that comes back is read, form by form; the same figures as in the docs."""

import pytest
from bounces import CORPUS, REPORT, Row, as_table, measure, wrong

ATTRIBUTED = 0.95
CLASSED = 0.97


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure()


def test_notices_are_found_without_our_return_path(rows: list[Row]) -> None:
    for row in rows:
        assert row.attributed >= ATTRIBUTED * row.failures, row.form


def test_class_is_right(rows: list[Row]) -> None:
    for row in rows:
        assert row.classed >= CLASSED * row.attributed, row.form


def test_nothing_is_taken_for_a_failure_that_is_none(rows: list[Row]) -> None:
    assert sum(row.alarms for row in rows) == 0


def test_what_is_no_failure_is_told_apart() -> None:
    assert list(wrong()) == []


def test_corpus_covers_every_form(rows: list[Row]) -> None:
    assert len(rows) == len(list(CORPUS.glob("*.txt"))) - 1 + 1
    assert rows[-1].failures >= 400
    assert rows[-1].others >= 35


def test_table_in_the_docs_is_what_is_measured(rows: list[Row]) -> None:
    assert as_table(rows) in REPORT.read_text("utf-8")
