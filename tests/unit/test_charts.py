"""Pictures: readable, and the same for the same figures."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from matplotlib.figure import Figure
from matplotlib.text import Text

from tocsin.demo import record
from tocsin.reports.charts import published_chart, write_png, write_svg

OURS = [(LAUNCH + 30 * HOUR, 40), (REVOCATION, 700), (REVOCATION + HOUR, 1_111)]


def draw(
    ours: Sequence[tuple[datetime, int]] = OURS,
    *,
    total: int = 1_111,
    as_of: datetime | None = None,
) -> Figure:
    return published_chart(
        ours=ours,
        deadline=DEADLINE,
        launched=LAUNCH,
        record=None,
        total=total,
        zone="Asia/Hong_Kong",
        title="All published",
        as_of=as_of,
    )


def beside_the_record() -> Figure:
    start = record.DEADLINE - 7 * HOUR
    return published_chart(
        ours=[(start, 300), (start + HOUR, 1_111)],
        deadline=record.DEADLINE,
        launched=record.LAUNCHED_AT,
        record=record.REVOKED_SERIES,
        total=record.CERTIFICATES,
        zone=record.ZONE,
        title="All 1,111 published 6 h before the deadline",
    )


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def drawn(figure: Figure) -> tuple[list[float], list[float]]:
    """Return days and heights of the only axes' line with the most points."""
    [axes] = figure.axes
    line = max(axes.lines, key=lambda line: len(np.asarray(line.get_xdata())))
    days, heights = line.get_data()
    return np.asarray(days, float).tolist(), np.asarray(heights, float).tolist()


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_svg(beside_the_record(), tmp_path / f"{name}.svg")
        write_png(beside_the_record(), tmp_path / f"{name}.png")

    for suffix in ("svg", "png"):
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert ET.parse(tmp_path / "one.svg").getroot().tag.endswith("svg")  # noqa: S314


def test_ours_stands_beside_the_record_with_the_deadline_marked() -> None:
    found = words(beside_the_record())

    assert "Tocsin: 1,111 of 1,111, 6 h before the deadline" in found
    assert "2024: 6\nof 1,111" in found
    assert "the last one 66 d 17 h after the deadline" in found
    assert "Deadline\nSat 23 Mar\n21:01" in found


def test_the_line_ends_where_knowledge_ends_when_not_all_is_published() -> None:
    as_of = REVOCATION + timedelta(minutes=30)

    figure = draw(OURS[:2], as_of=as_of)

    days, _ = drawn(figure)
    assert max(days) == pytest.approx(as_of.timestamp() / 86_400)
    assert "Published: 700 of 1,111 so far" in words(figure)


def test_it_says_after_when_the_last_came_late() -> None:
    late = draw([*OURS[:2], (DEADLINE + 2 * HOUR, 1_111)])

    assert "1,111 of 1,111, 2 h after the deadline" in words(late)


@pytest.mark.parametrize("total", [0, 1, 3, 3_000_000])
def test_a_chart_is_drawn_when_nothing_is_published_yet(
    total: int, tmp_path: Path
) -> None:
    figure = draw([], total=total)
    write_png(figure, tmp_path / "chart.png")

    assert "Nothing is published yet" in words(figure)


def test_the_last_point_is_kept_when_there_are_too_many_to_see() -> None:
    many = [(LAUNCH + timedelta(seconds=n), n) for n in range(1, 5_001)]

    figure = draw(many, total=5_000)

    days, heights = drawn(figure)
    assert len(days) <= 1_003
    assert max(heights) == 5_000
