"""Starts processes, keeps them running and ends them in order; nothing stays behind."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import httpx

from tocsin.errors import Unavailable

LOOK_EVERY = 0.2
"""How often we look whether something has started or ended, seconds."""

_STARTS_WITHIN = 120.0
_ENDS_WITHIN = 8.0
_STEADY_AFTER = 60.0
"""A process that ran for so long starts again at once, seconds."""
_LONGEST_PAUSE = 60.0
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """
    A Python module that runs as a process of its own.

    Args:
        name: For people.
        command: The module and its arguments.
        log: Where its output goes.
        environment: All of its environment.
        directory: Its working directory.
        is_healthy: Whether it does its work; asked until it says so.

    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    directory: Path
    is_healthy: Callable[[], bool]


@dataclass(slots=True, kw_only=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    started_at: float  # of the monotonic clock, as all here
    failures: int = 0
    starts_again_at: float | None = None


@dataclass(slots=True)
class Processes:
    """
    Services that live and end with us, even when we are killed (on Linux).

    Args:
        tell: Is told, in sentences, what happens to them.
        stop: Set from a signal handler to end everything.

    """

    tell: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    _running: list[_Running] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.end()

    def start(self, services: Sequence[Service]) -> None:
        """
        Start services together, and wait until all are healthy or we shall stop.

        Raises:
            Unavailable: One ended, or did not become healthy in time.

        """
        started = [
            _Running(service=one, process=_spawn(one), started_at=time.monotonic())
            for one in services
        ]
        self._running += started
        ends_at = time.monotonic() + _STARTS_WITHIN
        waiting = list(started)
        while waiting and not self.stop.is_set():
            for one in waiting:
                if one.process.poll() is not None:
                    raise Unavailable(
                        f"{one.service.name} ended while it started:\n"
                        f"{_tail(one.service.log)}\nAll of it: {one.service.log}"
                    )
            waiting = [one for one in waiting if not one.service.is_healthy()]
            if waiting and time.monotonic() > ends_at:
                names = ", ".join(one.service.name for one in waiting)
                raise Unavailable(
                    f"not healthy within {_STARTS_WITHIN:.0f} s: {names}. "
                    f"See {waiting[0].service.log}"
                )
            if waiting:
                self.stop.wait(LOOK_EVERY)

    def keep_running(self) -> None:
        """Start again what ends by itself, ever more slowly, until we shall stop."""
        while not self.stop.wait(LOOK_EVERY):
            for one in self._running:
                self._look_after(one, time.monotonic())

    def end(self) -> None:
        """End all, the last one started first; what does not end is killed."""
        while self._running:
            _end(self._running.pop().process)

    def pids(self) -> dict[str, int]:
        """Return the process of each service, by its name."""
        return {one.service.name: one.process.pid for one in self._running}

    def _look_after(self, one: _Running, now: float) -> None:
        if one.process.poll() is None:
            return
        name = one.service.name
        if one.starts_again_at is None:
            _end(one.process)  # what it had started itself
            steady = now - one.started_at > _STEADY_AFTER
            one.failures = 0 if steady else one.failures + 1
            pause = min(2.0**one.failures - 1, _LONGEST_PAUSE)
            one.starts_again_at = now + pause
            self.tell(
                f"{name} ended with code {one.process.returncode}; it starts again"
                f"{f' in {pause:.0f} s' if pause else ''}. See {one.service.log}"
            )
        elif now >= one.starts_again_at:
            one.process = _spawn(one.service)
            one.started_at, one.starts_again_at = now, None
            self.tell(f"{name} was started again.")


def answers(url: str) -> bool:
    """Whether a server answers with success."""
    try:
        return asking().get(url).is_success
    except httpx.HTTPError:
        return False


@cache
def asking() -> httpx.Client:
    """Return what asks our servers; each new one would read all trusted roots again."""
    return httpx.Client(timeout=5.0, trust_env=False)


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2.0):
        return True
    return False


def _spawn(service: Service) -> subprocess.Popen[bytes]:
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-P", "-m", *service.command],
            env=dict(service.environment),
            cwd=service.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us: we end the others in their order.
            start_new_session=True,
            preexec_fn=_ending_with_parent(),  # noqa: PLW1509 - no thread of ours runs
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, insist if it does not, and take its children along."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_WITHIN)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending_with_parent() -> Callable[[], None] | None:
    """Return what makes a child end when its parent is killed; Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)

    return prepare


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in text[-lines:])


def become(module: str, *arguments: str) -> NoReturn:
    """Turn this process into one that needs nothing of what commands bring along."""
    sys.stdout.flush()
    command = [sys.executable, "-P", "-m", module, *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter and module
