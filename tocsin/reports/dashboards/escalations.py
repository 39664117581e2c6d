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
    rest_of,
    short,
    spell,
    table,
)

_WHO = 14
_ROLES: dict[str, str] = {
    ContactRole.ACCOUNT_MANAGER: "accounts",
    ContactRole.OPERATIONS_MANAGER: "operations",
    ContactRole.COMPLIANCE_LEAD: "compliance",
}


def answer(board: Board) -> str:
    """Say how many wait, and of how many nobody knows."""
    live = board.escalations.escalations
    untold = board.figures.escalations[EscalationState.RAISED]
    if not live:
        return "Nobody is needed: nothing waits for a person."
    tail = f"; of {untold:,} nobody has been told yet" if untold else ""
    return f"AT RISK: {escalations_wait(live)} for a person{tail}."


def parts(board: Board) -> Iterator[str]:
    """List them, the highest step first."""
    live = board.escalations
    if live.rows:
        yield table(
            ("Subscriber", "Certs", "Why", "Since", "Told", "Taken up by"),
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
                    _taken_up(row, board),
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
    told = ", ".join(
        _ROLES.get(target) or target.replace("-", " ") for target in row.targets
    )
    return told or "nobody named"


def _taken_up(row: LiveEscalation, board: Board) -> str:
    if row.acknowledged_at is None:
        return "**nobody**"
    return (
        f"{cut(row.acknowledged_by or '', _WHO)}, {short(row.acknowledged_at, board)}"
    )
