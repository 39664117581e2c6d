"""The interface for scripts: what it does, and whom it lets in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from factories import (
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_replacement,
    insert_revocations,
    insert_subscriber,
)
from portal_server import CONFIG, GRACE, LINKS, claims_for, make_csr, portal, visiting
from sqlalchemy import Engine, func, select

from models.base import table
from models.outreach import Csr, Reply
from models.revocation import Revocation
from models.terms import CertificateId, IncidentId
from tocsin.clock import SteppedClock
from tocsin.links import LinkClaims
from tocsin.portal.api import API
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.server


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A subscriber's script, and another subscriber beside it."""

    engine: Engine
    http: httpx.Client
    incident: IncidentId
    claims: LinkClaims
    certificates: list[CertificateId]
    others: list[CertificateId]

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        held = LINKS.sign(self.claims) if token is None else token
        return self.http.request(
            method,
            f"{API}{path}",
            headers=({"Authorization": f"Bearer {held}"} if held else {})
            | (headers or {}),
            **options,
        )

    def count(self, of: Any) -> int:
        with reading(self.engine) as connection:
            query = select(func.count()).select_from(table(of))
            return int(connection.execute(query).scalar_one())


@pytest.fixture
def script(sqlite_engine: Engine, clock: SteppedClock) -> Iterator[Script]:
    with writing(sqlite_engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 3)
        other = insert_subscriber(connection, incident, "Other School")
        others = insert_certificates(connection, incident, other, first_serial=0x2000)
        insert_revocations(connection, incident, [*certificates, *others])
    with visiting(portal(sqlite_engine, clock)) as http:
        yield Script(
            engine=sqlite_engine,
            http=http,
            incident=incident,
            claims=claims_for(incident, subscriber, contact),
            certificates=certificates,
            others=others,
        )


def test_script_lists_its_certificates_and_no_others(script: Script) -> None:
    told = script.ask("GET", "/certificates").json()

    assert [one["id"] for one in told["certificates"]] == script.certificates
    assert told["total"] == 3
    assert told["certificates"][0]["replacement_state"] == "awaiting-csr"


def test_script_hands_in_csrs_and_hears_of_each(script: Script) -> None:
    csrs = [
        make_csr("host-1000.clinic.example"),
        "no CSR",
        make_csr("www.elsewhere.example"),
        make_csr("host-1002.clinic.example"),
    ]

    answer = script.ask("POST", "/csrs", json={"csrs": csrs})

    assert answer.status_code == 201
    told = answer.json()
    assert [(one["number"], one["certificates"]) for one in told["handed_in"]] == [
        (1, [script.certificates[0]]),
        (4, [script.certificates[2]]),
    ]
    assert sorted(
        (one["number"], one["findings"][0]["code"]) for one in told["refused"]
    ) == [(2, "not-a-csr"), (3, "name-unmatched")]
    assert script.count(Csr) == 2


def test_nothing_is_filed_when_no_csr_can_be_used(script: Script) -> None:
    answer = script.ask("POST", "/csrs", json={"csrs": ["nothing"]})

    assert answer.status_code == 422
    assert answer.json()["refused"][0]["findings"][0]["code"] == "not-a-csr"
    assert script.count(Reply) == 0


def test_private_key_is_neither_stored_nor_said_again(script: Script) -> None:
    key = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
    )

    answer = script.ask("POST", "/csrs", json={"csrs": [key]})

    assert answer.status_code == 422
    assert answer.json()["refused"][0]["findings"][0]["code"] == "private-key"
    assert key.splitlines()[1] not in answer.text


def test_report_takes_effect_after_the_grace_period(script: Script) -> None:
    answer = script.ask(
        "POST", "/replaced", json={"certificates": [script.certificates[0]]}
    )

    assert answer.status_code == 202
    effective_at = answer.json()["effective_at"].replace("Z", "+00:00")
    assert effective_at == (LAUNCH + GRACE).isoformat()


