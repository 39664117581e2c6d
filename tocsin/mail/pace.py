"""How fast mail may leave, in all and to one domain; instants are the event loop's seconds."""

from dataclasses import dataclass, field

LONGEST_WAIT = 60.0
"""Seconds that a message waits for its turn with us; one that comes later is put off."""


@dataclass(slots=True)
class Pace:
    """
    Books a turn for each message: one after the other, evenly.

    Args:
        per_second: Messages in all; None: as fast as it goes.
        per_domain: Messages to one recipient domain; None: as fast as it goes.

    """

    per_second: float | None = None
    per_domain: float | None = None
    _next: float = 0.0
    _next_to: dict[str, float] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.per_second is None and self.per_domain is None

    def book_domain(self, domain: str, now: float) -> float:
        """Return how long a message to a domain waits for the turn it gets, seconds."""
        if self.per_domain is None:
            return 0.0
        turn = max(now, self._next_to.get(domain, now))
        self._next_to[domain] = turn + 1 / self.per_domain
        return turn - now

    def wait(self, now: float) -> float:
        """Return how long until any message may leave, seconds."""
        return 0.0 if self.per_second is None else max(0.0, self._next - now)

    def left(self, now: float) -> None:
        """Note that a message leaves now."""
        if self.per_second is not None:
            self._next = max(now, self._next) + 1 / self.per_second
