"""Who still owes CSRs, by size and sector."""

from collections.abc import Iterator

from models.terms import ReplacementState
from tocsin.policy.worklists import OwingSubscriber
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import (
    REPLACEMENT,
    certs,
    counted,
    cut,
    escalations_wait,
    link,
    rest_of,
    short,
    subscribers,
    table,
)

_SECTOR = 18


def answer(board: Board) -> str:
    """Say how many owe how much, and who sees to it."""
    owing, figures = board.owing, board.figures
    lacking = figures.replacement[ReplacementState.AWAITING_CSR]
    if lacking and not figures.unpublished:
        return f"Over: {certs(lacking)} were revoked before a CSR came."
    if not owing.subscribers:
        return (
            "Nobody is needed: no certificate that is still to be revoked lacks a CSR."
        )
    if live := board.escalations_waiting:
        return (
            f"AT RISK: {subscribers(owing.subscribers)} ({certs(owing.missing)}) sent "
            f"no CSR; {owing.silent:,} of them never answered. "
            f"{escalations_wait(live)} for a person."
        )
    return (
        f"Nobody is needed yet: {subscribers(owing.subscribers)} "
        f"({certs(owing.missing)}) still owe CSRs; {owing.silent:,} of them have "
        "not answered. The next reminder goes out by itself."
    )


def parts(board: Board) -> Iterator[str]:
    """List them, the largest first."""
    owing = board.owing
    if owing.rows:
        yield table(
            ("Subscriber", "CSRs owed", "Sector", "Answered", "Last notice"),
            ">",
            [
                (
                    link(row.name, board.subscriber_desk(row.subscriber)),
                    f"{row.missing:,} of {row.certificates:,}",
                    cut(row.sector, _SECTOR),
                    _answered(row, board),
                    short(row.last_notice_at, board) or "none yet",
                )
                for row in owing.rows
            ],
        )
        shown = sum(row.missing for row in owing.rows)
        if rest := owing.subscribers - len(owing.rows):
            yield (
                f"Shown are {shown:,} of {certs(owing.missing)}. "
                f"{rest_of(rest, 'all of them', board.csrs_desk)}"
            )
    yield "## All certificates"
    yield counted("Replacement", board.figures.replacement, REPLACEMENT)
    yield "Their revocation does not wait for any of this."


def _answered(row: OwingSubscriber, board: Board) -> str:
    if row.acknowledged_at is not None:
        return short(row.acknowledged_at, board)
    return "**never**" if row.reachable_contacts else "**unreachable**"
