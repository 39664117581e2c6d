"""Which mail of a person is answered, and with what; a robot never is (RFC 3834)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.terms import MailKind, MailTopic, NoticeKind

ANSWER_AGAIN_AFTER = timedelta(hours=24)
"""A margin of ours: two programs that answer each other stop at once."""

MOST_ANSWERS = 3
"""Of each kind to one contact in one incident; whoever writes more has a person's ear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierAnswer:
    """An answer that was planned for a contact before."""

    kind: NoticeKind
    planned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """
    What there is to know of one message before it is answered.

    Args:
        kind: What it is.
        topics: What it asks for.
        is_known: Its contact is known, can be written to, and its incident runs.
        answers: What this contact was answered in this incident, in any order.

    """

    kind: MailKind
    topics: frozenset[MailTopic]
    is_known: bool
    answers: Sequence[EarlierAnswer]


def due_answer(mail: MailFacts, *, now: datetime) -> NoticeKind | None:
    """
    Decide on the answer to one message; None when there is none.

    An answer moves nothing and stops nothing: it has the link again, and for whoever
    asks for more time the reason why there is none (TLS BR 4.9.1.1 knows no extension).
    """
    if mail.kind is not MailKind.PERSON or not mail.is_known:
        return None
    kind = (
        NoticeKind.NO_EXTENSION
        if MailTopic.EXTENSION in mail.topics
        else NoticeKind.ACKNOWLEDGEMENT
    )
    same = [answer.planned_at for answer in mail.answers if answer.kind is kind]
    if len(same) >= MOST_ANSWERS:
        return None
    if same and now - max(same) < ANSWER_AGAIN_AFTER:
        return None
    return kind
