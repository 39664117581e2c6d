"""The small process that says so when the engine does not do what is due."""

import argparse
import signal
import sys
import threading
from datetime import timedelta

import structlog

from tocsin.clock import SteadyWatch, SystemClock
from tocsin.log import configure_logging
from tocsin.settings import read_settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.alarms import send_due_alarms
from tocsin.steps.collaborators import open_collaborators
from tocsin.steps.watchdog import Watched, watch_once

log = structlog.get_logger()


def run_watchdog(c: Collaborators, *, every: timedelta, stop: threading.Event) -> None:
    """
    Watch until told to stop; whatever fails is logged and tried again.

    Args:
        c: The engine's own collaborators; it revokes nothing and sends no mail.
        every: From the end of one look to the next.
        stop: Set to end.

    """
    log.info("Watchdog on watch", every_seconds=every.total_seconds())
    steady = SteadyWatch(c.clock)
    while not stop.is_set():
        try:
            look(c, set_back=steady.set_back())
        except Exception:  # it outlives whatever befell one look
            log.exception("A look of the watchdog failed; heartbeat withheld")
        stop.wait(every.total_seconds())
    log.info("Watchdog off watch")


def look(c: Collaborators, *, set_back: timedelta = timedelta()) -> Watched:
    """
    Look once, and raise the alarm beside mail by itself.

    The engine, whose mail it is, may be what does not work.
    """
    watched = watch_once(
        c.engine,
        c.clock,
        telling=c.telling,
        publication_within=c.backend.capabilities.publication_delay,
        heartbeat=c.watchdog,
        set_back=set_back,
    )
    if not watched.all_is_well and c.channels is not None:
        send_due_alarms(c.engine, c.channels, c.clock, owner=c.owner)
    return watched


def main() -> None:
    """Watch, or look once with ``--once``; exit code 3 when something was missed."""
    parser = argparse.ArgumentParser(
        prog="python -P -m tocsin.watchdog", description=__doc__
    )
    parser.add_argument("--once", action="store_true", help="one look, now, then end")
    is_once = parser.parse_args().once
    configure_logging()
    settings = read_settings()
    with open_collaborators(settings, clock=SystemClock()) as c:
        if not is_once:
            stop = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
            every = timedelta(seconds=settings.watchdog_every_seconds)
            run_watchdog(c, every=every, stop=stop)
            return
        watched = look(c)
    for incident, left in watched.missed.items():
        for one in left:
            print(f"{incident}: {one.sentence}")  # noqa: T201 - what it was asked for
    if not watched.all_is_well:
        sys.exit(3)
    print(f"Nothing due was missed in {watched.incidents:,} running incidents")  # noqa: T201


if __name__ == "__main__":
    main()
