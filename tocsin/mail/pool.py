"""The connections of one sending, in an event loop of their own, and what waits for them."""

import asyncio
import heapq
import queue
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count

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
from tocsin.mail.pace import LONGEST_WAIT, Pace
from tocsin.mail.replies import Reply, clean
from tocsin.mail.wire import domain_of

log = structlog.get_logger()

_AHEAD = 16
"""Messages for each connection that are written before one asks for them."""

_AHEAD_WITHIN = 30.0
"""Seconds within which what is written ahead can leave, by the pace that was set."""

_SIGNERS = 2
_TOLD_AT_ONCE = 32
_TOLD_WITHIN = 0.05
_STUMBLES = 2
"""New connections in a row that end before the relay has said anything of a message."""

_CYCLES_TO_CLOSE = 4
"""Turns of the event loop until an aborted connection under TLS is closed."""


class Pool:
    """
    Sends what is added until it is closed and everything has an outcome.

    ``add``, ``close``, ``stop`` and ``wants_more`` are for the thread that feeds it;
    ``run`` is for the thread that sends.

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
        self.told: queue.SimpleQueue[list[SendOutcome] | BaseException | None] = (
            queue.SimpleQueue()
        )
        """Outcomes as they come, at times none; None: that was all."""
        self._relay = relay
        self._connections = connections
        self._per_connection = per_connection
        self._pace = pace
        self._signer = signer
        self._witness = witness
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._signers: ThreadPoolExecutor | None = None
        self._ready: deque[Item] = deque()
        self._to_sign = 0  # counted by the thread that feeds
        self._signed = 0  # counted by the one that sends
        self._waiting: list[tuple[float, int, Item]] = []  # for their domain's turn
        self._numbers = count()
        self._talking: set[Conversation] = set()
        self._sleepers: list[asyncio.Future[None]] = []  # workers without a connection
        self._outcomes: list[SendOutcome] = []
        self._flushing: asyncio.TimerHandle | None = None
        self._is_up = False
        self._is_closed = False
        self._is_stopped = False
        self._is_hungry = True  # somebody would take a message at once
        self._has_asked = False
        self._gave_up: Lost | None = None
        self._last_loss = Lost("the relay cannot be reached")
        self._answers = 0
        self._doubts = 0

    # For the thread that feeds.

    @property
    def wants_more(self) -> bool:
        """Whether more should be added now."""
        return self._gave_up is None and self._backlog < self._ahead

    def add(self, message: OutgoingMessage) -> None:
        """Add one message."""
        if self._signer is None:
            self._put(Item(message))
            return
        if self._signers is None:
            self._signers = ThreadPoolExecutor(_SIGNERS, thread_name_prefix="signer")
        self._to_sign += 1
        self._signers.submit(self._sign, self._signer, message)

    def nudge(self) -> None:
        """Let connections that have nothing to do look again: more was added."""
        self._has_asked = False
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Say that nothing will be added any more."""
        self._is_closed = True
        self.nudge()

    def stop(self) -> None:
        """End early: nobody wants the rest. Harmless when all is done."""
        self._is_stopped = True
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)
        if self._signers is not None:
            self._signers.shutdown(cancel_futures=True)

    def rest(self) -> list[SendOutcome]:
        """Return, when the sending has ended, what it could not send."""
        why = self._gave_up or self._last_loss
        items = [*(turn[2] for turn in self._waiting), *self._ready]
        if items:
            log.warning(
                "The relay cannot be reached",
                messages=len(items),
                error=redact(str(why)),
            )
        return [_not_sent(item, why) for item in items]

    def _put(self, item: Item) -> None:
        # Without a lock: a wake-up that is missed here comes when filling ends. Each
        # costs more than a message, so there is one for several.
        self._ready.append(item)
        if self._is_hungry and len(self._ready) >= self._connections:
            self._is_hungry = False
            self.nudge()

    def _sign(self, signer: Signer, message: OutgoingMessage) -> None:
        try:
            item = Item(replace(message, content=signer.sign(message.content)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            self.told.put(error)
            return
        self._ready.append(item)
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._note_signed)

    def _note_signed(self) -> None:
        self._signed += 1
        if self._is_hungry or self.is_over:
            self._wake()

    # For the thread that sends.

    def run(self) -> None:
        """Send until all is done or the relay cannot be talked to."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run())
        except asyncio.CancelledError:
            self.told.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            self.told.put(error)
        else:
            self.told.put(None)

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        if self._is_stopped:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._connections):
                    group.create_task(self._work(is_first=number == 0))
            self._flush()
        finally:
            for _ in range(_CYCLES_TO_CLOSE):
                await asyncio.sleep(0)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

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
        while not (self._ready and (self._is_up or is_first)):
            if self.is_over:
                return False
            self._is_hungry = True
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
        if self._ready or self.is_over:
            sleepers, self._sleepers = self._sleepers, []
            for sleeper in sleepers:
                if not sleeper.done():
                    sleeper.set_result(None)
        self._is_hungry = self._is_hungry or bool(self._sleepers)

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
        item = None if self._gave_up is not None else self._next()
        if item is None:
            self._is_hungry = True
        if self._is_closed:
            if not self._backlog:
                self._loop.call_soon(self._wake)  # those without work may leave
        elif not self._has_asked and self._backlog <= self._ahead // 2:
            self._has_asked = True
            self._flush()
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
            self._tell(outcome)

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
            self._ready.appendleft(item)
        elif not item.losses:
            item.losses += 1
            self._ready.append(item)
        elif self._answers:
            self.ended(item, SendKind.RETRY, Reply(why.code or 0, str(why)))
        else:
            self._tell(_not_sent(item, why))
        self._loop.call_soon(self._wake)

    # Turns.

    @property
    def _ahead(self) -> int:
        """How many are written before they are asked for."""
        if not self._is_up:
            return 1
        ahead = _AHEAD * self._connections
        if self._pace.per_second is not None:
            # What is written early is claimed early, and a claim does not last for ever.
            ahead = min(ahead, max(1, int(self._pace.per_second * _AHEAD_WITHIN)))
        return ahead

    @property
    def _backlog(self) -> int:
        return len(self._ready) + len(self._waiting) + self._to_sign - self._signed

    def _next(self) -> Item | None:
        if self._pace.is_free:
            return self._ready.popleft() if self._ready else None
        now = self._loop.time()
        if wait := self._pace.wait(now):
            self._wake_in(wait)
            return None
        while (item := self._due(now)) is None and self._ready:
            item = self._ready.popleft()
            wait = self._pace.book_domain(domain_of(item.message.recipient), now)
            if not wait:
                break
            if wait <= LONGEST_WAIT:
                turn = (now + wait, next(self._numbers), item)
                heapq.heappush(self._waiting, turn)
            else:
                self._tell(
                    SendOutcome(
                        notice_id=item.message.notice_id,
                        kind=SendKind.PUT_OFF,
                        wait_seconds=wait,
                    )
                )
        if item is not None:
            self._pace.left(now)
        elif self._waiting:
            self._wake_in(self._waiting[0][0] - now)
        return item

    def _due(self, now: float) -> Item | None:
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[2]
        return None

    def _wake_in(self, seconds: float) -> None:
        self._loop.call_later(seconds, self._wake)

    # Outcomes.

    def _tell(self, outcome: SendOutcome) -> None:
        self._outcomes.append(outcome)
        if len(self._outcomes) >= _TOLD_AT_ONCE:
            self._flush()
        elif self._flushing is None:
            self._flushing = self._loop.call_later(_TOLD_WITHIN, self._flush)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        outcomes, self._outcomes = self._outcomes, []
        self.told.put(outcomes)


def _not_sent(item: Item, why: Lost) -> SendOutcome:
    return SendOutcome(
        notice_id=item.message.notice_id,
        kind=SendKind.NOT_SENT,
        smtp_code=why.code,
        detail=clean(str(why)),
    )
