"""A ladder as a timeline: whom each step tells, and when, in an incident made up."""

import textwrap
from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tocsin.policy.ladder import Condition, Ladder, Target, timetable
from tocsin.policy.progress import spell_duration
from tocsin.policy.rehearsal import Rehearsal, RehearsedStep
from tocsin.reports.drawing import (
    INK,
    OURS,
    QUIET,
    RECORD,
    mark_time,
    number,
    styled,
)

_LANES = ("Contacts", "Account manager", "Operations manager", "Compliance lead",
          "Call sheet")  # fmt: skip
_LANE_OF: Mapping[Target, int] = {
    Target.NEXT_CONTACT: 0,
    Target.TOLD_CONTACTS: 0,
    Target.ALL_CONTACTS: 0,
    Target.ACCOUNT_MANAGER: 1,
    Target.OPERATIONS_MANAGER: 2,
    Target.COMPLIANCE_LEAD: 3,
    Target.CALL_SHEET: 4,
}
_WIDTH = 13.0  # inches
_LANES_HEIGHT = 4.2
_ROW_HEIGHT = 0.27
_HEAD_HEIGHT = 0.95
_LEFT, _RIGHT = 0.145, 0.93
_LONGEST_LINE = 78
_GRID = "#E6E6E6"
_APART = 0.017
"""Markers nearer than this share of the time would cover each other."""


def ladder_chart(ladder: Ladder, rehearsal: Rehearsal) -> Figure:
    """Draw a ladder: lanes of people over time, and each step in words below."""
    rows = len(rehearsal.steps) + len(rehearsal.lost) + 1
    height = _HEAD_HEIGHT + _LANES_HEIGHT + rows * _ROW_HEIGHT + 0.35
    with styled():
        figure = Figure(figsize=(_WIDTH, height), facecolor="white")
        incident = rehearsal.incident
        figure.text(
            0.02,
            1 - 0.22 / height,
            f"Ladder “{ladder.name}”: who is told when nothing follows",
            fontsize=15.5,
            fontweight="bold",
            va="top",
        )
        figure.text(
            0.02,
            1 - 0.56 / height,
            f"In an incident of {spell_duration(_within(rehearsal))}, launched "
            f"{spell_duration(incident.launched_at - rehearsal.made_aware_at)} after "
            "its clock started. Numbers: the steps below. Small dots: the same step "
            "again, as long as it concerns them.",
            color=QUIET,
            va="top",
        )
        axes = figure.add_axes(
            (
                _LEFT,
                1 - (_HEAD_HEIGHT + _LANES_HEIGHT - 0.55) / height,
                _RIGHT - _LEFT,
                (_LANES_HEIGHT - 0.75) / height,
            )
        )
        _draw_lanes(axes, ladder, rehearsal)
        _write_steps(figure, rehearsal, height)
    return figure


def _draw_lanes(axes: Axes, ladder: Ladder, rehearsal: Rehearsal) -> None:
    incident = rehearsal.incident
    span = incident.deadline - incident.launched_at
    begins, ends = incident.launched_at - span * 0.02, incident.deadline + span * 0.02
    axes.set_xlim(number(begins), number(ends))
    axes.set_ylim(len(_LANES) - 0.45, -0.75)
    axes.set_yticks(range(len(_LANES)), _LANES, fontsize=11, color=INK)
    for lane in range(len(_LANES)):
        axes.axhline(lane, color=_GRID, linewidth=1.2, zorder=0)
    for at, name, side in (
        (incident.launched_at, "Launch", "left"),
        (incident.revocation_starts_at, "Revocation starts", "right"),
        (incident.deadline, "Deadline", "left"),
    ):
        axes.axvline(number(at), color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            name,
            (number(at), -0.75),
            xytext=(0, 4),
            textcoords="offset points",
            ha=side,
            fontsize=10,
            fontweight="bold",
            annotation_clip=False,
        )
    _draw_repetitions(axes, ladder, rehearsal)
    _draw_steps(axes, rehearsal, begins, ends)
    mark_time(axes, ends - begins, ZoneInfo("UTC"))
    axes.tick_params(axis="x", labelsize=10)


