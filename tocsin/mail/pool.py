"""The connections of one sending, in an event loop of their own, and what waits for them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import structlog

from tocsin.log import redact
from tocsin.mail.conversation import Conversation, Item, Lost
from tocsin.mail.dial import Relay, dial
from tocsin.mail.messages import (
    OutgoingMessage,
    SendKind,
    SendOutcome,
    Signer,
    Witness,
)
from tocsin.mail.pace import Pace
from tocsin.mail.replies import Reply, clean
from tocsin.mail.signing import Signing
from tocsin.mail.telling import Telling
from tocsin.mail.turns import Turns

log = structlog.get_logger()

_AHEAD = 4
"""Messages for each connection that are written before one asks for them."""

_AHEAD_OF_TURNS = 16
"""The same where they wait for a signature, or for the turn of their domain."""

_AHEAD_WITHIN = 30.0
"""Seconds within which what is written ahead can leave, by the pace that was set."""

_STUMBLES = 2
"""New connections in a row that end before the relay has said anything of a message."""

_CYCLES_TO_CLOSE = 4
"""Turns of the event loop until an aborted connection under TLS is closed."""


class Pool:
    """
    Sends what is added until it is closed and everything has an outcome.

    All in the thread that calls ``advance``: what writes messages and what sends them
    are both work for one interpreter, and two threads that take turns at it need a
    third more of the processor for the same. Only signers have threads of their own.

    Args:
        relay: Where the connections go.
        connections: How many at most; one until the relay has taken that.
        per_connection: Messages on one of them.
        pace: How fast mail may leave.
        signer: Signs messages, in threads beside; None: they leave as they are.
        witness: Is told what a killed process could not say.

    """

    def __init__(
        self,
        relay: Relay,
        *,
        connections: int,
        per_connection: int,
        pace: Pace,
        signer: Signer | None,
        witness: Witness | None,
    ) -> None:
        self._relay = relay
        self._connections = connections
        self._per_connection = per_connection
        self._pace = pace
        self._witness = witness
        self._loop = asyncio.new_event_loop()
        self._telling = Telling(self._loop)
        self._signing = None if signer is None else self._signing_with(signer)
        self._turns = Turns(pace, self._put_off)
        self._talking: set[Conversation] = set()
        self._sleepers: list[asyncio.Future[None]] = []  # workers without a connection
        self._waking: asyncio.TimerHandle | None = None
        self._is_up = False
        self._is_closed = False
        self._is_hungry = True  # somebody would take a message at once
        self._gave_up: Lost | None = None
        self._last_loss = Lost("the relay cannot be reached")
        self._failure: BaseException | None = None
        self._answers = 0
        self._doubts = 0
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(lambda _: self._loop.stop())

    # For whoever feeds it.

    def __enter__(self) -> Self:
        """Send until the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the connections: early when nobody wants the rest."""
        if self._signing is not None:
            self._signing.stop()
        self._task.cancel()
        with suppress(asyncio.CancelledError, Exception):  # it was told by then
            self._loop.run_until_complete(self._task)
        self._loop.close()

    @property
    def wants_more(self) -> bool:
        """Whether more should be added now."""
        return self._gave_up is None and self._backlog < self._ahead

    def add(self, message: OutgoingMessage) -> None:
        """Add one message."""
        if self._signing is not None:
            self._signing.add(message)
        else:
            self._put(message)

    def close(self) -> None:
        """Say that nothing will be added any more."""
        self._is_closed = True
        self._loop.call_soon(self._wake)

    def advance(self) -> list[SendOutcome] | None:
        """
        Send for a while: until something has ended, or more could be added.

        Returns:
            What has ended, at times nothing; None: all has.

        """
        if not self._task.done():
            if self._is_hungry and self._turns.ready:
                self._loop.call_soon(self._wake)
            self._loop.run_forever()
        if self._failure is not None:
            raise self._failure
        if outcomes := self._telling.taken():
            return outcomes
        if self._task.done():
            self._task.result()
            return None
        return []

    def rest(self) -> list[SendOutcome]:
        """Return, when the sending has ended, what it could not send."""
        why = self._gave_up or self._last_loss
        items = list(self._turns)
        if items:
            log.warning(
                "The relay cannot be reached",
                messages=len(items),
                error=redact(str(why)),
            )
        return [_not_sent(item, why) for item in items]

    def _put(self, message: OutgoingMessage) -> None:
        self._turns.add(Item(message))

    # For the threads that sign.

    def _signing_with(self, signer: Signer) -> Signing:
        return Signing(
            signer, done=self._put, counted=self._note_signed, failed=self._note_failed
        )

    def _note_signed(self) -> None:
        # Without a lock: added first and asked then, while whoever is hungry says so
        # first and looks again then. The one that is awaited may have been the last.
        if self._is_hungry or self._is_closed:
            self._is_hungry = False
            self._call_soon(self._wake)

    def _note_failed(self, error: BaseException) -> None:
        self._failure = error
        self._call_soon(self._loop.stop)

    def _call_soon(self, callback: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(callback)

    # The connections.

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._connections):
                    group.create_task(self._work(is_first=number == 0))
        finally:
            for _ in range(_CYCLES_TO_CLOSE):
                await asyncio.sleep(0)

    async def _work(self, *, is_first: bool) -> None:
        stumbles = 0
        while await self._is_needed(is_first=is_first):
            answers = self._answers
            try:
                why = await self._talk()
            except Lost as error:
                # Other connections go on; what is left in the end was not sent.
                self._last_loss = error
                if not self._is_up:
                    self._give_up(error)
                return
            if why is None or self._answers != answers:
                stumbles = 0
                continue
            stumbles += 1
            if stumbles == _STUMBLES:
                self._last_loss = why
                return

    async def _is_needed(self, *, is_first: bool) -> bool:
        """Wait until there is work for one more connection; False: there never is."""
        while not (self._turns.ready and (self._is_up or is_first)):
            if self.is_over:
                return False
            self._is_hungry = True
            if self._turns.ready and (self._is_up or is_first):
                break
            sleeper = self._loop.create_future()
            self._sleepers.append(sleeper)
            await sleeper
        return self._gave_up is None

    async def _talk(self) -> Lost | None:
        """Open a connection and use it up; return why it was lost, if it was."""
        opened = await dial(self._relay)
        self._is_up = True
        conversation = Conversation(
            opened.transport,
            self,
            limit=self._per_connection,
            timeout=self._relay.timeout,
            pipelines=opened.pipelines,
            takes_utf8=opened.takes_utf8,
        )
        self._talking.add(conversation)
        try:
            conversation.go_on()
            self._wake()
            # Shielded: whoever cancels us must find it open, to be aborted.
            return await asyncio.shield(conversation.ended)
        finally:
            self._talking.discard(conversation)
            conversation.abort()

    def _wake(self) -> None:
        """Let whoever has nothing to do look again."""
        self._is_hungry = False
        for conversation in tuple(self._talking):
            conversation.go_on()
        if self._turns.ready or self.is_over:
            sleepers, self._sleepers = self._sleepers, []
            for sleeper in sleepers:
                if not sleeper.done():
                    sleeper.set_result(None)
        if self._sleepers:
            self._is_hungry = True
            if self._turns.ready and self._is_up:
                self._loop.call_soon(self._wake)

    def _give_up(self, why: Lost) -> None:
        if self._gave_up is None:
            self._gave_up = why
            self._loop.call_soon(self._wake)

    # The desk of the conversations.

    @property
    def is_over(self) -> bool:
        """Whether no message will come any more."""
        return self._gave_up is not None or (self._is_closed and not self._backlog)

    def take(self) -> Item | None:
        """Hand out the next message whose turn it is."""
        item = None
        if self._gave_up is None and (item := self._next()) is None:
            self._is_hungry = True
            # Added between the look and the word: nobody would wake us for it.
            item = self._next() if self._turns.ready else None
        if self._is_closed:
            if not self._backlog:
                self._loop.call_soon(self._wake)  # those without work may leave
        elif self._backlog <= self._ahead // 2:
            self._loop.stop()  # for more
        return item

    def started(self, item: Item) -> None:
        """Note that a content leaves now."""
        if self._witness is not None:
            self._witness.started(item.message.notice_id)

    def ended(self, item: Item, kind: SendKind, reply: Reply) -> None:
        """Note what became of a message."""
        outcome = SendOutcome(
            notice_id=item.message.notice_id,
            kind=kind,
            smtp_code=reply.code or None,
            detail=reply.detail,
        )
        if kind is SendKind.IN_DOUBT:
            self._doubts += 1
            if self._doubts > self._connections:
                # Each further one might become a message that somebody gets twice.
                self._give_up(Lost("the relay takes messages and does not say so"))
        else:
            self._answers += 1
        try:
            if self._witness is not None:
                self._witness.ended(outcome)
        finally:
            self._telling.tell(outcome)

    def returned(
        self, item: Item, why: Lost, *, was_started: bool, is_fresh: bool
    ) -> None:
        """
        Take back what the relay certainly does not have.

        A server may end a connection at any time: no fault of the message, unless it
        happens to it again while others are taken.
        """
        if was_started and self._witness is not None:
            self._witness.ended(_not_sent(item, why))
        if not (was_started or is_fresh):
            self._turns.add_first(item)
        elif not item.losses:
            item.losses += 1
            self._turns.add(item)
        elif self._answers:
            self.ended(item, SendKind.RETRY, Reply(why.code or 0, str(why)))
        else:
            self._telling.tell(_not_sent(item, why))
        self._loop.call_soon(self._wake)

    # Turns.

    @property
    def _ahead(self) -> int:
        """How many are written before they are asked for."""
        if not self._is_up:
            return 1
        is_direct = self._pace.is_free and self._signing is None
        ahead = (_AHEAD if is_direct else _AHEAD_OF_TURNS) * self._connections
        if self._pace.per_second is not None:
            # What is written early is claimed early, and a claim does not last for ever.
            ahead = min(ahead, max(1, int(self._pace.per_second * _AHEAD_WITHIN)))
        return ahead

    @property
    def _backlog(self) -> int:
        return len(self._turns) + (
            len(self._signing) if self._signing is not None else 0
        )

    def _next(self) -> Item | None:
        turn = self._turns.take(self._loop.time)
        if not isinstance(turn, float):
            return turn
        # One for all who ask: each would wake the others, and they ask again.
        at = self._loop.time() + turn
        if self._waking is None or at < self._waking.when():
            if self._waking is not None:
                self._waking.cancel()
            self._waking = self._loop.call_at(at, self._turn_came)
        return None

    def _turn_came(self) -> None:
        self._waking = None
        self._wake()

    def _put_off(self, item: Item, wait: float) -> None:
        self._telling.tell(
            SendOutcome(
                notice_id=item.message.notice_id,
                kind=SendKind.PUT_OFF,
                wait_seconds=wait,
            )
        )


def _not_sent(item: Item, why: Lost) -> SendOutcome:
    return SendOutcome(
        notice_id=item.message.notice_id,
        kind=SendKind.NOT_SENT,
        smtp_code=why.code,
        detail=clean(str(why)),
    )
