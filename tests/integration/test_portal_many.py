"""Hundreds of certificates on one page: found, ticked over pages, one looked at closely."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from factories import (
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_replacement,
    insert_revocations,
    insert_subscriber,
)
from fakes.lists import make_certificate
from portal_server import LINKS, claims_for, nonce_in, portal, visiting
from sqlalchemy import Engine, select, update

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Reply
from models.terms import CertificateId, IncidentId, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.server

CERT = table(AffectedCertificate)
FIRST = 0x1000
SHOWN = re.compile(r'type="checkbox" name="certificate" value="(\d+)"')
TICKED = re.compile(r'name="certificate" value="(\d+)" checked')
HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """A subscriber with 250 certificates, host-1000 to host-10f9."""

    engine: Engine
    http: httpx.Client
    base: str
    incident: IncidentId
    subscriber: SubscriberId
    certificates: list[CertificateId]

    def ask(self, slug: str, **data: Any) -> str:
        """Press a button of a form that only shows the form again."""
        answer = self.http.post(f"{self.base}/{slug}/check", data=data)
        assert answer.status_code == 200
        return answer.text

    def reported(self) -> set[int]:
        with reading(self.engine) as connection:
            replies = connection.execute(select(table(Reply).c.certificate_ids))
            return {key for keys in replies.scalars() for key in keys}


@pytest.fixture
def many(engine: Engine, clock: SteppedClock) -> Iterator[Many]:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(
            connection, incident, subscriber, 250, first_serial=FIRST
        )
        insert_revocations(connection, incident, certificates)
    token = LINKS.sign(claims_for(incident, subscriber, contact))
    with visiting(portal(engine, clock)) as http:
        yield Many(
            engine=engine,
            http=http,
            base=f"/s/{token}",
            incident=incident,
            subscriber=subscriber,
            certificates=certificates,
        )


FOUND = {
    "host-10f": 10,
    "HOST-10F": 10,
    "10:F": 10,  # a serial number as some tools write it
    "clinic.example": 200,  # one page of all
    "100%": 0,
    "host_1": 0,
    "nowhere": 0,
}


def test_what_is_looked_for_is_shown(many: Many) -> None:
    for find, count in FOUND.items():
        for slug in ("", "/replaced", "/no-longer-required"):
            page = many.http.get(f"{many.base}{slug}", params={"find": find}).text
            rows = SHOWN.findall(page) if slug else re.findall('scope="row"', page)
            assert len(rows) == count, (find, slug)


def test_state_is_looked_for_together_with_the_name(many: Many) -> None:
    with writing(many.engine) as connection:
        connection.execute(
            update(CERT)
            .where(CERT.c.id.in_(many.certificates[:20]))
            .values(replacement_state="csr-received")
        )

    page = many.http.get(many.base, params={"find": "host-101", "state": "csr"}).text

    assert page.count('scope="row"') == 4
    assert "Shown: 4 certificates." in page


def test_ticks_stay_when_the_page_is_turned_or_the_filter_changed(many: Many) -> None:
    first, last = str(many.certificates[0]), str(many.certificates[-1])

    second = many.ask("replaced", certificate=first, page="2")
    assert "Ticked before and not shown here: 1 certificate." in second
    assert HIDDEN.findall(second).count(("certificate", first)) == 1
    found = many.ask("replaced", certificate=[first, last], find="host-10f9", show="1")

    assert TICKED.findall(found) == [last]
    kept = dict(HIDDEN.findall(found))
    assert kept["certificate"] == first
    check = many.http.post(
        f"{many.base}/replaced/check", data={"certificate": [first, last]}
    )
    assert "2 certificates" in check.text


def test_all_means_what_the_filter_shows(many: Many) -> None:
    page = many.ask("replaced", find="host-100", show="1")
    shown = {int(key) for key in SHOWN.findall(page)}
    assert len(shown) == 16
    data = dict(HIDDEN.findall(page)) | {"find": "host-100", "all": "1"}

    check = many.http.post(f"{many.base}/replaced/check", data=data)
    assert "16 certificates" in check.text
    carried = dict(HIDDEN.findall(check.text))
    done = many.http.post(f"{many.base}/replaced", data=carried)

    assert done.status_code == 303
    assert many.reported() == shown


def test_all_means_what_was_shown_and_not_what_was_typed_since(many: Many) -> None:
    data = {"all": "1", "find": "host-100"}  # nobody has pressed "Show"
    check = many.http.post(f"{many.base}/replaced/check", data=data)

    assert "250 certificates" in check.text


def test_all_must_be_ticked_again_when_the_filter_changes(many: Many) -> None:
    page = many.ask("replaced", all="1", find="host-100", show="1")

    assert 'name="all" value="1"> ' in page
    turned = many.ask("replaced", all="1", page="2")
    assert 'name="all" value="1" checked' in turned


def test_filtered_form_files_nothing(many: Many) -> None:
    check = many.http.post(
        f"{many.base}/replaced/check", data={"certificate": str(many.certificates[0])}
    )
    data = {"certificate": str(many.certificates[0]), "nonce": nonce_in(check)}
    many.ask("replaced", **data, show="1")

    assert many.reported() == set()


def test_old_and_new_certificate_stand_side_by_side(many: Many) -> None:
    key = many.certificates[0]
    new = make_certificate(
        0xABC, dns_names=["new.clinic.example", "other.clinic.example"]
    )
    page = f"{many.base}/certificate/{key}"
    before = many.http.get(page).text
    assert "No new one has been issued yet." in before
    with writing(many.engine) as connection:
        number = insert_replacement(connection, key, der=new)

    after = many.http.get(page).text

    assert "The new certificate lacks names of the old one:" in after
    assert "host-1000.clinic.example." in after
    assert "other.clinic.example" in after
    assert f"/replacement/{number}.pem" in after
    assert f"/csr?for={key}&amp;find=" in after


def test_certificate_page_is_dead_when_it_is_anothers(many: Many) -> None:
    with writing(many.engine) as connection:
        school = insert_subscriber(connection, many.incident, "Other School")
        (key,) = insert_certificates(
            connection, many.incident, school, 1, first_serial=0x9000
        )
    dead = many.http.get("/s/nothing").text

    for number in (key, 10**9, "x", "-1"):
        answer = many.http.get(f"{many.base}/certificate/{number}")
        assert (answer.status_code, answer.text) == (404, dead)


def test_one_certificate_is_offered_for_its_csr_when_there_are_hundreds(
    many: Many,
) -> None:
    key = many.certificates[-1]
    page = many.http.get(
        f"{many.base}/csr", params={"for": str(key), "find": "10f9"}
    ).text

    assert re.findall(r'<option value="(\d+)"', page) == [str(key)]
    assert f'<option value="{key}" selected>' in page
