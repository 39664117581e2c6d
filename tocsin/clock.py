"""Where instants come from; without it no test or replay could move time."""

from datetime import UTC, datetime
from typing import Protocol


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
