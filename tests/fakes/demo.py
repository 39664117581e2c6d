"""`tocsin demo` as a process of its own, to be stopped and killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.demo.ports import free_port
from tocsin.demo.summary import children_of

WITHIN = 240.0
"""Seconds that a replay may take."""

_LOOK_EVERY = 0.05
_DEMO = "from tocsin.demo.command import demo; import typer; typer.run(demo)"


def start_demo(
    directory: Path, summary: Path, *options: str
) -> subprocess.Popen[bytes]:
    """Start a replay, or go on with one."""
    return subprocess.Popen(
        [
            *(sys.executable, "-P", "-c", _DEMO, "--exit"),
            *("--directory", str(directory)),
            *("--summary", str(summary)),
            *("--port", str(free_port())),
            *options,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_in(process: subprocess.Popen[bytes], has_come: Callable[[], bool]) -> None:
    """Wait for a condition, not for a time; give up after a while."""
    for _ in range(int(WITHIN / _LOOK_EVERY)):
        if has_come():
            return
        try:
            code = process.wait(_LOOK_EVERY)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"it ended with {code} before it could be killed")
    pytest.fail("it did not come so far")


def kill_when(process: subprocess.Popen[bytes], has_come: Callable[[], bool]) -> None:
    """Kill a replay and every process of it when it has come so far."""
    wait_in(process, has_come)
    for pid in (process.pid, *children_of(process.pid)):
        os.kill(pid, signal.SIGKILL)
    process.wait()
