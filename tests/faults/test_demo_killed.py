"""`tocsin demo` killed alone: its Prefect server and its runner end by themselves."""

import subprocess
import sys
from pathlib import Path

import pytest
from fakes.demo import start_demo, wait_in

from tocsin.demo.folder import Folder
from tocsin.demo.summary import children_of

pytestmark = [
    pytest.mark.faults,
    pytest.mark.server,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not Path("/proc/self/task").is_dir(), reason="needs /proc to find processes"
    ),
]


def test_nothing_is_left_running_when_the_demo_alone_is_killed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    process = start_demo(folder.root, tmp_path / "summary.json")
    wait_in(process, lambda: folder.progress().now is not None)
    children = children_of(process.pid)

    process.kill()
    process.wait()

    assert len(children) == 2
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        wait_in(waiting, lambda: not any(_is_alive(pid) for pid in children))
    finally:
        waiting.kill()
        waiting.communicate()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return False
    return state[0] != "Z"
