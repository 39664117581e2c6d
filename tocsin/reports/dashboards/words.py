"""How the pages say things: one spelling for instants, counts, states and tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo

from models.terms import (
    ContactState,
    EscalationCause,
    EscalationState,
    ReplacementState,
)
from tocsin.policy.progress import shares
from tocsin.reports.dashboards.board import Board, Page

WORST = 20
"""Rows that a page lists; the rest is counted, and linked to."""

NAME = 27
"""Characters of a name in a table: wider tables are cut off on a laptop's screen."""
_WEEKDAY_WITHIN = timedelta(days=6)
"""As long as a weekday says which day is meant."""

CAUSES = {
    EscalationCause.CSR_MISSING: "no CSR",
    EscalationCause.NOT_ACKNOWLEDGED: "no answer",
    EscalationCause.UNREACHABLE: "unreachable",
    EscalationCause.NOT_DELIVERED: "not delivered",
    EscalationCause.CSR_REFUSED: "CSR unusable",
    EscalationCause.NOT_INSTALLED: "not installed",
    EscalationCause.NOT_REPLACED: "not replaced",
    EscalationCause.NOT_THEIRS: "not theirs",
    EscalationCause.HELP_WANTED: "help wanted",
    EscalationCause.FORECAST_LATE: "will be late",
    EscalationCause.STEP_MISSED: "step missed",
    EscalationCause.ORDER_OVERDUE: "court order",
}
ESCALATIONS = {
    EscalationState.RAISED: "raised, nobody told yet",
    EscalationState.TOLD: "told, waiting for somebody to act",
    EscalationState.ACKNOWLEDGED: "acknowledged, somebody is on it",
    EscalationState.RAISED_FURTHER: "taken over by a higher step",
    EscalationState.ENDED: "ended: answered, or revoked",
}
CONTACTS = {
    ContactState.UNCONFIRMED: "named, not confirmed yet: not written to",
    ContactState.ACTIVE: "mail gets through, as far as known",
    ContactState.UNREACHABLE: "mail came back for good",
    ContactState.REMOVED: "said not to be the person",
}
REPLACEMENT = {
    ReplacementState.AWAITING_CSR: "without a CSR",
    ReplacementState.CSR_RECEIVED: "CSR received",
    ReplacementState.REPLACEMENT_ISSUED: "replacement issued",
    ReplacementState.REPLACED: "replaced",
    ReplacementState.NO_LONGER_REQUIRED: "no longer required",
}

_Word = TypeVar("_Word", bound=StrEnum)


def table(header: Sequence[str], right: str, rows: Iterable[Sequence[str]]) -> str:
    """
    Write a table.

    Args:
        header: Names of columns.
        right: A ">" for each column after the first that holds numbers.
        rows: Cells, escaped.

    """
    columns = [":--", *("--:" for _ in right)]
    columns += [":--"] * (len(header) - len(columns))
    lines = [header, columns, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def counted(name: str, counts: Mapping[_Word, int], words: Mapping[_Word, str]) -> str:
    """Tabulate counts that together are all there is (I3)."""
    numbers = list(counts.values())
    return table(
        (name, "Number", "Share"),
        ">>",
        [
            *(
                (spell(word, words), f"{number:,}", f"{share} %")
                for word, number, share in zip(
                    counts, numbers, shares(numbers), strict=True
                )
            ),
            total("All", sum(numbers)),
        ],
    )


def spell(word: _Word, words: Mapping[_Word, str]) -> str:
    """Say one of our words for people; one that has no better words says itself."""
    return words.get(word) or word.replace("-", " ")


def total(name: str, number: int) -> tuple[str, str, str]:
    """Write the last row of a table of counts."""
    return f"**{name}**", f"**{number:,}**", f"**{'100.0' if number else '0.0'} %**"


def text(foreign: str) -> str:
    """Make foreign text safe: no markup, no link, one line."""
    flat = " ".join(foreign.split())
    escaped = re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", flat)
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Bare addresses would become links of their own accord.
    return escaped.replace("://", ": //").replace("www.", "www .").replace("@", " at ")


def cut(foreign: str, length: int) -> str:
    """Shorten foreign text to a column, and make it safe: a page cuts wide tables off."""
    flat = " ".join(foreign.split())
    return text(flat if len(flat) <= length else f"{flat[: length - 1].rstrip()}…")


def link(name: str, address: str) -> str:
    """Link a foreign name to an address of ours."""
    return f"[{cut(name, NAME)}]({address})"


def see(page: Page, board: Board) -> str:
    """Refer to another page; empty where there is none yet."""
    if page not in board.links:
        return ""
    return f" [{page.question}]({board.links[page]})"


def rest_of(count: int, where: str, address: str) -> str:
    """Say how many more there are, and where they are listed."""
    return f"… and {count:,} more: [{where}]({address})."


def long(at: datetime | None, board: Board) -> str:
    """Write an instant in the incident's zone and in UTC."""
    if at is None:
        return "not yet"
    zone = ZoneInfo(board.figures.summary.zone)
    local = at.astimezone(zone)
    if zone.key == "UTC":
        return f"{local:%a %d %b %H:%M} UTC"
    return f"{local:%a %d %b %H:%M %Z} ({at.astimezone(UTC):%H:%M} UTC)"


def short(at: datetime | None, board: Board) -> str:
    """Write an instant in the incident's zone, for a column; empty for None."""
    if at is None:
        return ""
    local = at.astimezone(ZoneInfo(board.figures.summary.zone))
    is_near = abs(at - board.figures.as_of) < _WEEKDAY_WITHIN
    return f"{local:%a %H:%M}" if is_near else f"{local:%d %b %H:%M}"


def zone_name(board: Board) -> str:
    """Name the zone that a column of instants is in: "HKT"."""
    at = board.figures.as_of.astimezone(ZoneInfo(board.figures.summary.zone))
    return f"{at:%Z}"


def people(count: int) -> str:
    """Count people; none stands out."""
    return "**nobody**" if not count else plural(count, "person", "people")


def certs(count: int) -> str:
    """Count certificates."""
    return plural(count, "certificate")


def subscribers(count: int) -> str:
    """Count subscribers."""
    return plural(count, "subscriber")


def escalations_wait(count: int) -> str:
    """Count what waits: "3 escalations wait"."""
    return f"{plural(count, 'escalation')} {'waits' if count == 1 else 'wait'}"


def plural(count: int, one: str, many: str = "") -> str:
    """Count things; the plural is made with an s unless given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
