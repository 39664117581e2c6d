"""Who comes in at the officers' desk, for how long, and who does not."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.office import CHAN, LAM, OFFICERS, OfficeWorld, link_in, office_world
from fakes.scripted_relay import Asked
from fakes.stack import wait_until
from portal_server import LINKS, claims_for
from sqlalchemy import Engine, select

from models.base import table
from models.office import OfficeMail, OfficeSession
from models.terms import ContactId, IncidentId, OfficeMailState, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.intake.officers import read_officers
from tocsin.policy.office import LINKS_PER_ADDRESS, address_key
from tocsin.steps.sign_in import print_link, show_out_everywhere
from tocsin.store.session import reading

pytestmark = pytest.mark.server

MINUTE = timedelta(minutes=1)
NOBODY = "nobody@elsewhere.example"


@pytest.fixture
def world(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> Iterator[OfficeWorld]:
    with office_world(sqlite_engine, clock, tmp_path / "data") as world:
        yield world


def test_officer_comes_in_by_mail_and_goes_out_on_either_database(
    engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    with office_world(engine, clock, tmp_path / "data") as world:
        with world.browser() as http:
            path = world.way_in(http, CHAN)
            assert http.post(path).status_code == 303
            assert http.get("/desk").status_code == 200
            assert show_out_everywhere(engine, CHAN, clock=clock) == 1
            assert http.get("/desk").status_code == 403
            assert http.post(path).status_code == 404
        assert mail_states(world) == ["sent"]


def mail_states(world: OfficeWorld) -> list[str]:
    mail = table(OfficeMail)
    with reading(world.engine) as connection:
        return list(
            connection.execute(select(mail.c.state).order_by(mail.c.id)).scalars()
        )


def sessions(world: OfficeWorld) -> int:
    with reading(world.engine) as connection:
        return len(connection.execute(select(table(OfficeSession))).all())


def test_answer_is_the_same_when_an_address_is_on_the_list_and_when_not(
    world: OfficeWorld,
) -> None:
    with world.browser() as http:
        listed = http.post("/desk/sign-in", data={"address": CHAN})
        unlisted = http.post("/desk/sign-in", data={"address": NOBODY})
    wait_until(lambda: "sent" in mail_states(world), within=20, what="the mail")

    assert (listed.status_code, unlisted.status_code) == (200, 200)
    assert listed.text == unlisted.text
    assert mail_states(world) == ["sent", "unlisted"]
    assert world.relay.recipients == [CHAN]


def test_mail_says_for_whom_where_and_until_when_it_works(world: OfficeWorld) -> None:
    with world.browser() as http:
        world.way_in(http, f" {CHAN.upper()} ")
    (mail,) = world.mails_to(CHAN)
    body = mail.get_body(("plain",))

    assert mail["Auto-Submitted"] == "auto-generated"
    assert body is not None
    text = body.get_content()
    assert "Chan Tai Man" in text
    assert "Monday 2 March 2026, 20:15 HKT" in " ".join(text.split())
    assert world.settings.public_portal in text


def test_i6_opening_the_link_lets_nobody_in_when_a_gateway_does_it(
    world: OfficeWorld,
) -> None:
    with world.browser() as http, world.browser() as gateway:
        path = world.way_in(http, CHAN)
        for _ in range(3):
            assert gateway.get(path).status_code == 200
            assert gateway.head(path).status_code == 200
            assert http.get(path).status_code == 200

        assert sessions(world) == 0
        assert http.post(path).status_code == 303


def test_gateway_that_presses_the_button_gets_nothing_and_takes_nothing(
    world: OfficeWorld,
) -> None:
    with world.browser() as http, world.browser() as gateway:
        path = world.way_in(http, CHAN)
        pressed = gateway.post(path)

        assert pressed.status_code == 409
        assert "set-cookie" not in pressed.headers
        assert sessions(world) == 0
        assert http.post(path).status_code == 303


def test_link_works_once(world: OfficeWorld) -> None:
    with world.browser() as http, world.browser() as other:
        path = world.way_in(http, CHAN)
        first = http.post(path)
        again = http.post(path)
        elsewhere = other.post(path)

    assert first.headers["location"] == "/desk"
    assert "set-cookie" in first.headers
    # Pressed twice: who is in stays in.
    assert again.headers["location"] == "/desk"
    assert elsewhere.status_code == 404
    assert sessions(world) == 1


def test_link_is_dead_when_it_is_expired_forged_or_of_somebody_off_the_list(
    world: OfficeWorld,
) -> None:
    with world.browser() as http:
        path = world.way_in(http, CHAN)
        dead = http.post("/desk/in/nothing")
        subscribers = LINKS.sign(
            claims_for(IncidentId("x"), SubscriberId(1), ContactId(1))
        )
        assert http.post(f"/desk/in/{subscribers}").text == dead.text
        assert http.post(path[:-2]).text == dead.text
        world.list_people(OFFICERS.replace(CHAN, "new@ca.example"))
        assert http.post(path).text == dead.text
        world.list_people(OFFICERS)
        world.clock.step_to(world.clock.now() + 15 * MINUTE)
        expired = http.post(path)

    assert (expired.status_code, expired.text) == (404, dead.text)
    assert sessions(world) == 0


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(
    world: OfficeWorld,
) -> None:
    with world.browser() as http:
        cookie = http.post(world.way_in(http, CHAN)).headers["set-cookie"]

    assert re.match(r"desk=[\w-]{43}; ", cookie)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Max-Age=7200" in cookie
    assert "Domain" not in cookie


def test_cookies_travel_by_https_alone_when_the_portal_is_reached_so(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    with (
        office_world(
            sqlite_engine,
            clock,
            tmp_path / "data",
            portal_url="https://answer.ca.example",
        ) as world,
        world.browser() as http,
    ):
        asked = http.post("/desk/sign-in", data={"address": CHAN})
        wait_until(lambda: bool(world.mails_to(CHAN)), within=20, what="the mail")
        browser = asked.cookies["__Host-desk-asked"]
        path = link_in(world.mails_to(CHAN)[0])
        entered = http.post(path, headers={"Cookie": f"__Host-desk-asked={browser}"})

    assert entered.status_code == 303
    for answer in (asked, entered):
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-desk")
        assert "; Secure" in cookie
        assert "Path=/;" in cookie


def test_somebody_is_out_when_the_session_is_over_or_ended(world: OfficeWorld) -> None:
    with world.browser() as http:
        world.sign_in(http, CHAN)
        assert http.get("/desk").status_code == 200
        world.clock.step_to(world.clock.now() + timedelta(hours=2))
        assert http.get("/desk").status_code == 403
        world.sign_in(http, CHAN)
        page = http.get("/desk")
        nonce = re.search(r'action="/desk/out".*?value="([^"]+)"', page.text)
        assert nonce
        held = http.cookies["desk"]
        http.post("/desk/out", data={"nonce": nonce[1]})
        copied = http.get("/desk", headers={"Cookie": f"desk={held}"})

    assert copied.status_code == 403


def test_somebody_is_out_when_they_are_taken_off_the_list(world: OfficeWorld) -> None:
    with world.browser() as http:
        world.sign_in(http, CHAN)
        world.list_people("name,email,role\nLam Siu Fong,lam@ca.example,officer\n")
        off = http.get("/desk")
        world.settings.officers.unlink()
        without_list = http.get("/desk")
        world.list_people(OFFICERS.replace(f"{CHAN},officer", f"{CHAN},manager"))
        demoted = http.get("/desk/new")

    assert off.status_code == 403
    assert without_list.status_code == 403
    assert demoted.status_code == 403
    assert "Only an officer" in demoted.text


def test_sessions_and_links_die_when_an_operator_shows_somebody_out(
    world: OfficeWorld,
) -> None:
    with world.browser() as http, world.browser() as phone, world.browser() as other:
        world.sign_in(http, CHAN)
        world.sign_in(other, LAM)
        unused = world.way_in(phone, CHAN)

        ended = show_out_everywhere(world.engine, CHAN, clock=world.clock)

        assert ended == 1
        assert http.get("/desk").status_code == 403
        assert phone.post(unused).status_code == 404
        assert other.get("/desk").status_code == 200


def test_printed_link_works_once_in_any_browser(world: OfficeWorld) -> None:
    officer = read_officers(world.settings.officers).find(address_key(CHAN))
    assert officer
    path = print_link(
        world.engine, LINKS, officer, clock=world.clock, valid=15 * MINUTE
    )
    with world.browser() as http, world.browser() as other:
        assert http.post(path).status_code == 303
        assert http.get("/desk").status_code == 200
        assert other.post(path).status_code == 404


def test_no_more_mail_goes_out_when_links_are_asked_for_too_often(
    world: OfficeWorld,
) -> None:
    with world.browser() as http:
        answers = {
            http.post("/desk/sign-in", data={"address": CHAN}).text
            for _ in range(LINKS_PER_ADDRESS + 3)
        }
        wait_until(
            lambda: mail_states(world) == ["sent"] * LINKS_PER_ADDRESS,
            within=20,
            what="the mails",
        )
        world.clock.step_to(world.clock.now() + 16 * MINUTE)
        world.way_in(http, CHAN)

    assert len(answers) == 1
    assert len(world.mails_to(CHAN)) == LINKS_PER_ADDRESS + 1


def test_answer_is_the_same_when_the_relay_refuses(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    def refuse(asked: Asked) -> str | None:
        return "550 5.1.1 unknown" if asked.verb == "RCPT" else None

    with (
        office_world(sqlite_engine, clock, tmp_path / "data", answer=refuse) as world,
        world.browser() as http,
    ):
        refused = http.post("/desk/sign-in", data={"address": CHAN})
        wait_until(
            lambda: mail_states(world) == [OfficeMailState.FAILED.value],
            within=20,
            what="the outcome",
        )
        unlisted = http.post("/desk/sign-in", data={"address": NOBODY})

    assert refused.text == unlisted.text


def test_page_that_was_wanted_comes_first_after_signing_in(world: OfficeWorld) -> None:
    with world.browser() as http:
        asked = http.get("/desk/i/20240318-a1b2c3/calls")
        wanted = re.search(r'name="leads_to" value="([^"]+)"', asked.text)
        assert wanted
        led = world.sign_in(http, CHAN, wanted[1])

    assert led == "/desk/i/20240318-a1b2c3/calls"


def test_other_site_cannot_ask_for_a_link_or_press_the_button(
    world: OfficeWorld,
) -> None:
    with world.browser() as http:
        path = world.way_in(http, CHAN)
        forged = {"Sec-Fetch-Site": "cross-site"}
        asked = http.post("/desk/sign-in", data={"address": CHAN}, headers=forged)
        pressed = http.post(path, headers=forged)

    assert (asked.status_code, pressed.status_code) == (409, 409)
    assert len(mail_states(world)) == 1
    assert sessions(world) == 0
