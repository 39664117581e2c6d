"""The incident as a picture: what is behind, what is ahead, and how much room is left."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tocsin.policy.progress import incident_forecast
from tocsin.reports.dashboards.board import Board

_WIDTH = 56
"""Characters; with the names it fits a page of Prefect's UI on a small screen."""
_NAMES = 9
_DAY = timedelta(days=1)


def timeline(board: Board) -> str:
    """
    Draw the phases against the clock, as text: # is behind, - is ahead.

    Text, since only one of Prefect's two UIs draws Mermaid, and not the one that keeps
    to this machine.
    """
    summary, now = board.figures.summary, board.figures.as_of
    phases = list(_phases(board))
    begins, ends = summary.made_aware_at, max(end for _, _, end in phases)
    scale = _Scale(begins, ends, ZoneInfo(summary.zone))
    lines = [
        f"{'':{_NAMES}}{scale.days()}",
        *(
            f"{name:{_NAMES}}{scale.bar(start, end, now)}"
            for name, start, end in phases
        ),
        f"{'':{_NAMES}}{scale.mark('now', now)}",
        f"{'':{_NAMES}}{scale.mark('deadline', summary.deadline)}",
    ]
    return "\n".join(["```text", *(line.rstrip() for line in lines), "```"])


def _phases(board: Board) -> Iterator[tuple[str, datetime, datetime]]:
    """Yield what follows what: name, beginning, end."""
    figures, summary = board.figures, board.figures.summary
    launched_at = summary.launched_at or figures.as_of
    yield "list", summary.made_aware_at, launched_at
    outlook = incident_forecast(figures)
    if summary.revocation_starts_at is None or outlook is None:
        return
    starts_at = min(summary.revocation_starts_at, outlook.done_at)
    yield "replace", launched_at, starts_at
    yield "revoke", starts_at, outlook.done_at
    if outlook.done_at < summary.deadline:
        yield "reserve", outlook.done_at, summary.deadline
    else:
        yield "LATE", summary.deadline, outlook.done_at


class _Scale:
    """
    Where an instant stands in a line of text.

    Args:
        begins: The left end.
        ends: The right end.
        zone: Whose midnights are marked.

    """

    def __init__(self, begins: datetime, ends: datetime, zone: ZoneInfo) -> None:
        self._begins, self._zone = begins, zone
        self._ends = max(ends, begins + timedelta(hours=1))

    def days(self) -> str:
        """Write the days over their midnights, as many as have room."""
        line = ""
        local = self._begins.astimezone(self._zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        while midnight <= self._ends:
            at = self._column(midnight)
            if at >= len(line) + (1 if line else 0) and at <= _WIDTH - 6:
                line = f"{line:{at}}|{midnight:%a %d}"
            midnight += _DAY
        return line

    def bar(self, start: datetime, end: datetime, now: datetime) -> str:
        """Draw a phase; the shortest has a character, too."""
        first = min(self._column(start), _WIDTH - 1)
        last = max(self._column(end), first + 1)
        done = min(max(self._column(now), first), last)
        if now >= end:
            done = last
        return f"{'':{first}}{'#' * (done - first)}{'-' * (last - done)}"

    def mark(self, name: str, at: datetime) -> str:
        """Point at an instant."""
        column = min(max(self._column(at), 0), _WIDTH - 1)
        local = at.astimezone(self._zone)
        said = f"{name} {local:%a %H:%M}"
        if column > _WIDTH - len(said) - 2:
            return f"{said:>{max(column - 1, len(said))}} ^"
        return f"{'':{column}}^ {said}"

    def _column(self, at: datetime) -> int:
        return int((at - self._begins) / (self._ends - self._begins) * _WIDTH)
