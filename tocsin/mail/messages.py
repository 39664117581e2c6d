"""What a relay is given and what it can say; mailers of any kind speak these words."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol

from models.terms import NoticeId


class SendKind(StrEnum):
    """What became of one message."""

    SENT = "sent"  # the relay took it
    RETRY = "retry"  # refused for now
    FAILED = "failed"  # the address was refused for good
    IN_DOUBT = "in-doubt"  # the content was on its way and no answer came
    NOT_SENT = "not-sent"  # the relay could not be talked to; nothing has left
    PUT_OFF = "put-off"  # not tried: its turn comes later, by the pace that was set


class OutgoingMessage(NamedTuple):
    """
    One message to one recipient.

    Args:
        notice_id: What it is about.
        sender: The return path, where bounces go.
        recipient: The address.
        content: Headers and body, lines ended by CRLF.
        is_in_lines: It is known that every line is, the last one too.

    """

    notice_id: NoticeId
    sender: str
    recipient: str
    content: bytes
    is_in_lines: bool = False


class SendOutcome(NamedTuple):
    """
    How one message ended.

    Args:
        notice_id: Which.
        kind: How.
        smtp_code: The relay's last word; None where it gave none.
        detail: Its words, without addresses.
        wait_seconds: Of one put off: from now until its turn.

    """

    notice_id: NoticeId
    kind: SendKind
    smtp_code: int | None = None
    detail: str = ""
    wait_seconds: float = 0.0


class Witness(Protocol):
    """Is told, before and after, what a killed process could not say any more."""

    def started(self, notice_id: NoticeId) -> None:
        """Note that the content of a message leaves now."""
        ...

    def ended(self, outcome: SendOutcome) -> None:
        """Note what became of a message."""
        ...


class Signer(Protocol):
    """Signs messages; called from several threads at once."""

    def sign(self, content: bytes) -> bytes:
        """Return the message with its signature in front."""
        ...


class Mailer(Protocol):
    """Sends messages as they are written."""

    def send(
        self, messages: Iterable[OutgoingMessage], *, witness: Witness | None = None
    ) -> Iterator[SendOutcome]:
        """
        Send; yield exactly one outcome for each message taken, in any order.

        Args:
            messages: Taken one by one while the caller waits, a little ahead of what
                can be sent; not to the end when the relay cannot be reached.
            witness: Is told in time what a killed process could not say any more.

        """
        ...
