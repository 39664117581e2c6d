"""Withdrawals and court orders at the desk, over a real socket and a real relay."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    insert_certificates,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from fakes.office import CHAN, LAM, WONG, OfficeWorld, form_nonce, office_world
from fakes.scope import PDF
from fakes.stack import wait_until
from sqlalchemy import Engine, select

from models.base import table
from models.revocation import Revocation
from models.terms import IncidentId, ScopeState
from tocsin.clock import SteppedClock
from tocsin.intake.officers import read_officers
from tocsin.policy.office import address_key
from tocsin.steps.sign_in import print_link
from tocsin.store.reconciliation import verify
from tocsin.store.scope import list_changes
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.server

INCIDENT = IncidentId("test-incident")
BASE = f"/desk/i/{INCIDENT}/scope"
WHY = "They were issued under the corrected profile."


@pytest.fixture
def world(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> Iterator[OfficeWorld]:
    with writing(sqlite_engine) as connection:
        insert_incident(connection)
        subscriber = insert_subscriber(connection, INCIDENT)
        keys = insert_certificates(connection, INCIDENT, subscriber, 3)
        insert_revocations(connection, INCIDENT, keys)
    with office_world(sqlite_engine, clock, tmp_path / "data") as world:
        yield world


@pytest.fixture
def chan(world: OfficeWorld) -> Iterator[httpx.Client]:
    with world.browser() as http:
        world.sign_in(http, CHAN)
        yield http


def propose(
    http: httpx.Client, kind: str, *, document: bytes = PDF, **changes: Any
) -> httpx.Response:
    """Fill in the form and send it, as a browser does."""
    page = http.get(f"{BASE}/new/{kind}")
    data = {
        "nonce": form_nonce(page, "/desk/scope"),
        "incident": INCIDENT,
        "kind": kind,
        "certificates": "1000\n10:01",
        "reason": WHY,
    }
    files: dict[str, Any] = {"document": ("", b"")}
    if kind == "order":
        data |= {
            "court": "High Court of Hong Kong",
            "reference": "HCMP 1234/2026",
            "ends_at": "2026-03-08T17:00",  # in Hong Kong: 09:00 UTC
        }
        files = {"document": ("C:\\orders\\HCMP.pdf", document)}
    return http.post("/desk/scope", data=data | changes, files=files)


def act(http: httpx.Client, page: str, name: str, **data: str) -> httpx.Response:
    nonce = form_nonce(http.get(page), f"{page}/{name}")
    return http.post(f"{page}/{name}", data={"nonce": nonce, **data})


def link_to_sign(world: OfficeWorld, email: str) -> str:
    """Wait for the mail, and return the path of its link."""

    def found() -> list[str]:
        links = []
        for mail in world.mails_to(email):
            body = mail.get_body(("plain",))
            text = body.get_content() if body else ""
            links += re.findall(r"http\S+?(/desk/sign/\S+)", text)
        return links

    wait_until(lambda: bool(found()), within=20, what=f"a call to {email}")
    return found()[-1]


def states(world: OfficeWorld) -> list[str]:
    row = table(Revocation)
    with reading(world.engine) as connection:
        return list(
            connection.execute(
                select(row.c.state).order_by(row.c.certificate_id)
            ).scalars()
        )


def state(world: OfficeWorld) -> ScopeState:
    with reading(world.engine) as connection:
        (change,) = list_changes(connection, incident=INCIDENT)
    return change.state


def test_withdrawal_takes_effect_when_a_second_officer_signs_by_mail(
    world: OfficeWorld, chan: httpx.Client
) -> None:
    answer = propose(chan, "withdrawal")
    assert answer.status_code == 303, answer.text
    page = answer.headers["location"]
    shown = chan.get(page).text
    assert "2 certificates will not be revoked, now or later" in shown
    assert "host-1001.clinic.example" in shown
    assert "nothing is held" in shown

    assert act(chan, page, "sign", count="3").status_code == 422
    assert act(chan, page, "sign", count="2").status_code == 303
    assert states(world) == ["scheduled"] * 3
    assert "you have signed" in chan.get(page).text.casefold()

    link = link_to_sign(world, LAM)
    with world.browser() as anybody:  # no session: the link is the key
        seen = anybody.get(link)
        assert seen.status_code == 200
        assert WHY in seen.text
        assert "Sign as Lam Siu Fong" in seen.text
        assert states(world) == ["scheduled"] * 3  # I6
        wrong = anybody.post(link, data={"act": "sign", "count": "5"})
        assert wrong.status_code == 422
        elsewhere = anybody.post(
            link,
            data={"act": "sign", "count": "2"},
            headers={"Sec-Fetch-Site": "cross-site"},
        )
        assert elsewhere.status_code == 409
        done = anybody.post(link, data={"act": "sign", "count": "2"})
        assert done.status_code == 303
        again = anybody.get(done.headers["location"])
        assert "Agreed by two officers: 2 certificates withdrawn" in again.text
        assert anybody.post(link, data={"act": "sign", "count": "2"}).status_code == 303

    assert states(world) == ["withdrawn", "withdrawn", "scheduled"]
    assert world.mails_to(WONG) == []
    with reading(world.engine) as connection:
        problems = verify(connection, incident=INCIDENT).problems
    assert [p for p in problems if "scheduled" not in p] == []
    incident = chan.get(f"/desk/i/{INCIDENT}").text
    assert "Withdrawn: listed wrongly" in incident
    assert "2 withdrawn" in incident


def test_order_is_put_in_force_with_its_document_and_lifted(
    world: OfficeWorld, chan: httpx.Client
) -> None:
    answer = propose(chan, "order")
    assert answer.status_code == 303, answer.text
    page = answer.headers["location"]
    assert "will be missed for them, by 1 d at least" in chan.get(page).text
    assert "questions@cabforum.org" in chan.get(page).text
    act(chan, page, "sign", count="2")

    with world.browser() as lam:  # at the desk, too
        world.sign_in(lam, LAM)
        assert "waits for a second signature" in lam.get(f"/desk/i/{INCIDENT}").text
        file = lam.get(f"{page}/document")
        assert file.content == PDF
        assert file.headers["content-type"] == "application/pdf"
        assert "attachment" in file.headers["content-disposition"]
        assert "HCMP.pdf" in file.headers["content-disposition"]
        assert act(lam, page, "sign", count="2").status_code == 303
        assert "In force until" in lam.get(page).text

        with reading(world.engine) as connection:
            (change,) = list_changes(connection, incident=INCIDENT)
        assert change.ends_at == DEADLINE + 24 * HOUR
        later = act(lam, page, "end", ends_at="2026-03-09T00:00", reason="Varied")
        assert later.status_code == 422
        assert "earlier only" in later.text
        assert act(lam, page, "end", reason="").status_code == 422
        assert act(lam, page, "end", reason="Discharged").status_code == 303
        assert "Ended" in lam.get(page).text


def test_proposal_is_sent_back_when_something_is_to_be_mended(
    world: OfficeWorld, chan: httpx.Client
) -> None:
    for kind, changes, field in (
        ("withdrawal", {"certificates": ""}, "certificates"),
        ("withdrawal", {"certificates": "dead"}, "certificates"),
        ("withdrawal", {"reason": "x"}, "reason"),
        ("order", {"court": ""}, "court"),
        ("order", {"reference": ""}, "reference"),
        ("order", {"ends_at": ""}, "ends_at"),
        ("order", {"ends_at": "soon"}, "ends_at"),
        ("order", {"ends_at": "2026-03-01T00:00"}, "ends_at"),
        ("order", {"document": b""}, "document"),
        ("order", {"document": b"<html><script>alert(1)"}, "document"),
    ):
        answer = propose(chan, kind, **changes)

        assert answer.status_code == 422, (kind, changes)
        assert f'href="#{field}"' in answer.text
        assert WHY in answer.text or field == "reason"
    with reading(world.engine) as connection:
        assert list_changes(connection, incident=INCIDENT) == ()


def test_manager_sees_and_cannot_act(world: OfficeWorld, chan: httpx.Client) -> None:
    page = propose(chan, "withdrawal").headers["location"]
    with world.browser() as wong:
        world.sign_in(wong, WONG)
        assert wong.get(page).status_code == 200
        assert "Sign" not in re.findall(r"<button[^>]*>([^<]+)", wong.get(page).text)
        assert wong.get(f"{BASE}/new/withdrawal").status_code == 403
        for name in ("sign", "refuse", "end"):
            assert wong.post(f"{page}/{name}").status_code == 403
        assert wong.post("/desk/scope").status_code == 403


def test_link_is_dead_when_its_officer_left_the_list(
    world: OfficeWorld, chan: httpx.Client
) -> None:
    page = propose(chan, "withdrawal").headers["location"]
    act(chan, page, "sign", count="2")
    link = link_to_sign(world, LAM)
    world.list_people("name,email,role\nChan Tai Man,chan@ca.example,officer\n")

    with world.browser() as http:
        assert http.get(link).status_code == 404
        assert http.post(link, data={"act": "sign", "count": "2"}).status_code == 404
        assert http.get(link[:-3] + "abc").status_code == 404
    assert states(world) == ["scheduled"] * 3


def test_link_does_not_sign_when_the_first_officer_left_the_list(
    world: OfficeWorld, chan: httpx.Client
) -> None:
    page = propose(chan, "withdrawal").headers["location"]
    act(chan, page, "sign", count="2")
    link = link_to_sign(world, LAM)
    world.list_people("name,email,role\nLam Siu Fong,lam@ca.example,officer\n")

    with world.browser() as http:
        assert "no officer on the list any more" in http.get(link).text
        answer = http.post(link, data={"act": "sign", "count": "2"})
        assert answer.status_code == 409
        refused = http.post(link, data={"act": "refuse", "reason": "Chan has left"})
        assert refused.status_code == 303
    assert state(world) is ScopeState.REFUSED
    assert states(world) == ["scheduled"] * 3


def test_link_is_dead_after_a_day(
    world: OfficeWorld, chan: httpx.Client, clock: SteppedClock
) -> None:
    page = propose(chan, "withdrawal").headers["location"]
    act(chan, page, "sign", count="2")
    link = link_to_sign(world, LAM)

    clock.step_to(LAUNCH + timedelta(days=1))

    with world.browser() as http:
        assert http.get(link).status_code == 404


def test_session_by_a_printed_link_cannot_sign(world: OfficeWorld) -> None:
    officer = read_officers(world.settings.officers).find(address_key(CHAN))
    assert officer is not None
    path = print_link(
        world.engine,
        world.app.state.office.links,
        officer,
        clock=world.clock,
        valid=HOUR,
    )
    with world.browser() as http:
        assert http.post(path).status_code == 303
        page = propose(http, "withdrawal").headers["location"]
        answer = act(http, page, "sign", count="2")
        assert answer.status_code == 409
        assert "printed at the machine" in answer.text
