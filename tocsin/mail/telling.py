"""Outcomes on their way from the thread that sends to the one that feeds it."""

import asyncio
import queue

from tocsin.mail.messages import SendOutcome

_AT_ONCE = 32
_WITHIN = 0.05
"""Seconds. Each hand-over costs more than a message: so several together."""


class Telling:
    """
    Hands over outcomes, several at once.

    Args:
        loop: Of the thread that sends; all but ``told`` is for that thread.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.told: queue.SimpleQueue[list[SendOutcome] | BaseException | None] = (
            queue.SimpleQueue()
        )
        """Outcomes as they come, at times none; None: that was all."""
        self._loop = loop
        self._outcomes: list[SendOutcome] = []
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, outcome: SendOutcome) -> None:
        """Hand over one, in a while."""
        self._outcomes.append(outcome)
        if len(self._outcomes) >= _AT_ONCE:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(_WITHIN, self.flush)

    def flush(self) -> None:
        """Hand over what there is, if only to wake who waits for it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        outcomes, self._outcomes = self._outcomes, []
        self.told.put(outcomes)
