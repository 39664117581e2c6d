"""A person's way through the portal, in a real browser, on a phone and at a desk."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from factories import (
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from playwright.sync_api import (
    Browser,
    FilePayload,
    Page,
    expect,
    sync_playwright,
)
from portal_server import GRACE, LINKS, claims_for, make_csr, portal, running
from sqlalchemy import Engine, update

from models.base import table
from models.revocation import Revocation
from models.terms import CertificateId
from tocsin.clock import SteppedClock
from tocsin.steps.replies import apply_due_replies
from tocsin.store.session import writing

CHROMIUM = Path("/usr/bin/chromium")
PHONE, DESK = 360, 1280

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists() and not os.environ.get("CI"),
        reason="needs Debian's package chromium",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person at a browser, on the page of a subscriber with three certificates."""

    page: Page
    home: str
    engine: Engine
    clock: SteppedClock
    certificates: list[CertificateId]
    pictures: Path

    def look(self, name: str) -> None:
        """Take a picture, and see that nothing is cut off or too small to touch."""
        width = (self.page.viewport_size or {"width": 0})["width"]
        self.page.screenshot(
            path=str(self.pictures / f"{name}-{width}.png"), full_page=True
        )
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        small = self.page.evaluate(
            "[...document.querySelectorAll('button, select, label.choice,"
            " input[type=text], input[type=file], summary, .quiet-button')]"
            ".filter(e => e.getBoundingClientRect().height < 44 &&"
            " e.offsetParent !== null).map(e => e.outerHTML)"
        )
        assert small == []

    def press(self, words: str) -> None:
        self.page.get_by_role("button", name=words).click()

    def follow(self, words: str) -> None:
        self.page.get_by_role("link", name=words).first.click()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(params=[PHONE, DESK])
def visitor(
    request: pytest.FixtureRequest,
    browser: Browser,
    sqlite_engine: Engine,
    clock: SteppedClock,
    tmp_path: Path,
) -> Iterator[Visitor]:
    with writing(sqlite_engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 3)
        insert_revocations(connection, incident, certificates)
    token = LINKS.sign(claims_for(incident, subscriber, contact))
    context = browser.new_context(
        viewport={"width": request.param, "height": 800},
    )
    with running(portal(sqlite_engine, clock)) as address:
        page = context.new_page()
        home = f"{address}/s/{token}"
        page.goto(home)
        yield Visitor(
            page=page,
            home=home,
            engine=sqlite_engine,
            clock=clock,
            certificates=certificates,
            pictures=tmp_path,
        )
        context.close()


def test_acknowledgement_goes_through(visitor: Visitor) -> None:
    visitor.look("overview")
    heading = visitor.page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("Saturday 7 March 2026, 11:00 HKT")

    visitor.follow("Say that you have read this")
    visitor.press("Continue")
    expect(visitor.page).to_have_title(re.compile("^Error: Say that you have read"))
    expect(visitor.page.locator(".problems")).to_be_focused()
    visitor.look("acknowledge-error")
    visitor.page.get_by_label("I will see to it").check()
    visitor.press("Continue")
    visitor.look("acknowledge-check")
    visitor.press("Tell Example CA that I have read this")

    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(
        "Notice acknowledged"
    )
    visitor.look("acknowledge-done")
    visitor.follow("Back to the certificates")
    expect(visitor.page.locator(".tasks li").first).to_contain_text("Done")


