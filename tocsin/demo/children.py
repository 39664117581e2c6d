"""Starts the demo's processes and ends them with it; without it a killed demo would leave servers behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tocsin.demo.folder import Folder
from tocsin.errors import Unavailable

_HOST = "127.0.0.1"
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_ENDS_WITHIN = 10.0
_STARTS_WITHIN = 120.0
_LOOK_EVERY = 0.2


def prefect_environment(folder: Folder, port: int) -> dict[str, str]:
    """
    Return the environment of the demo's processes.

    What is set for another Tocsin or Prefect is left out: the demo's mail and
    revocations stay in its own directory, whatever the caller works on.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TOCSIN_", "PREFECT_"))
    }
    return kept | {
        "PREFECT_HOME": str(folder.prefect),
        "PREFECT_API_URL": f"http://{_HOST}:{port}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": (
            f"sqlite+aiosqlite:///{folder.prefect / 'prefect.db'}"
        ),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        # The newer UI asks a server on the internet for settings; this one asks nobody.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The server is of the version that its client is: they are installed together.
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        # Runs arrive in bursts here, since time is stepped.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PYTHONUNBUFFERED": "1",
        # The demo reaches nothing but this machine: no proxy may step in between.
        "NO_PROXY": f"{_HOST},localhost",
        "no_proxy": f"{_HOST},localhost",
    }


@contextmanager
def running(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    reads: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """
    Run a Python module as a process that ends with us.

    Args:
        arguments: The module and its arguments.
        environment: All of its environment.
        log: Where its stderr goes (and its stdout, unless we read that).
        reads: Whether we read its stdout.

    """
    with log.open("a", encoding="utf-8") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-P", "-m", *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if reads else sink,
            stderr=sink,
            text=True,
            encoding="utf-8",
            # Ctrl-C is for us: we end the others in their order.
            start_new_session=True,
            preexec_fn=_ending_with_parent(),  # noqa: PLW1509 - no thread runs yet
        )
        try:
            yield process
        finally:
            _end(process)
            if process.stdout is not None:
                process.stdout.close()


def wait_for(process: subprocess.Popen[str], url: str, *, log: Path) -> None:
    """
    Wait until a server answers.

    Raises:
        Unavailable: It ended, or did not answer in time.

    """
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        for _ in range(int(_STARTS_WITHIN / _LOOK_EVERY)):
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).is_success:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_EVERY)
                raise Unavailable(f"a server ended while it started: see {log}")
    raise Unavailable(
        f"a server did not start within {_STARTS_WITHIN:.0f} s: see {log}"
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, and insist if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ending_with_parent() -> Callable[[], None] | None:
    """Return what makes a child end when its parent is killed; Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)

    return prepare
