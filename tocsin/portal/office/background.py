"""Work beside the answers: mail to officers, and lists that are being read for them."""

import threading
from collections.abc import Callable

import structlog

from models.terms import IncidentId
from tocsin.errors import TocsinError
from tocsin.log import redact

log = structlog.get_logger()


class Background:
    """Threads of this process that nobody's answer waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], object]) -> None:
        """
        Do the work in a thread of its own.

        A daemon: whoever stops the portal does not wait for three million rows.
        """
        thread = threading.Thread(
            target=self._run, args=(name, work), name=name, daemon=True
        )
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def wait(self, seconds: float) -> None:
        """Let what is under way come to its end, each for a while."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(seconds)

    def _run(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:
            log.exception("Work beside the answers failed", work=name)


class Imports:
    """
    The lists that this process reads, and how that ended.

    What is in none of them and has no report either was begun by a process that ended:
    its draft is without effect and is begun again.

    Args:
        background: Where they are read.

    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._lock = threading.Lock()
        self._running: dict[IncidentId, threading.Event] = {}
        self._failures: dict[IncidentId, str] = {}

    def start(self, incident: IncidentId, work: Callable[[], None]) -> None:
        """Read a list."""
        done = threading.Event()
        with self._lock:
            self._running[incident] = done
        self._background.start("import", lambda: self._run(incident, done, work))

    def wait(self, incident: IncidentId, seconds: float) -> None:
        """Wait a little: most lists are read before anybody looks."""
        with self._lock:
            done = self._running.get(incident)
        if done is not None:
            done.wait(seconds)

    def is_running(self, incident: IncidentId) -> bool:
        """Whether a list is being read here."""
        with self._lock:
            return incident in self._running

    def failure(self, incident: IncidentId) -> str:
        """Say why a list could not be read; empty where nothing is known."""
        with self._lock:
            return self._failures.get(incident, "")

    def _run(
        self, incident: IncidentId, done: threading.Event, work: Callable[[], None]
    ) -> None:
        why = "something of ours went wrong; it is in the portal's log"
        try:
            work()
            why = ""
        except TocsinError as error:
            why = redact(str(error))
        finally:
            with self._lock:
                if why:
                    self._failures[incident] = why
                del self._running[incident]
            done.set()
