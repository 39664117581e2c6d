"""An officer opens an incident in Prefect's UI, in a real browser."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fakes.officers import lay_desk
from fakes.stack import Stack, tocsin_up, wait_until
from playwright.sync_api import Page, Request, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
TEXT = (
    "It was not issued in accordance with the Baseline Requirements or the CA's CP/CPS"
)
SCREENSHOTS = os.environ.get("TOCSIN_SCREENSHOTS")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.server,
    pytest.mark.timeout(420),
    pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("form")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    lay_desk(folder / "desk", embedded_ca=folder / "data" / "ca")
    with tocsin_up(folder / "data", TOCSIN_ZONE="Asia/Hong_Kong") as stack:
        yield stack


@pytest.fixture
def elsewhere() -> list[str]:
    """Collect what the browser asked of other machines."""
    return []


@pytest.fixture
def page(stack: Stack, elsewhere: list[str]) -> Iterator[Page]:
    def note(request: Request) -> None:
        if not request.url.startswith((stack.prefect, "data:", "blob:")):
            elsewhere.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        page.on("request", note)
        yield page
        browser.close()


def test_an_officer_previews_launches_and_sees_the_dashboards(
    stack: Stack, page: Page, folder: Path, elsewhere: list[str]
) -> None:
    aware_at = datetime.now(UTC) - timedelta(hours=26)  # noqa: TID251 - real Prefect, real time

    page.goto(_form(stack))
    _fill(page, folder / "desk", aware_at)
    _picture(page, "1-form")
    page.get_by_role("button", name="Submit").click()
    previewed = _finished(stack, "Previewed")
    draft = _draft(previewed["state"]["message"])
    page.goto(_artifact(stack, f"preview-{draft}"))
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
    page.get_by_role("button", name="Submit").click()
    launched = _finished(stack, "Launched")

    assert launched["state"]["message"].startswith(f"{draft}: 3 certificates of 2")
    wait_until(
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
    wait_until(
        lambda: (
            "1 subscriber (1 certificate)"
            in _page(stack, f"incident-{draft}-unreachable")["data"]
        ),
        within=90,
        what="dashboards after the bounce",
    )
    for number, (name, text) in enumerate(expected.items(), start=4):
        page.goto(_artifact(stack, f"incident-{draft}-{name}"))
        expect(page.get_by_text(text).first).to_be_visible()
        expect(page.get_by_text("not to be trusted after")).to_be_visible()
        _picture(page, f"{number}-{name}")
    page.goto(f"{stack.prefect}/runs?state=Scheduled")
    _picture(page, "9-runs")
    assert elsewhere == []


def test_a_launch_at_the_officers_desk_appears_in_prefect(
    stack: Stack, page: Page, folder: Path
) -> None:
    aware_at = datetime.now(UTC) - timedelta(hours=2)  # noqa: TID251 - real Prefect, real time
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

    wait_until(
        lambda: any(incident in run["tags"] for run in stack.runs("milestone")),
        within=120,
        what="the incident's timetable in Prefect",
    )
    page.get_by_role("link", name="timetable and runs").first.click()
    expect(page).to_have_url(re.compile(re.escape(stack.prefect)))
    _picture(page, "desk-3-runs")


def test_the_form_says_what_is_wrong_when_a_file_is_missing(
    stack: Stack, page: Page, folder: Path
) -> None:
    aware_at = datetime.now(UTC) - timedelta(hours=1)  # noqa: TID251

    page.goto(_form(stack))
    _fill(page, folder / "nowhere", aware_at)
    page.get_by_role("button", name="Submit").click()
    failed = _finished(stack, "Not opened")

    assert failed["state"]["type"] == "FAILED"
    assert "there is no such file or directory" in failed["state"]["message"]
    page.goto(f"{stack.prefect}/runs/flow-run/{failed['id']}")
    expect(page.get_by_text("Not opened").first).to_be_visible()
    _picture(page, "10-not-opened")


def _form(stack: Stack) -> str:
    found = stack.ask("deployments/name/Open%20an%20incident/open-incident")
    return f"{stack.prefect}/deployments/deployment/{found['id']}/run"


def _fill(page: Page, desk: Path, aware_at: datetime) -> None:
    page.get_by_text("Why must they be revoked?").wait_for()
    texts = page.locator("form textarea")
    texts.nth(0).fill("Policy qualifier without http")
    reasons = page.locator(".p-select-button__control").first
    reasons.focus()
    reasons.press("Space")
    page.get_by_text(TEXT, exact=True).last.click()
    moment = page.locator(".p-date-button__control")
    moment.focus()
    moment.press("Space")
    page.get_by_role("button", name="Now").last.click()
    page.locator("input[type=date]").fill(f"{aware_at:%Y-%m-%d}")
    page.locator("input[type=time]").fill(f"{aware_at:%H:%M}")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("button", name="Add item").click()
    expect(texts).to_have_count(5)
    texts.nth(1).fill(str(desk / "certificates.pem"))
    texts.nth(2).fill(str(desk / "directory.csv"))


def _finished(stack: Stack, state: str) -> dict[str, Any]:
    def ended() -> list[dict[str, Any]]:
        return [
            run for run in stack.runs("open-incident") if run["state"]["name"] == state
        ]

    wait_until(lambda: bool(ended()), within=90, what=f"a run that ends {state}")
    return ended()[-1]


def _draft(message: str) -> str:
    found = re.search(r"Draft (\S+):", message)
    assert found
    return found[1]


def _page(stack: Stack, key: str) -> dict[str, str]:
    found: list[dict[str, str]] = stack.ask(
        "artifacts/filter", artifacts={"key": {"any_": [key]}}
    )
    assert len(found) == 1, f"{key}: a page keeps its address"
    return found[0]


def _artifact(stack: Stack, key: str) -> str:
    return f"{stack.prefect}/artifacts/artifact/{_page(stack, key)['id']}"


def _picture(page: Page, name: str) -> None:
    """Keep a screenshot for people, where they ask for it."""
    if SCREENSHOTS:
        page.wait_for_timeout(800)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
