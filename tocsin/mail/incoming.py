"""Understands one message that came in: what it is, and everything that says whose."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Protocol

import structlog

from models.terms import MailKind
from tocsin.mail import bounces, parts, robots
from tocsin.mail.attribution import Named, names_in
from tocsin.mail.bounces import ReturnedMail
from tocsin.mail.writing import Written, read_writing

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One message: its name in the mailbox, and its bytes."""

    key: str
    content: bytes


class Mailbox(Protocol):
    """
    Where mail comes in.

    What was filed is told to the mailbox afterwards: a killed run reads it again.
    """

    @property
    def name(self) -> str:
        """What it is called in the record and in logs; no address, no password."""
        ...

    def keys(self) -> list[str]:
        """
        Return the names of what is new, the oldest first.

        Raises:
            Unavailable: It cannot be looked into now.

        """
        ...

    def read(self, keys: Iterable[str]) -> Iterator[Delivered]:
        """
        Yield those messages that are still there.

        Raises:
            Unavailable: It cannot be looked into any more.

        """
        ...

    def done(self, keys: Iterable[str]) -> None:
        """
        Note that messages were filed; harmless when it was noted already.

        Raises:
            Unavailable: It cannot be noted now; they will be read again.

        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """
    One message, understood.

    Args:
        fingerprint: SHA-256 of its bytes, hex: the same message is filed once.
        kind: What it is.
        named: What it names: return path, Message-IDs, links, sender.
        bounce: What failed; None unless its kind is a failure.
        written: What it says to people.

    """

    fingerprint: str
    kind: MailKind
    named: Named
    bounce: ReturnedMail | None
    written: Written


def understand(content: bytes) -> Incoming:
    """
    Read one message; whatever comes, something is filed and nothing is lost.

    Args:
        content: Its bytes, as they were received.

    """
    fingerprint = hashlib.sha256(content).hexdigest()
    try:
        return _understood(content, fingerprint)
    except Exception:
        # It stops nothing: a person can look at what no program can read.
        log.exception("Incoming mail cannot be read", fingerprint=fingerprint)
        return Incoming(
            fingerprint=fingerprint,
            kind=MailKind.AUTOMATIC,
            named=Named(
                verp_token=None,
                message_ids=(),
                loose_ids=(),
                link_tokens=(),
                sender="",
                own_addresses=frozenset(),
            ),
            bounce=None,
            written=Written(
                subject="(a message that cannot be read)",
                text="",
                is_cut=True,
                attachments=(),
                topics=(),
            ),
        )


def _understood(content: bytes, fingerprint: str) -> Incoming:
    parsed = parts.parse(content)
    bounce = bounces.bounce_in(parsed)
    written = read_writing(parsed)
    return Incoming(
        fingerprint=fingerprint,
        kind=_kind(parsed, written) if bounce is None else MailKind.FAILURE,
        named=names_in(parsed),
        bounce=bounce,
        written=written,
    )


def _kind(parsed: Message, written: Written) -> MailKind:
    if robots.is_complaint(parsed):
        return MailKind.COMPLAINT
    if robots.is_receipt(parsed):
        return MailKind.CONFIRMATION
    if bounces.is_delay(parsed):
        return MailKind.DELAY
    if bounces.is_report(parsed):
        return MailKind.CONFIRMATION
    return robots.kind_of_answer(parsed, written.text)
