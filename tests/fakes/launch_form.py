"""The form in Prefect's UI that opens an incident, as an officer fills it in."""

import re
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fakes.stack import Stack, wait_until
from playwright.sync_api import Page, Response, expect

_REASON = (
    "It was not issued in accordance with the Baseline Requirements or the CA's CP/CPS"
)


def form(stack: Stack) -> str:
    found = stack.ask("deployments/name/Open%20an%20incident/open-incident")
    return f"{stack.prefect}/deployments/deployment/{found['id']}/run"


def fill_in(page: Page, desk: Path, aware_at: datetime) -> None:
    page.get_by_text("Why must they be revoked?").wait_for()
    texts = page.locator("form textarea")
    texts.nth(0).fill("Policy qualifier without http")
    reasons = page.locator(".p-select-button__control").first
    reasons.focus()
    reasons.press("Space")
    page.get_by_text(_REASON, exact=True).last.click()
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


def submit(page: Page) -> None:
    """
    Start a run, and look away: what draws it would draw until it has ended.

    While Prefect's SQLite is busy (503), its UI says that something went wrong; nothing
    was started, and an officer presses the button again.
    """
    button = page.get_by_role("button", name="Submit")
    answers: list[Response] = []

    def accepted() -> bool:
        with page.expect_response(re.compile(r"/create_flow_run$")) as answer:
            button.click()
        answers.append(answer.value)
        return answer.value.status != HTTPStatus.SERVICE_UNAVAILABLE

    wait_until(accepted, within=60, what="a run that Prefect takes", every=1)
    assert answers[-1].ok, answers[-1].text()
    expect(page).not_to_have_url(re.compile(r"/deployment/[^/]+/run\b"))
    page.goto("about:blank")


def finished(stack: Stack, state: str) -> dict[str, Any]:
    def ended() -> list[dict[str, Any]]:
        return [
            run for run in stack.runs("open-incident") if run["state"]["name"] == state
        ]

    stack.wait_until(lambda: bool(ended()), within=90, what=f"a run that ends {state}")
    return ended()[-1]


def draft_of(message: str) -> str:
    found = re.search(r"Draft (\S+):", message)
    assert found
    return found[1]


def page_of(stack: Stack, key: str) -> dict[str, str]:
    found: list[dict[str, str]] = stack.ask(
        "artifacts/filter", artifacts={"key": {"any_": [key]}}
    )
    assert len(found) == 1, f"{key}: a page keeps its address"
    return found[0]


def artifact(stack: Stack, key: str) -> str:
    return f"{stack.prefect}/artifacts/artifact/{page_of(stack, key)['id']}"
