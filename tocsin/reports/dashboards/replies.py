"""What people wrote back by mail, for somebody to read."""

from collections.abc import Iterator

from models.terms import MailKind, MailTopic, ReplyKind
from tocsin.policy.mail import MailReplyView
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import (
    WORST,
    cut,
    link,
    plural,
    rest_of,
    short,
    table,
)

_SUBJECT = 28
_TOPICS = {
    MailTopic.PRIVATE_KEY: "**private key**",
    MailTopic.EXTENSION: "more time",
    MailTopic.NOT_ME: "not them",
    MailTopic.HELP: "help",
    MailTopic.CSR: "holds a CSR",
}
"""The first that applies is shown: a private key is an emergency of its own."""

_ASKED = {
    ReplyKind.ASK_HELP: "help",
    ReplyKind.NOT_MINE: "not them",
    ReplyKind.ASK_EXTENSION: "more time",
}
"""What people ask for on their pages, in the order in which somebody is needed."""


def answer(board: Board) -> str:
    """Say how many people wrote, and what of it cannot wait."""
    replies = board.replies
    if replies.private_keys:
        return (
            f"AT RISK: {plural(replies.private_keys, 'message')} held a private key: "
            "each is a key compromise."
        )
    asked = {kind: board.figures.replies[kind] for kind in _ASKED}
    if not replies.total and not any(asked.values()):
        return "Nobody is needed: nobody wrote."
    clauses = [
        *([plural(replies.people, "message")] if replies.total else []),
        *(
            f"{asked[kind]:,} for {words} on their page"
            if kind is not ReplyKind.NOT_MINE
            else f"{asked[kind]:,} on their page that it is not theirs"
            for kind, words in _ASKED.items()
            if asked[kind]
        ),
        *([f"{replies.extensions:,} for more time"] if replies.extensions else []),
        *(
            [f"of {replies.unattributed:,} nobody knows whose"]
            * bool(replies.unattributed)
        ),
        *(
            [f"{plural(replies.departures, 'program')} said that somebody left"]
            if replies.departures
            else []
        ),
    ]
    return f"People wrote: {'; '.join(clauses)}."


def parts(board: Board) -> Iterator[str]:
    """List them, the newest first."""
    replies = board.replies
    if board.asked:
        yield table(
            ("On the page", "Received", "About"),
            "",
            [
                (
                    link(row.name, board.subscriber_desk(row.subscriber)),
                    short(row.received_at, board),
                    _ASKED[row.kind],
                )
                for row in board.asked
            ],
        )
    if replies.rows:
        yield table(
            ("From", "Received", "About", "Subject"),
            "",
            [
                (
                    link(
                        row.subscriber_name or "nobody knows whom",
                        board.replies_desk
                        if row.subscriber is None
                        else board.subscriber_desk(row.subscriber),
                    ),
                    short(row.received_at, board),
                    _about(row),
                    cut(row.subject, _SUBJECT),
                )
                for row in replies.rows[:WORST]
            ],
        )
        if rest := replies.total - len(replies.rows):
            yield rest_of(rest, "all of them", board.replies_desk)
        else:
            yield f"[Read them]({board.replies_desk})"
    yield (
        "Each sender was answered with the link to their page. Nothing that is written "
        "moves a revocation later."
    )


def _about(row: MailReplyView) -> str:
    for topic, words in _TOPICS.items():
        if topic in row.topics:
            return words
    match row.kind:
        case MailKind.DEPARTURE:
            return "left"
        case MailKind.ABSENCE:
            return "away"
        case MailKind.CHALLENGE:
            return "wants proof"
        case _:
            return "a person"
