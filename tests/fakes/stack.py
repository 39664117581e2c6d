"""A real `tocsin up` in a directory of the test's own."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tocsin.demo.ports import free_port

_UP_WITHIN = 150.0
_ENDS_WITHIN = 60.0
_ASK_EVERY = 1.0
"""Seconds between two questions to Prefect: each costs its server more than us."""


def wait_until(
    holds: Callable[[], bool], *, within: float, what: str, every: float = 0.1
) -> None:
    """Wait for a condition; fails with its name when it does not come true."""
    ends_at = time.monotonic() + within
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < ends_at, f"not within {within:.0f} s: {what}"
        pause.wait(every)


def free_ports(count: int) -> list[int]:
    """Find ports nobody listens on, each another."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


@dataclass
class Stack:
    """What is running, and what it said."""

    process: subprocess.Popen[str]
    data: Path
    environment: dict[str, str]
    client: httpx.Client
    said: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        return "".join(self.said)

    @property
    def prefect(self) -> str:
        return f"http://127.0.0.1:{self.environment['TOCSIN_PREFECT_PORT']}"

    @property
    def portal(self) -> str:
        return f"http://127.0.0.1:{self.environment['TOCSIN_PORTAL_PORT']}"

    def ask(self, path: str, **wanted: Any) -> Any:
        """Ask Prefect's API."""
        url = f"{self.prefect}/api/{path}"
        client = self.client
        answer = client.post(url, json=wanted) if wanted else client.get(url)
        return answer.raise_for_status().json()

    def send(self, method: str, path: str, body: Any = None) -> None:
        """Have Prefect do something; insist while its SQLite is busy (503)."""
        url = f"{self.prefect}/api/{path}"
        self.insist(
            lambda: self.client.request(method, url, json=body).raise_for_status()
        )

    def insist(self, ask: Callable[[], Any]) -> Any:
        """Ask again while Prefect's SQLite is busy: it says 503 then."""
        answers: list[Any] = []

        def asked() -> bool:
            with contextlib.suppress(httpx.HTTPStatusError):
                answers.append(ask())
            return bool(answers)

        wait_until(asked, within=60, what="an answer of Prefect's", every=_ASK_EVERY)
        return answers[0]

    def wait_until(
        self, holds: Callable[[], bool], *, within: float, what: str
    ) -> None:
        """Wait for something that Prefect is asked about."""
        wait_until(holds, within=within, what=what, every=_ASK_EVERY)

    def run_now(self) -> str:
        """Ask for a cycle, as somebody does who presses Quick run."""
        cycle = self.ask("deployments/name/Cycle/cycle")["id"]
        path = f"deployments/{cycle}/create_flow_run"
        made: str = self.insist(lambda: self.ask(path, name="Now")["id"])
        return made

    def complete_a_cycle(self) -> None:
        """Ask for a cycle at once, and wait for it."""
        asked = self.run_now()
        self.wait_until(
            lambda: self.ask(f"flow_runs/{asked}")["state_type"] == "COMPLETED",
            within=150,
            what="a cycle",
        )

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Return a deployment's runs, the latest to start last."""
        found: list[dict[str, Any]] = self.ask(
            "flow_runs/filter",
            deployments={"name": {"any_": [deployment]}},
            sort="EXPECTED_START_TIME_ASC",
        )
        return found

    def children(self) -> dict[str, int]:
        """Find the processes it started, by the module they run."""
        found = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int(
                    (folder / "stat").read_text().rpartition(")")[2].split()[1]
                )
                if parent == self.process.pid:
                    command = (folder / "cmdline").read_text().split("\0")
                    found[command[command.index("-m") + 1]] = int(folder.name)
        return found

    def tocsin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "tocsin.cli.app", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def interrupt(self) -> int:
        """Press Ctrl-C, wait, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(_ENDS_WITHIN)


@contextmanager
def tocsin_up(folder: Path, **settings: str) -> Iterator[Stack]:
    """Start it, wait until it says that it is up, and end it."""
    prefect, portal, relay = free_ports(3)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "TOCSIN_"))
    } | {
        "TOCSIN_DATA_DIRECTORY": str(folder),
        "TOCSIN_PREFECT_PORT": str(prefect),
        "TOCSIN_PORTAL_PORT": str(portal),
        "TOCSIN_SMTP_PORT": str(relay),
        "TOCSIN_GUARD_EVERY_SECONDS": "2",
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tocsin.cli.app", "up"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    client = httpx.Client(
        trust_env=False, timeout=30, limits=httpx.Limits(keepalive_expiry=2)
    )
    stack = Stack(process=process, data=folder, environment=environment, client=client)
    reader = threading.Thread(target=_listen, args=(stack,), daemon=True)
    reader.start()
    try:
        wait_until(
            lambda: "Tocsin is up" in stack.output or process.poll() is not None,
            within=_UP_WITHIN,
            what="tocsin up",
        )
        assert process.poll() is None, stack.output
        yield stack
    finally:
        client.close()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join()
        if process.stdout is not None:
            process.stdout.close()


def _listen(stack: Stack) -> None:
    for line in stack.process.stdout or ():
        stack.said.append(line)
