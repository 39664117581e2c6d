"""The portal tells ACME clients of affected certificates to renew."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from cryptography import x509
from factories import (
    LAUNCH,
    insert_certificates,
    insert_incident,
    insert_subscriber,
)
from fakes.lists import make_certificate
from portal_server import portal, visiting
from sqlalchemy import Engine, insert

from models.base import table
from models.incident import CertificateBody
from models.terms import IncidentId
from tocsin.clock import SteppedClock
from tocsin.store.session import writing

pytestmark = pytest.mark.server

AUTHORITY_KEY = b"the issuer's key ID!"


def identifier(serial: int, key: bytes = AUTHORITY_KEY) -> str:
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return ".".join(
        base64.urlsafe_b64encode(one).decode().rstrip("=") for one in (key, octets)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    engine: Engine
    http: httpx.Client
    incident: IncidentId

    def ask(self, serial: int, key: bytes = AUTHORITY_KEY) -> httpx.Response:
        return self.http.get(f"/renewal-info/{identifier(serial, key)}")


@pytest.fixture
def asked(engine: Engine, clock: SteppedClock) -> Iterator[Asked]:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        # 0x8000 has a sign to keep apart, 0x9000 is known by its serial only.
        (known,) = insert_certificates(
            connection, incident, subscriber, first_serial=0x8000
        )
        insert_certificates(connection, incident, subscriber, first_serial=0x9000)
        der = make_certificate(
            0x8000, authority_key=x509.AuthorityKeyIdentifier(AUTHORITY_KEY, None, None)
        )
        connection.execute(
            insert(table(CertificateBody)).values(certificate_id=known, der=der)
        )
    with visiting(portal(engine, clock)) as http:
        yield Asked(engine=engine, http=http, incident=incident)


@pytest.mark.parametrize("serial", [0x8000, 0x9000])
def test_client_is_told_to_renew_at_once_when_its_certificate_is_affected(
    asked: Asked, serial: int
) -> None:
    answer = asked.ask(serial)

    assert answer.status_code == 200
    window = answer.json()["suggestedWindow"]
    assert window["start"] < window["end"] < f"{LAUNCH:%Y-%m-%dT%H:%M:%SZ}"
    assert 60 <= int(answer.headers["retry-after"]) <= 6 * 3600


def test_explanation_is_a_page_that_anybody_can_read(asked: Asked) -> None:
    address = asked.ask(0x8000).json()["explanationURL"]

    assert address == f"https://certificates.ca.example/incident/{asked.incident}"
    page = asked.http.get(f"/incident/{asked.incident}")
    assert page.status_code == 200
    assert "A test incident" in page.text
    assert "4.9.1.1 (12)" in page.text
    assert "Harbour Clinic" not in page.text


@pytest.mark.parametrize(
    ("serial", "key"), [(0x7000, AUTHORITY_KEY), (0x8000, b"another issuer's key")]
)
def test_nothing_is_said_of_a_certificate_that_is_not_affected(
    asked: Asked, serial: int, key: bytes
) -> None:
    assert asked.ask(serial, key).status_code == 404


def test_nothing_is_said_while_the_incident_is_a_draft(asked: Asked) -> None:
    with writing(asked.engine) as connection:
        drafted = insert_incident(connection, id="draft", state="draft")
        insert_certificates(connection, drafted, None, first_serial=0xA000)

    assert asked.ask(0xA000).status_code == 404
    assert asked.http.get(f"/incident/{drafted}").status_code == 404


def test_problem_document_is_the_answer_to_what_is_no_identifier(asked: Asked) -> None:
    answer = asked.http.get("/renewal-info/nonsense")

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:ietf:params:acme:error:malformed"
