"""Where instants come from; without it no test or replay could move time."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

_CORRECTED_DAILY = timedelta(seconds=30)
"""What time servers correct is far below."""


class Clock(Protocol):
    """Tells the present instant."""

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that may ask


class SteppedClock:
    """A clock that stands still until it is stepped; for the replay and for tests."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the instant it was last stepped to, UTC."""
        return self._now

    def step_to(self, instant: datetime) -> None:
        """
        Step forward.

        Raises:
            ValueError: The instant lies before the present one.

        """
        if instant < self._now:
            message = f"time does not run backwards: {instant} < {self._now}"
            raise ValueError(message)
        self._now = instant.astimezone(UTC)


class SteadyWatch:
    """
    Notices that a clock was set back, by a timer that nobody sets.

    Args:
        clock: The clock.
        known: An instant that the clock is known to have shown before; None: none is.
        timer: Returns seconds that only ever rise.

    """

    def __init__(
        self,
        clock: Clock,
        *,
        known: datetime | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._timer = timer
        self._furthest = self._ahead(max(clock.now(), known or clock.now()))

    def set_back(self) -> timedelta:
        """Return how far the clock was set back; small corrections are none."""
        ahead = self._ahead(self._clock.now())
        self._furthest = max(self._furthest, ahead)
        behind = self._furthest - ahead
        return behind if behind > _CORRECTED_DAILY else timedelta()

    def _ahead(self, instant: datetime) -> timedelta:
        return instant - datetime.fromtimestamp(self._timer(), UTC)
