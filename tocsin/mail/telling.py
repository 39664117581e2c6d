"""Outcomes on their way from the conversations to whoever feeds them."""

import asyncio

from tocsin.mail.messages import SendOutcome

_AT_ONCE = 32
_WITHIN = 0.05
"""Seconds. Each hand-over costs as much as a message: so several together."""


class Telling:
    """
    Gathers outcomes, and stops the event loop for whoever is to hear of them.

    Args:
        loop: In which the conversations are.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outcomes: list[SendOutcome] = []
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, outcome: SendOutcome) -> None:
        """Hand over one, in a while."""
        self._outcomes.append(outcome)
        if len(self._outcomes) >= _AT_ONCE:
            self._loop.stop()
        elif self._timer is None:
            self._timer = self._loop.call_later(_WITHIN, self._loop.stop)

    def taken(self) -> list[SendOutcome]:
        """Return what there is; it is told then."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        outcomes, self._outcomes = self._outcomes, []
        return outcomes
