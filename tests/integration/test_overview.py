"""The subscriber's page is kept as it was written; nobody is ever shown an old one."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from factories import (
    DEADLINE,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_replacement,
    insert_revocations,
    insert_subscriber,
)
from portal_server import (
    GRACE,
    LINKS,
    claims_for,
    nonce_in,
    portal,
    visiting,
)
from sqlalchemy import Connection, Engine, Table, create_engine, update

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import CertificateId, ContactId, IncidentId, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.steps.replies import apply_due_replies
from tocsin.store.session import writing

pytestmark = [pytest.mark.server, pytest.mark.one_database]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """One subscriber with two contacts and three certificates."""

    engine: Engine
    clock: SteppedClock
    http: httpx.Client
    incident: IncidentId
    subscriber: SubscriberId
    contact: ContactId
    colleague: ContactId
    certificates: list[CertificateId]

    def base(self, contact: ContactId | None = None) -> str:
        claims = claims_for(self.incident, self.subscriber, contact or self.contact)
        return f"/s/{LINKS.sign(claims)}"

    def page(self, contact: ContactId | None = None, language: str = "en") -> str:
        answer = self.http.get(
            self.base(contact), headers={"Accept-Language": language}
        )
        assert answer.status_code == 200
        return answer.text

    def written_anew(
        self, contact: ContactId | None = None, language: str = "en"
    ) -> str:
        """Return the same page, which is written each time if its number is given."""
        answer = self.http.get(
            f"{self.base(contact)}?page=1", headers={"Accept-Language": language}
        )
        assert answer.status_code == 200
        return answer.text.replace("?page=1&amp;lang=", "?lang=")

    def change(self, of: type, key: object, **values: Any) -> None:
        with writing(self.engine) as connection:
            rows: Table = table(of)
            connection.execute(update(rows).where(rows.c.id == key).values(values))

    def do(self, slug: str, data: dict[str, Any]) -> None:
        check = self.http.post(f"{self.base()}/{slug}/check", data=data)
        assert check.status_code == 200, check.text
        done = self.http.post(
            f"{self.base()}/{slug}", data=data | {"nonce": nonce_in(check)}
        )
        assert done.status_code == 303

    def wait(self, span: timedelta) -> None:
        self.clock.step_to(self.clock.now() + span)


@pytest.fixture
def clinic(engine: Engine, clock: SteppedClock) -> Iterator[Clinic]:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        colleague = insert_contact(
            connection, incident, subscriber, "deputy@clinic.example", rank=2
        )
        certificates = insert_certificates(connection, incident, subscriber, 3)
        insert_revocations(connection, incident, certificates)
    with visiting(portal(engine, clock)) as http:
        yield Clinic(
            engine=engine,
            clock=clock,
            http=http,
            incident=incident,
            subscriber=subscriber,
            contact=contact,
            colleague=colleague,
            certificates=certificates,
        )


def _in_the_database(
    change: Callable[[Connection, Clinic], object],
) -> Callable[[Clinic], None]:
    def done(clinic: Clinic) -> None:
        with writing(clinic.engine) as connection:
            change(connection, clinic)

    return done


CHANGES: dict[str, Callable[[Clinic], object]] = {
    "an answer": lambda c: c.do("acknowledge", {"choice": "mine"}),
    "a report": lambda c: c.do("replaced", {"certificate": str(c.certificates[0])}),
    "the incident's title": lambda c: c.change(Incident, c.incident, title="Another"),
    "its deadline": lambda c: c.change(
        Incident, c.incident, deadline=DEADLINE - SECOND
    ),
    "the subscriber's name": lambda c: c.change(
        Subscriber, c.subscriber, name="Harbour <Hospital>"
    ),
    "their zone": lambda c: c.change(
        Subscriber, c.subscriber, zone="America/Sao_Paulo"
    ),
    "a contact's phone": lambda c: c.change(
        Contact, c.colleague, phone="+852 5550 0177"
    ),
    "a colleague who left": lambda c: c.change(Contact, c.colleague, state="removed"),
    "a replacement's state": lambda c: c.change(
        AffectedCertificate, c.certificates[0], replacement_state="replaced"
    ),
    "a revocation's state": _in_the_database(
        lambda connection, c: connection.execute(
            update(table(Revocation))
            .where(table(Revocation).c.certificate_id == c.certificates[1])
            .values(state="submitted")
        )
    ),
    "a replacement": _in_the_database(
        lambda connection, c: insert_replacement(
            connection, c.certificates[2], der=b"new"
        )
    ),
    "one more certificate": _in_the_database(
        lambda connection, c: insert_certificates(
            connection, c.incident, c.subscriber, first_serial=0x5000
        )
    ),
    "their language": lambda c: c.change(Subscriber, c.subscriber, language="zh-Hant"),
    "it is closed": lambda c: c.change(
        Incident, c.incident, state="closed", closed_at=DEADLINE
    ),
}


def test_page_is_written_anew_when_anything_on_it_changes(clinic: Clinic) -> None:
    for what, change in CHANGES.items():
        before = clinic.page()
        assert clinic.page() == before == clinic.written_anew()

        change(clinic)

        assert clinic.page() == clinic.written_anew() != before, what


def test_page_says_what_it_would_say_anew_whenever_it_is_asked_for(
    clinic: Clinic,
) -> None:
    clinic.do("replaced", {"certificate": str(clinic.certificates[0])})
    said = set()

    for span in (
        *(timedelta(0), SECOND, 58 * SECOND, SECOND, SECOND, MINUTE),
        *(GRACE - 3 * MINUTE, MINUTE, timedelta(microseconds=1), 5 * MINUTE, DAY),
        REVOCATION - LAUNCH - 2 * DAY,
        *(7 * MINUTE, SECOND, 10 * timedelta(hours=1), DAY, DAY),
    ):
        clinic.wait(span)
        said.add(clinic.page())
        assert clinic.page() == clinic.written_anew()
        apply_due_replies(clinic.engine, clock=clinic.clock, batch=100)
        assert clinic.page() == clinic.written_anew()

    assert len(said) > 10


def test_each_reader_sees_their_own_page_in_their_language(clinic: Clinic) -> None:
    clinic.change(Subscriber, clinic.subscriber, language="")
    pages = [
        (
            clinic.page(contact, language),
            clinic.page(contact, language),
            clinic.written_anew(contact, language),
        )
        for contact in (clinic.contact, clinic.colleague)
        for language in ("en", "zh-Hant")
    ]

    assert all(first == again == anew for first, again, anew in pages)
    assert len({first for first, _, _ in pages}) == 4


def test_new_link_of_the_same_contact_leads_on_by_itself(clinic: Clinic) -> None:
    first = clinic.page()
    another = LINKS.sign(
        claims_for(
            clinic.incident,
            clinic.subscriber,
            clinic.contact,
            lives=timedelta(days=31),
        )
    )

    page = clinic.http.get(f"/s/{another}").text

    assert clinic.base() in first
    assert f"/s/{another}/acknowledge" in page
    assert clinic.base() not in page


def test_page_that_was_kept_is_shown_to_nobody_whose_link_died(clinic: Clinic) -> None:
    clinic.page(clinic.colleague)
    dead = clinic.http.get("/s/made-up")

    clinic.change(Contact, clinic.colleague, token_generation=1)

    answer = clinic.http.get(clinic.base(clinic.colleague))
    assert (answer.status_code, answer.content) == (404, dead.content)
    clinic.change(Contact, clinic.colleague, token_generation=0)
    clinic.clock.step_to(DEADLINE + 30 * DAY)
    answer = clinic.http.get(clinic.base(clinic.colleague))
    assert (answer.status_code, answer.content) == (404, dead.content)


def test_page_of_more_certificates_than_fit_is_the_first_of_several(
    clinic: Clinic,
) -> None:
    with writing(clinic.engine) as connection:
        insert_certificates(
            connection,
            clinic.incident,
            clinic.subscriber,
            250,
            first_serial=0x3000,
        )

    page = clinic.page()

    assert page == clinic.page() == clinic.written_anew()
    assert "253 certificates" in page
    assert "Page 1 of 2" in page


def test_page_is_answered_while_somebody_writes(clinic: Clinic) -> None:
    with writing(clinic.engine) as connection:
        connection.execute(
            update(table(Subscriber)).values(name="Not yet called that Clinic")
        )

        page = clinic.page()

    assert "Not yet called that" not in page
    assert "Not yet called that" in clinic.page()


def test_nobody_else_waits_when_sqlite_lets_no_reader_in(
    sqlite_url: str, clock: SteppedClock
) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection:
        # Without WAL, one that writes shuts readers out.
        assert connection.execute("PRAGMA journal_mode=DELETE").fetchone() == (
            "delete",
        )
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
    address = f"/s/{LINKS.sign(claims_for(incident, subscriber, contact))}"

    with visiting(portal(engine, clock)) as http, ThreadPoolExecutor(1) as pool:
        usual = http.get(address).text
        with closing(sqlite3.connect(file, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            page = pool.submit(http.get, address)
            others = [http.get("/healthz").text for _ in range(20)]
            assert not page.done()
            writer.execute("ROLLBACK")

        assert page.result().text == usual
        assert others == ["ok\n"] * 20
    engine.dispose()
