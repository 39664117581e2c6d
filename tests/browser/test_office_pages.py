"""An officer's way from a mail to a launched incident, on a phone and at a desk."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from browsing import BROWSER, DESK, PHONE, Eyes, bring_axe, eyes
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
from fakes.office import CHAN, LAM, WONG, OfficeWorld, link_in, office_world
from fakes.officers import lay_desk
from fakes.stack import wait_until
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect
from sqlalchemy import Engine, insert
from ways import EVERY_WAY

from models.base import table
from models.outreach import Attempt, Escalation, Notice
from models.terms import IncidentId
from tocsin.clock import SteppedClock
from tocsin.store.incidents import running_incidents
from tocsin.store.session import reading, writing

pytestmark = BROWSER


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody of the CA at a browser."""

    page: Page
    world: OfficeWorld
    eyes: Eyes

    def look(self, name: str) -> None:
        self.eyes.look(f"desk-{name}")

    def go(self, path: str) -> None:
        self.page.goto(self.world.address + path)

    def press(self, words: str) -> None:
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=words).click()

    def follow(self, words: str) -> None:
        with self.page.expect_navigation():
            self.page.get_by_role("link", name=words).first.click()

    def heading(self) -> str:
        return self.page.get_by_role("heading", level=1).inner_text()

    def sign_in(self, email: str) -> None:
        """Ask for a link, and open it in this browser."""
        before = len(self.world.ways_in(email))
        self.page.get_by_label("Your own e-mail address").fill(email)
        self.press("Mail me a link")
        wait_until(
            lambda: len(self.world.ways_in(email)) > before,
            within=20,
            what=f"mail to {email}",
        )
        self.go(self.world.ways_in(email)[-1])
        self.press("Sign in as")


def at(width: int) -> pytest.MarkDecorator:
    """At one width; at both where every way is asked for."""
    every = [PHONE, DESK] if EVERY_WAY else [width]
    return pytest.mark.parametrize("width", every, indirect=True)


@pytest.fixture
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def contexts(browser: Browser, width: int, axe: str) -> Iterator[list[BrowserContext]]:
    """Browsers that hold nothing of each other."""
    opened = [
        browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if width == PHONE else "light",
        )
        for _ in range(2)
    ]
    for context in opened:
        bring_axe(context, axe)
    yield opened
    for context in opened:
        context.close()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(LAUNCH)


def _person(context: BrowserContext, world: OfficeWorld) -> Person:
    page = context.new_page()
    return Person(page=page, world=world, eyes=eyes(page, has_axe=True))


def _fill_in(officer: Person, files: Path) -> None:
    desk = lay_desk(files, embedded_ca=officer.world.settings.embedded_ca)
    page = officer.page
    page.get_by_label("Affected certificates").set_input_files(desk.certificates)
    page.get_by_label("Directory of subscribers").set_input_files(desk.directory)
    page.get_by_label("Title").fill("Policy qualifier without http")
    page.get_by_label("Why must they be revoked?").select_option(value="misissued")
    page.get_by_label("When did the clock start?").fill("2026-03-02T17:00")


@at(DESK)
def test_incident_is_opened_and_launched_from_the_desk(
    contexts: list[BrowserContext],
    sqlite_engine: Engine,
    clock: SteppedClock,
    tmp_path: Path,
) -> None:
    with office_world(sqlite_engine, clock, tmp_path / "data") as world:
        officer = _person(contexts[0], world)
        officer.go("/desk")
        officer.look("sign-in")
        officer.page.get_by_label("Your own e-mail address").fill("nobody")
        officer.press("Mail me a link")
        expect(officer.page).to_have_title(re.compile("^Error: "))
        officer.look("sign-in-error")
        officer.page.get_by_label("Your own e-mail address").fill(CHAN)
        officer.press("Mail me a link")
        officer.look("asked")
        wait_until(lambda: bool(world.mails_to(CHAN)), within=20, what="the mail")
        officer.go(link_in(world.mails_to(CHAN)[-1]))
        officer.look("door")
        officer.press("Sign in as Chan Tai Man")
        officer.look("incidents-none")

        officer.follow("Open an incident")
        officer.look("new")
        officer.press("Read the list and show the preview")
        expect(officer.page).to_have_title(re.compile("^Error: "))
        expect(officer.page.locator(".problems")).to_be_focused()
        officer.look("new-error")
        _fill_in(officer, tmp_path / "files")
        officer.press("Read the list and show the preview")
        assert officer.heading() == "Policy qualifier without http"
        officer.look("preview")

        officer.follow("See the subscribers")
        officer.follow("Harbour Clinic")
        officer.follow("See a notice to Chan Tai Man")
        expect(officer.page.get_by_text("Nothing is sent or recorded")).to_be_visible()
        officer.look("notice")
        officer.follow("Back to Harbour Clinic")
        officer.follow("Back to “Policy")

        officer.page.get_by_label("Type the number of certificates").fill("2")
        officer.press("Launch: revoke 3 certificates")
        expect(officer.page).to_have_title(re.compile("^Error: "))
        officer.page.get_by_label("Type the number of certificates").fill("3")
        officer.press("Launch: revoke 3 certificates")
        expect(officer.page.get_by_text("Launched just now")).to_be_visible()
        officer.look("launched")
        with reading(sqlite_engine) as connection:
            assert len(running_incidents(connection)) == 1
        officer.follow("Incidents")
        officer.look("incidents")
        officer.press("Sign out")
        assert officer.heading() == "Sign in to the officers' desk"


