"""`tocsin up`: an officer opens incidents in a browser, and each alarm sounds for real."""

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from browsing import CHROMIUM, chromium
from fakes.launch_form import (
    artifact,
    draft_of,
    fill_in,
    finished,
    form,
    page_of,
    submit,
)
from fakes.officers import lay_desk
from fakes.stack import Stack, tocsin_up, wait_until
from playwright.sync_api import Browser, Page, Request, expect

from flows.alarm import Trouble
from flows.automations import SILENT_WITHIN

SCREENSHOTS = os.environ.get("TOCSIN_SCREENSHOTS")

pytestmark = [
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
SOONER = {
    "PREFECT_RUNNER_POLL_FREQUENCY": "2",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "5",
    "PREFECT_SERVER_SERVICES_FOREMAN_DEPLOYMENT_LAST_POLLED_TIMEOUT_SECONDS": "30",
}
"""Prefect notices sooner what it notices anyway."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    """Run everything, with an incident whose directory names an operations manager."""
    desk = lay_desk(folder / "desk", embedded_ca=folder / "data" / "ca")
    staffed = folder / "staffed.csv"
    staffed.write_text(desk.directory.read_text("utf-8") + STAFF, "utf-8")
    with tocsin_up(folder / "data", TOCSIN_ZONE="Asia/Hong_Kong", **SOONER) as stack:
        aware_at = _now() - timedelta(hours=1)
        opened = stack.tocsin(
            *("incident", "open", str(desk.certificates)),
            *("--title", "Alarms", "--circumstance", "misissued"),
            *("--made-aware", aware_at.isoformat(timespec="minutes")),
            *("--directory", str(staffed), "--yes"),
        )
        assert opened.returncode == 0, opened.stderr
        stack.complete_a_cycle()
        yield stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip("needs Debian's package chromium-headless-shell")
    with chromium() as browser:
        yield browser


@pytest.fixture
def elsewhere() -> list[str]:
    """Collect what the browser asked of other machines."""
    return []


@pytest.fixture
def page(stack: Stack, browser: Browser, elsewhere: list[str]) -> Iterator[Page]:
    def note(request: Request) -> None:
        if not request.url.startswith((stack.prefect, "data:", "blob:")):
            elsewhere.append(request.url)

    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.on("request", note)
    yield page
    page.close()


@pytest.mark.browser
def test_an_officer_previews_launches_and_sees_the_dashboards(
    stack: Stack, page: Page, folder: Path, elsewhere: list[str]
) -> None:
    aware_at = _now() - timedelta(hours=26)

    page.goto(form(stack))
    fill_in(page, folder / "desk", aware_at)
    _picture(page, "1-form")
    submit(page)
    previewed = finished(stack, "Previewed")
    draft = draft_of(previewed["state"]["message"])
    page.goto(artifact(stack, f"preview-{draft}"))
    link = page.get_by_role("link", name="Open the form, filled in to launch")
    expect(link).to_be_visible()
    expect(
        page.get_by_text("3 certificates of 2 subscribers will be revoked")
    ).to_be_visible()
    _picture(page, "2-preview")
    address = link.get_attribute("href") or ""
    assert (
        json.loads(unquote(address.partition("parameters=")[2]))["incident"]["draft"]
        == draft
    )

    page.goto(address)
    expect(page.locator("form textarea").last).to_have_value(draft)
    _picture(page, "3-form-to-launch")
    submit(page)
    launched = finished(stack, "Launched")

    assert launched["state"]["message"].startswith(f"{draft}: 3 certificates of 2")
    stack.wait_until(
        lambda: any("sent" in run["state"]["name"] for run in stack.runs("cycle")),
        within=120,
        what="a cycle that sent the first notices",
    )
    upcoming = [run for run in stack.runs("milestone") if draft in run["tags"]]
    assert any("starts" in run["name"] for run in upcoming)
    assert {run["state"]["type"] for run in upcoming} == {"SCHEDULED"}
    expected = {
        "overview": "On schedule: all 3 will be published",
        "missing-csrs": "sent no CSR",
        "escalations": "for a person",
        "revocation": "On schedule: all 3 will be published",
        "unreachable": "mail reaches nobody at 1 subscriber (1 certificate)",
    }
    stack.wait_until(
        lambda: (
            "1 subscriber (1 certificate)"
            in page_of(stack, f"incident-{draft}-unreachable")["data"]
        ),
        within=90,
        what="dashboards after the bounce",
    )
    for number, (name, text) in enumerate(expected.items(), start=4):
        page.goto(artifact(stack, f"incident-{draft}-{name}"))
        expect(page.get_by_text(text).first).to_be_visible()
        expect(page.get_by_text("not to be trusted after")).to_be_visible()
        _picture(page, f"{number}-{name}")
    page.goto(f"{stack.prefect}/runs?state=Scheduled")
    _picture(page, "9-runs")
    assert elsewhere == []


@pytest.mark.browser
def test_a_launch_at_the_officers_desk_appears_in_prefect(
    stack: Stack, page: Page, folder: Path
) -> None:
    aware_at = _now() - timedelta(hours=2)
    (stack.data / "officers.csv").write_text(
        "name,email,role\nChan Tai Man,chan@ca.example,officer\n"
    )
    printed = stack.tocsin("officer", "link", "chan@ca.example")
    page.goto(printed.stdout.strip())
    page.get_by_role("button", name="Sign in as Chan Tai Man").click()

    page.get_by_role("link", name="Open an incident").first.click()
    page.get_by_label("Affected certificates").set_input_files(
        folder / "desk" / "certificates.pem"
    )
    page.get_by_label("Directory of subscribers").set_input_files(
        folder / "desk" / "directory.csv"
    )
    page.get_by_label("Title").fill("Opened at the desk")
    page.get_by_label("Why must they be revoked?").select_option(value="misissued")
    page.get_by_label("When did the clock start?").fill(f"{aware_at:%Y-%m-%dT%H:%M}")
    page.get_by_label("In which time zone?").fill("UTC")
    page.get_by_role("button", name="Read the list and show the preview").click()
    _picture(page, "desk-1-preview")
    page.get_by_label("Type the number of certificates").fill("3")
    page.get_by_role("button", name="Launch: revoke 3 certificates").click()
    expect(page.get_by_text("Launched just now")).to_be_visible()
    _picture(page, "desk-2-launched")
    incident = page.url.rpartition("/")[2]

    stack.wait_until(
        lambda: any(incident in run["tags"] for run in stack.runs("milestone")),
        within=120,
        what="the incident's timetable in Prefect",
    )
    page.get_by_role("link", name="timetable and runs").first.click()
    expect(page).to_have_url(re.compile(re.escape(stack.prefect)))
    _picture(page, "desk-3-runs")


@pytest.mark.browser
def test_the_form_says_what_is_wrong_when_a_file_is_missing(
    stack: Stack, page: Page, folder: Path
) -> None:
    aware_at = _now() - timedelta(hours=1)

    page.goto(form(stack))
    fill_in(page, folder / "nowhere", aware_at)
    submit(page)
    failed = finished(stack, "Not opened")

    assert failed["state"]["type"] == "FAILED"
    assert "there is no such file or directory" in failed["state"]["message"]
    page.goto(f"{stack.prefect}/runs/flow-run/{failed['id']}")
    expect(page.get_by_text("Not opened").first).to_be_visible()
    _picture(page, "10-not-opened")


@pytest.mark.faults
def test_automations_come_once_however_often_the_runner_starts(stack: Stack) -> None:
    assert sorted(NAMES) == sorted(one["name"] for one in _automations(stack))
    runner = stack.children()["flows.serve"]

    os.kill(runner, signal.SIGKILL)
    stack.wait_until(
        lambda: (
            stack.children().get("flows.serve", runner) != runner
            and len(_automations(stack)) >= len(NAMES)
        ),
        within=60,
        what="another runner",
    )
    stack.complete_a_cycle()

    assert sorted(NAMES) == sorted(one["name"] for one in _automations(stack))


@pytest.mark.faults
def test_operations_managers_are_told_when_cycles_crash(stack: Stack) -> None:
    since = _now()

    for run_now in [stack.run_now(), stack.run_now()]:
        os.kill(_process_of(run_now), signal.SIGKILL)

    run = _alarm(stack, Trouble.FAILED, since=since)
    assert run["state_name"] == "1 of 1 operations managers told"
    assert "Cycles crash or fail" in _mail(stack)


@pytest.mark.faults
def test_an_alarm_sounds_when_the_cycle_is_paused(stack: Stack) -> None:
    since = _now()
    cycle = stack.ask("deployments/name/Cycle/cycle")["id"]

    stack.send("POST", f"deployments/{cycle}/pause_deployment")
    _fire_within(stack, "Tocsin: silent", timedelta(seconds=15))
    _alarm(stack, Trouble.SILENT, since=since, ends=False)
    _fire_within(stack, "Tocsin: silent", SILENT_WITHIN)
    run = _alarm(stack, Trouble.SILENT, since=since)
    stack.send("POST", f"deployments/{cycle}/resume_deployment")

    assert run["state_name"] == "1 of 1 operations managers told"
    assert "The cycle is paused" in _mail(stack)


@pytest.mark.faults
def test_an_alarm_sounds_when_the_runner_stops_and_cycles_are_late(
    stack: Stack,
) -> None:
    since = _now()
    runner = stack.children()["flows.serve"]

    os.kill(runner, signal.SIGSTOP)
    try:
        late = [stack.run_now() for _ in range(3)]
        _alarm(stack, Trouble.LATE, since=since, ends=False)
        _alarm(stack, Trouble.RUNNER_GONE, since=since, ends=False)
        for run_now in late:
            stack.send(
                "DELETE", f"flow_runs/{run_now}"
            )  # the alarms do what they would
    finally:
        os.kill(runner, signal.SIGCONT)

    run = _alarm(stack, Trouble.RUNNER_GONE, since=since)
    assert run["state_name"] == "1 of 1 operations managers told"
    assert "The runner asks for no work" in _mail(stack)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - real Prefect, real time


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

    stack.wait_until(lambda: bool(raised()), within=240, what=trouble)
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


def _fire_within(stack: Stack, name: str, within: timedelta) -> None:
    """Let an automation of ours fire sooner or later, so that a test need not wait so long."""
    (known,) = [one for one in _automations(stack) if one["name"] == name]
    changed = {
        key: known[key]
        for key in ("name", "description", "enabled", "trigger", "actions")
    }
    changed["trigger"]["within"] = within.total_seconds()
    stack.send("PUT", f"automations/{known['id']}", changed)


def _picture(page: Page, name: str) -> None:
    """Keep a screenshot for people, where they ask for it."""
    if SCREENSHOTS:
        page.wait_for_timeout(800)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
