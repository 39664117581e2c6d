"""What waits for a person: who, why, since when, and who has taken it up."""

from collections.abc import Iterator

from models.terms import ContactRole, EscalationState
from tocsin.policy.worklists import LiveEscalation
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import (
    CAUSES,
    ESCALATIONS,
    counted,
    cut,
    escalations_wait,
    link,
    plural,
    rest_of,
    short,
    spell,
    table,
)

_WHO = 11
"""Characters; the desk has the name whole, with the instant."""
_ROLES: dict[str, str] = {
    ContactRole.COMPLIANCE_LEAD: "compliance",
    ContactRole.OPERATIONS_MANAGER: "operations",
    ContactRole.ACCOUNT_MANAGER: "accounts",
}
"""The highest first: that one is named, the others are counted."""


def answer(board: Board) -> str:
    """Say how many wait, and of how many nobody knows."""
    live, waiting = board.escalations.escalations, board.escalations_waiting
    if not live:
        return "Nobody is needed: nothing waits for a person."
    if not waiting:
        return f"Nobody else is needed: somebody is on {plural(live, 'escalation')}."
    untold = board.figures.escalations[EscalationState.RAISED]
    clauses = [
        f"{escalations_wait(waiting)} for a person",
        *([f"of {untold:,} nobody has been told yet"] if untold else []),
        *([f"somebody is on {live - waiting:,} more"] if live > waiting else []),
    ]
    return f"AT RISK: {'; '.join(clauses)}."


def parts(board: Board) -> Iterator[str]:
    """List them, the highest step first."""
    live = board.escalations
    if live.rows:
        yield table(
            ("Subscriber", "Certs", "Why", "Since", "Told", "Taken by"),
            ">",
            [
                (
                    link(
                        row.name or "the whole incident",
                        board.subscriber_desk(row.subscriber),
                    ),
                    f"{row.open_certificates:,}",
                    spell(row.cause, CAUSES),
                    short(row.raised_at, board),
                    _told(row),
                    _taken_up(row),
                )
                for row in live.rows
            ],
        )
        if rest := live.escalations - len(live.rows):
            yield rest_of(rest, "see all, and take them up", board.escalations_desk)
        else:
            yield f"[Take them up]({board.escalations_desk})"
    yield "## All escalations"
    yield counted("Escalations", board.figures.escalations, ESCALATIONS)


def _told(row: LiveEscalation) -> str:
    if row.told_at is None:
        return "**nobody yet**"
    told = [words for role, words in _ROLES.items() if role in row.targets]
    others = [target for target in row.targets if target not in _ROLES]
    first, *more = [*told, *(other.replace("-", " ") for other in others)] or [
        "nobody named"
    ]
    return f"{first} +{len(more)}" if more else first


def _taken_up(row: LiveEscalation) -> str:
    if row.acknowledged_at is None:
        return "**nobody**"
    return cut(row.acknowledged_by or "", _WHO)
