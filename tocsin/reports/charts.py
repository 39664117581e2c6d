"""Published revocations over time against the deadline, as a picture."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tocsin.policy.progress import spell_duration
from tocsin.reports.drawing import (
    INK,
    OURS,
    QUIET,
    RECORD,
    Series,
    day,
    frame,
    head,
    number,
    numbers,
    step,
    styled,
    write,
)

_SIZE = (12.0, 5.6)
"""Inches."""
_DOTS_PER_INCH = 150
_LEFT = 0.075
"""Where title and axes begin, as a share of the width."""
_MOST_POINTS = 1_000
"""Steps drawn at most: more cannot be seen, and would make a large file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What both panels draw."""

    ours: Series
    record: Series
    deadline: datetime
    launched: datetime
    total: int
    zone: ZoneInfo
    as_of: datetime | None

    @property
    def is_done(self) -> bool:
        """Whether ours has come to its end."""
        return bool(self.ours) and self.ours[-1][1] >= self.total

    @property
    def last(self) -> datetime:
        """The latest instant of ours that is known, UTC."""
        known = [at for at, _ in self.ours[-1:]]
        if not self.is_done and self.as_of is not None:
            known.append(self.as_of)
        return max(known, default=self.launched)


def published_chart(
    *,
    ours: Series,
    deadline: datetime,
    launched: datetime,
    record: Series | None,
    total: int,
    zone: str,
    title: str,
    as_of: datetime | None = None,
) -> Figure:
    """
    Draw how many revocations were published by when.

    Beside the record of another incident there are two panels, since the two differ in
    scale: the time up to the deadline, and all the time the record took.

    Args:
        ours: What was published by when; may be empty.
        deadline: By when everything is published.
        launched: When the incident was launched.
        record: What a real incident with the same clock had revoked by when, from its
            beginning; None where there is nothing to compare with.
        total: Affected certificates.
        zone: IANA zone of the time axes.
        title: What the picture shows, as a sentence.
        as_of: How far ours is known, UTC, where it goes on; None: to its last instant.

    """
    scene = _Scene(
        ours=_thinned(ours),
        record=tuple(record or ()),
        deadline=deadline,
        launched=launched,
        total=max(total, 1),
        zone=ZoneInfo(zone),
        as_of=as_of,
    )
    with styled():
        figure = Figure(figsize=_SIZE, facecolor="white")
        figure.text(_LEFT, 0.955, title, fontsize=15.5, fontweight="bold", va="top")
        figure.text(
            _LEFT,
            0.885,
            f"Certificates whose revocation is published. Times in {zone}.",
            color=QUIET,
            va="top",
        )
        if scene.record:
            left, right = figure.subplots(1, 2, sharey=True)
            _draw_until_deadline(left, scene)
            _draw_whole_record(right, scene)
            head(left, "Until the deadline")
            head(right, "Until the record of 2024 ends, in a smaller scale")
        else:
            _draw_until_deadline(figure.subplots(), scene)
        figure.subplots_adjust(
            left=_LEFT,
            right=0.975,
            top=0.75 if scene.record else 0.82,
            bottom=0.125,
            wspace=0.09,
        )
    return figure


def write_svg(figure: Figure, path: Path) -> None:
    """Write SVG; the same figure gives the same bytes."""
    with styled():
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "Tocsin"})


def write_png(figure: Figure, path: Path) -> None:
    """Write PNG; the same figure gives the same bytes."""
    with styled():
        figure.savefig(
            path, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": "Tocsin"}
        )


def _draw_until_deadline(axes: Axes, scene: _Scene) -> None:
    """Draw the time that the rule leaves, and a little after it."""
    begins = min(
        [scene.launched, *(at for at, _ in (*scene.ours[:1], *scene.record[:1]))]
    )
    span = max(scene.deadline, scene.last) - begins
    ends = begins + span * 1.2
    frame(axes, total=scene.total, begins=begins, ends=ends, zone=scene.zone)
    after = scene.deadline + span * 0.02
    if scene.record:
        step(axes, scene.record, begins, ends, color=RECORD, width=2.2)
        known = [count for at, count in scene.record if at <= scene.deadline]
        write(
            axes,
            after,
            scene.total * 0.03,
            f"2024: {known[-1]:,}\nof {scene.record[-1][1]:,}",
            color=RECORD,
            ha="left",
            va="bottom",
        )
    step(axes, scene.ours, begins, _until(scene, ends), color=OURS, width=2.8)
    _mark_launch(axes, scene, begins, span)
    _mark_deadline(axes, scene)
    deadline = scene.deadline.astimezone(scene.zone)
    write(
        axes,
        after,
        scene.total * 0.5,
        f"Deadline\n{day(deadline)}\n{deadline:%H:%M}",
        color=INK,
        ha="left",
        va="center",
    )
    write(
        axes,
        ends,
        scene.total * 1.035,
        _outcome(scene),
        color=OURS,
        ha="right",
        va="bottom",
    )


def _draw_whole_record(axes: Axes, scene: _Scene) -> None:
    """Draw all the time the record took, with ours in the same scale."""
    begins, ends = scene.record[0][0], scene.record[-1][0]
    span = ends - begins
    edge = ends + span * 0.04
    frame(axes, total=scene.total, begins=begins, ends=edge, zone=scene.zone)
    step(axes, scene.ours, begins, _until(scene, edge), color=OURS, width=2.8)
    step(axes, scene.record, begins, ends, color=RECORD, width=2.2)
    axes.plot(
        numbers([at for at, _ in scene.record[1:]]),
        [count for _, count in scene.record[1:]],
        "o",
        color=RECORD,
        markersize=4.5,
    )
    _mark_deadline(axes, scene)
    late = ends - scene.deadline
    axes.annotate(
        "",
        xy=(number(ends), scene.total * 1.05),
        xytext=(number(scene.deadline), scene.total * 1.05),
        arrowprops={"arrowstyle": "<->", "color": RECORD, "linewidth": 1.2},
    )
    write(
        axes,
        scene.deadline + late / 2,
        scene.total * 1.07,
        f"the last one {spell_duration(late)} after the deadline",
        color=RECORD,
        ha="center",
        va="bottom",
    )
    write(
        axes,
        ends,
        scene.total * 0.30,
        "2024: the CA waited\nfor its subscribers",
        color=RECORD,
        ha="right",
        va="center",
    )
    write(
        axes,
        scene.deadline + span * 0.02,
        scene.total * 0.95,
        "Tocsin" if scene.ours else "",
        color=OURS,
        ha="left",
        va="top",
    )


def _until(scene: _Scene, ends: datetime) -> datetime:
    """How far to draw ours: what lies ahead is not known."""
    return ends if scene.is_done else min(ends, scene.last)


def _mark_deadline(axes: Axes, scene: _Scene) -> None:
    axes.vlines(
        number(scene.deadline),
        0,
        scene.total * 1.02,
        color=INK,
        linewidth=1.4,
        linestyles=(0, (4, 2)),
    )


def _mark_launch(axes: Axes, scene: _Scene, begins: datetime, span: timedelta) -> None:
    axes.vlines(
        number(scene.launched), 0, scene.total * 0.6, color=QUIET, linewidth=1.0
    )
    is_early = scene.launched - begins < span * 0.15
    shift = span * 0.012
    write(
        axes,
        scene.launched + (shift if is_early else -shift),
        scene.total * 0.6,
        "Launched:\nnotices leave",
        color=QUIET,
        ha="left" if is_early else "right",
        va="top",
    )


def _outcome(scene: _Scene) -> str:
    if not scene.ours:
        return "Nothing is published yet"
    at, count = scene.ours[-1]
    name = "Tocsin" if scene.record else "Published"
    whole = f"{name}: {count:,} of {scene.total:,}"
    if count < scene.total:
        return f"{whole} so far"
    slack = scene.deadline - at
    direction = "after" if slack < timedelta(0) else "before"
    return f"{whole}, {spell_duration(slack)} {direction} the deadline"


def _thinned(series: Series) -> Series:
    stride = max(1, -(-len(series) // _MOST_POINTS))
    if stride == 1:
        return tuple(series)
    return (*series[:-1:stride], series[-1])
