"""Pages in a real browser: looked at, measured, and read by axe-core."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    expect,
    sync_playwright,
)

CHROMIUM = Path("/usr/bin/chromium-headless-shell")
"""
Chromium without the window around the page: the same engine, a third of the work.

In a whole Chromium each page brings a toolbar that is drawn too, by a process of its own.
"""
PHONE, DESK = 360, 1280
_PATIENCE = 30_000
"""Milliseconds that a busy machine may take to draw something; Playwright's own default
for a click or a page."""
AXE = "axe-core@~4.11.0"
PICTURES = os.environ.get("TOCSIN_PICTURES")

BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists() and not os.environ.get("CI"),
        reason="needs Debian's package chromium-headless-shell",
    ),
]
"""The marks of a module that needs a browser."""

_SMALL = """
[...document.querySelectorAll(
  'button, select, label.choice, input[type=text], input[type=file],'
  + ' input[type=datetime-local], summary, .quiet-button')]
.filter(e => e.getBoundingClientRect().height < 44 && e.offsetParent !== null)
.map(e => e.outerHTML)
"""
_AXE_FINDS = """
bringAxe();
axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(
  one => [one.id, one.help, one.nodes.map(node => node.html + ' ' + node.failureSummary)]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """
    Somebody who looks at a page with care.

    Args:
        page: What they look at.
        has_axe: Whether axe-core reads along; ``bring_axe`` has brought it.
        pictures: A folder for pictures; None: none are taken.
        way: Part of each picture's name.

    """

    page: Page
    has_axe: bool = False
    pictures: Path | None = None
    way: str = ""

    def look(self, name: str) -> None:
        """See that nothing is cut off, too small to touch, or wrong in axe's opinion."""
        self.page.wait_for_load_state()
        width = (self.page.viewport_size or {"width": 0})["width"]
        if self.pictures:
            path = self.pictures / f"{name}-{width}{self.way}.png"
            self.page.screenshot(path=str(path), full_page=True)
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        assert self.page.evaluate(_SMALL) == []
        if self.has_axe:
            found: list[Any] = self.page.evaluate(_AXE_FINDS)
            assert found == [], (name, found)


def eyes(page: Page, *, has_axe: bool = False, way: str = "") -> Eyes:
    """Look at a page; with pictures where TOCSIN_PICTURES names a folder."""
    pictures = Path(PICTURES) if PICTURES else None
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    return Eyes(page=page, has_axe=has_axe, pictures=pictures, way=way)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser, and be patient with whatever it is asked to show."""
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def bring_axe(context: BrowserContext, axe: str) -> None:
    """
    Lay axe-core by for each page of a browser; it is read where it is needed only.

    Half a megabyte on its way into each page costs a third as much as axe's reading.
    """
    context.add_init_script(f"window.bringAxe = () => {{ {axe} }};")


def axe_core(folder: Path) -> str:
    """Fetch axe-core by npm into a folder; returns its source."""
    npm = shutil.which("npm")
    if npm is None and not os.environ.get("CI"):
        pytest.skip("needs npm, for axe-core")
    assert npm, "CI needs npm, for axe-core"
    subprocess.run(
        [
            npm,
            "install",
            f"--prefix={folder}",
            "--no-save",
            "--no-package-lock",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            AXE,
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")