def test_i4_report_is_filed_once_when_it_is_repeated_with_its_key(
    script: Script,
) -> None:
    answers = [
        script.ask(
            "POST",
            "/no-longer-required",
            json={"certificates": [script.certificates[0]]},
            headers={"Idempotency-Key": "job-7"},
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert script.count(Reply) == 1


def test_replacement_is_fetched_by_its_owner_only(script: Script) -> None:
    with writing(script.engine) as connection:
        own = insert_replacement(connection, script.certificates[0], der=b"mine")
        others = insert_replacement(connection, script.others[0], der=b"theirs")

    assert script.ask("GET", f"/replacements/{own}").text.startswith("-----BEGIN")
    assert script.ask("GET", f"/replacements/{others}").status_code == 404


@pytest.mark.parametrize("path", ["/replaced", "/no-longer-required"])
def test_others_certificates_are_out_of_reach(script: Script, path: str) -> None:
    answer = script.ask("POST", path, json={"certificates": [script.others[0]]})

    assert answer.status_code == 409
    assert script.count(Reply) == 0
    with reading(script.engine) as connection:
        times = connection.execute(select(table(Revocation).c.revocation_time))
        assert len(set(times.scalars())) == 1


def test_nobody_is_let_in_without_a_living_token(script: Script) -> None:
    tokens = {
        "none": "",
        "forged": LINKS.sign(script.claims)[:-2] + "xx",
        "expired": LINKS.sign(
            claims_for(
                script.incident,
                script.claims.subscriber,
                script.claims.contact,
                lives=timedelta(days=-30),
            )
        ),
        "revoked": LINKS.sign(
            claims_for(
                script.incident,
                script.claims.subscriber,
                script.claims.contact,
                generation=-1,
            )
        ),
    }
    routes = [
        ("GET", "/certificates"),
        ("GET", "/contacts"),
        ("POST", "/csrs"),
        ("POST", "/replaced"),
        ("POST", "/no-longer-required"),
        ("POST", "/not-mine"),
        ("POST", "/help"),
        ("GET", "/replacements/1"),
    ]
    described = script.http.get(f"{API}/openapi.json").json()["paths"]
    assert {path.replace("{key}", "1") for path in described} == {
        path for _, path in routes
    }

    answers = {
        script.ask(method, path, token=token, json={}).text
        for token in tokens.values()
        for method, path in routes
    }

    assert len(answers) == 1
    assert script.count(Reply) == 0


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/not-mine", {}, "not-mine"),
        ("/not-mine", {"certificates": [1], "message": "The branch's"}, "not-mine"),
        ("/help", {"message": "Stuck", "phone": "+852 5550 0101"}, "ask-help"),
    ],
)
def test_what_only_a_person_can_see_to_is_filed_and_moves_nothing(
    script: Script, path: str, body: dict[str, Any], kind: str
) -> None:
    if "certificates" in body:
        body = body | {"certificates": [script.certificates[0]]}

    answer = script.ask("POST", path, json=body, headers={"Idempotency-Key": "once"})
    again = script.ask("POST", path, json=body, headers={"Idempotency-Key": "once"})

    assert (answer.status_code, again.json()) == (202, answer.json())
    until = datetime.fromisoformat(answer.json()["can_be_undone_until"])
    assert until == LAUNCH + GRACE
    with reading(script.engine) as connection:
        (row,) = connection.execute(select(table(Reply)))
        times = set(
            connection.execute(select(table(Revocation).c.revocation_time)).scalars()
        )
    assert (row.kind, row.message) == (kind, body.get("message", ""))
    assert len(times) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/help", {"message": "Stuck"}, 422),
        ("/help", {"message": " ", "phone": "+852 5550 0101"}, 422),
        ("/help", {"message": "Stuck", "phone": "call me"}, 422),
        ("/help", {"message": "x" * 2_001, "phone": "+852 5550 0101"}, 422),
        ("/not-mine", {"certificates": [10_000]}, 409),
    ],
)
def test_asking_that_cannot_be_used_is_refused_and_not_filed(
    script: Script, path: str, body: dict[str, Any], status: int
) -> None:
    assert script.ask("POST", path, json=body).status_code == status
    assert script.count(Reply) == 0


def test_private_key_in_a_message_is_neither_stored_nor_sent_back(
    script: Script,
) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"

    answer = script.ask("POST", "/not-mine", json={"message": key})

    assert answer.status_code == 422
    assert "compromised" in answer.text
    assert "MIIEvQIBADANBg" not in answer.text
    assert script.count(Reply) == 0


def test_requests_beyond_the_rate_are_refused_with_a_time_to_wait(
    sqlite_engine: Engine, clock: SteppedClock
) -> None:
    app = portal(sqlite_engine, clock, requests_per_minute=3)
    with visiting(app) as http:
        codes = [
            http.get(
                f"{API}/certificates", headers={"Authorization": "Bearer x"}
            ).status_code
            for _ in range(5)
        ]
        answer = http.get(f"{API}/certificates", headers={"Authorization": "Bearer x"})

        assert codes.count(401) >= 3
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "60"
        # Another link is not held up by it.
        assert http.get("/s/other").status_code == 404


def test_browsers_are_told_to_keep_to_tls_when_the_portal_is_behind_it(
    script: Script,
) -> None:
    assert CONFIG.public_url.startswith("https:")

    answer = script.http.get("/healthz")

    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_fault_of_ours_is_a_problem_like_others(script: Script) -> None:
    with script.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE csr RENAME TO gone")

    answer = script.ask("GET", "/certificates")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["title"] == "Something went wrong on our side"
    assert CONFIG.ca_phone in answer.json()["detail"]
    assert "gone" not in answer.text
