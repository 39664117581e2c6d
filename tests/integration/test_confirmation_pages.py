"""The pages of who was named, and those where contacts are changed, over a real socket."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from factories import (
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from portal_server import LINKS, claims_for, nonce_in, portal, visiting
from sqlalchemy import Engine, select, update

from models.base import table
from models.incident import Incident
from models.outreach import Notice
from models.subscriber import Contact
from models.terms import ContactId, IncidentId, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.links import CONFIRMATION
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.server

WONG = {"name": "Wong Ka Yan", "email": "wong@clinic.example", "phone": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """A subscriber with two contacts; we visit as Chan."""

    engine: Engine
    http: httpx.Client
    incident: IncidentId
    subscriber: SubscriberId
    chan: ContactId
    lee: ContactId

    @property
    def base(self) -> str:
        return f"/s/{self.token(self.chan)}"

    def token(self, contact: ContactId, **changes: Any) -> str:
        return LINKS.sign(
            claims_for(self.incident, self.subscriber, contact, **changes)
        )

    def do(self, slug: str, data: dict[str, Any]) -> httpx.Response:
        check = self.http.post(f"{self.base}/{slug}/check", data=data)
        assert check.status_code == 200, check.text
        return self.http.post(
            f"{self.base}/{slug}", data=data | {"nonce": nonce_in(check)}
        )

    def contact(self, email: str) -> Any:
        with reading(self.engine) as connection:
            return connection.execute(
                select(table(Contact)).where(table(Contact).c.email == email)
            ).one()

    def name_wong(self, instead_of: str = "nobody") -> str:
        """Name somebody; returns their own page."""
        done = self.do("contact", WONG | {"instead_of": instead_of})
        assert done.status_code == 303, done.text
        key = ContactId(self.contact("wong@clinic.example").id)
        return f"/c/{self.token(key, purpose=CONFIRMATION)}"

    def say(self, page: str, choice: str) -> httpx.Response:
        check = self.http.post(f"{page}/check", data={"choice": choice})
        assert check.status_code == 200, check.text
        return self.http.post(page, data={"choice": choice, "nonce": nonce_in(check)})

    def mails(self) -> list[str]:
        with reading(self.engine) as connection:
            return list(
                connection.execute(
                    select(table(Notice).c.kind).order_by(table(Notice).c.id)
                ).scalars()
            )


@pytest.fixture
def clinic(sqlite_engine: Engine, clock: SteppedClock) -> Iterator[Clinic]:
    with writing(sqlite_engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        chan = insert_contact(connection, incident, subscriber)
        lee = insert_contact(
            connection, incident, subscriber, "lee@clinic.example", name="Lee", rank=2
        )
        insert_revocations(
            connection,
            incident,
            insert_certificates(connection, incident, subscriber, 2),
        )
    with visiting(portal(sqlite_engine, clock)) as http:
        yield Clinic(
            engine=sqlite_engine,
            http=http,
            incident=incident,
            subscriber=subscriber,
            chan=chan,
            lee=lee,
        )


def test_address_confirms_itself_and_the_old_ones_link_dies(clinic: Clinic) -> None:
    page = clinic.name_wong(str(clinic.chan))
    assert "waits for confirmation since" in clinic.http.get(clinic.base).text

    asked = clinic.http.get(page)
    done = clinic.say(page, "yes")
    after = clinic.http.get(page)

    assert "host-" not in asked.text
    for others in ("Chan", "Lee", "/s/", "certificates found"):
        assert others not in asked.text, others
    assert (done.status_code, done.headers["location"]) == (303, page)
    assert "Your address is confirmed" in after.text
    assert clinic.http.get(clinic.base).status_code == 404
    assert clinic.contact("wong@clinic.example").state == "active"
    assert clinic.mails().count("confirm-address") == 1


def test_who_says_not_me_is_let_alone(clinic: Clinic) -> None:
    page = clinic.name_wong(str(clinic.chan))
    assert clinic.say(page, "not-me").status_code == 303

    assert "You said: not me" in clinic.http.get(page).text
    assert clinic.http.get(clinic.base).status_code == 200
    again = clinic.do("contact", WONG | {"instead_of": "nobody"})
    assert again.status_code == 422
    assert "want no mails" in again.text


def test_i6_opening_and_the_first_button_confirm_nothing(clinic: Clinic) -> None:
    page = clinic.name_wong()
    for method in ("GET", "HEAD"):
        for _ in range(3):
            assert clinic.http.request(method, page).status_code == 200
    unchanged = clinic.http.post(f"{page}/check", data={})
    checked = clinic.http.post(f"{page}/check", data={"choice": "yes"})
    without = clinic.http.post(page, data={"choice": "yes"})
    other = clinic.http.post(
        page, data={"choice": "not-me", "nonce": nonce_in(checked)}
    )

    assert [one.status_code for one in (unchanged, checked, without, other)] == [
        422,
        200,
        409,
        409,
    ]
    assert clinic.contact("wong@clinic.example").state == "unconfirmed"


def test_link_of_who_waits_opens_nothing_of_the_subscriber(clinic: Clinic) -> None:
    page = clinic.name_wong()
    key = ContactId(clinic.contact("wong@clinic.example").id)
    token = page.removeprefix("/c/")
    bearer = {"Authorization": f"Bearer {token}"}

    assert clinic.http.get(f"/s/{token}").status_code == 404
    assert clinic.http.get(f"/s/{clinic.token(key)}").status_code == 404
    for interface in ("/api/v1/certificates", "/api/v1/contacts"):
        assert clinic.http.get(interface, headers=bearer).status_code == 401


def test_link_confirms_nothing_for_who_was_never_asked(clinic: Clinic) -> None:
    page = f"/c/{clinic.token(clinic.lee, purpose=CONFIRMATION)}"

    assert clinic.http.get(page).status_code == 404
    assert clinic.http.post(page, data={"choice": "yes"}).status_code == 404


def test_page_asks_for_nothing_when_the_incident_is_over(clinic: Clinic) -> None:
    page = clinic.name_wong()
    with writing(clinic.engine) as connection:
        connection.execute(update(table(Incident)).values(state="closed"))

    answer = clinic.http.get(page)
    assert answer.status_code == 200
    assert "This incident is over" in answer.text
    assert clinic.http.post(page, data={"choice": "yes"}).status_code == 303
    assert clinic.contact("wong@clinic.example").state == "unconfirmed"


def test_contact_is_removed_and_an_unconfirmed_one_withdrawn(clinic: Clinic) -> None:
    page = clinic.name_wong()
    wong = str(clinic.contact("wong@clinic.example").id)
    assert clinic.do("remove-contact", {"who": wong}).status_code == 303
    assert clinic.do("remove-contact", {"who": str(clinic.lee)}).status_code == 303
    last = clinic.do("remove-contact", {"who": str(clinic.chan)})

    assert clinic.http.get(page).status_code == 404
    assert last.status_code == 422
    assert "nobody else of yours can be reached" in last.text
    assert clinic.http.get(clinic.base).status_code == 200


def test_who_removes_themselves_reads_it_and_then_a_dead_link(clinic: Clinic) -> None:
    left = clinic.do("remove-contact", {"who": str(clinic.chan)})

    assert left.status_code == 200
    assert "your own link has stopped working" in left.text
    assert clinic.http.get(clinic.base).status_code == 404


def test_own_address_is_confirmed_by_a_tick_and_a_button(clinic: Clinic) -> None:
    unticked = clinic.http.post(f"{clinic.base}/my-address/check", data={})
    done = clinic.do("my-address", {"sure": "1"})

    assert (unticked.status_code, done.status_code) == (422, 303)
    assert "address confirmed on" in clinic.http.get(clinic.base).text


def test_confirmation_is_sent_again_only_after_a_while(
    clinic: Clinic, clock: SteppedClock
) -> None:
    clinic.name_wong()
    wong = {"who": str(clinic.contact("wong@clinic.example").id)}
    soon = clinic.do("ask-again", wong)
    clock.step_to(clock.now().replace(minute=clock.now().minute + 20))

    assert soon.status_code == 422
    assert clinic.do("ask-again", wong).status_code == 303
    assert clinic.mails().count("confirm-address") == 2


def test_interface_tells_who_waits(clinic: Clinic) -> None:
    clinic.name_wong(str(clinic.lee))
    answer = clinic.http.get(
        "/api/v1/contacts",
        headers={"Authorization": f"Bearer {clinic.token(clinic.chan)}"},
    )

    chan, lee, wong = answer.json()["contacts"]
    assert (chan["state"], chan["is_you"], lee["is_you"]) == ("active", True, False)
    assert (wong["state"], wong["instead_of"]) == ("unconfirmed", lee["id"])
    assert wong["waits_since"] is not None
    assert wong["address"] == "w***@clinic.example"
