"""The portal over a real socket: who gets in, what changes, and what does not."""

import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
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
    DEADLINE,
    HOUR,
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_replacement,
    insert_revocations,
    insert_subscriber,
)
from fakes.lists import make_certificate, pem
from fakes.stack import wait_until
from fastapi import FastAPI
from portal_server import (
    CONFIG,
    GRACE,
    LINKS,
    claims_for,
    is_healthy,
    make_csr,
    nonce_in,
    portal,
    visiting,
    visitor,
)
from sqlalchemy import Engine, func, select, update
from sqlmodel import SQLModel
from starlette.routing import Route

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.outreach import Csr, Reply
from models.revocation import Revocation
from models.terms import CertificateId, ContactId, IncidentId, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.links import Links
from tocsin.steps.replies import apply_due_replies
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.server

CERT = table(AffectedCertificate)
SCRIPT = re.compile(r'<script src="/static/portal\.js\?v=\w+" defer></script>')


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Two subscribers of one incident; we visit as the first."""

    engine: Engine
    clock: SteppedClock
    app: FastAPI
    http: httpx.Client
    incident: IncidentId
    subscriber: SubscriberId
    contact: ContactId
    certificates: list[CertificateId]
    other: SubscriberId
    others_contact: ContactId
    others: list[CertificateId]

    @property
    def base(self) -> str:
        return f"/s/{self.token()}"

    def token(self, **changes: Any) -> str:
        return LINKS.sign(
            claims_for(self.incident, self.subscriber, self.contact, **changes)
        )

    def fingerprint(self) -> str:
        """Hash every row of every table."""
        digest = hashlib.sha256()
        with reading(self.engine) as connection:
            for one in SQLModel.metadata.sorted_tables:
                rows = sorted(repr(row) for row in connection.execute(select(one)))
                digest.update(f"{one.name}{rows}".encode())
        return digest.hexdigest()

    def count(self, of: Any) -> int:
        with reading(self.engine) as connection:
            return int(
                connection.execute(select(func.count()).select_from(of)).scalar_one()
            )

    def replacement(self) -> list[str]:
        with reading(self.engine) as connection:
            return list(
                connection.execute(
                    select(CERT.c.replacement_state).order_by(CERT.c.id)
                ).scalars()
            )

    def do(self, slug: str, data: dict[str, Any]) -> httpx.Response:
        """Fill in a form, check it, press the button."""
        check = self.http.post(f"{self.base}/{slug}/check", data=data)
        assert check.status_code == 200, check.text
        return self.http.post(
            f"{self.base}/{slug}", data=data | {"nonce": nonce_in(check)}
        )


@pytest.fixture
def world(sqlite_engine: Engine, clock: SteppedClock) -> Iterator[World]:
    with writing(sqlite_engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 3)
        other = insert_subscriber(connection, incident, "Other School")
        others_contact = insert_contact(
            connection, incident, other, "head@school.example", name="Head Teacher"
        )
        others = insert_certificates(
            connection,
            incident,
            other,
            1,
            first_serial=0x2000,
            dns_names=["www.school.example"],
            subject="CN=www.school.example",
        )
        insert_revocations(connection, incident, [*certificates, *others])
    app = portal(sqlite_engine, clock)
    with visiting(app) as http:
        yield World(
            engine=sqlite_engine,
            clock=clock,
            app=app,
            http=http,
            incident=incident,
            subscriber=subscriber,
            contact=contact,
            certificates=certificates,
            other=other,
            others_contact=others_contact,
            others=others,
        )


def _addresses(
    app: FastAPI, token: str, *, reply: int = 1, key: int = 1, certificate: int = 1
) -> list[tuple[str, str]]:
    """Return every method and address that the application answers to subscribers."""
    return [
        (
            method,
            route.path.format(
                token=token,
                reply=reply,
                key=key,
                certificate=certificate,
                incident="test-incident",
                identifier="AA.EAA",
            ),
        )
        for route in app.routes
        if isinstance(route, Route)
        # The CA's own people have links of their own: test_escalations.py.
        if not route.path.startswith("/e/")
        for method in sorted(route.methods or ())
    ]


def test_i6_get_and_head_change_nothing_on_any_route(world: World) -> None:
    world.do("replaced", {"certificate": str(world.certificates[0])})
    with writing(world.engine) as connection:
        key = insert_replacement(connection, world.certificates[1], der=b"new")
    before = world.fingerprint()
    addresses = _addresses(world.app, world.token(), key=key)
    assert len(addresses) > 20

    for method, address in addresses:
        # What is behind the link of who was named needs that link.
        if method in ("GET", "HEAD") and not address.startswith("/c/"):
            answer = world.http.request(method, address)
            assert answer.status_code == 200, (method, address)

    assert world.fingerprint() == before


def test_i6_check_pages_change_nothing(world: World) -> None:
    before = world.fingerprint()
    forms: dict[str, dict[str, Any]] = {
        "acknowledge": {"choice": "mine"},
        "replaced": {"all": "1"},
        "no-longer-required": {"certificate": str(world.certificates[0])},
        "csr": {"csr": make_csr("host-1000.clinic.example")},
        "contact": {
            "name": "Wong Ka Yan",
            "email": "wong@clinic.example",
            "instead_of": str(world.contact),
        },
        "not-mine": {
            "scope": "certificates",
            "certificate": str(world.certificates[0]),
            "name": "Branch office",
            "email": "it@branch.example",
        },
        "remove-contact": {"who": str(world.contact)},
        "my-address": {"sure": "1"},
        "help": {"message": "Stuck", "phone": "+852 5550 0101"},
        "more-time": {"message": "The vendor is closed"},
    }

    for slug, data in forms.items():
        answer = world.http.post(f"{world.base}/{slug}/check", data=data)
        assert answer.status_code == 200, slug

    assert world.fingerprint() == before


def test_scanner_that_presses_every_first_button_changes_nothing(world: World) -> None:
    before = world.fingerprint()
    page = world.http.get(world.base).text
    links = set(re.findall(rf'href="({re.escape(world.base)}/[^"]*)"', page))
    assert len(links) >= 5

    for link in links:
        form = world.http.get(link).text
        if "<form" not in form:
            assert "/certificate/" in link
            continue
        action = re.search(r'<form method="post" action="([^"]+)"', form)
        assert action
        untouched = dict(
            re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
        )
        answer = world.http.post(action[1], data=untouched)
        assert answer.status_code == 422
        assert "<title>Error: " in answer.text

    assert world.fingerprint() == before


def _dead_tokens(world: World) -> dict[str, str]:
    token = world.token()
    return {
        "none": "x",
        "forged": Links(["another secret, long enough as well, it is"]).sign(
            claims_for(world.incident, world.subscriber, world.contact)
        ),
        "cut short": token[:-3],
        "expired": world.token(lives=LAUNCH - DEADLINE - HOUR),
        "other purpose": world.token(purpose="officer"),
        "older generation": world.token(generation=-1),
        "another's contact": LINKS.sign(
            claims_for(world.incident, world.subscriber, world.others_contact)
        ),
        "another incident": LINKS.sign(
            claims_for(IncidentId("elsewhere"), world.subscriber, world.contact)
        ),
    }


def test_dead_links_all_get_the_same_answer_on_every_route(world: World) -> None:
    before = world.fingerprint()
    reference = world.http.get("/s/nothing")
    assert reference.status_code == 404

    for name, token in _dead_tokens(world).items():
        for method, address in _addresses(world.app, token):
            if token not in address or method == "HEAD":
                continue
            answer = world.http.request(method, address, data={"nonce": "x"})
            assert answer.status_code == 404, (name, method, address)
            assert answer.text == reference.text
            assert answer.headers.items() == reference.headers.items() or (
                set(answer.headers) == set(reference.headers)
            )

    assert world.http.get("/nowhere").text == reference.text
    assert world.fingerprint() == before


def test_another_subscribers_data_is_out_of_reach(world: World) -> None:
    theirs = {"certificate": [str(world.certificates[0]), str(world.others[0])]}
    for slug in ("replaced", "no-longer-required", "not-mine"):
        answer = world.http.post(
            f"{world.base}/{slug}/check", data=theirs | {"scope": "certificates"}
        )
        assert answer.status_code == 422
        assert "school" not in answer.text
    csr = {"csr": make_csr("www.school.example"), "for": str(world.others[0])}
    answer = world.http.post(f"{world.base}/csr/check", data=csr)
    assert answer.status_code == 422
    contact = {
        "name": "Mallory",
        "email": "m@elsewhere.example",
        "instead_of": str(world.others_contact),
    }
    answer = world.http.post(f"{world.base}/contact/check", data=contact)
    assert answer.status_code == 422

    assert world.count(table(Reply)) == 0


def test_another_subscribers_csr_matches_nothing(world: World) -> None:
    answer = world.http.post(
        f"{world.base}/csr/check", data={"csr": make_csr("www.school.example")}
    )

    assert answer.status_code == 422
    assert "none of your affected certificates" in answer.text


def test_new_certificates_are_fetched_with_their_chain(world: World) -> None:
    new, chain = (
        make_certificate(0xABC, dns_names=["host-1000.clinic.example"]),
        "CHAIN",
    )
    with writing(world.engine) as connection:
        key = insert_replacement(
            connection, world.certificates[0], der=new, chain=f"{chain}\n"
        )

    one = world.http.get(f"{world.base}/replacement/{key}.pem")
    every = world.http.get(f"{world.base}/replacements.zip")

    assert one.content == pem([new]) + b"CHAIN\n"
    assert one.headers["content-disposition"] == (
        'attachment; filename="host-1000.clinic.example-0abc.pem"'
    )
    with zipfile.ZipFile(io.BytesIO(every.content)) as archive:
        (name,) = archive.namelist()
        assert archive.read(name) == one.content
    assert f"replacement/{key}.pem" in world.http.get(world.base).text


def test_another_subscribers_new_certificate_is_as_good_as_a_dead_link(
    world: World,
) -> None:
    with writing(world.engine) as connection:
        key = insert_replacement(connection, world.others[0], der=b"new")

    assert world.http.get(f"{world.base}/replacement/{key}.pem").status_code == 404
    assert world.http.get(f"{world.base}/replacements.zip").status_code == 404


def test_another_subscribers_reply_is_as_good_as_a_dead_link(world: World) -> None:
    done = world.do("replaced", {"certificate": str(world.certificates[0])})
    number = done.headers["location"].rpartition("/")[2]
    stranger = LINKS.sign(claims_for(world.incident, world.other, world.others_contact))
    dead = world.http.get("/s/nothing").text

    for address in (f"/s/{stranger}/done/{number}", f"/s/{stranger}/undo/{number}"):
        assert world.http.get(address).text == dead
    answer = world.http.post(f"/s/{stranger}/undo/{number}", data={"nonce": "x"})

    assert answer.text == dead


def test_nonce_of_another_contact_does_nothing(world: World) -> None:
    data = {"certificate": str(world.certificates[0])}
    check = world.http.post(f"{world.base}/replaced/check", data=data)
    with writing(world.engine) as connection:
        colleague = insert_contact(
            connection, world.incident, world.subscriber, "b@clinic.example", rank=2
        )
    token = LINKS.sign(claims_for(world.incident, world.subscriber, colleague))

    answer = world.http.post(
        f"/s/{token}/replaced", data=data | {"nonce": nonce_in(check)}
    )

    assert answer.status_code == 409
    assert world.count(table(Reply)) == 0


def test_what_was_not_on_the_check_page_is_not_done(world: World) -> None:
    check = world.http.post(
        f"{world.base}/replaced/check",
        data={"certificate": str(world.certificates[0])},
    )
    swapped = {"certificate": str(world.certificates[1]), "nonce": nonce_in(check)}
    answer = world.http.post(f"{world.base}/replaced", data=swapped)

    assert answer.status_code == 409
    assert "There is a problem" in answer.text
    assert world.count(table(Reply)) == 0


@pytest.mark.parametrize("nonce", [{}, {"nonce": ""}, {"nonce": "made up"}])
def test_nothing_is_done_without_the_check_page(
    world: World, nonce: dict[str, str]
) -> None:
    answer = world.http.post(
        f"{world.base}/acknowledge", data={"choice": "mine"} | nonce
    )

    assert answer.status_code == 409
    assert world.count(table(Reply)) == 0


def test_check_page_is_shown_again_when_it_lay_open_for_a_day(world: World) -> None:
    data = {"choice": "mine"}
    check = world.http.post(f"{world.base}/acknowledge/check", data=data)
    world.clock.step_to(LAUNCH + timedelta(days=1))
    late = world.http.post(
        f"{world.base}/acknowledge", data=data | {"nonce": nonce_in(check)}
    )

    assert late.status_code == 409
    again = world.http.post(
        f"{world.base}/acknowledge", data=data | {"nonce": nonce_in(late)}
    )
    assert again.status_code == 303


def test_i4_same_form_sent_twice_leads_to_the_same_confirmation(world: World) -> None:
    data = {"certificate": str(world.certificates[0])}
    check = world.http.post(f"{world.base}/replaced/check", data=data)
    send = data | {"nonce": nonce_in(check)}

    first = world.http.post(f"{world.base}/replaced", data=send)
    second = world.http.post(f"{world.base}/replaced", data=send)

    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["location"] == second.headers["location"]
    assert world.count(table(Reply)) == 1


def _colleague(world: World) -> str:
    """Add a second contact; return the address of their page."""
    with writing(world.engine) as connection:
        colleague = insert_contact(
            connection,
            world.incident,
            world.subscriber,
            "lee@clinic.example",
            rank=2,
            name="Lee Siu Ling",
        )
    return "/s/" + LINKS.sign(claims_for(world.incident, world.subscriber, colleague))


def test_nobody_overwrites_unseen_what_a_colleague_did_meanwhile(
    world: World,
) -> None:
    colleague = _colleague(world)
    mine = {"certificate": str(world.certificates[0])}
    check = world.http.post(f"{world.base}/replaced/check", data=mine)
    theirs = {"certificate": str(world.certificates[1])}
    their_check = world.http.post(f"{colleague}/replaced/check", data=theirs)
    world.http.post(
        f"{colleague}/replaced", data=theirs | {"nonce": nonce_in(their_check)}
    )
    world.clock.step_to(LAUNCH + timedelta(minutes=2))

    told = world.http.post(
        f"{world.base}/replaced", data=mine | {"nonce": nonce_in(check)}
    )

    assert told.status_code == 409
    assert "1 certificate reported as replaced by Lee Siu Ling (contact 2)" in told.text
    assert "2 minutes ago" in told.text
    assert world.count(table(Reply)) == 1
    again = world.http.post(
        f"{world.base}/replaced", data=mine | {"nonce": nonce_in(told)}
    )
    assert again.status_code == 303
    assert world.count(table(Reply)) == 2


def test_what_a_colleague_did_while_a_form_lay_open_is_shown_on_the_check_page(
    world: World,
) -> None:
    colleague = _colleague(world)
    form = world.http.get(f"{world.base}/acknowledge").text
    seen = re.search(r'name="seen" value="(\d+)"', form)
    assert seen
    check = world.http.post(f"{colleague}/acknowledge/check", data={"choice": "mine"})
    world.http.post(
        f"{colleague}/acknowledge", data={"choice": "mine", "nonce": nonce_in(check)}
    )

    told = world.http.post(
        f"{world.base}/acknowledge/check", data={"choice": "mine", "seen": seen[1]}
    )

    assert told.status_code == 200
    assert "Notice acknowledged by Lee Siu Ling (contact 2)" in told.text


def test_nonce_is_of_one_state_of_things_however_its_end_is_altered(
    world: World,
) -> None:
    world.do("acknowledge", {"choice": "mine"})
    data = {"choice": "passed-on"}
    check = world.http.post(f"{world.base}/acknowledge/check", data=data)
    nonce = nonce_in(check)
    assert nonce.endswith("~1")

    for altered in (nonce.removesuffix("1") + "99", nonce.removesuffix("~1")):
        answer = world.http.post(
            f"{world.base}/acknowledge", data=data | {"nonce": altered}
        )
        assert answer.status_code == 409
    assert world.count(table(Reply)) == 1


def test_colleagues_addresses_are_not_shown_in_full(world: World) -> None:
    colleague = _colleague(world)

    for page in (
        world.http.get(world.base).text,
        world.http.get(f"{world.base}/contact").text,
    ):
        assert "admin@clinic.example" in page
        assert "lee@clinic.example" not in page
        assert "l***@clinic.example" in page
    assert "lee@clinic.example" in world.http.get(colleague).text


def test_report_of_all_takes_those_that_can_be_reported(world: World) -> None:
    world.do("replaced", {"certificate": str(world.certificates[0])})
    world.do("no-longer-required", {"all": "1"})
    world.clock.step_to(LAUNCH + GRACE)
    apply_due_replies(world.engine, world.clock, batch=10)

    assert world.replacement() == [
        "replaced",
        "no-longer-required",
        "no-longer-required",
        "awaiting-csr",
    ]


def test_undo_is_offered_until_the_report_takes_effect(world: World) -> None:
    done = world.do("replaced", {"certificate": str(world.certificates[0])})
    number = done.headers["location"].rpartition("/")[2]
    undo = f"{world.base}/undo/{number}"
    assert undo in world.http.get(world.base).text
    assert undo in world.http.get(done.headers["location"]).text

    answer = world.http.post(
        undo, data={"nonce": nonce_in(world.http.get(undo)), "sure": "1"}
    )

    assert answer.status_code == 303
    assert undo not in world.http.get(world.base).text
    assert "Taken back" in world.http.get(done.headers["location"]).text


def test_nothing_is_undone_when_a_machine_presses_the_button(world: World) -> None:
    done = world.do("replaced", {"certificate": str(world.certificates[0])})
    undo = f"{world.base}/undo/{done.headers['location'].rpartition('/')[2]}"

    answer = world.http.post(undo, data={"nonce": nonce_in(world.http.get(undo))})

    assert answer.status_code == 422
    assert "Tick that you want to undo" in answer.text
    assert undo in world.http.get(world.base).text


def test_undo_leads_to_how_it_stands_when_it_is_too_late(world: World) -> None:
    done = world.do("replaced", {"certificate": str(world.certificates[0])})
    number = done.headers["location"].rpartition("/")[2]
    undo = f"{world.base}/undo/{number}"
    nonce = nonce_in(world.http.get(undo))
    world.clock.step_to(LAUNCH + GRACE)
    apply_due_replies(world.engine, world.clock, batch=10)

    answer = world.http.post(undo, data={"nonce": nonce, "sure": "1"})

    assert answer.headers["location"] == done.headers["location"]
    assert "cannot be undone any more" in world.http.get(done.headers["location"]).text


def test_request_for_more_time_is_answered_on_the_page_with_the_rule_and_what_helps(
    world: World,
) -> None:
    done = world.do("more-time", {"message": "The vendor is closed"})
    page = world.http.get(done.headers["location"]).text

    assert "There is no extension." in page
    assert "TLS BR 4.9.1.1 (12)" in page
    for slug in ("csr", "contact", "help"):
        assert f"{world.base}/{slug}" in page


@pytest.mark.parametrize(
    ("slug", "data", "words"),
    [
        ("not-mine", {"scope": "everything"}, "Reported: not the right person"),
        ("help", {"message": "Stuck", "phone": "+852 5550 0101"}, "Help asked for"),
    ],
)
def test_asking_for_a_person_can_be_taken_back_on_the_page(
    world: World, slug: str, data: dict[str, str], words: str
) -> None:
    done = world.do(slug, data)
    number = done.headers["location"].rpartition("/")[2]
    undo = f"{world.base}/undo/{number}"
    assert words in world.http.get(world.base).text
    assert (
        "time of the revocation stays" in world.http.get(done.headers["location"]).text
    )

    answer = world.http.post(
        undo, data={"nonce": nonce_in(world.http.get(undo)), "sure": "1"}
    )

    assert answer.status_code == 303
    assert (
        "Our people see that it was taken back."
        in world.http.get(answer.headers["location"]).text
    )
    assert undo not in world.http.get(world.base).text


@pytest.mark.parametrize(
    ("slug", "data", "field"),
    [
        ("not-mine", {}, "scope"),
        ("not-mine", {"scope": "certificates"}, "certificate"),
        ("not-mine", {"scope": "everything", "name": "IT"}, "email"),
        ("help", {"message": "Stuck", "phone": "call me"}, "phone"),
        ("help", {"phone": "+852 5550 0101"}, "message"),
        ("more-time", {"message": "x" * 2_001}, "message"),
    ],
)
def test_asking_names_what_to_mend_and_keeps_what_was_entered(
    world: World, slug: str, data: dict[str, str], field: str
) -> None:
    answer = world.http.post(f"{world.base}/{slug}/check", data=data)

    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert f'aria-describedby="{field}-problem"' in answer.text
    for value in set(data.values()) - {"everything", "certificates"}:
        assert value in answer.text


def test_private_key_in_a_message_is_neither_stored_nor_shown(world: World) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"
    before = world.fingerprint()

    answer = world.http.post(
        f"{world.base}/help/check", data={"message": key, "phone": "+852 5550 0101"}
    )

    assert answer.status_code == 422
    assert "Consider this key compromised" in answer.text
    assert "MIIEvQIBADANBg" not in answer.text
    assert world.fingerprint() == before


def test_what_was_written_is_shown_and_not_run(world: World) -> None:
    data = {"message": "<script>alert(1)</script>", "phone": "+852 5550 0101"}
    done = world.do("help", data)

    page = world.http.get(done.headers["location"]).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_files_and_text_are_handed_in_together(world: World) -> None:
    files = [
        ("file", ("a.csr", make_csr("host-1000.clinic.example").encode())),
        ("file", ("b.csr", make_csr("host-1001.clinic.example").encode())),
        ("file", ("photo.jpg", b"\xff\xd8\xff\xe0 no CSR")),
    ]
    check = world.http.post(
        f"{world.base}/csr/check",
        data={"csr": make_csr("host-1002.clinic.example")},
        files=files,
    )
    assert "Hand in 3 CSRs" in check.text
    assert "photo.jpg" in check.text
    carried = re.findall(r'name="csr" value="([^"]+)"', check.text)
    assert len(carried) == 3

    answer = world.http.post(
        f"{world.base}/csr", data={"csr": carried, "nonce": nonce_in(check)}
    )

    assert answer.status_code == 303
    assert world.count(table(Csr)) == 3
    assert world.replacement()[:3] == ["csr-received"] * 3


def test_hundred_csrs_in_one_zip_are_handed_in_within_three_seconds(
    world: World,
) -> None:
    with writing(world.engine) as connection:
        insert_certificates(
            connection, world.incident, world.subscriber, 100, first_serial=0x9000
        )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(0x9000, 0x9000 + 100):
            name = f"host-{number:x}.clinic.example"
            archive.writestr(f"{name}.csr", make_csr(name))
    started_at = time.perf_counter()

    check = world.http.post(
        f"{world.base}/csr/check", files={"file": ("all.zip", file.getvalue())}
    )
    carried = re.findall(r'name="csr" value="([^"]+)"', check.text)
    answer = world.http.post(
        f"{world.base}/csr", data={"csr": carried, "nonce": nonce_in(check)}
    )

    took = time.perf_counter() - started_at
    assert "Hand in 100 CSRs" in check.text
    assert answer.status_code == 303
    assert world.replacement().count("csr-received") == 100
    assert took < 3


def test_private_key_is_neither_stored_nor_shown_again(world: World) -> None:
    key = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
    )
    before = world.fingerprint()
    secret = key.splitlines()[1]

    for send in (
        {"data": {"csr": make_csr("host-1000.clinic.example") + key}},
        {"files": [("file", ("server.key", key.encode()))]},
    ):
        answer = world.http.post(f"{world.base}/csr/check", **send)
        assert answer.status_code == 422
        assert "Treat that key as compromised" in answer.text
        assert secret not in answer.text

    assert world.fingerprint() == before


def test_entered_data_is_kept_when_something_must_be_mended(world: World) -> None:
    answer = world.http.post(
        f"{world.base}/contact/check",
        data={"name": "Wong Ka Yan", "email": "wong@", "phone": "12"},
    )

    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert 'value="Wong Ka Yan"' in answer.text
    assert 'value="wong@"' in answer.text
    assert 'href="#email"' in answer.text
    assert 'aria-describedby="email-problem"' in answer.text


@pytest.mark.parametrize(
    "email", ["a@b.example\nBcc: c@d.example", "a b@c.example", "@", "", "a@b@c"]
)
def test_address_is_refused_when_no_mail_can_go_there(world: World, email: str) -> None:
    data = {"name": "Wong", "email": email, "instead_of": "nobody"}

    answer = world.http.post(f"{world.base}/contact/check", data=data)

    assert answer.status_code == 422


def test_contact_names_are_shown_and_not_run(world: World) -> None:
    world.do(
        "contact",
        {
            "name": "<script>alert(1)</script>",
            "email": "wong@clinic.example",
            "phone": "",
            "instead_of": "nobody",
        },
    )

    page = world.http.get(world.base).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_upload_is_refused_when_it_is_too_large(world: World) -> None:
    too_much = b"x" * (CONFIG.max_upload_bytes + 1)
    answer = world.http.post(
        f"{world.base}/csr/check", files=[("file", ("big.csr", too_much))]
    )

    assert answer.status_code == 413
    assert "That is too large" in answer.text


def test_request_is_cut_off_when_it_never_ends(world: World) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 100_000_000:
            read += 65_536
            yield b"x" * 65_536

    try:
        answer = world.http.post(
            f"{world.base}/csr/check",
            content=endless(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    except httpx.TransportError:
        pass  # the server hung up, as it may
    else:
        assert answer.status_code in (400, 413)

    assert read < 50_000_000


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=x", "text/plain", ""],
)
def test_broken_form_gets_a_page_and_no_fault(world: World, content_type: str) -> None:
    answer = world.http.post(
        f"{world.base}/csr/check",
        content=b"--x\r\nnot a form \x00\xff",
        headers={"Content-Type": content_type},
    )

    assert answer.status_code in (400, 422)
    assert "</html>" in answer.text


@pytest.mark.parametrize("number", ["-1", "x", "9" * 30, "1e3", "½", "0"])
def test_odd_numbers_in_addresses_are_harmless(world: World, number: str) -> None:
    assert world.http.get(f"{world.base}?page={number}").status_code == 200
    assert world.http.get(f"{world.base}/done/{number}").status_code == 404
    answer = world.http.post(
        f"{world.base}/replaced/check", data={"certificate": number}
    )
    assert answer.status_code == 422


def test_certificate_takes_no_report_when_it_is_published(world: World) -> None:
    _revoke(world)

    page = world.http.get(f"{world.base}/replaced")
    answer = world.http.post(
        f"{world.base}/replaced/check", data={"certificate": str(world.certificates[0])}
    )

    assert "There is nothing to report" in page.text
    assert answer.status_code == 422
    assert "All 3 certificates are revoked" in world.http.get(world.base).text


def test_csr_is_still_taken_when_the_certificate_is_published(world: World) -> None:
    _revoke(world)

    answer = world.do("csr", {"csr": make_csr("host-1000.clinic.example")})

    assert answer.status_code == 303


def test_page_stays_and_takes_nothing_when_the_incident_is_closed(
    world: World,
) -> None:
    _revoke(world)
    with writing(world.engine) as connection:
        connection.execute(
            update(table(Incident)).values(state="closed", closed_at=DEADLINE)
        )

    assert "This incident is over" in world.http.get(world.base).text
    assert world.http.get(f"{world.base}/csr").status_code == 409
    answer = world.http.post(f"{world.base}/acknowledge/check", data={"choice": "mine"})
    assert answer.status_code == 409


def test_link_is_dead_while_the_incident_is_a_draft(world: World) -> None:
    with writing(world.engine) as connection:
        drafted = insert_incident(connection, id="draft", state="draft")
        subscriber = insert_subscriber(connection, drafted)
        contact = insert_contact(connection, drafted, subscriber)
    token = LINKS.sign(claims_for(drafted, subscriber, contact))

    assert world.http.get(f"/s/{token}").status_code == 404


def test_page_says_when_in_both_zones_with_weekday_and_distance(world: World) -> None:
    page = world.http.get(world.base).text

    assert "Saturday 7 March 2026, 11:00 HKT" in page
    assert '<time datetime="2026-03-07T03:00:00Z">' in page
    assert "03:00 UTC" in page
    assert "in 4 days 15 hours" in page
    assert "TLS BR 4.9.1.1 (12)" in page


def test_pages_are_short_when_there_are_hundreds_of_certificates(world: World) -> None:
    with writing(world.engine) as connection:
        more = insert_certificates(
            connection, world.incident, world.subscriber, 250, first_serial=0x5000
        )
        insert_revocations(connection, world.incident, more)

    first = world.http.get(world.base).text
    second = world.http.get(f"{world.base}?page=2").text

    assert "253 certificates" in first
    assert first.count('scope="row"') == 200
    assert second.count('scope="row"') == 53


def test_all_means_all_pages(world: World) -> None:
    with writing(world.engine) as connection:
        more = insert_certificates(
            connection, world.incident, world.subscriber, 250, first_serial=0x5000
        )
        insert_revocations(connection, world.incident, more)

    world.do("replaced", {"all": "1"})
    world.clock.step_to(LAUNCH + GRACE)

    assert apply_due_replies(world.engine, world.clock, batch=9).brought_forward == 253


def test_every_answer_carries_the_security_headers(world: World) -> None:
    answers = [
        world.http.get(world.base),
        world.http.get("/s/nothing"),
        world.http.post(f"{world.base}/acknowledge/check", data={}),
        world.http.get("/healthz"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_have_no_inline_script_or_style(world: World) -> None:
    for method, address in _addresses(world.app, world.token()):
        if method == "GET":
            answer = world.http.get(address)
            page = answer.text
            scripts = re.findall(r"<script[^>]*>[^<]*</script>", page)
            assert page.count("<script") == len(scripts)
            assert all(SCRIPT.fullmatch(script) for script in scripts)
            policy = answer.headers["content-security-policy"]
            assert ("script-src 'self'" in policy) == bool(scripts)
            assert " style=" not in page
            assert not re.search(r"\son\w+=", page)


def test_fault_of_ours_is_a_page_that_leaks_nothing(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    with writing(world.engine) as connection:
        connection.exec_driver_sql("DROP TABLE csr")

    answer = world.http.get(world.base)

    assert answer.status_code == 500
    assert "went wrong on our side" in answer.text
    assert "csr" not in answer.text.lower().replace("description", "")
    assert answer.headers["cache-control"] == "no-store"
    out, err = capfd.readouterr()
    assert world.token() not in out + err


def test_no_token_is_logged(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.http.get(world.base)
    world.do("acknowledge", {"choice": "mine"})

    out, err = capfd.readouterr()
    assert world.token() not in out + err
    assert "clinic" not in out + err


def _revoke(world: World) -> None:
    with writing(world.engine) as connection:
        connection.execute(
            update(table(Revocation)).values(
                state="published", revoked_at=LAUNCH, published_at=LAUNCH
            )
        )


def test_server_answers_and_ends_when_told_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tocsin.portal.app"],
        cwd=tmp_path,
        env=os.environ
        | {
            "TOCSIN_DATA_DIRECTORY": str(tmp_path / "data"),
            "TOCSIN_PORTAL_PORT": str(port),
        },
        stderr=subprocess.PIPE,
    )
    try:
        with visitor(f"http://127.0.0.1:{port}") as http:
            wait_until(lambda: is_healthy(http), within=60, what="the portal")
            dead = http.get("/s/a-token-to-look-for")
        assert dead.status_code == 404
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)
    assert b"Portal starts" in err
    assert b"a-token-to-look-for" not in err