def _draw_repetitions(axes: Axes, ladder: Ladder, rehearsal: Rehearsal) -> None:
    for due in timetable(ladder, rehearsal.incident):
        if due.repetition:
            for lane in _lanes(due.step.tell):
                axes.plot(
                    [number(due.due_at)],
                    [lane],
                    "o",
                    color=_color(due.step.when),
                    markersize=3.6,
                    alpha=0.55,
                )


def _draw_steps(
    axes: Axes, rehearsal: Rehearsal, begins: datetime, ends: datetime
) -> None:
    last: dict[int, tuple[float, int]] = {}
    width = number(ends) - number(begins)
    for name, one in enumerate(rehearsal.steps, start=1):
        at = number(one.due.due_at)
        for lane in _lanes(one.due.step.tell):
            before, raised = last.get(lane, (float("-inf"), 0))
            # Steps close to each other stand above one another, not on one another.
            raised = (raised + 1) % 3 if at - before < width * _APART else 0
            last[lane] = (at, raised)
            axes.annotate(
                str(name),
                (at, lane),
                xytext=(0, 19 * raised * (1 if lane else -1) * -1),
                textcoords="offset points",
                ha="center",
                va="center",
                color="white",
                fontsize=9.5,
                fontweight="bold",
                bbox={
                    "boxstyle": "circle,pad=0.28",
                    "facecolor": _color(one.due.step.when),
                    "edgecolor": "white",
                    "linewidth": 1.2,
                },
                zorder=3,
            )


def _write_steps(figure: Figure, rehearsal: Rehearsal, height: float) -> None:
    top = 1 - (_HEAD_HEIGHT + _LANES_HEIGHT + 0.05) / height
    columns = (0.02, 0.05, 0.14, 0.26, 0.71)
    lines: list[tuple[str, ...]] = [
        (
            "",
            "After launch",
            "Before revocation",
            "Step",
            "Whom it concerns, whom it tells",
        )
    ]
    lines += [
        (
            str(name),
            spell_duration(one.after_launch),
            spell_duration(one.before_revocation)
            if one.before_revocation.total_seconds() > 0
            else f"{spell_duration(one.before_revocation)} after",
            _name(one),
            f"{one.due.step.when}: {', '.join(sorted(one.due.step.tell))}",
        )
        for name, one in enumerate(rehearsal.steps, start=1)
    ]
    lines += [
        ("", "no moment", "", step.name, "too short a time") for step in rehearsal.lost
    ]
    for row, line in enumerate(lines):
        for column, text in zip(columns, line, strict=True):
            figure.text(
                column,
                top - row * _ROW_HEIGHT / height,
                textwrap.shorten(text, _LONGEST_LINE, placeholder="…"),
                fontsize=9.5,
                fontweight="bold" if row == 0 or column == columns[0] else "normal",
                color=QUIET if row == 0 else INK,
                va="top",
            )


def _name(one: RehearsedStep) -> str:
    if not one.repetitions or one.due.step.repeat_every is None:
        return one.due.step.name
    return f"{one.due.step.name} (every {spell_duration(one.due.step.repeat_every)})"


def _lanes(tell: frozenset[Target]) -> list[int]:
    return sorted({_LANE_OF[target] for target in tell})


def _color(when: Condition) -> str:
    """Vermilion for what is about the incident, grey for everybody, blue for the rest."""
    if when is Condition.FORECAST_LATE:
        return RECORD
    return QUIET if when is Condition.ALWAYS else OURS


def _within(rehearsal: Rehearsal) -> timedelta:
    return rehearsal.incident.deadline - rehearsal.made_aware_at
