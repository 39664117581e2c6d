"""What a relay is given and what it can say; mailers of any kind speak these words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from models.terms import NoticeId


class SendKind(StrEnum):
    """What became of one message."""

    SENT = "sent"  # the relay took it
    RETRY = "retry"  # refused for now
    FAILED = "failed"  # the address was refused for good
    IN_DOUBT = "in-doubt"  # the content was on its way and no answer came
    NOT_SENT = "not-sent"  # the relay could not be talked to; nothing has left


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """
    One message to one recipient.

    Args:
        notice_id: What it is about.
        sender: The return path, where bounces go.
        recipient: The address.
        content: Headers and body, lines ended by CRLF.

    """

    notice_id: NoticeId
    sender: str
    recipient: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """
    How one message ended.

    Args:
        notice_id: Which.
        kind: How.
        smtp_code: The relay's last word; None where it gave none.
        detail: Its words, without addresses.

    """

    notice_id: NoticeId
    kind: SendKind
    smtp_code: int | None = None
    detail: str = ""


class Mailer(Protocol):
    """Sends a batch."""

    def send(self, messages: Iterable[OutgoingMessage]) -> Iterator[SendOutcome]:
        """Send; yield exactly one outcome for each message, in any order."""
        ...
