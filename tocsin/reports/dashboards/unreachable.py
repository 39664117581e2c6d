"""Whom mail does not reach: the call sheet."""

from collections.abc import Iterable, Iterator

from tocsin.policy.worklists import CallableContact
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import (
    CONTACTS,
    certs,
    counted,
    cut,
    link,
    people,
    rest_of,
    short,
    subscribers,
    table,
)

_CALL = 30
_SHEET = "the call sheet, with what came of the calls"


def answer(board: Board) -> str:
    """Say how many have to be called."""
    lost = board.unreachable
    if not lost.nobody_left:
        return "Nobody is needed: mail reaches somebody at every subscriber."
    return (
        f"AT RISK: mail reaches nobody at {subscribers(lost.nobody_left)} "
        f"({certs(lost.certificates)}): somebody has to call them."
    )


def parts(board: Board) -> Iterator[str]:
    """List them, those whom no mail reaches at all first."""
    lost = board.unreachable
    if lost.rows:
        yield table(
            ("Subscriber", "Certs", "Call", "Reached", "Answered"),
            ">",
            [
                (
                    link(row.name, board.subscriber_desk(row.subscriber)),
                    f"{row.certificates:,}",
                    _telephone(row.contacts),
                    people(row.reachable_contacts),
                    short(row.acknowledged_at, board) or "never",
                )
                for row in lost.rows
            ],
        )
    together = lost.nobody_left + lost.some_bounced
    if rest := together - len(lost.rows):
        yield rest_of(rest, _SHEET, board.calls_desk)
    elif lost.rows:
        yield f"[{_SHEET[0].upper()}{_SHEET[1:]}]({board.calls_desk})"
    if lost.some_bounced:
        yield (
            f"At {subscribers(lost.some_bounced)} some addresses came back, and mail "
            "reaches somebody else there."
        )
    yield "## All contacts"
    yield counted("Contacts", board.figures.contacts, CONTACTS)


def _telephone(contacts: Iterable[CallableContact]) -> str:
    """Name the first by rank who has a number; the call sheet has everybody."""
    for person in contacts:
        if person.phone:
            return cut(f"{person.name} {person.phone}".strip(), _CALL)
    return "no number known"
