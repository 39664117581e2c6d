"""What a manager sees of a replay in Prefect's UI, on a laptop."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as BrowserPage

from tocsin.reports.dashboards.board import Page

_SCREENSHOTS = os.environ.get("TOCSIN_SCREENSHOTS")
_SEEN_WITHIN = 1_500
"""Milliseconds that the UI takes to draw."""
_CUT_OFF = """() => [...document.querySelectorAll('*')]
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
_HISTORIES = dict(
    zip(
        MOMENTS,
        [
            (Page.OVERVIEW, Page.ESCALATIONS),
            (Page.MISSING_CSRS, Page.UNREACHABLE),
            (Page.REPLIES, Page.REVOCATION),
        ],
        strict=True,
    )
)
"""Of which pages the history is opened then: of each once."""


def read_dashboards(browser: Browser, base: str, moment: str) -> None:
    """See that each page of a replay that stopped says at a glance how it stands."""
    page = browser.new_page(viewport={"width": 1280, "height": 2000})
    _read(page, base, moment, MOMENTS[moment])
    page.close()


def _read(
    page: BrowserPage, base: str, moment: str, sentences: Mapping[Page, str]
) -> None:
    pages = _pages(base)
    for each, sentence in sentences.items():
        page.goto(f"{base}/artifacts/artifact/{pages[each]['living']}")
        expect(page.get_by_text(sentence).first).to_be_visible()
        page.evaluate("document.fonts.ready")
        _picture(page, moment, each)
        assert page.evaluate(_CUT_OFF) == [], f"{each} is cut off, {moment}"
    for each in _HISTORIES[moment]:
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
    if _SCREENSHOTS:
        page.wait_for_timeout(_SEEN_WITHIN)
        day = re.sub(r"\D+", "-", moment)
        page.screenshot(path=Path(_SCREENSHOTS) / f"{day}-{name}.png", full_page=True)
