"""Keeps a CA's published limits; without it the CA would answer "too many requests"."""

import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from math import inf
from pathlib import Path
from typing import IO, Protocol

from tocsin.ca.backend import Limit

# A margin, not a rule: the CA measures with a clock of its own, on another machine.
_STRETCH = 1.01


class Timer(Protocol):
    """Measures and waits; unlike a clock it is never set."""

    def seconds(self) -> float:
        """Return seconds since some instant that all processes here share."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


def wait_before_call(
    limits: Sequence[Limit], ends: Iterable[float], now: float
) -> float:
    """
    Return how many seconds to wait so that one more call keeps all limits.

    A call counts from its end, not from its start: it reached the CA somewhere between,
    so that no delay on the way can squeeze too many calls into one window of the CA's.

    Args:
        limits: What the CA allows.
        ends: When each earlier call ended; of those on their way: will at the latest.
        now: The present instant by the same timer.

    """
    latest = sorted(ends, reverse=True)
    return max(
        (
            latest[limit.calls - 1] + limit.seconds * _STRETCH - now
            for limit in limits
            if len(latest) >= limit.calls
        ),
        default=0.0,
    )


def sustained_rate(limits: Sequence[Limit]) -> float:
    """Return how many calls a second the limits allow in the long run."""
    return min((limit.calls / limit.seconds for limit in limits), default=inf)


class Ledger:
    """
    The calls that count against a CA's limits, of all processes on this machine.

    Args:
        limits: All of them are kept; without any nothing is written down.
        timer: Measures and waits.
        timeout: After so many seconds a call is given up.
        file: Shared by all processes that call this CA; None: they do not share.

    """

    def __init__(
        self,
        limits: Sequence[Limit],
        *,
        timer: Timer,
        timeout: float,
        file: Path | None = None,
    ) -> None:
        self._limits = limits
        self._timer = timer
        self._timeout = timeout
        self._file = file
        self._calls: dict[str, float] = {}
        self._lock = threading.Lock()
        self._numbers = count()
        self._longest = max((limit.seconds for limit in limits), default=0.0)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wait until a call may be made, and count it until it has ended."""
        if not self._limits:
            yield
            return
        key = self._begin()
        try:
            yield
        finally:
            with self._shared() as calls:
                calls[key] = self._timer.seconds()

    def _begin(self) -> str:
        while True:
            with self._shared() as calls:
                now = self._timer.seconds()
                wait = wait_before_call(self._limits, calls.values(), now)
                if wait <= 0:
                    key = f"{os.getpid()}-{id(self)}-{next(self._numbers)}"
                    calls[key] = now + self._timeout
                    return key
            self._timer.wait(wait)

    @contextmanager
    def _shared(self) -> Iterator[dict[str, float]]:
        with self._lock:
            if self._file is None:
                self._forget(self._calls)
                yield self._calls
                return
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._file.open("a+", encoding="ascii") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                calls = _read(stream)
                self._forget(calls)
                yield calls
                stream.truncate(0)
                json.dump(calls, stream)

    def _forget(self, calls: dict[str, float]) -> None:
        now = self._timer.seconds()
        oldest = now - self._longest * _STRETCH
        # What lies further ahead than a call can last is of before a restart of the
        # machine: the timer began anew.
        newest = now + self._timeout
        # Looked through at each call: a large limit has a thousand of them.
        for key in [
            key for key, until in calls.items() if not oldest <= until <= newest
        ]:
            del calls[key]


def _read(stream: IO[str]) -> dict[str, float]:
    stream.seek(0)
    try:
        found = json.load(stream)
    except ValueError:
        return {}  # a process was killed while it wrote: what it knew is lost
    return {str(key): float(until) for key, until in dict(found).items()}
