"""`tocsin demo` as a process of its own, to be stopped, looked at and killed."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tocsin.demo.ports import free_port
from tocsin.demo.summary import children_of

WITHIN = 240.0
"""Seconds that a replay may take."""

_LOOK_EVERY = 0.05
_DEMO = "from tocsin.demo.command import demo; import typer; typer.run(demo)"
_OPEN = re.compile(r"in the Prefect UI: \S*?(http://[\d.]+:\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A replay that runs; `prefect` is the address of its Prefect UI."""

    process: subprocess.Popen[bytes]
    prefect: str

    def wait_for(self, has_come: Callable[[], bool]) -> None:
        """Wait for a condition, not for a time; give up after a while."""
        for _ in range(int(WITHIN / _LOOK_EVERY)):
            if has_come():
                return
            try:
                code = self.process.wait(_LOOK_EVERY)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"it ended with {code} before it had come so far")
        pytest.fail("it did not come so far")

    def children(self) -> list[int]:
        """Find the processes it started."""
        return children_of(self.process.pid)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nothing go on in the replay for a while, whatever it is at."""
        (engine,) = [pid for pid in self.children() if _is_engine(pid)]
        os.kill(engine, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(engine, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it and every process of it."""
        children = self.children()
        self.process.kill()
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def start_demo(
    directory: Path, summary: Path, *options: str, terminal: int | None = None
) -> Demo:
    """Start a replay, or go on with one; on a terminal it stays when it has ended."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-c", _DEMO),
            *("--directory", str(directory)),
            *("--summary", str(summary)),
            *("--port", str(port)),
            *(() if terminal else ("--exit",)),
            *options,
        ],
        stdin=terminal or subprocess.DEVNULL,
        stdout=terminal or subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Demo(process=process, prefect=f"http://127.0.0.1:{port}")


@contextmanager
def stopped_at(directory: Path, summary: Path, moment: str) -> Iterator[Demo]:
    """Run a replay up to a moment on a terminal, where it stays until it is killed."""
    ours, its = pty.openpty()
    demo = start_demo(directory, summary, "--until", moment, terminal=its)
    os.close(its)
    terminal = _Terminal(ours)
    try:
        demo.wait_for(lambda: _OPEN.search(terminal.text) is not None)
        found = _OPEN.search(terminal.text)
        assert found is not None
        # The address that the terminal shows is the one that people open.
        yield replace(demo, prefect=found[1])
    finally:
        demo.kill()
        terminal.close()


@dataclass(slots=True)
class _Terminal:
    """What is written to a terminal; unread, it would hold up who writes."""

    descriptor: int
    text: str = ""
    _reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody writes to it any more
            while more := os.read(self.descriptor, 4096):
                self.text += more.decode("utf-8", "replace")

    def close(self) -> None:
        self._reader.join()
        os.close(self.descriptor)


def _is_engine(pid: int) -> bool:
    return b"flows.replay" in Path(f"/proc/{pid}/cmdline").read_bytes()


def is_alive(pid: int) -> bool:
    """Whether a process is at work."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return False
    return state[0] != "Z"
