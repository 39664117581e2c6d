"""One SMTP conversation, reply by reply; only so can it be known what has left."""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tocsin.mail.messages import OutgoingMessage, SendKind
from tocsin.mail.replies import (
    CLOSING,
    START_CONTENT,
    Garbled,
    Reply,
    ReplyReader,
    content_kind,
    refusal_kind,
)
from tocsin.mail.wire import NoSuchAddress, envelope, in_lines, stuffed

_LEAVE_WITHIN = 2.0


class Lost(Exception):  # noqa: N818
    """The connection is of no more use."""

    def __init__(self, detail: str, code: int | None = None) -> None:
        super().__init__(detail)
        self.code = code if code is not None and code > 0 else None


@dataclass(slots=True)
class Item:
    """A message on its way, and how often a connection was lost under it."""

    message: OutgoingMessage
    losses: int = 0


class Desk(Protocol):
    """Hands out messages, and is told what became of each."""

    @property
    def is_over(self) -> bool:
        """Whether no message will come any more."""
        ...

    def take(self) -> Item | None:
        """Hand out the next message; None: none now, but we are woken for the next."""
        ...

    def started(self, item: Item) -> None:
        """Note that its content leaves now: from here on the relay may have it."""
        ...

    def ended(self, item: Item, kind: SendKind, reply: Reply) -> None:
        """Note what became of it."""
        ...

    def returned(
        self, item: Item, why: Lost, *, was_started: bool, is_fresh: bool
    ) -> None:
        """
        Take back what the relay certainly does not have.

        Args:
            item: The message.
            why: The connection was lost.
            was_started: Its content had left, and the relay said that it did not take it.
            is_fresh: The relay had said nothing of any message on this connection.

        """
        ...


class _Stage(Enum):
    RESET = "RSET"
    SENDER = "MAIL"
    RECIPIENT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"
    QUIT = "QUIT"


_GROUP = (_Stage.RESET, _Stage.SENDER, _Stage.RECIPIENT, _Stage.DATA)


