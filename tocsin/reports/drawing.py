"""Lines, labels and axes in our style; without it every picture would look its own way."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import (
    DateLocator,
    DayLocator,
    HourLocator,
    MonthLocator,
    date2num,
    num2date,
)
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

Series = Sequence[tuple[datetime, int]]
"""How many by each instant; cumulative, in order of time."""

# Okabe and Ito's blue and vermilion: told apart with any colour vision, and by
# lightness in print.
OURS = "#0072B2"
RECORD = "#C14A00"
INK = "#1A1A1A"
QUIET = "#5A5A5A"
_GRID = "#E6E6E6"

_HEADROOM = 1.16
"""The axis ends above the total, so that the labels there have room."""

_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 11.0,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "ytick.major.size": 0,
    "timezone": "UTC",
    # Without a salt of our own the same figures would give another file each time.
    "svg.hashsalt": "tocsin",
    "svg.fonttype": "path",
}


def frame(
    axes: Axes, *, total: int, begins: datetime, ends: datetime, zone: ZoneInfo
) -> None:
    """Set the axes: thin horizontal lines, whole numbers, days as people write them."""
    axes.set_xlim(number(begins), number(ends))
    axes.set_ylim(0, total * _HEADROOM)
    rounds = MaxNLocator(nbins=5, integer=True).tick_values(0, total)
    ticks = [tick for tick in rounds if tick < total * 0.93] + [total]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(visible=True, axis="y", color=_GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    mark_time(axes, ends - begins, zone)


def mark_time(axes: Axes, span: timedelta, zone: ZoneInfo) -> None:
    """Mark hours, days or half months, whichever the span has room for."""
    hours, weeks = timedelta(days=2, hours=12), timedelta(days=14)
    locator: DateLocator
    if span <= hours:
        locator = HourLocator(byhour=(0, 6, 12, 18), tz=zone)  # type: ignore[no-untyped-call]
    elif span <= weeks:
        locator = DayLocator(tz=zone)  # type: ignore[no-untyped-call]
    else:
        locator = MonthLocator(bymonthday=(1, 15), tz=zone)  # type: ignore[no-untyped-call]

    def name(value: float, _position: int | None) -> str:
        at: datetime = num2date(value, tz=zone)  # type: ignore[no-untyped-call]
        if span <= hours:
            return f"{at:%H:%M}\n{day(at)}"
        return f"{at:%a}\n{at.day} {at:%b}" if span <= weeks else f"{at.day} {at:%b}"

    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(FuncFormatter(name))


def step(
    axes: Axes,
    series: Series,
    begins: datetime,
    ends: datetime,
    *,
    color: str,
    width: float,
) -> None:
    """Draw what was known by each instant; nothing is guessed between two."""
    if not series:
        return
    shown = [(at, count) for at, count in series if at <= ends]
    before = [count for at, count in shown if at < begins]
    points = [
        (begins, before[-1] if before else 0),
        *((at, count) for at, count in shown if at >= begins),
    ]
    points.append((ends, points[-1][1]))
    axes.step(
        numbers([at for at, _ in points]),
        [count for _, count in points],
        where="post",
        color=color,
        linewidth=width,
        solid_capstyle="butt",
        clip_on=False,
    )


def head(axes: Axes, heading: str) -> None:
    """Say above the axes what they show."""
    axes.set_title(heading, loc="left", fontsize=11.5, color=QUIET, pad=10)


def write(
    axes: Axes, at: datetime, height: float, text: str, *, color: str, ha: Any, va: Any
) -> None:
    """Label a line where it is, so that nobody has to look up a legend."""
    axes.text(
        number(at),
        height,
        text,
        color=color,
        fontweight="bold",
        fontsize=10.5,
        ha=ha,
        va=va,
        linespacing=1.3,
    )


def day(at: datetime) -> str:
    """Write "Sat 23 Mar", in the instant's own zone."""
    return f"{at:%a} {at.day} {at:%b}"


def number(at: datetime) -> float:
    """Place an instant on a time axis."""
    return float(date2num(at))  # type: ignore[no-untyped-call]


def numbers(instants: Sequence[datetime]) -> list[float]:
    """Place several instants on a time axis."""
    return [number(at) for at in instants]


def styled() -> AbstractContextManager[None]:
    """Hold our style for a while, whatever the process has set."""
    return mpl.rc_context(_STYLE)