@at(PHONE)
def test_second_officer_launches_where_two_are_needed(
    contexts: list[BrowserContext],
    sqlite_engine: Engine,
    clock: SteppedClock,
    tmp_path: Path,
) -> None:
    with office_world(
        sqlite_engine, clock, tmp_path / "data", launch_needs_second_officer=True
    ) as world:
        first = _person(contexts[0], world)
        first.go("/desk/new")
        first.sign_in(CHAN)
        assert first.heading() == "Open an incident"
        _fill_in(first, tmp_path / "files")
        first.press("Read the list and show the preview")
        first.page.get_by_label("Type the number of certificates").fill("3")
        first.press("Ask a second officer to launch")
        first.look("waiting-first")
        assert first.page.get_by_role("button", name="Launch").count() == 0
        clock.step_to(LAUNCH + timedelta(minutes=25))

        second = _person(contexts[1], world)
        second.go("/desk")
        second.sign_in(LAM)
        expect(second.page.locator(".loud")).to_contain_text("The clock runs")
        second.look("waiting-second")
        second.follow("Look at it and launch")
        second.page.get_by_label("Type the number of certificates").fill("3")
        second.press("Launch: revoke 3 certificates")

        expect(second.page.get_by_text("Launched just now")).to_be_visible()
        assert second.page.locator(".loud").count() == 0


def _running_incident(engine: Engine) -> IncidentId:
    """Insert an incident that has something of everything."""
    with writing(engine) as connection:
        incident = insert_incident(
            connection,
            title="Policy qualifier without http in 240 certificates",
            plan={
                "rate_per_second": 10.0,
                "publication_delay_seconds": 60,
                "count": 240,
            },
        )
        clinic = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, clinic)
        insert_contact(
            connection,
            incident,
            clinic,
            "old.mailbox@clinic.example",
            name="Web Administrator",
            rank=2,
            state="unreachable",
        )
        school = insert_subscriber(
            connection, incident, "Kowloon Peak Secondary School and Evening College"
        )
        insert_contact(
            connection, incident, school, "it@school.example", state="unreachable"
        )
        for number, (subscriber, count) in enumerate(
            ((clinic, 230), (school, 9), (None, 1))
        ):
            keys = insert_certificates(
                connection,
                incident,
                subscriber,
                count,
                first_serial=0x1000 * (number + 1),
            )
            insert_revocations(connection, incident, keys)
        for sequence, (kind, state) in enumerate(
            (("initial", "sent"), ("reminder", "failed"), ("reminder", "planned"))
        ):
            key = connection.execute(
                insert(table(Notice)).values(
                    incident_id=incident,
                    contact_id=contact,
                    kind=kind,
                    sequence=sequence,
                    state=state,
                    planned_at=LAUNCH + sequence * HOUR,
                    due_at=LAUNCH + sequence * HOUR,
                    message_id=f"<{sequence}@ca.example>",
                    verp_token=f"t{sequence}",
                    attempts=1,
                    possibly_repeated=0,
                    sent_at=LAUNCH if state == "sent" else None,
                )
            ).inserted_primary_key
            connection.execute(
                insert(table(Attempt)).values(
                    notice_id=key[0] if key else 0,
                    ended_at=LAUNCH + sequence * HOUR,
                    outcome=state,
                    smtp_code=550,
                    detail="550 5.1.1 no such user here",
                )
            )
        connection.execute(
            insert(table(Escalation)).values(
                incident_id=incident,
                subscriber_id=school,
                cause="unreachable",
                level=0,
                step="Nobody can be reached",
                state="told",
                targets=["account-manager"],
                raised_at=LAUNCH,
                told_at=LAUNCH + HOUR,
            )
        )
    return incident


