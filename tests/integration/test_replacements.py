"""Newly issued certificates find the affected ones they supersede."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from factories import (
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from fakes.lists import make_certificate, pem
from portal_server import GRACE, claims_for, make_csr
from sqlalchemy import Engine, func, select

from models.audit import Act
from models.base import table
from models.incident import AffectedCertificate
from models.replacement import Replacement
from models.revocation import Revocation
from models.subscriber import Subscriber
from models.terms import CertificateId, IncidentId, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput
from tocsin.links import LinkClaims
from tocsin.steps.replacements import Replacements, record_replacements
from tocsin.steps.replies import take_reply
from tocsin.steps.reply_acts import CsrFor, SubmitCsrs
from tocsin.store.session import reading, writing

CERT = table(AffectedCertificate)
FIRST, SECOND = "host-1000.clinic.example", "host-1001.clinic.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An issuing desk: a running incident, and a folder with what was issued."""

    engine: Engine
    clock: SteppedClock
    folder: Path
    incident: IncidentId
    subscriber: SubscriberId
    claims: LinkClaims
    certificates: list[CertificateId]

    def record(self, *ders: bytes, **options: Any) -> Replacements:
        file = self.folder / "issued.pem"
        file.write_bytes(pem(ders))
        return record_replacements(
            self.engine,
            incident=self.incident,
            certificates=[file],
            chain=None,
            actor="officer",
            clock=self.clock,
            **options,
        )

    def states(self) -> list[str]:
        return self.column(select(CERT.c.replacement_state).order_by(CERT.c.id))

    def column(self, query: Any) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(query).scalars())


@pytest.fixture
def desk(engine: Engine, clock: SteppedClock, tmp_path: Path) -> Desk:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 2)
        insert_revocations(connection, incident, certificates)
    return Desk(
        engine=engine,
        clock=clock,
        folder=tmp_path,
        incident=incident,
        subscriber=subscriber,
        claims=claims_for(incident, subscriber, contact),
        certificates=certificates,
    )


def test_replacement_is_recorded_for_the_certificate_with_its_names(desk: Desk) -> None:
    found = desk.record(make_certificate(1, dns_names=[SECOND]))

    assert (found.entries, found.recorded, found.superseded) == (1, 1, 1)
    assert desk.states() == ["awaiting-csr", "replacement-issued"]
    assert desk.column(select(table(Subscriber).c.look_at)) == [LAUNCH]
    (act,) = desk.column(
        select(table(Act).c.detail).where(
            table(Act).c.action == "replacements-recorded"
        )
    )
    assert json.loads(act) == {"certificates": [desk.certificates[1]]}


def test_replacement_is_for_the_csr_with_its_key_when_its_names_differ(
    desk: Desk,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    take_reply(
        desk.engine,
        claims=desk.claims,
        act=SubmitCsrs(
            csrs=(
                CsrFor(
                    pem=make_csr(FIRST, "extra.clinic.example", key=key),
                    certificates=(desk.certificates[0],),
                ),
            )
        ),
        nonce="form-1",
        clock=desk.clock,
        grace_within=GRACE,
        mail_domain="ca.example",
    )

    found = desk.record(
        make_certificate(1, dns_names=[FIRST, "extra.clinic.example"], subject_key=key)
    )

    assert found.recorded == 1
    assert desk.states() == ["replacement-issued", "awaiting-csr"]


def test_i1_no_revocation_time_moves_when_a_replacement_is_recorded(desk: Desk) -> None:
    before = desk.column(select(table(Revocation).c.revocation_time))

    desk.record(make_certificate(1, dns_names=[FIRST]))

    assert desk.column(select(table(Revocation).c.revocation_time)) == before


def test_i4_nothing_changes_when_the_same_is_recorded_again(desk: Desk) -> None:
    new = make_certificate(1, dns_names=[FIRST])
    desk.record(new)

    again = desk.record(new, new)

    assert (again.recorded, again.known) == (0, 2)
    assert desk.column(select(func.count()).select_from(table(Replacement))) == [1]


def test_i3_what_matches_nothing_is_set_aside_with_its_row_and_reason(
    desk: Desk,
) -> None:
    found = desk.record(
        make_certificate(1, dns_names=[FIRST]),
        make_certificate(2, dns_names=["www.elsewhere.example"]),
        make_certificate(3, dns_names=[SECOND], precertificate=True),
        make_certificate(4, dns_names=["ca.example"], authority=True),
    )

    assert (found.entries, found.recorded, found.set_aside) == (4, 1, 3)
    reasons = [problem.finding for problem in found.problems]
    assert any("no CSR with its key" in reason for reason in reasons)
    assert any("a precertificate" in reason for reason in reasons)
    assert any("a CA's own certificate" in reason for reason in reasons)
    assert all(problem.row for problem in found.problems)


def test_nothing_is_recorded_in_a_rehearsal(desk: Desk) -> None:
    found = desk.record(make_certificate(1, dns_names=[FIRST]), is_rehearsal=True)

    assert found.recorded == 1
    assert desk.states() == ["awaiting-csr"] * 2
    assert desk.column(select(func.count()).select_from(table(Replacement))) == [0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no PEM", "not a chain"),
        ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----", "a private key"),
    ],
)
def test_chain_is_refused_when_subscribers_must_not_get_it(
    desk: Desk, text: str, why: str
) -> None:
    chain = desk.folder / "chain.pem"
    chain.write_text(text)

    with pytest.raises(BadInput, match=why):
        record_replacements(
            desk.engine,
            incident=desk.incident,
            certificates=[],
            chain=chain,
            actor="officer",
            clock=desk.clock,
        )
