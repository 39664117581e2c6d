"""What waits to be sent, and whose turn is next by the pace that was set."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from tocsin.mail.conversation import Item
from tocsin.mail.pace import LONGEST_WAIT, Pace
from tocsin.mail.wire import domain_of


class Turns:
    """
    Messages in the order in which they leave; instants are the event loop's seconds.

    Args:
        pace: How fast mail may leave.
        put_off: Is told of a message that would wait too long, and how long.

    """

    def __init__(self, pace: Pace, put_off: Callable[[Item, float], None]) -> None:
        self._pace = pace
        self._put_off = put_off
        self._ready: deque[Item] = deque()
        self._waiting: list[tuple[float, int, Item]] = []  # for their domain's turn
        self._numbers = count()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._ready) + len(self._waiting)

    def __iter__(self) -> Iterator[Item]:
        """Go through what is there."""
        yield from (turn[2] for turn in self._waiting)
        yield from self._ready

    @property
    def ready(self) -> int:
        """How many wait for nothing but a connection, as far as their domain goes."""
        return len(self._ready)

    def add(self, item: Item) -> None:
        """Put one behind the others; from any thread."""
        self._ready.append(item)

    def add_first(self, item: Item) -> None:
        """Put one before the others."""
        self._ready.appendleft(item)

    def take(self, clock: Callable[[], float]) -> Item | float | None:
        """Return the next, or the seconds until its turn; None: there is none."""
        if self._pace.is_free:
            return self._ready.popleft() if self._ready else None
        now = clock()
        if wait := self._pace.wait(now):
            return wait
        while (item := self._due(now)) is None and self._ready:
            item = self._ready.popleft()
            wait = self._pace.book_domain(domain_of(item.message.recipient), now)
            if not wait:
                break
            if wait <= LONGEST_WAIT:
                turn = (now + wait, next(self._numbers), item)
                heapq.heappush(self._waiting, turn)
            else:
                self._put_off(item, wait)
        if item is not None:
            self._pace.left(now)
            return item
        return self._waiting[0][0] - now if self._waiting else None

    def _due(self, now: float) -> Item | None:
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[2]
        return None
