"""What a relay answers, reply by reply, and what it means for a notice."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from tocsin.log import redact
from tocsin.mail.messages import SendKind

CLOSING = 421
START_CONTENT = 354

_LONGEST_LINE = 8192
_MOST_LINES = 100
_LONGEST_DETAIL = 300
_LINE = re.compile(rb"[2-5][0-9][0-9](?:[ -]|\r?$)")
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# RFC 5321 4.2.2: the command or its order was wrong, or a login is missing.
_ABOUT_US = frozenset({500, 501, 502, 503, 504, 530, 534, 535, 538, 555})


class Reply(NamedTuple):
    """One reply: its code, 0 where there was none, and its words on one line."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        """Whether it says 2yz (RFC 5321: success, whatever the other digits are)."""
        return self.code // 100 == 2  # noqa: PLR2004

    @property
    def detail(self) -> str:
        """The words without addresses."""
        return clean(self.text)


class Garbled(Exception):  # noqa: N818 - named for what happened
    """What came is no SMTP reply: from here on nothing can be told apart."""


class ReplyReader:
    """Cuts what arrives into replies, however it was cut on the way."""

    def __init__(self) -> None:
        self._rest = b""
        self._texts: list[bytes] = []

    def read(self, data: bytes) -> Iterator[Reply]:
        """
        Yield the replies that are complete now.

        Raises:
            Garbled: What came is no reply.

        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise Garbled("a line without an end")
        for line in lines:
            if not self._texts and (reply := _whole(line)) is not None:
                yield reply
                continue
            if not _LINE.match(line):
                raise Garbled(
                    f"malformed reply: {line[:80].decode('ascii', 'replace')}"
                )
            text = line[4:].strip()
            if line[3:4] == b"-":
                self._texts.append(text)
                if len(self._texts) > _MOST_LINES:
                    raise Garbled("a reply without an end")
                continue
            if self._texts:
                text = b" ".join([*self._texts, text])
                self._texts.clear()
            yield Reply(int(line[:3]), text.decode("utf-8", "replace"))


@lru_cache(maxsize=256)  # a relay says the same few words again and again
def _whole(line: bytes) -> Reply | None:
    """Return the reply that a line is; None: it is part of one, or none."""
    if not _LINE.match(line) or line[3:4] == b"-":
        return None
    return Reply(int(line[:3]), line[4:].strip().decode("utf-8", "replace"))


def content_kind(reply: Reply) -> SendKind:
    """Tell what the reply to a content means."""
    if reply.is_positive:
        return SendKind.SENT
    # The relay's own check of the recipient may come as late as this.
    is_recipient = _status(reply)[:2] in {("5", "1"), ("5", "2")}
    return refusal_kind(reply, is_recipient=is_recipient)


def refusal_kind(reply: Reply, *, is_recipient: bool) -> SendKind:
    """
    Tell a refused address from everything else that can be refused.

    RFC 3463: x.7.z is a policy, such as "relaying denied": our set-up's fault, which
    must not make a contact unreachable. The same for a sender or a content refused.
    """
    if reply.code // 100 != 5 or not is_recipient:  # noqa: PLR2004
        return SendKind.RETRY
    if reply.code in _ABOUT_US or _status(reply)[1:2] == ("7",):
        return SendKind.RETRY
    return SendKind.FAILED


@lru_cache(maxsize=256)
def clean(detail: str) -> str:
    """Return what a server said on one line, without addresses."""
    return redact(" ".join(detail.split()))[:_LONGEST_DETAIL]


def _status(reply: Reply) -> tuple[str, ...]:
    found = _STATUS.search(reply.text)
    return found.groups() if found else ()
