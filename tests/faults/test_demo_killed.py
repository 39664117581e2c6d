"""`tocsin demo` killed with SIGKILL, every process of it, and started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.direct_driver import DirectDriver

from tocsin.demo import record
from tocsin.demo.folder import Folder
from tocsin.demo.machine import run_replay
from tocsin.demo.ports import free_port
from tocsin.demo.summary import children_of

pytestmark = [
    pytest.mark.faults,
    pytest.mark.server,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not Path("/proc/self/task").is_dir(), reason="needs /proc to find processes"
    ),
]

_WITHIN = 240.0
_LOOK_EVERY = 0.05
_DIFFERENT_EACH_RUN = {
    "incident",
    "acts_on_record",
    "wall_seconds",
    "prefect_seconds",
    "peak_rss_bytes",
}
_DEMO = "from tocsin.demo.command import demo; import typer; typer.run(demo)"


def _start(directory: Path, summary: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-P", "-c", _DEMO, "--exit"),
            *("--directory", str(directory)),
            *("--summary", str(summary)),
            *("--port", str(free_port())),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait(process: subprocess.Popen[bytes], has_come: Callable[[], bool]) -> None:
    """Wait for a condition, not for a time; give up after a while."""
    for _ in range(int(_WITHIN / _LOOK_EVERY)):
        if has_come():
            return
        try:
            code = process.wait(_LOOK_EVERY)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the demo ended with {code} before it could be killed")
    pytest.fail("the demo did not come so far")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return False
    return state[0] != "Z"


def _figures(told: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in told.items() if name not in _DIFFERENT_EACH_RUN
    }


def test_i4_the_same_figures_result_when_every_process_is_killed_on_the_way(
    tmp_path: Path,
) -> None:
    untouched = Folder(tmp_path / "untouched")
    untouched.open()
    expected = run_replay(untouched, make_driver=DirectDriver, show=lambda _: None)
    directory, summary = tmp_path / "demo", tmp_path / "summary.json"
    folder = Folder(directory)

    def has_begun() -> bool:
        return folder.data.is_dir() and any(folder.data.glob("*.sqlite"))

    def has_replies() -> bool:
        now = folder.progress().now
        return now is not None and now > record.LAUNCHED_AT + timedelta(hours=8)

    def revokes() -> bool:
        now = folder.progress().now
        return now is not None and now > record.DEADLINE - timedelta(hours=3)

    for condition in (has_begun, has_replies, revokes):
        process = _start(directory, summary)
        _wait(process, condition)
        for pid in (process.pid, *children_of(process.pid)):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    process = _start(directory, summary)
    assert process.wait(_WITHIN) == 0

    assert _figures(json.loads(summary.read_text("utf-8"))) == _figures(
        json.loads(json.dumps(expected.as_json()))
    )


def test_nothing_is_left_running_when_the_demo_alone_is_killed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    process = _start(folder.root, tmp_path / "summary.json")
    _wait(process, lambda: folder.progress().now is not None)
    children = children_of(process.pid)

    process.kill()
    process.wait()

    assert len(children) == 2
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        _wait(
            waiting,
            lambda: not any(_is_alive(pid) for pid in children),
        )
    finally:
        waiting.kill()
        waiting.communicate()