class Conversation(asyncio.Protocol):
    """
    Sends one message after the other over a connection that is ready for it.

    With pipelining (RFC 2920) a message's content and the next one's envelope leave
    together, and their five replies come back together: one round trip a message.

    A refused recipient leaves an envelope open, and servers then take a further RCPT
    and DATA for it: a message would leave under the previous one's return path. So
    every group begins with RSET; content is sent only where RSET, MAIL and RCPT were
    all accepted; and where DATA is let through although one was not, the connection is
    aborted: even an empty content, a lone dot, would be a mail to somebody.

    Args:
        transport: Connected, introduced, protected, logged in.
        desk: Has the messages.
        limit: Messages at most.
        timeout: For each reply, seconds.
        pipelines: The relay offered PIPELINING.
        takes_utf8: The relay offered SMTPUTF8.

    """

    def __init__(
        self,
        transport: asyncio.Transport,
        desk: Desk,
        *,
        limit: int,
        timeout: float,
        pipelines: bool,
        takes_utf8: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Lost | None] = loop.create_future()
        """Done when the connection is; None: we left it."""
        self.has_answered = False
        """Whether the relay said of any message what became of it."""
        self._loop = loop
        self._transport = transport
        self._desk = desk
        self._left = limit
        self._timeout = timeout
        self._pipelines = pipelines
        self._takes_utf8 = takes_utf8
        self._reader = ReplyReader()
        self._awaited: deque[_Stage] = deque()
        self._unsaid: deque[tuple[_Stage, bytes]] = deque()
        self._offered: Item | None = None  # its envelope is being opened
        self._refusal: tuple[_Stage, Reply] | None = None  # of the offered one
        self._current: Item | None = None  # its content has left
        self._is_dirty = False  # an envelope may be open that is nobody's
        self._silent_since = loop.time()
        self._timer = loop.call_later(timeout, self._look_at_time)
        transport.set_protocol(self)

    @property
    def is_idle(self) -> bool:
        """Whether it could take a message and has none."""
        return not self._awaited and not self.ended.done()

    def go_on(self) -> None:
        """Look for a message; leave when there will be none."""
        if not self.is_idle:
            return
        if words := self._offer():
            self._write(words)
        elif not self._left or self._desk.is_over:
            self._awaited.append(_Stage.QUIT)
            self._write(b"QUIT\r\n")
            self._loop.call_later(_LEAVE_WITHIN, self._end, None)

    def abort(self) -> None:
        """Let go of the connection at once."""
        self._lose(Lost("we ended it"))

    # What the event loop tells us.

    def data_received(self, data: bytes) -> None:
        """Go through the replies that have arrived."""
        self._silent_since = self._loop.time()
        try:
            for reply in self._reader.read(data):
                self._answered(reply)
                if self.ended.done():
                    return
        except Garbled as error:
            self._lose(Lost(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the other side is gone."""
        if list(self._awaited) == [_Stage.QUIT]:
            self._end(None)
        self._lose(Lost(f"the connection ended{f': {exc}' if exc else ''}"))

    def _look_at_time(self) -> None:
        silent = self._loop.time() - self._silent_since
        if self._awaited and silent >= self._timeout:
            self._lose(Lost("timed out: the relay does not answer"))
            return
        wait = self._timeout - silent if self._awaited else self._timeout
        self._timer = self._loop.call_later(wait, self._look_at_time)

    # What the relay tells us.

    def _answered(self, reply: Reply) -> None:
        if not self._awaited:
            # An idle relay that says anything says goodbye.
            self._lose(Lost(reply.text, reply.code))
            return
        stage = self._awaited.popleft()
        if stage is _Stage.QUIT:
            self._end(None)
        elif reply.code == CLOSING:
            self._closed(stage, reply)
        elif stage is _Stage.CONTENT:
            self._content_answered(reply)
        elif stage is _Stage.RESET:
            if reply.is_positive:
                self._is_dirty = False
                self._say_next()
            else:
                self._lose(Lost(reply.text, reply.code))
        else:
            self._envelope_answered(stage, reply)

    def _closed(self, stage: _Stage, reply: Reply) -> None:
        """421 ends a connection, at whatever stage it comes; the content was not taken."""
        why = Lost(reply.text, reply.code)
        self._give_back_offered(why)
        if stage is _Stage.CONTENT and self._current is not None:
            item, self._current = self._current, None
            self._give_back(item, why, was_started=True)
        self._lose(why)

    def _content_answered(self, reply: Reply) -> None:
        item, self._current = self._current, None
        if item is not None:
            self.has_answered = True
            self._desk.ended(item, content_kind(reply), reply)
        self.go_on()

    def _envelope_answered(self, stage: _Stage, reply: Reply) -> None:
        accepted = (
            reply.code == START_CONTENT if stage is _Stage.DATA else reply.is_positive
        )
        if not accepted and self._refusal is None:
            self._refusal = stage, reply
            self._unsaid.clear()
        if stage is _Stage.DATA or (self._refusal and not self._awaited):
            self._decide(reply if stage is _Stage.DATA else None)
        else:
            self._say_next()

    def _decide(self, to_data: Reply | None) -> None:
        """All that was said of an envelope is answered: send the content, or do not."""
        item = self._offered
        if item is None:
            return
        if self._refusal is None:
            self._desk.started(item)
            self._offered, self._current = None, item
            self._awaited.append(_Stage.CONTENT)
            content = (in_lines if item.message.is_in_lines else stuffed)(
                item.message.content
            )
            self._write(content + (self._offer() if self._pipelines else b""))
            return
        self._offered = None
        self._refuse(item, *self._refusal)
        if to_data is not None and to_data.code < 400:  # noqa: PLR2004
            self._lose(Lost("the relay wants a content for a refused envelope"))
            return
        self.go_on()

    def _refuse(self, item: Item, stage: _Stage, reply: Reply) -> None:
        self._is_dirty = True
        self.has_answered = True
        kind = refusal_kind(reply, is_recipient=stage is _Stage.RECIPIENT)
        self._desk.ended(item, kind, reply)

    # What we say.

    def _offer(self) -> bytes:
        """Take the next message, if any; return the words that open its envelope."""
        while self._left and (item := self._desk.take()):
            message = item.message
            try:
                sender, recipient = envelope(
                    message.sender, message.recipient, takes_utf8=self._takes_utf8
                )
            except NoSuchAddress as error:
                self._desk.ended(item, SendKind.FAILED, Reply(553, str(error)))
                continue
            self._left -= 1
            self._offered, self._refusal = item, None
            if self._pipelines:
                self._awaited.extend(_GROUP)
                return b"RSET\r\n" + sender + recipient + b"DATA\r\n"
            if self._is_dirty:
                self._unsaid.append((_Stage.RESET, b"RSET\r\n"))
            self._unsaid.append((_Stage.SENDER, sender))
            self._unsaid.append((_Stage.RECIPIENT, recipient))
            self._unsaid.append((_Stage.DATA, b"DATA\r\n"))
            return self._next_words()
        return b""

    def _say_next(self) -> None:
        if self._unsaid and not self._awaited:
            self._write(self._next_words())

    def _next_words(self) -> bytes:
        stage, words = self._unsaid.popleft()
        self._awaited.append(stage)
        return words

    def _write(self, words: bytes) -> None:
        self._silent_since = self._loop.time()
        self._transport.write(words)

    # The end.

    def _lose(self, why: Lost) -> None:
        if self.ended.done():
            return
        self._give_back_offered(why)
        item, self._current = self._current, None
        if item is not None:
            self._desk.ended(item, SendKind.IN_DOUBT, Reply(why.code or 0, str(why)))
        self._end(why)

    def _give_back_offered(self, why: Lost) -> None:
        item, self._offered = self._offered, None
        if item is None:
            return
        if self._refusal is not None:
            # The relay said no before it was gone: that stands.
            self._refuse(item, *self._refusal)
        else:
            self._give_back(item, why, was_started=False)

    def _give_back(self, item: Item, why: Lost, *, was_started: bool) -> None:
        self._desk.returned(
            item, why, was_started=was_started, is_fresh=not self.has_answered
        )

    def _end(self, why: Lost | None) -> None:
        if not self.ended.done():
            self._timer.cancel()
            self._transport.abort()
            self.ended.set_result(why)
