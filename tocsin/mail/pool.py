"""The connections of one sending, in an event loop of their own, and what waits for them."""

import asyncio
from contextlib import suppress

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

_AHEAD = 16
"""Messages for each connection that are written before one asks for them."""

_AHEAD_WITHIN = 30.0
"""Seconds within which what is written ahead can leave, by the pace that was set."""

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
        self._relay = relay
        self._connections = connections
        self._per_connection = per_connection
        self._pace = pace
        self._witness = witness
        self._loop = asyncio.new_event_loop()
        self._telling = Telling(self._loop)
        self.told = self._telling.told
        self._signing = None if signer is None else self._signing_with(signer)
        self._task: asyncio.Task[None] | None = None
        self._turns = Turns(pace, self._put_off)
        self._talking: set[Conversation] = set()
        self._sleepers: list[asyncio.Future[None]] = []  # workers without a connection
        self._waking: asyncio.TimerHandle | None = None
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
        if self._signing is not None:
            self._signing.add(message)
            return
        self._put(message)
        # Each wake-up costs as much as a message, so there is one for several.
        if self._turns.ready >= self._connections:
            self.nudge()

    def nudge(self) -> None:
        """Let connections that have nothing to do look again: more was added."""
        # Without a lock: added first and asked then, while whoever is hungry says so
        # first and looks again then.
        if self._is_hungry:
            self._is_hungry = False
            self._call_wake()

    def await_asking(self) -> None:
        """Say that nothing is added until outcomes come: they come when it runs low."""
        self._has_asked = False
        self.nudge()

    def close(self) -> None:
        """Say that nothing will be added any more."""
        self._is_closed = True
        self._call_wake()

    def stop(self) -> None:
        """End early: nobody wants the rest. Harmless when all is done."""
        self._is_stopped = True
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)
        if self._signing is not None:
            self._signing.stop()

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

    def _signing_with(self, signer: Signer) -> Signing:
        return Signing(
            signer, done=self._put, counted=self._note_signed, failed=self.told.put
        )

    def _note_signed(self) -> None:
        if self._is_closed:
            self._call_wake()  # it may have been the last
        else:
            self.nudge()

    def _call_wake(self) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._wake)

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
            self._telling.flush()
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
        elif not self._has_asked and self._backlog <= self._ahead // 2:
            self._has_asked = True
            self._telling.flush()
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
        ahead = _AHEAD * self._connections
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
