"""One page: the sentence that answers, then what is behind it, then how long it holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from models.terms import IncidentState
from tocsin.policy.progress import spell_duration
from tocsin.reports.dashboards import (
    escalations,
    missing_csrs,
    overview,
    replies,
    revocation,
    unreachable,
)
from tocsin.reports.dashboards.board import Board, Page
from tocsin.reports.dashboards.words import long, short, text

TRUSTED_WITHIN = timedelta(minutes=5)
"""How long a page holds: it is made anew every minute, and five have to fail."""

_ANSWERS: dict[Page, Callable[[Board], str]] = {
    Page.OVERVIEW: overview.answer,
    Page.ESCALATIONS: escalations.answer,
    Page.MISSING_CSRS: missing_csrs.answer,
    Page.UNREACHABLE: unreachable.answer,
    Page.REPLIES: replies.answer,
    Page.REVOCATION: revocation.answer,
}
_PARTS: dict[Page, Callable[[Board], Iterator[str]]] = {
    Page.OVERVIEW: overview.parts,
    Page.ESCALATIONS: escalations.parts,
    Page.MISSING_CSRS: missing_csrs.parts,
    Page.UNREACHABLE: unreachable.parts,
    Page.REPLIES: replies.parts,
    Page.REVOCATION: revocation.parts,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPage:
    """
    A page as it is shown.

    Args:
        answer: The sentence at its top, without markup.
        markdown: All of it.

    """

    answer: str
    markdown: str

    @property
    def verdict(self) -> str:
        """The answer in a word or two: what it says before its colon."""
        return self.answer.partition(":")[0]


def render_page(page: Page, board: Board) -> RenderedPage:
    """Write one page."""
    answer = _ANSWERS[page](board)
    parts = [
        f"**{answer}**",
        _title(board),
        *_PARTS[page](board),
        _made_at(board),
        *_elsewhere(page, board),
    ]
    return RenderedPage(answer=answer, markdown="\n\n".join(parts) + "\n")


def _title(board: Board) -> str:
    summary, now = board.figures.summary, board.figures.as_of
    drill = " **A drill: nothing is revoked at a CA.**" if summary.is_drill else ""
    left = spell_duration(summary.deadline - now)
    when = f", **{left} left**" if now <= summary.deadline else f", **{left} ago**"
    if summary.state is IncidentState.CLOSED:
        when, as_of = "", "Closed: this is how it ended."
    else:
        holds_until = short(now + TRUSTED_WITHIN, board)[-5:]
        as_of = f"As of **{long(now, board)}**, not to be trusted after {holds_until}."
    return (
        f"{text(summary.title)} · [{summary.incident}]({board.desk}) · deadline "
        f"{long(summary.deadline, board)}{when}. {as_of}{drill}"
    )


def _made_at(board: Board) -> str:
    if board.figures.summary.state is IncidentState.CLOSED:
        return "---"
    return (
        "---\n\nMade anew every minute. Older than it may be? Then see whether the "
        "cycle runs; the guard revokes on time without it."
    )


def _elsewhere(page: Page, board: Board) -> list[str]:
    others = [
        f"[{other.question}]({url})"
        for other, url in board.links.items()
        if other is not page
    ]
    return [" · ".join(others)] if others else []
