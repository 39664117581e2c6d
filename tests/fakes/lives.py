"""Engine and guard as processes that are started again and again, and killed."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

from fakes.forks import forks

from tocsin.ca.factory import find_backend
from tocsin.ca.files import write_atomically
from tocsin.ca.options import read_options
from tocsin.clock import SystemClock
from tocsin.guard import run_guard
from tocsin.log import configure_logging
from tocsin.steps.revoke import revoke_due
from tocsin.store.session import open_engine

ENGINE = "engine"
GUARD = "guard"
_BETWEEN_PASSES = 0.05  # seconds
_READY_WITHIN = 120.0  # seconds, on a machine that has other things to do


@dataclass(frozen=True, kw_only=True)
class World:
    """
    What every life finds.

    Args:
        database: Its URL.
        backend: The kind of CA.
        options: Its options file.
        folder: For heartbeat, log, and how far time was moved.
        batch: How many the engine claims at once.

    """

    database: str
    backend: str
    options: Path
    folder: Path
    batch: int

    @property
    def shift(self) -> Path:
        """The file that says how far clocks are from the machine's, in seconds."""
        return self.folder / "shift"

    @property
    def log(self) -> Path:
        """What the lives say."""
        return self.folder / "lives.log"

    def set_clocks(self, ahead: timedelta) -> None:
        """Set everybody's clock so far ahead; at no moment is there none to be read."""
        write_atomically(self.shift, str(ahead.total_seconds()).encode())

    @property
    def heartbeat(self) -> Path:
        """The guard's."""
        return self.folder / "guard.json"


class ShiftedClock:
    """The machine's clock, so far ahead as a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(seconds=float(self._file.read_text()))


def live(world: World, actor: str, is_ready: Event) -> None:
    """Revoke what is due, again and again, until killed."""
    with world.log.open("a") as log:
        os.dup2(log.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging()
    kind = find_backend(world.backend)
    given = read_options(world.options, kind, ledger=world.folder / "ca-calls.json")
    backend, publication = kind.open(given)
    engine = open_engine(world.database)
    clock = ShiftedClock(world.shift)
    is_ready.set()
    if actor == GUARD:
        run_guard(
            engine,
            backend,
            publication,
            clock,
            heartbeat=world.heartbeat,
            every=timedelta(seconds=_BETWEEN_PASSES),
            stop=threading.Event(),
            grace=timedelta(),
        )
    pause = threading.Event()
    while True:
        revoke_due(
            engine,
            backend,
            publication,
            clock,
            owner=f"{actor}-{os.getpid()}",
            batch=world.batch,
            actor=actor,
        )
        pause.wait(_BETWEEN_PASSES)


@contextmanager
def begun(world: World, actor: str) -> Iterator[ForkServerProcess]:
    """Start one life, wait until it begins to work, and end it if nobody else does."""
    context = forks()
    is_ready = context.Event()
    process = context.Process(target=live, args=(world, actor, is_ready), daemon=True)
    process.start()
    try:
        assert is_ready.wait(_READY_WITHIN), world.log.read_text()
        yield process
    finally:
        process.kill()
        process.join()