@at(PHONE)
def test_pages_of_a_running_incident_say_how_it_stands(
    contexts: list[BrowserContext],
    sqlite_engine: Engine,
    clock: SteppedClock,
    tmp_path: Path,
) -> None:
    incident = _running_incident(sqlite_engine)
    clock.step_to(LAUNCH + 3 * HOUR)
    with office_world(sqlite_engine, clock, tmp_path / "data") as world:
        manager = _person(contexts[0], world)
        manager.go(f"/desk/i/{incident}")
        manager.sign_in(WONG)
        assert manager.heading().startswith("Policy qualifier")
        manager.look("incident")
        for name in ("subscribers", "escalations", "csrs", "calls", "replies"):
            manager.go(f"/desk/i/{incident}/{name}")
            manager.look(name)
        manager.go(f"/desk/i/{incident}/subscribers?q=clinic")
        manager.follow("Harbour Clinic")
        manager.look("subscriber")
        manager.follow("Correct Web Administrator")
        manager.press("Put it on the list")
        expect(manager.page).to_have_title(re.compile("^Error: "))
        manager.look("contact-error")
        manager.page.get_by_label("E-mail address").fill("web@clinic.example")
        manager.press("Put it on the list")
        expect(manager.page.locator(".contacts")).to_contain_text("web@clinic.example")
        expect(manager.page.locator(".contacts")).not_to_contain_text("old.mailbox")
        manager.go(f"/desk/i/{incident}/calls")
        manager.page.get_by_text("What to say").first.click()
        manager.look("calls-open")
        manager.follow("Log a call to")
        manager.press("Log the call")
        expect(manager.page).to_have_title(re.compile("^Error: "))
        manager.look("call-error")
        manager.page.get_by_label("Left a message").check()
        manager.page.get_by_label("Note").fill("With the school's secretary.")
        manager.press("Log the call")
        manager.go(f"/desk/i/{incident}/calls")
        expect(manager.page.get_by_text("left a message")).to_be_visible()
        manager.go("/desk/new")
        assert manager.heading() == "Only an officer can do that"
        manager.look("not-yours")
        clock.step_to(REVOCATION + HOUR)
        manager.go(f"/desk/i/{incident}")
        assert manager.heading() == "Sign in to the officers' desk"
        manager.sign_in(WONG)
        manager.look("incident-late")


@at(DESK)
def test_pages_that_say_what_is_missing_are_fit_to_read(
    contexts: list[BrowserContext],
    sqlite_engine: Engine,
    clock: SteppedClock,
    tmp_path: Path,
) -> None:
    with (
        office_world(
            sqlite_engine,
            clock,
            tmp_path / "data",
            ca_backend="nowhere",
            officer_upload_bytes=300_000,
        ) as world,
        _draft_being_read(world) as draft,
    ):
        officer = _person(contexts[0], world)
        officer.go("/desk/in/nothing")
        officer.look("dead")
        officer.go(f"/desk/i/{draft}")
        officer.sign_in(CHAN)
        expect(officer.page.get_by_text("The list is being read")).to_be_visible()
        with officer.page.expect_request("**/desk/i/being-read"):
            pass  # its script loads it anew
        officer.page.route("**/portal.js*", lambda route: route.abort())
        officer.follow("See how far it is now")
        officer.look("reading")
        officer.go("/desk/nowhere")
        officer.look("not-there")
        officer.go("/desk/new")
        officer.page.get_by_label("Affected certificates").set_input_files(
            FilePayload(name="list.csv", mimeType="text/csv", buffer=b"x" * 700_000)
        )
        officer.press("Read the list and show the preview")
        officer.look("too-large")
        officer.go("/desk/new")
        _fill_in(officer, tmp_path / "files")
        officer.press("Read the list and show the preview")
        expect(officer.page.get_by_text("The preview cannot be made")).to_be_visible()
        officer.look("no-preview")
        officer.page.locator(".out [name=nonce]").evaluate("e => e.value = 'x'")
        officer.press("Sign out")
        assert officer.heading() == "Nothing was changed"
        officer.look("stale")


@contextmanager
def _draft_being_read(world: OfficeWorld) -> Iterator[IncidentId]:
    with writing(world.engine) as connection:
        draft = insert_incident(
            connection,
            id="being-read",
            state="draft",
            launched_at=None,
            revocation_starts_at=None,
        )
    read = threading.Event()
    world.app.state.office.imports.start(draft, lambda: bool(read.wait(200)))
    try:
        yield draft
    finally:
        read.set()
