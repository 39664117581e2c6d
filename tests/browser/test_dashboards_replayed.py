"""A manager looks at the replayed incident, on a laptop, at three moments."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import expect, sync_playwright

from tocsin.demo.children import prefect_environment, running, wait_for
from tocsin.demo.folder import Folder
from tocsin.demo.ports import free_port
from tocsin.reports.dashboards.board import Page

CHROMIUM = shutil.which("chromium")
SCREENSHOTS = os.environ.get("TOCSIN_SCREENSHOTS")
SEEN_WITHIN = 1_500
"""Milliseconds that the UI takes to draw."""
CUT_OFF = """() => [...document.querySelectorAll('*')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && e.querySelector('table'))
    .map(e => e.className)"""
MOMENTS = {
    "2024-03-21 09:00": {
        Page.OVERVIEW: "On schedule: all 1,111 will be published",
        Page.ESCALATIONS: "wait for a person",
        Page.MISSING_CSRS: "AT RISK: ",
        Page.UNREACHABLE: "AT RISK: mail reaches nobody at 4 subscribers",
        Page.REPLIES: "Nobody is needed: nobody wrote.",
        Page.REVOCATION: "On schedule: all 1,111 will be published",
    },
    "2024-03-23 09:00": {
        Page.OVERVIEW: "sent no CSR; mail reaches nobody at 4 subscribers",
        Page.ESCALATIONS: "wait for a person",
        Page.MISSING_CSRS: "sent no CSR",
        Page.UNREACHABLE: "somebody has to call them",
        Page.REPLIES: "Nobody is needed: nobody wrote.",
        Page.REVOCATION: "On schedule: all 1,111 will be published",
    },
    "2024-03-23 20:01": {
        Page.OVERVIEW: "Done: all 1,111 were published",
        Page.ESCALATIONS: "Nobody is needed: nothing waits for a person.",
        Page.MISSING_CSRS: "were revoked before a CSR came.",
        Page.UNREACHABLE: "Nobody is needed",
        Page.REPLIES: "Nobody is needed: nobody wrote.",
        Page.REVOCATION: "Done: all 1,111 were published",
    },
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.server,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs the Debian package chromium"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "demo"


@contextmanager
def prefect(folder: Folder) -> Iterator[str]:
    """Serve what the demo left in Prefect."""
    port = free_port()
    log = folder.logs / "prefect-again.log"
    server = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = prefect_environment(folder, port)
    with running(server, environment=environment, log=log) as process:
        wait_for(process, f"http://127.0.0.1:{port}/api/health", log=log)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page() -> Iterator[BrowserPage]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 2000})
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        yield page
        browser.close()


def test_a_manager_reads_each_page_at_a_glance_at_three_moments(
    folder: Path, page: BrowserPage
) -> None:
    # In one test, since the replay only goes forward.
    for moment, sentences in MOMENTS.items():
        stopped = subprocess.run(
            [
                *(sys.executable, "-P", "-m", "tocsin.cli.app", "demo", "--exit"),
                *("--directory", str(folder), "--until", moment),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert stopped.returncode == 0, stopped.stderr
        assert f"Stopped at {moment} UTC+8" in stopped.stdout
        with prefect(Folder(folder)) as base:
            _read(page, base, moment, sentences)


def _read(
    page: BrowserPage, base: str, moment: str, sentences: Mapping[Page, str]
) -> None:
    pages = _pages(base)
    for each, sentence in sentences.items():
        page.goto(f"{base}/artifacts/artifact/{pages[each]['living']}")
        expect(page.get_by_text(sentence).first).to_be_visible()
        page.wait_for_timeout(SEEN_WITHIN)
        _picture(page, moment, each)
        assert page.evaluate(CUT_OFF) == [], f"{each} is cut off, {moment}"
        page.goto(f"{base}/artifacts/key/{pages[each]['key']}")
        expect(page.get_by_text("Flow run").nth(1)).to_be_visible()
    page.goto(f"{base}/runs")
    expect(page.get_by_text("Whatever is due").first).to_be_visible()
    _picture(page, moment, "runs")


def _pages(base: str) -> dict[Page, dict[str, Any]]:
    """Find each page's key, and the one artifact whose address stays."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        latest = client.post(f"{base}/api/artifacts/latest/filter", json={}).json()
    found = {}
    for one in latest:
        if match := re.fullmatch(r"incident-\d+-[0-9a-f]+-(.+)", one["key"]):
            living = (one["metadata_"] or {}).get("living", one["latest_id"])
            found[Page(match[1])] = {"key": one["key"], "living": living}
    return found


def _picture(page: BrowserPage, moment: str, name: str) -> None:
    """Keep a screenshot for people, where they ask for it."""
    if SCREENSHOTS:
        day = re.sub(r"\D+", "-", moment)
        page.screenshot(path=Path(SCREENSHOTS) / f"{day}-{name}.png", full_page=True)
