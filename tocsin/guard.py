"""The small process that revokes what is due when everything else is down."""

import argparse
import json
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine

from tocsin.ca.backend import CaBackend, Publication
from tocsin.ca.factory import open_ca
from tocsin.clock import Clock, SystemClock
from tocsin.log import configure_logging
from tocsin.settings import read_settings
from tocsin.steps.revoke import Revoked, revoke_due
from tocsin.store.overdue import Outstanding, outstanding
from tocsin.store.session import open_engine, reading

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """
    What one pass of the guard did, and what it could not do.

    Args:
        at: When it ended, UTC.
        revoked: What it did.
        outstanding: What was due and is not done.

    """

    at: datetime
    revoked: Revoked
    outstanding: Outstanding

    @property
    def all_is_well(self) -> bool:
        """Whether everything due was done."""
        return self.outstanding.is_nothing


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
        every: From the end of one pass to the next.
        stop: Set to end.
        grace: How long a revocation that is due is left to the engine.

    """
    owner = f"guard-{socket.gethostname()[:40]}-{os.getpid()}"
    log.info("Guard on watch", every_seconds=every.total_seconds())
    while not stop.is_set():
        try:
            watch_once(
                engine,
                backend,
                publication,
                clock,
                heartbeat=heartbeat,
                grace=grace,
                owner=owner,
            )
        except Exception:  # the guard outlives whatever befell one pass
            log.exception("A pass of the guard failed; heartbeat withheld")
        stop.wait(every.total_seconds())
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
) -> Watch:
    """Revoke what was left undone, then write the heartbeat if nothing is left."""
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
    watch = Watch(at=now, revoked=revoked, outstanding=left)
    if left.restrained:
        log.warning(
            "Court orders keep certificates past their revocation time",
            restrained=left.restrained,
        )
    if watch.all_is_well:
        _write_heartbeat(heartbeat, watch)
    else:
        log.error(
            "Revocations are overdue; heartbeat withheld",
            overdue=left.overdue,
            unpublished=left.unpublished,
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
    if not guard_from_settings(once=parser.parse_args().once):
        sys.exit(3)


def _write_heartbeat(file: Path, watch: Watch) -> None:
    text = json.dumps(
        {
            "at": watch.at.isoformat(),
            "due": watch.revoked.claimed,
            "overdue": watch.outstanding.overdue,
            "unpublished": watch.outstanding.unpublished,
            "restrained": watch.outstanding.restrained,
        }
    )
    # Whole or not at all: whoever watches must never read half a heartbeat.
    written = file.with_name(f"{file.name}.{os.getpid()}.new")
    written.write_text(text + "\n", "utf-8")
    written.replace(file)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    main()