def test_csr_is_handed_in_after_the_match_was_shown(visitor: Visitor) -> None:
    visitor.follow("Hand in CSRs")
    visitor.look("csr")
    file = FilePayload(
        name="host.csr",
        mimeType="application/pkcs10",
        buffer=make_csr("host-1001.clinic.example").encode(),
    )
    visitor.page.get_by_label("Files with CSRs").set_input_files(file)
    visitor.page.get_by_label("Or paste one or more").fill(
        make_csr("host-1000.clinic.example", "new.clinic.example")
        + make_csr("www.elsewhere.example")
    )
    visitor.press("Check the CSRs")
    visitor.look("csr-check")
    expect(visitor.page.get_by_text("It asks for new.clinic.example")).to_be_visible()
    expect(visitor.page.get_by_text("1 thing you sent cannot be used")).to_be_visible()
    visitor.press("Hand in 2 CSRs")

    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(
        "CSR handed in for 2 certificates"
    )
    expect(visitor.page.get_by_text("1 certificate still needs a CSR")).to_be_visible()
    visitor.look("csr-done")


def test_private_key_raises_the_alarm(visitor: Visitor) -> None:
    visitor.follow("Hand in CSRs")
    visitor.page.get_by_label("Or paste one or more").fill(
        "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----"
    )
    visitor.press("Check the CSRs")

    expect(
        visitor.page.get_by_role("heading", name="Treat that key as compromised")
    ).to_be_visible()
    expect(visitor.page.get_by_label("Or paste one or more")).to_have_value("")
    visitor.look("csr-private-key")


def test_report_is_undone_within_its_grace_period(visitor: Visitor) -> None:
    visitor.follow("Report what you have replaced")
    assert visitor.page.locator("input:checked").count() == 0
    visitor.look("replaced")
    visitor.page.get_by_label("host-1000.clinic.example").check()
    visitor.press("Continue")
    visitor.look("replaced-check")
    visitor.press("Report 1 certificate as replaced")
    visitor.look("replaced-done")
    visitor.follow("Back to the certificates")
    visitor.look("overview-pending")
    visitor.follow("Undo this report")
    visitor.look("undo")
    visitor.page.get_by_label("Yes, take the report back").check()
    visitor.press("Undo the report about 1 certificate")

    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(
        "Report about 1 certificate taken back"
    )
    visitor.clock.step_to(LAUNCH + GRACE)
    done = apply_due_replies(visitor.engine, visitor.clock, batch=10)
    assert done.brought_forward == 0


def test_pressing_twice_reports_once(visitor: Visitor) -> None:
    visitor.follow("Report what you have replaced")
    visitor.page.get_by_label("All 3 certificates").check()
    visitor.press("Continue")
    button = visitor.page.get_by_role("button", name="Report 3 certificates")
    button.dblclick(no_wait_after=True)

    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(
        "3 certificates reported as replaced"
    )
    visitor.page.goto(visitor.home)
    assert visitor.page.locator(".log li").count() == 1


def test_contact_is_added(visitor: Visitor) -> None:
    visitor.follow("Change or add a contact")
    visitor.press("Continue")
    visitor.look("contact-error")
    visitor.page.get_by_label("Name of the person or role").fill("Wong Ka Yan")
    visitor.page.get_by_label("E-mail address").fill("wong@clinic.example")
    visitor.page.get_by_label("Nobody: add this contact").check()
    visitor.press("Continue")
    visitor.look("contact-check")
    visitor.press("Add Wong Ka Yan")
    visitor.follow("See who gets our mails")

    expect(visitor.page.locator(".contacts")).to_contain_text("wong@clinic.example")


def test_page_says_how_it_stands_while_and_after_revocation(visitor: Visitor) -> None:
    visitor.clock.step_to(REVOCATION + HOUR)
    visitor.page.goto(visitor.home)
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text(
        "being revoked now"
    )
    visitor.look("overview-late")
    with writing(visitor.engine) as connection:
        connection.execute(
            update(table(Revocation)).values(
                state="published", revoked_at=REVOCATION, published_at=REVOCATION
            )
        )
    visitor.page.goto(visitor.home)

    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(
        "All 3 certificates are revoked"
    )
    visitor.look("overview-done")


def test_page_is_usable_at_four_times_its_size(visitor: Visitor) -> None:
    visitor.page.set_viewport_size({"width": 320, "height": 256})

    visitor.look("overview-zoomed")
