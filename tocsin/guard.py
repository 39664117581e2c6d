"""The small process that revokes what is due when everything else is down."""

import argparse
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine

from tocsin.ca.backend import CaBackend, Publication
from tocsin.ca.factory import open_ca
from tocsin.clock import Clock, SteadyWatch, SystemClock
from tocsin.log import configure_logging
from tocsin.settings import read_settings
from tocsin.steps.heartbeat import last_life, show_life
from tocsin.steps.revoke import Revoked, revoke_due
from tocsin.store.overdue import Outstanding, outstanding
from tocsin.store.revocations import next_due
from tocsin.store.session import open_engine, reading

log = structlog.get_logger()

_LONGEST_SILENCE = timedelta(minutes=3)
_SOONEST = timedelta(seconds=5)
"""Between passes while something is due and not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """
    What one pass of the guard did, and what it could not do.

    Args:
        at: When it ended, UTC.
        revoked: What it did.
        outstanding: What was due and is not done.
        set_back: How far the machine's clock was set back: what is due comes so much
            later than it should.

    """

    at: datetime
    revoked: Revoked
    outstanding: Outstanding
    set_back: timedelta = timedelta()

    @property
    def all_is_well(self) -> bool:
        """Whether everything due was done, by a clock that can be believed."""
        return self.outstanding.is_nothing and not self.set_back


def run_guard(
    engine: Engine,
    backend: CaBackend,
    publication: Publication,
    clock: Clock,
    *,
    heartbeat: Path,
    every: timedelta,
    stop: threading.Event,
    grace: timedelta,
    url: str | None = None,
) -> None:
    """
    Watch until told to stop; whatever fails is logged and tried again.

    Args:
        engine: The database.
        backend: The CA.
        publication: Reads what the CA publishes.
        clock: Tells now.
        heartbeat: The file that is written while all is well. A watchdog that looks at
            its age rings when the guard is dead, and when it is alive and fails.
        every: From the beginning of one pass to the next, at most; sooner while
            something that is due could not be done.
        stop: Set to end.
        grace: How long a revocation that is due is left to the engine.
        url: Fetched while all is well, as the file is written; None: none is.

    """
    owner = f"guard-{socket.gethostname()[:40]}-{os.getpid()}"
    log.info("Guard on watch", every_seconds=every.total_seconds())
    steady = SteadyWatch(clock, known=last_life(heartbeat))
    while not stop.is_set():
        began = time.monotonic()
        try:
            watch_once(
                engine,
                backend,
                publication,
                clock,
                heartbeat=heartbeat,
                grace=grace,
                owner=owner,
                url=url,
                set_back=steady.set_back(),
            )
            pause = pause_until_due(engine, clock, every=every)
        except Exception:  # the guard outlives whatever befell one pass
            log.exception("A pass of the guard failed; heartbeat withheld")
            pause = min(every, _SOONEST)
        stop.wait(max(0.0, pause.total_seconds() - (time.monotonic() - began)))
    log.info("Guard off watch")


def watch_once(
    engine: Engine,
    backend: CaBackend,
    publication: Publication,
    clock: Clock,
    *,
    heartbeat: Path,
    grace: timedelta,
    owner: str,
    url: str | None = None,
    set_back: timedelta = timedelta(),
) -> Watch:
    """Revoke what was left undone, then show that all is well if nothing is left."""
    revoked = revoke_due(
        engine, backend, publication, clock, owner=owner, actor="guard", grace=grace
    )
    now = clock.now()
    with reading(engine) as connection:
        left = outstanding(
            connection,
            now=now,
            grace=grace,
            publication_within=backend.capabilities.publication_delay,
        )
    watch = Watch(at=now, revoked=revoked, outstanding=left, set_back=set_back)
    if left.restrained:
        log.warning(
            "Court orders keep certificates past their revocation time",
            restrained=left.restrained,
        )
    if watch.all_is_well:
        said = {
            "at": now.isoformat(),
            "due": revoked.claimed,
            "overdue": left.overdue,
            "unpublished": left.unpublished,
            "restrained": left.restrained,
        }
        show_life(said, file=heartbeat, url=url)
    if not left.is_nothing:
        log.error(
            "Revocations are overdue; heartbeat withheld",
            overdue=left.overdue,
            unpublished=left.unpublished,
        )
    if set_back:
        log.error(
            "The clock was set back; heartbeat withheld. Set it right, or start the "
            "guard again if it is right now",
            seconds=int(set_back.total_seconds()),
        )
    return watch


def guard_from_settings(*, once: bool) -> bool:
    """
    Build everything from the settings and watch; return whether all was well.

    Args:
        once: One pass, without grace, instead of watching until SIGTERM or SIGINT.

    """
    configure_logging()
    settings = read_settings()
    clock = SystemClock()
    ca = open_ca(settings, clock=clock)
    engine = open_engine(settings.database)
    try:
        if once:
            watch = watch_once(
                engine,
                ca.backend,
                ca.publication,
                clock,
                heartbeat=settings.heartbeat,
                grace=timedelta(),
                owner=f"guard-once-{os.getpid()}",
                url=settings.guard_url,
            )
            return watch.all_is_well
        run_guard(
            engine,
            ca.backend,
            ca.publication,
            clock,
            heartbeat=settings.heartbeat,
            every=timedelta(seconds=settings.guard_every_seconds),
            stop=_stop_on_signals(),
            grace=timedelta(seconds=settings.guard_grace_seconds),
            url=settings.guard_url,
        )
    finally:
        engine.dispose()
    return True


def main() -> None:
    """Watch, or look once with ``--once``; exit code 3 when something is left undone."""
    parser = argparse.ArgumentParser(
        prog="python -P -m tocsin.guard", description=__doc__
    )
    parser.add_argument("--once", action="store_true", help="one pass, now, then end")
    parser.add_argument(
        "--is-well",
        action="store_true",
        help="only look how old the heartbeat file is; exit code 3 when it is too old",
    )
    given = parser.parse_args()
    if given.is_well:
        settings = read_settings()
        is_fine = is_well(
            settings.heartbeat,
            clock=SystemClock(),
            every=timedelta(seconds=settings.guard_every_seconds),
        )
    else:
        is_fine = guard_from_settings(once=given.once)
    if not is_fine:
        sys.exit(3)


def is_well(heartbeat: Path, *, clock: Clock, every: timedelta) -> bool:
    """Whether the heartbeat file is there and three passes have not gone by since."""
    at = last_life(heartbeat)
    return at is not None and clock.now() - at <= max(3 * every, _LONGEST_SILENCE)


def pause_until_due(engine: Engine, clock: Clock, *, every: timedelta) -> timedelta:
    """Return how long to wait: not past the instant at which something is due next."""
    with reading(engine) as connection:
        due_at = next_due(connection)
    if due_at is None:
        return every
    return min(every, max(due_at - clock.now(), _SOONEST))


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    main()
