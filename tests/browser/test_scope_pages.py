"""A withdrawal and a court order, on a phone and at a desk: two officers, two browsers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import BROWSER, DESK, PHONE, bring_axe, eyes
from factories import (
    LAUNCH,
    insert_certificates,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from fakes.office import CHAN, LAM, OfficeWorld, link_in, office_world
from fakes.scope import PDF
from fakes.stack import wait_until
from playwright.sync_api import Browser, Page, ViewportSize, expect
from sqlalchemy import Engine
from ways import EVERY_WAY

from tocsin.clock import SteppedClock
from tocsin.store.session import writing

BASE = "/desk/i/test-incident"
WHY = "Issued under the corrected profile; the list named them by a slip."

WIDTHS = [PHONE, DESK] if EVERY_WAY else [PHONE]
"""At which the pages are worked with; each is looked at at both."""

pytestmark = BROWSER


@pytest.fixture(params=WIDTHS)
def pages(
    request: pytest.FixtureRequest, browser: Browser, axe: str
) -> Iterator[list[Page]]:
    """Two browsers that hold nothing of each other."""
    size: ViewportSize = {"width": int(request.param), "height": 800}
    contexts = [browser.new_context(viewport=size) for _ in range(2)]
    for context in contexts:
        bring_axe(context, axe)
    yield [context.new_page() for context in contexts]
    for context in contexts:
        context.close()


def look(page: Page, name: str) -> None:
    """Look at both widths, and leave the page at the one at which it is worked with."""
    size = page.viewport_size
    assert size
    for width in (PHONE + DESK - size["width"], size["width"]):
        page.set_viewport_size({"width": width, "height": size["height"]})
        eyes(page, has_axe=True).look(f"desk-{name}")


def sign_in(page: Page, world: OfficeWorld, email: str) -> None:
    page.goto(world.address + BASE)
    page.get_by_label("Your own e-mail address").fill(email)
    page.get_by_role("button", name="Mail me a link").click()
    wait_until(lambda: bool(world.mails_to(email)), within=20, what=f"mail to {email}")
    page.goto(world.address + link_in(world.mails_to(email)[-1]))
    page.get_by_role("button", name="Sign in as").click()


def link_to_sign(world: OfficeWorld, number: int) -> str:
    def found() -> list[str]:
        bodies = [mail.get_body(("plain",)) for mail in world.mails_to(LAM)]
        texts = [body.get_content() for body in bodies if body is not None]
        return re.findall(r"http\S+?(/desk/sign/\S+)", "\n".join(texts))

    wait_until(lambda: len(found()) >= number, within=20, what="a call")
    return found()[number - 1]


def _forty_certificates(engine: Engine) -> None:
    with writing(engine) as connection:
        incident = insert_incident(
            connection, title="Policy qualifier without http in 40 certificates"
        )
        subscriber = insert_subscriber(connection, incident)
        keys = insert_certificates(connection, incident, subscriber, 40)
        insert_revocations(connection, incident, keys)


def test_two_officers_withdraw_and_put_an_order_in_force(
    pages: list[Page], sqlite_engine: Engine, tmp_path: Path
) -> None:
    _forty_certificates(sqlite_engine)
    chan, lam = pages
    clock = SteppedClock(LAUNCH)
    with office_world(sqlite_engine, clock, tmp_path / "data") as world:
        sign_in(chan, world, CHAN)
        chan.get_by_role("link", name="Withdrawals and court orders").click()
        look(chan, "scope-none")
        chan.get_by_role("link", name="Propose a withdrawal").click()
        chan.get_by_role("button", name="Show what it would do").click()
        expect(chan).to_have_title(re.compile("^Error: "))
        look(chan, "withdrawal-error")
        chan.get_by_label("Which certificates?").fill("1000\n1001")
        chan.get_by_label("Why?").fill(WHY)
        chan.get_by_role("button", name="Show what it would do").click()
        look(chan, "withdrawal-proposed")
        chan.get_by_label("How many certificates are these?").fill("2")
        chan.get_by_role("button", name="Sign and call a second officer").click()
        expect(chan.get_by_text("waits for a second officer")).to_be_visible()
        look(chan, "withdrawal-signed")

        lam.goto(world.address + link_to_sign(world, 1))
        look(lam, "withdrawal-by-link")
        lam.get_by_label("How many certificates are these?").fill("2")
        lam.get_by_role("button", name="Sign as Lam Siu Fong").click()
        expect(lam.get_by_text("Agreed by two officers")).to_be_visible()
        look(lam, "withdrawal-agreed")

        chan.goto(world.address + f"{BASE}/scope/new/order")
        look(chan, "order-new")
        chan.get_by_label("Which certificates?").fill("1002\n1003\n1004")
        chan.get_by_label("Why?").fill(
            "The court restrains the CA: a hospital's names."
        )
        chan.get_by_label("Which court?").fill("High Court of Hong Kong")
        chan.get_by_label("The order's number").fill("HCMP 1234/2026")
        chan.get_by_label("When does the order end?").fill("2026-03-09T09:00")
        chan.get_by_label("The order itself").set_input_files(
            {"name": "HCMP 1234.pdf", "mimeType": "application/pdf", "buffer": PDF}
        )
        chan.get_by_role("button", name="Show what it would do").click()
        chan.get_by_label("How many certificates are these?").fill("3")
        chan.get_by_role("button", name="Sign and call a second officer").click()
        lam.goto(world.address + link_to_sign(world, 2))
        look(lam, "order-by-link")
        lam.get_by_label("How many certificates are these?").fill("3")
        lam.get_by_role("button", name="Sign as Lam Siu Fong").click()
        expect(lam.get_by_text("In force until")).to_be_visible()
        chan.reload()
        look(chan, "order-in-force")
        chan.goto(world.address + BASE)
        look(chan, "incident")
        chan.goto(world.address + f"{BASE}/scope")
        look(chan, "scope")
