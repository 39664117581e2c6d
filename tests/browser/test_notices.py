"""
Every notice as a mail program shows it: narrow and wide, light and dark, styles stripped.

With TOCSIN_PICTURES naming a directory, a picture of each is left there, to look at.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest
from browsing import BROWSER, chromium
from playwright.sync_api import Page

from models.terms import NoticeKind
from tocsin.mail.render import (
    AnyContext,
    EscalationContext,
    NoticeContext,
    TemplateSet,
    render_notice,
)
from tocsin.mail.samples import sample_contexts

NARROW, WIDE = 320, 1000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PHONE_SHOWS = 640
"""CSS pixels of a mail that a common phone shows below the sender and the subject."""

TEMPLATES = TemplateSet.from_files()

pytestmark = BROWSER


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One notice to look at."""

    kind: NoticeKind
    language: str
    name: str
    html: str
    text: str
    context: AnyContext


def samples() -> Iterator[Sample]:
    for language in TEMPLATES.languages():
        for kind in NoticeKind:
            contexts = sample_contexts(kind, TEMPLATES.language(language)).items()
            for name, context in islice(contexts, 2):
                rendered = render_notice(
                    TEMPLATES, kind=kind, language=language, context=context
                )
                yield Sample(
                    kind=kind,
                    language=language,
                    name=name.replace(" ", "-"),
                    html=rendered.html,
                    text=rendered.text,
                    context=context,
                )


SAMPLES = {
    f"{sample.language}-{sample.kind}-{sample.name}": sample for sample in samples()
}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """
    Open a window in which nothing can be loaded: images are off, and more.

    One for all: a new one takes a process, and longer than what is looked at in it.
    """
    with chromium() as browser:
        context = browser.new_context()
        context.set_offline(True)
        yield context.new_page()


def picture(page: Page, name: str) -> None:
    """Leave a picture where somebody asks for it."""
    if folder := os.environ.get("TOCSIN_PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


CONTRAST = """() => {
  const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1])
    + 0.0722 * channel(c[2]);
  const parts = c => c.match(/[0-9.]+/g).map(Number);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = parts(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  return [...document.body.querySelectorAll('*')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => { const a = light(parts(getComputedStyle(e).color)), b = light(ground(e));
      return [e.textContent.trim().slice(0, 30),
        (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; })
    .filter(([, contrast]) => contrast < 4.5);
}"""


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_notice_fits_its_window_and_can_be_read(
    page: Page, name: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.set_content(SAMPLES[name].html)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        picture(page, f"{name}-{scheme}-{width}")

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []  # WCAG 2, 1.4.3
        column = page.locator(".page").bounding_box()
        assert column is not None
        assert column["width"] <= 600


TO_SUBSCRIBERS = [
    name for name, one in SAMPLES.items() if one.kind is not NoticeKind.ESCALATION
]


@pytest.mark.parametrize("name", TO_SUBSCRIBERS)
def test_phone_shows_the_button_without_scrolling_far(page: Page, name: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.set_content(SAMPLES[name].html)

    button = page.locator(".act").bounding_box()

    assert button is not None
    assert button["height"] >= 44
    assert button["y"] + button["height"] <= PHONE_SHOWS


@pytest.mark.parametrize("name", SAMPLES)
def test_notice_makes_sense_when_its_styles_are_stripped(page: Page, name: str) -> None:
    sample = SAMPLES[name]
    page.set_viewport_size({"width": NARROW, "height": 800})
    page.set_content(sample.html)
    page.evaluate(
        "document.querySelectorAll('style').forEach(e => e.remove());"
        "document.querySelectorAll('[style]').forEach(e => e.removeAttribute('style'))"
    )
    picture(page, f"{name}-stripped")

    words = page.locator("body").inner_text()
    if isinstance(sample.context, NoticeContext | EscalationContext):
        assert sample.context.revocation.local in words
    if not isinstance(sample.context, EscalationContext):
        assert sample.context.link in words


@pytest.mark.parametrize("name", SAMPLES)
def test_plain_text_fits_a_window_of_eighty_columns(page: Page, name: str) -> None:
    page.set_viewport_size({"width": 760, "height": 800})
    page.set_content("<pre style='font: 15px monospace; margin: 8px'></pre>")
    page.locator("pre").evaluate(
        "(e, text) => e.textContent = text", SAMPLES[name].text
    )
    picture(page, f"{name}-text")

    context, words = SAMPLES[name].context, page.locator("pre").inner_text()
    if isinstance(context, NoticeContext | EscalationContext):
        assert context.revocation.local in words
    else:
        assert context.link in words
