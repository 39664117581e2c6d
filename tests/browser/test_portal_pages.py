"""Each act of a subscriber in a real browser: phone and desk, two languages, with and without JavaScript."""

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from browsing import BROWSER, DESK, PHONE, Eyes, bring_axe, eyes
from factories import (
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_replacement,
    insert_revocations,
    insert_subscriber,
)
from fakes.lists import make_certificate
from playwright.sync_api import (
    Browser,
    Download,
    FilePayload,
    Locator,
    Page,
    Request,
    Route,
    ViewportSize,
    expect,
)
from portal_server import CONFIG, LINKS, claims_for, make_csr, portal, running
from sqlalchemy import Engine, insert, select, update
from ways import EVERY_WAY

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Escalation
from models.subscriber import Contact
from models.terms import CertificateId, ContactId, IncidentId, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.links import CONFIRMATION, ESCALATION, NO_SUBSCRIBER
from tocsin.policy.ladder import shipped_ladder
from tocsin.portal.tongues import read_tongues
from tocsin.store.session import open_engine, reading, writing

pytestmark = BROWSER

TONGUES = read_tongues()
CERT = table(AffectedCertificate)
FORM = "main form[method=post]"
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How somebody reads a page."""

    width: int
    language: str
    has_script: bool

    @property
    def name(self) -> str:
        script = "script" if self.has_script else "no-script"
        return f"{self.width}-{self.language}-{script}"

    @property
    def viewport(self) -> ViewportSize:
        return {"width": self.width, "height": 800}

    @property
    def is_read_by_axe(self) -> bool:
        """Whether axe-core reads along: once on a phone and once at a desk."""
        return self.has_script


_PHONE_WITH_SCRIPT = Way(width=PHONE, language="zh-Hant", has_script=True)
_PHONE_WITHOUT = Way(width=PHONE, language="en", has_script=False)
_DESK_WITH_SCRIPT = Way(width=DESK, language="en", has_script=True)
WAYS = (
    [
        Way(width=width, language=language, has_script=has_script)
        for width in (PHONE, DESK)
        for language in ("en", "zh-Hant")
        for has_script in (True, False)
    ]
    if EVERY_WAY
    else [_PHONE_WITH_SCRIPT, Way(width=DESK, language="en", has_script=False)]
)
"""Each width, each language, with a script and without; all eight where asked for."""

on_a_phone = pytest.mark.parametrize(
    "way", [_PHONE_WITH_SCRIPT, _PHONE_WITHOUT], ids=lambda way: way.name
)
in_english = pytest.mark.parametrize(
    "way", [_PHONE_WITHOUT, _DESK_WITH_SCRIPT], ids=lambda way: way.name
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One server and one browser for all; each visitor has an incident of their own."""

    browser: Browser
    engine: Engine
    address: str
    axe: str
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    windows: dict[Way, Page] = field(default_factory=dict)

    def window(self, way: Way) -> Page:
        """Return the window of all who come this way: a new one costs three pages."""
        if way not in self.windows:
            self.windows[way] = self.new_window(way)
        return self.windows[way]

    def new_window(self, way: Way) -> Page:
        context = self.browser.new_context(
            viewport=way.viewport,
            java_script_enabled=way.has_script,
            color_scheme="dark" if way.width == PHONE else "light",
            locale=way.language,
        )
        bring_axe(context, self.axe)
        return context.new_page()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person at a browser, on the page of a subscriber."""

    page: Page
    eyes: Eyes
    way: Way
    site: Site
    home: str
    incident: IncidentId
    certificates: list[CertificateId]
    first_serial: int
    posted: list[str]

    def look(self, name: str) -> None:
        assert self.page.locator("html").get_attribute("lang") == self.way.language
        self.eyes.look(name)

    def say(self, text: str, **values: object) -> str:
        """Return a sentence of the pages in the visitor's language, without marks."""
        said = TONGUES[self.way.language].catalogue.gettext(text) % values
        return re.sub(r"<[^>]+>", "", said)

    def certificates_(self, number: int) -> str:
        catalogue = TONGUES[self.way.language].catalogue
        return catalogue.ngettext(
            "%(shown)s certificate", "%(shown)s certificates", number
        ) % {"shown": number}

    def host(self, number: int) -> str:
        return f"host-{self.first_serial + number:x}.clinic.example"

    def go(self, path: str = "") -> None:
        self.page.goto(self.home + path)

    def follow(self, path: str) -> None:
        """Follow a link of the page by where it leads."""
        with self.page.expect_navigation():
            self._link(path).click()

    def fetch(self, path: str) -> Download:
        """Follow a link to a file."""
        with self.page.expect_download() as fetched:
            self._link(path).click()
        return fetched.value

    def _link(self, path: str) -> Locator:
        return self.page.locator(f"main a[href*='{path}']").first

    def press(self) -> None:
        """Press the button that the page is about."""
        with self.page.expect_navigation():
            self.page.locator(f"{FORM} button[type=submit]:not([name])").click()

    def tick(self, number: int) -> None:
        self.page.get_by_label(self.host(number)).check()

    def expect_heading(self, text: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(text)

    def expect_problem(self, name: str) -> None:
        error = re.escape(self.say("Error:"))
        expect(self.page).to_have_title(re.compile(f"^{error}"))
        expect(self.page.locator(".problems")).to_be_focused()
        self.look(name)


@pytest.fixture(scope="module")
def site(
    browser: Browser,
    axe: str,
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    file = shutil.copy(sqlite_template, tmp_path_factory.mktemp("site") / "db.sqlite")
    engine = open_engine(f"sqlite:///{file}")
    with running(portal(engine, SteppedClock(LAUNCH))) as address:
        yield Site(browser=browser, engine=engine, address=address, axe=axe)
    engine.dispose()


Come = Callable[..., Visitor]


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture
def come(site: Site, way: Way) -> Iterator[Come]:
    """Let a visitor come to a subscriber with some certificates."""
    page = site.window(way)
    page.set_viewport_size(way.viewport)
    page.context.clear_cookies()
    posted: list[str] = []

    def note(request: Request) -> None:
        if request.method not in ("GET", "HEAD"):
            posted.append(request.url)

    page.on("request", note)

    def _come(count: int = 3, *, revocation: Any = None, **incident: Any) -> Visitor:
        number = next(site.counter)
        serial = 0x10000 + 0x1000 * number
        with writing(site.engine) as connection:
            key = insert_incident(connection, id=f"incident-{number}", **incident)
            subscriber = insert_subscriber(connection, key, language=way.language)
            contact = insert_contact(connection, key, subscriber)
            certificates = insert_certificates(
                connection, key, subscriber, count, first_serial=serial
            )
            insert_revocations(connection, key, certificates, **(revocation or {}))
        visitor = Visitor(
            page=page,
            eyes=eyes(
                page,
                has_axe=way.is_read_by_axe,
                way=f"-{way.language}{'' if way.has_script else '-no-script'}",
            ),
            way=way,
            site=site,
            home=f"{site.address}/s/{LINKS.sign(claims_for(key, subscriber, contact))}",
            incident=key,
            certificates=certificates,
            first_serial=serial,
            posted=posted,
        )
        visitor.go()
        return visitor

    yield _come
    page.remove_listener("request", note)
    page.unroute_all()


def test_notice_is_acknowledged(come: Come) -> None:
    visitor = come()
    visitor.look("overview")

    visitor.follow("/acknowledge")
    visitor.press()
    visitor.expect_problem("acknowledge-error")
    visitor.page.get_by_label(visitor.say("I will see to it"), exact=True).check()
    visitor.press()
    visitor.look("acknowledge-check")
    visitor.press()

    visitor.expect_heading(visitor.say("Notice acknowledged"))
    visitor.look("acknowledge-done")
    visitor.go()
    expect(visitor.page.locator(".tasks li").first).to_contain_text(visitor.say("Done"))


def test_csrs_are_handed_in_after_the_match_was_shown(come: Come) -> None:
    visitor = come()
    visitor.follow("/csr")
    visitor.look("csr")
    visitor.press()
    visitor.expect_problem("csr-error")
    file = FilePayload(
        name="host.csr",
        mimeType="application/pkcs10",
        buffer=make_csr(visitor.host(1)).encode(),
    )
    visitor.page.locator("#file").set_input_files(file)
    visitor.page.locator("#csr").fill(
        make_csr(visitor.host(0), "new.clinic.example")
        + make_csr("www.elsewhere.example")
    )
    visitor.press()
    visitor.look("csr-check")
    assert visitor.page.locator("tbody tr").count() == 2
    expect(visitor.page.locator("main")).to_contain_text("new.clinic.example")
    visitor.press()

    expect(visitor.page.locator("h1")).to_contain_text(visitor.certificates_(2))
    visitor.look("csr-done")


def test_csr_that_cannot_be_used_comes_back_with_what_to_do(come: Come) -> None:
    visitor = come()
    visitor.go("/csr")
    csr = make_csr("www.elsewhere.example")
    visitor.page.locator("#csr").fill(csr)
    visitor.press()

    visitor.expect_problem("csr-refused")
    expect(visitor.page.locator("#csr")).to_have_value(csr)
    visitor.page.locator("#for").select_option(str(visitor.certificates[2]))
    visitor.press()
    expect(visitor.page.locator("tbody tr")).to_contain_text(visitor.host(2))


def test_private_key_raises_the_alarm(come: Come) -> None:
    visitor = come()
    visitor.go("/csr")
    visitor.page.locator("#csr").fill(
        "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----"
    )
    visitor.press()

    expect(visitor.page.locator(".grave-note h2")).to_have_text(
        visitor.say("Treat that key as compromised")
    )
    expect(visitor.page.locator("#csr")).to_have_value("")
    visitor.look("csr-private-key")


def test_report_is_undone_within_its_grace_period(come: Come) -> None:
    visitor = come()
    visitor.follow("/replaced")
    assert visitor.page.locator("input:checked").count() == 0
    visitor.look("replaced")
    visitor.tick(0)
    visitor.press()
    visitor.look("replaced-check")
    visitor.press()
    visitor.look("replaced-done")
    visitor.go()
    visitor.look("overview-pending")
    visitor.follow("/undo/")
    visitor.look("undo")
    visitor.page.locator(f"{FORM} input[type=checkbox]").check()
    visitor.press()

    visitor.expect_heading(
        visitor.say("Report about %(what)s taken back", what=visitor.certificates_(1))
    )
    visitor.look("undo-done")


def test_all_are_reported_once_when_the_button_is_pressed_twice(come: Come) -> None:
    visitor = come()
    visitor.follow("/no-longer-required")
    visitor.press()
    visitor.expect_problem("no-longer-required-error")
    visitor.page.locator("input[name=all]").check()
    visitor.press()
    visitor.look("no-longer-required-check")
    visitor.page.locator(f"{FORM} button").dblclick(no_wait_after=True)

    visitor.expect_heading(
        visitor.say(
            "%(what)s reported as no longer required", what=visitor.certificates_(3)
        )
    )
    visitor.look("no-longer-required-done")
    visitor.go()
    assert visitor.page.locator(".log li").count() == 1


def test_named_address_confirms_itself_and_the_old_one_leaves(come: Come) -> None:
    visitor = come()
    visitor.follow("/contact")
    visitor.press()
    visitor.expect_problem("contact-error")
    me = visitor.page.locator("input[name=instead_of]").nth(1).get_attribute("value")
    _name_contact(visitor, "Wong Ka Yan", "wong@clinic.example", instead_of=me or "")
    visitor.look("contact-check")
    visitor.press()
    visitor.look("contact-done")
    visitor.follow("#contacts")
    expect(visitor.page.locator(".contacts")).to_contain_text("Wong Ka Yan")
    visitor.look("contact-waits")

    visitor.page.goto(_page_of_named(visitor))
    visitor.press()
    visitor.expect_problem("named-error")
    visitor.page.locator("input[name=choice][value=yes]").check()
    visitor.press()
    visitor.look("named-check")
    visitor.press()
    visitor.expect_heading(visitor.say("Your address is confirmed"))
    visitor.look("named-done")
    visitor.go()
    visitor.expect_heading(visitor.say("This link does not work (any more)"))


@in_english
def test_contacts_are_asked_again_withdrawn_and_the_last_one_stays(
    come: Come,
) -> None:
    visitor = come()
    visitor.follow("/my-address")
    visitor.press()
    visitor.expect_problem("my-address-error")
    visitor.page.locator("#sure input").check()
    visitor.press()
    visitor.look("my-address-check")
    visitor.press()
    visitor.go("/contact")
    _name_contact(visitor, "Wong Ka Yan", "w@clinic.example", instead_of="nobody")
    visitor.press()

    visitor.follow("#contacts")
    visitor.follow("/ask-again")
    visitor.press()
    visitor.expect_problem("ask-again-error")
    visitor.page.locator("input[name=who]").check()
    visitor.press()
    visitor.look("ask-again-check")
    visitor.press()  # the first mail has just been planned
    expect(visitor.page.locator(".problems")).to_contain_text("a few minutes ago")

    visitor.go("/remove-contact")
    visitor.look("remove-contact")
    visitor.page.locator("input[name=who]").first.check()
    visitor.press()
    visitor.press()
    expect(visitor.page.locator(".problems")).to_contain_text("nobody else of yours")
    visitor.page.locator("input[name=who]").last.check()
    visitor.press()
    visitor.look("remove-contact-check")
    visitor.press()
    visitor.go()
    expect(visitor.page.locator(".contacts li")).to_have_count(1)


def _page_of_named(visitor: Visitor) -> str:
    """Return the page that the mail to whoever was named leads to."""
    contact = table(Contact)
    with reading(visitor.site.engine) as connection:
        row = connection.execute(
            select(contact).where(
                contact.c.incident_id == visitor.incident,
                contact.c.state == "unconfirmed",
            )
        ).one()
    token = LINKS.sign(
        claims_for(
            visitor.incident,
            SubscriberId(row.subscriber_id),
            ContactId(row.id),
            purpose=CONFIRMATION,
        )
    )
    return f"{visitor.site.address}/c/{token}"


def _name_contact(visitor: Visitor, name: str, email: str, *, instead_of: str) -> None:
    visitor.page.locator("#name").fill(name)
    visitor.page.locator("#email").fill(email)
    visitor.page.locator(f"input[name=instead_of][value='{instead_of}']").check()
    visitor.press()


def test_selection_among_many_is_found_ticked_and_reported(come: Come) -> None:
    visitor = come(210)
    visitor.follow("/replaced")
    visitor.look("replaced-many")
    visitor.tick(0)
    wanted = f"{visitor.first_serial + 0x10:x}"[:-1]  # sixteen have it
    visitor.page.locator("#find").fill(wanted)
    shown = visitor.page.locator("label[data-row]:visible")
    if visitor.way.has_script:  # the list follows as one types
        expect(shown).to_have_count(16)
        visitor.page.locator("[data-pick=all]").click()
        expect(visitor.page.locator("[data-ticked]")).to_contain_text("17")
        visitor.page.locator("[data-pick=none]").click()
        visitor.tick(0x11)
        visitor.page.locator("#find").fill("")
        visitor.tick(0)
        visitor.page.locator("#find").fill(wanted)
    visitor.page.locator("#find").press("Enter")  # filters, and does nothing else
    visitor.page.wait_for_load_state()
    expect(shown).to_have_count(16)
    expect(visitor.page.locator("#find")).to_have_value(wanted)
    visitor.look("replaced-filtered")
    visitor.tick(0x12)
    visitor.press()

    assert visitor.page.locator(".hosts li").count() == 2 + visitor.way.has_script
    visitor.press()
    expect(visitor.page.locator("h1")).to_contain_text(
        visitor.certificates_(2 + visitor.way.has_script)
    )


@on_a_phone
def test_ticks_stay_when_the_page_is_turned(come: Come) -> None:
    visitor = come(210)
    visitor.go("/no-longer-required")
    visitor.tick(3)
    visitor.page.locator("button[name=page]").click()
    visitor.look("no-longer-required-second")
    visitor.tick(205)
    visitor.page.locator("button[name=page]").click()
    expect(visitor.page.get_by_label(visitor.host(3))).to_be_checked()
    visitor.press()

    assert visitor.page.locator(".hosts li").count() == 2


def test_new_certificate_is_seen_beside_the_old_one_and_fetched(come: Come) -> None:
    visitor = come()
    visitor.follow(f"/certificate/{visitor.certificates[0]}")
    visitor.look("certificate-old")
    with writing(visitor.site.engine) as connection:
        for key, names in zip(
            visitor.certificates,
            ([visitor.host(0)], ["other.clinic.example"]),
            strict=False,
        ):
            insert_replacement(
                connection, key, der=make_certificate(0xABC, dns_names=names)
            )
            connection.execute(
                update(CERT)
                .where(CERT.c.id == key)
                .values(replacement_state="replacement-issued")
            )
    visitor.go()
    visitor.look("overview-issued")
    zipped = visitor.fetch("/replacements.zip")
    assert zipped.suggested_filename.endswith(".zip")
    visitor.follow(f"/certificate/{visitor.certificates[1]}")
    visitor.look("certificate-names-missing")
    visitor.go(f"/certificate/{visitor.certificates[0]}")
    visitor.look("certificate")
    fetched = visitor.fetch("/replacement/")
    assert "BEGIN CERTIFICATE" in Path(fetched.path()).read_text()

    visitor.follow("/replaced?find=")
    assert visitor.page.locator("label[data-row]").count() == 1


def test_page_says_how_it_stands_at_each_time(come: Come) -> None:
    past = LAUNCH - HOUR
    published = {
        "state": "published",
        "planned_time": past,
        "revocation_time": past,
        "revoked_at": past,
        "published_at": past,
    }
    late = {"planned_time": past, "revocation_time": past}
    come(revocation=late).look("overview-late")
    come(revocation=published).look("overview-revoked")
    come(is_drill=True).look("overview-drill")
    come(0).look("overview-none")
    over = come(revocation=published, state="closed", closed_at=LAUNCH)
    over.look("overview-closed")
    over.go("/csr")
    over.look("over")


def test_pages_about_nobody_are_fit_to_read(come: Come) -> None:
    visitor = come()
    site = visitor.site.address
    visitor.page.goto(f"{site}/s/nothing")
    visitor.look("dead")
    visitor.page.goto(f"{site}/incident/{visitor.incident}")
    visitor.look("incident")
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    file += b"x" * 2 * CONFIG.max_upload_bytes + b"\r\n--x--\r\n"
    for name, heading, body in (
        ("too-large", "That is too large", file),
        ("unreadable", "We could not read what your browser sent", b"--x\x00\xff"),
    ):
        visitor.page.route("**/csr/check", _sending(body))
        visitor.go("/csr/check")
        visitor.page.unroute("**/csr/check")
        visitor.expect_heading(visitor.say(heading))
        visitor.look(name)


def _sending(body: bytes) -> Callable[[Route], None]:
    def send(route: Route) -> None:
        kind = "multipart/form-data; boundary=x"
        route.continue_(
            method="POST",
            post_data=body,
            headers={**route.request.headers, "content-type": kind},
        )

    return send


@on_a_phone
def test_page_is_usable_at_four_times_its_size(come: Come) -> None:
    visitor = come(12)
    visitor.page.set_viewport_size({"width": 320, "height": 256})
    for slug in ("", "/acknowledge", "/csr", "/replaced", "/contact"):
        visitor.go(slug)
        visitor.look(f"zoomed{slug.replace('/', '-')}")
    visitor.go(f"/certificate/{visitor.certificates[0]}")
    visitor.look("zoomed-certificate")


@on_a_phone
def test_countdown_runs_with_script_and_makes_sense_without(come: Come) -> None:
    visitor = come()
    timer = visitor.page.get_by_role("timer")
    if not visitor.way.has_script:
        expect(timer).to_have_text(
            "in 4 days 15 hours" if visitor.way.language == "en" else "4天15小時後"
        )
        return
    # Whoever comes after needs a window whose clock goes by itself.
    del visitor.site.windows[visitor.way]
    visitor.page.clock.install()
    visitor.go()
    left = REVOCATION - LAUNCH
    visitor.page.clock.fast_forward((left - timedelta(seconds=90)) // MILLISECOND)
    before = timer.inner_text()
    visitor.page.clock.run_for(2_000)
    assert timer.inner_text() != before
    visitor.page.clock.fast_forward(90_000)
    expect(timer).to_have_text(visitor.say("now: load this page again"))
    assert visitor.posted == []


@on_a_phone
def test_report_is_made_and_undone_with_the_keyboard_alone(come: Come) -> None:
    visitor = come(10)
    keyboard = visitor.page.keyboard
    visitor.go("/replaced")
    keyboard.press("Tab")
    expect(visitor.page.locator(".skip")).to_be_focused()
    keyboard.press("Enter")
    _tab_to(visitor, f"input[value='{visitor.certificates[2]}']")
    keyboard.press("Space")
    _tab_to(visitor, f"{FORM} button[type=submit]:not([name])")
    keyboard.press("Enter")
    visitor.page.wait_for_url("**/check")
    _tab_to(visitor, f"{FORM} button")
    keyboard.press("Enter")
    visitor.page.wait_for_url("**/done/*")
    _tab_to(visitor, "main a[href*='/undo/']")
    keyboard.press("Enter")
    visitor.page.wait_for_url("**/undo/*")
    _tab_to(visitor, f"{FORM} input[type=checkbox]")
    keyboard.press("Space")
    _tab_to(visitor, f"{FORM} button")
    keyboard.press("Enter")
    visitor.page.wait_for_url("**/done/*")

    visitor.expect_heading(
        visitor.say("Report about %(what)s taken back", what=visitor.certificates_(1))
    )


def _tab_to(visitor: Visitor, selector: str) -> None:
    """Press Tab until somebody is there; what has the focus must be seen to have it."""
    for _ in range(60):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate(f"document.activeElement.matches({selector!r})"):
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert visitor.page.evaluate(outline) != "none"
            return
    raise AssertionError(selector)


@in_english
def test_staff_take_an_escalation(come: Come) -> None:
    visitor = come(ladder=shipped_ladder(timedelta(days=5)).text)
    with writing(visitor.site.engine) as connection:
        manager = insert_contact(
            connection,
            visitor.incident,
            None,
            "am@ca.example",
            name="Lee Siu Ling",
            role="account-manager",
        )
        for cause in ("csr-missing", "forecast-late"):
            connection.execute(
                insert(table(Escalation)).values(
                    incident_id=visitor.incident,
                    cause=cause,
                    level=0,
                    step="Managers",
                    state="told",
                    targets=["account-manager"],
                    raised_at=LAUNCH,
                    told_at=LAUNCH,
                )
            )
    claims = claims_for(visitor.incident, NO_SUBSCRIBER, manager, purpose=ESCALATION)
    visitor.page.goto(f"{visitor.site.address}/e/{LINKS.sign(claims)}")
    visitor.look("escalations")
    visitor.press()
    visitor.expect_problem("escalations-error")
    visitor.page.locator("input[name=escalation]").first.check()
    visitor.press()
    visitor.look("escalations-check")
    visitor.press()

    expect(visitor.page.locator(".panel h2")).to_have_text("Noted, Lee Siu Ling")
    visitor.look("escalations-done")


def test_fault_of_ours_is_a_page_to_read(site: Site, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    claims = claims_for(IncidentId("x"), SubscriberId(1), ContactId(1))
    with running(portal(engine, SteppedClock(LAUNCH))) as address:
        for way in (_DESK_WITH_SCRIPT, _PHONE_WITH_SCRIPT):
            page = site.window(way)
            page.goto(f"{address}/s/{LINKS.sign(claims)}")
            eyes(page, has_axe=True, way=f"-{way.language}").look("fault")
    engine.dispose()
