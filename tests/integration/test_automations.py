"""Each automation fires for real: against a real Prefect server and a real runner."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.officers import lay_desk
from fakes.stack import Stack, tocsin_up, wait_until

from flows.alarm import Trouble

pytestmark = [
    pytest.mark.faults,
    pytest.mark.server,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not Path("/proc/self/task").is_dir(), reason="needs /proc to find processes"
    ),
]

STAFF = ",Operations,operations@ca.example,,,,,operations-manager\n"
NAMES = {
    "Tocsin: silent",
    "Tocsin: failed",
    "Tocsin: late",
    "Tocsin: runner gone",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run everything, with an incident whose directory names an operations manager."""
    folder = tmp_path_factory.mktemp("automations")
    desk = lay_desk(folder / "desk", embedded_ca=folder / "data" / "ca")
    with desk.directory.open("a", encoding="utf-8") as file:
        file.write(STAFF)
    with tocsin_up(folder / "data") as stack:
        aware_at = datetime.now(UTC) - timedelta(hours=1)  # noqa: TID251 - real time
        opened = stack.tocsin(
            *("incident", "open", str(desk.certificates)),
            *("--title", "Alarms", "--circumstance", "misissued"),
            *("--made-aware", aware_at.isoformat(timespec="minutes")),
            *("--directory", str(desk.directory), "--yes"),
        )
        assert opened.returncode == 0, opened.stderr
        _complete_a_cycle(stack)
        yield stack


def test_automations_come_once_however_often_the_runner_starts(stack: Stack) -> None:
    assert sorted(NAMES) == sorted(one["name"] for one in _automations(stack))
    runner = stack.children()["flows.serve"]

    os.kill(runner, signal.SIGKILL)
    wait_until(
        lambda: (
            stack.children().get("flows.serve", runner) != runner
            and len(_automations(stack)) >= len(NAMES)
        ),
        within=60,
        what="another runner",
    )
    _complete_a_cycle(stack)

    assert sorted(NAMES) == sorted(one["name"] for one in _automations(stack))


def test_operations_managers_are_told_when_cycles_crash(stack: Stack) -> None:
    since = _now()

    for _ in range(2):
        run_now = _run_now(stack)
        os.kill(_process_of(run_now), signal.SIGKILL)

    run = _alarm(stack, Trouble.FAILED, since=since)
    assert run["state_name"] == "1 of 1 operations managers told"
    assert "Cycles crash or fail" in _mail(stack)


def test_an_alarm_sounds_when_the_cycle_is_paused(stack: Stack) -> None:
    since = _now()
    _shorten(stack, "Tocsin: silent", timedelta(seconds=75))

    cycle = stack.ask("deployments/name/Cycle/cycle")["id"]
    _post(stack, f"deployments/{cycle}/pause_deployment")
    run = _alarm(stack, Trouble.SILENT, since=since)
    _post(stack, f"deployments/{cycle}/resume_deployment")

    assert run["state_name"] == "1 of 1 operations managers told"
    assert "The cycle is paused" in _mail(stack)


def test_an_alarm_sounds_when_the_runner_stops_and_cycles_are_late(
    stack: Stack,
) -> None:
    since = _now()
    runner = stack.children()["flows.serve"]

    os.kill(runner, signal.SIGSTOP)
    try:
        for _ in range(3):
            _run_now(stack)
        _alarm(stack, Trouble.LATE, since=since, ends=False)
        _alarm(stack, Trouble.RUNNER_GONE, since=since, ends=False)
    finally:
        os.kill(runner, signal.SIGCONT)

    run = _alarm(stack, Trouble.RUNNER_GONE, since=since)
    assert run["state_name"] == "1 of 1 operations managers told"
    assert "The runner asks for no work" in _mail(stack)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - real Prefect, real time


def _complete_a_cycle(stack: Stack) -> None:
    """Ask for a cycle at once, and wait for it."""
    asked = _run_now(stack)
    wait_until(
        lambda: stack.ask(f"flow_runs/{asked}")["state_type"] == "COMPLETED",
        within=150,
        what="a cycle",
    )


def _automations(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.ask("automations/filter", limit=50)
    return found


def _alarm(
    stack: Stack, trouble: Trouble, *, since: datetime, ends: bool = True
) -> dict[str, Any]:
    """Wait for an alarm that was raised after an instant."""

    def raised() -> list[dict[str, Any]]:
        # Its name is given when it starts, so it is known by what it is about.
        return [
            run
            for run in stack.runs("alarm")
            if run["parameters"]["trouble"] == trouble
            and datetime.fromisoformat(run["created"]) > since
            and (not ends or run["state_type"] in {"COMPLETED", "FAILED"})
            and run["state_name"] != "Told within the hour"
        ]

    wait_until(lambda: bool(raised()), within=240, what=trouble)
    run = raised()[0]
    assert not ends or run["name"] == f"ALARM: {trouble}"
    return run


def _mail(stack: Stack) -> str:
    """Read what the relay took for the operations manager."""
    outbox = stack.data / "mail" / "outbox"
    return "\n".join(
        text
        for path in outbox.rglob("*")
        if path.is_file() and "operations@ca.example" in (text := path.read_text())
    )


def _run_now(stack: Stack) -> str:
    """Ask for a cycle, as somebody does who presses Quick run."""
    cycle = stack.ask("deployments/name/Cycle/cycle")["id"]
    path = f"deployments/{cycle}/create_flow_run"
    made: str = _insist(lambda: stack.ask(path, name="Now")["id"])
    return made


def _insist(ask: Callable[[], Any]) -> Any:
    """Ask again while Prefect's SQLite is busy: it says 503 then."""
    answers: list[Any] = []

    def asked() -> bool:
        with contextlib.suppress(httpx.HTTPStatusError):
            answers.append(ask())
        return bool(answers)

    wait_until(asked, within=60, what="an answer of Prefect's")
    return answers[0]


def _process_of(run: str) -> int:
    """Wait for the process of a run."""
    found: list[int] = []

    def look() -> bool:
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                environment = (folder / "environ").read_bytes().decode()
                if f"PREFECT__FLOW_RUN_ID={run}" in environment:
                    found.append(int(folder.name))
        return bool(found)

    wait_until(look, within=120, what="a process of the run")
    return found[0]


def _shorten(stack: Stack, name: str, within: timedelta) -> None:
    """Let an automation of ours fire sooner, so that a test need not wait so long."""
    (known,) = [one for one in _automations(stack) if one["name"] == name]
    changed = {
        key: known[key]
        for key in ("name", "description", "enabled", "trigger", "actions")
    }
    changed["trigger"]["within"] = within.total_seconds()
    _send(stack, "PUT", f"automations/{known['id']}", changed)


def _post(stack: Stack, path: str) -> None:
    _send(stack, "POST", path)


def _send(stack: Stack, method: str, path: str, body: Any = None) -> None:
    url = f"{stack.prefect}/api/{path}"
    with httpx.Client(trust_env=False, timeout=30) as client:
        _insist(lambda: client.request(method, url, json=body).raise_for_status())
