"""What a subscriber's act does to the rows, and when."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
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
from portal_server import GRACE, claims_for, make_csr
from sqlalchemy import Engine, func, select, update

from models.audit import Act
from models.base import table
from models.incident import AffectedCertificate, Incident
from models.outreach import Csr, Reply
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    CertificateId,
    Circumstance,
    ContactId,
    IncidentId,
    ReplyId,
    SubscriberId,
)
from tocsin.clock import SteppedClock
from tocsin.errors import Refused
from tocsin.links import LinkClaims
from tocsin.steps.replies import Overtaken, Taken, apply_due_replies, take_reply
from tocsin.steps.reply_acts import (
    Acknowledge,
    AcknowledgeChoice,
    ChangeContact,
    CsrFor,
    ReplyAct,
    ReportNoLongerRequired,
    ReportReplaced,
    SubmitCsrs,
    Undo,
)
from tocsin.store import audit
from tocsin.store.pages import subscriber_view
from tocsin.store.replies import next_due_reply
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.one_database

CERT = table(AffectedCertificate)
CONTACT = table(Contact)
CSR = table(Csr)
REPLY = table(Reply)
REVOCATIONS = table(Revocation)
SUBSCRIBER = table(Subscriber)

READ_IT = Acknowledge(choice=AcknowledgeChoice.MINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """A subscriber with three certificates, and one beside it with one."""

    engine: Engine
    clock: SteppedClock
    incident: IncidentId
    subscriber: SubscriberId
    contact: ContactId
    certificates: list[CertificateId]
    others: list[CertificateId]
    claims: LinkClaims

    def take(
        self, act: ReplyAct, nonce: str = "form-1", *, seen: ReplyId | None = None
    ) -> Taken:
        return take_reply(
            self.engine,
            claims=self.claims,
            act=act,
            nonce=nonce,
            clock=self.clock,
            grace_within=GRACE,
            mail_domain="ca.example",
            seen=seen,
        )

    def apply(self) -> tuple[int, int]:
        done = apply_due_replies(self.engine, self.clock, batch=100)
        return done.applied, done.brought_forward

    def replacement(self) -> list[str]:
        return self._column(
            select(CERT.c.replacement_state)
            .where(CERT.c.subscriber_id == self.subscriber)
            .order_by(CERT.c.id)
        )

    def revocation_times(self) -> list[timedelta]:
        """How much earlier than planned each certificate is revoked."""
        return [
            REVOCATION - at
            for at in self._column(
                select(REVOCATIONS.c.revocation_time)
                .where(REVOCATIONS.c.certificate_id.in_(self.certificates))
                .order_by(REVOCATIONS.c.certificate_id)
            )
        ]

    def subscriber_row(self) -> Mapping[str, Any]:
        with reading(self.engine) as connection:
            row = connection.execute(
                select(SUBSCRIBER).where(SUBSCRIBER.c.id == self.subscriber)
            ).one()
            return row._asdict()

    def count(self, of: Any) -> int:
        return int(self._column(select(func.count()).select_from(of))[0])

    def acts(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        with reading(self.engine) as connection:
            return [
                (row.actor, row.action, json.loads(row.detail))
                for row in connection.execute(select(table(Act)))
            ]

    def _column(self, query: Any) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(query).scalars())


@pytest.fixture
def clinic(engine: Engine, clock: SteppedClock) -> Clinic:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 3)
        other = insert_subscriber(connection, incident, "Other School")
        others = insert_certificates(
            connection, incident, other, 1, first_serial=0x2000
        )
        insert_revocations(connection, incident, [*certificates, *others])
    return Clinic(
        engine=engine,
        clock=clock,
        incident=incident,
        subscriber=subscriber,
        contact=contact,
        certificates=certificates,
        others=others,
        claims=claims_for(incident, subscriber, contact),
    )


def test_acknowledgement_counts_once_when_it_comes_twice(clinic: Clinic) -> None:
    clinic.take(READ_IT)
    clinic.clock.step_to(LAUNCH + HOUR)
    clinic.take(READ_IT, "form-2")

    row = clinic.subscriber_row()
    assert row["acknowledged_at"] == LAUNCH
    assert row["look_at"] == LAUNCH + HOUR


def test_i4_reply_is_filed_once_when_the_same_form_is_sent_twice(
    clinic: Clinic,
) -> None:
    act = ReportReplaced(certificates=(clinic.certificates[0],))
    first = clinic.take(act)
    second = clinic.take(act)

    assert (first.is_new, second.is_new) == (True, False)
    assert second.reply == first.reply
    assert clinic.count(REPLY) == 1
    assert len(clinic.acts()) == 1


def test_nothing_is_filed_when_somebody_did_something_since_the_page_was_made(
    clinic: Clinic,
) -> None:
    first = clinic.take(READ_IT)
    act = ReportReplaced(certificates=(clinic.certificates[0],))

    with pytest.raises(Overtaken):
        clinic.take(act, "form-2", seen=ReplyId(0))
    assert clinic.count(REPLY) == 1
    assert clinic.take(act, "form-2", seen=first.reply).is_new


def test_i4_same_form_is_known_again_though_something_was_done_since(
    clinic: Clinic,
) -> None:
    first = clinic.take(READ_IT, "form-1", seen=ReplyId(0))
    clinic.take(READ_IT, "form-2")

    assert clinic.take(READ_IT, "form-1", seen=ReplyId(0)).reply == first.reply


def test_i5_each_reply_is_on_record_with_the_contact_who_made_it(
    clinic: Clinic,
) -> None:
    taken = clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    clinic.clock.step_to(LAUNCH + GRACE)
    clinic.apply()

    (actor, action, detail), (engine, applied, what) = clinic.acts()
    assert (actor, action) == (f"contact:{clinic.contact}", "reply-received")
    assert detail["certificates"] == [clinic.certificates[0]]
    assert (engine, applied) == ("engine", "replies-applied")
    assert what == {"replies": [taken.reply], "brought_forward": 1}
    with reading(clinic.engine) as connection:
        verdict = audit.check_chain(connection, incident=clinic.incident)
    assert verdict.is_intact


def test_record_holds_no_address_when_a_contact_is_named(clinic: Clinic) -> None:
    clinic.take(
        ChangeContact(
            name="Wong Ka Yan", email="wong@clinic.example", phone="", instead_of=None
        )
    )

    assert "wong" not in json.dumps(clinic.acts()).casefold()


def test_report_waits_for_the_end_of_its_grace_period(clinic: Clinic) -> None:
    clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    clinic.clock.step_to(LAUNCH + GRACE - timedelta(seconds=1))

    assert clinic.apply() == (0, 0)
    assert clinic.replacement() == ["awaiting-csr"] * 3
    assert clinic.revocation_times() == [timedelta(0)] * 3
    with reading(clinic.engine) as connection:
        assert next_due_reply(connection) == LAUNCH + GRACE


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (ReportReplaced, "replaced"),
        (ReportNoLongerRequired, "no-longer-required"),
    ],
)
def test_i1_revocation_moves_to_now_and_never_later_when_a_report_takes_effect(
    clinic: Clinic,
    kind: type[ReportReplaced | ReportNoLongerRequired],
    state: str,
) -> None:
    clinic.take(kind(certificates=tuple(clinic.certificates[:2])))
    clinic.clock.step_to(LAUNCH + GRACE)

    assert clinic.apply() == (1, 2)
    assert clinic.apply() == (0, 0)
    assert clinic.replacement() == [state, state, "awaiting-csr"]
    early = REVOCATION - (LAUNCH + GRACE)
    assert clinic.revocation_times() == [early, early, timedelta(0)]
    with reading(clinic.engine) as connection:
        assert next_due_reply(connection) is None


def test_i1_revocation_stays_where_it_is_when_a_report_takes_effect_after_it(
    clinic: Clinic,
) -> None:
    clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    clinic.clock.step_to(REVOCATION + HOUR)

    assert clinic.apply() == (1, 0)
    assert clinic.revocation_times() == [timedelta(0)] * 3
    assert clinic.replacement()[0] == "replaced"


def test_policy_looks_again_when_a_report_takes_effect(clinic: Clinic) -> None:
    clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    clinic.clock.step_to(LAUNCH + GRACE)
    clinic.apply()

    assert clinic.subscriber_row()["look_at"] == LAUNCH + GRACE


def test_report_has_no_effect_when_it_was_undone(clinic: Clinic) -> None:
    taken = clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    clinic.take(Undo(reply=taken.reply), "form-2")
    clinic.clock.step_to(LAUNCH + GRACE)

    assert clinic.apply() == (0, 0)
    assert clinic.revocation_times() == [timedelta(0)] * 3


def test_report_can_be_made_again_when_it_was_undone(clinic: Clinic) -> None:
    act = ReportReplaced(certificates=(clinic.certificates[0],))
    taken = clinic.take(act)
    clinic.take(Undo(reply=taken.reply), "form-2")

    assert clinic.take(act, "form-3").is_new


def test_undo_is_refused_when_the_report_has_had_its_effect(clinic: Clinic) -> None:
    taken = clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    clinic.clock.step_to(LAUNCH + GRACE)
    clinic.apply()

    with pytest.raises(Refused, match="no longer be undone"):
        clinic.take(Undo(reply=taken.reply), "form-2")
    assert clinic.count(REPLY) == 1


def test_undo_is_refused_when_the_reply_is_another_subscribers(clinic: Clinic) -> None:
    taken = clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    stranger = _stranger(clinic)

    with pytest.raises(Refused):
        stranger.take(Undo(reply=ReplyId(taken.reply)), "form-2")
    clinic.clock.step_to(LAUNCH + GRACE)
    assert clinic.apply() == (1, 1)


def test_second_report_is_refused_when_one_about_the_certificate_waits(
    clinic: Clinic,
) -> None:
    clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))

    with pytest.raises(Refused, match="meanwhile"):
        clinic.take(
            ReportNoLongerRequired(certificates=tuple(clinic.certificates)), "form-2"
        )
    assert clinic.count(REPLY) == 1


@pytest.mark.parametrize("state", ["submitted", "revoked", "published"])
def test_report_is_refused_when_the_certificate_is_past_it(
    clinic: Clinic, state: str
) -> None:
    with writing(clinic.engine) as connection:
        connection.execute(update(REVOCATIONS).values(state=state))

    with pytest.raises(Refused):
        clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))


def test_csr_is_filed_and_counts_at_once(clinic: Clinic) -> None:
    pem = make_csr("host-1000.clinic.example")
    clinic.take(
        SubmitCsrs(csrs=(CsrFor(pem=pem, certificates=(clinic.certificates[0],)),))
    )

    assert clinic.replacement() == ["csr-received", "awaiting-csr", "awaiting-csr"]
    assert clinic.count(CSR) == 1
    assert clinic.subscriber_row()["acknowledged_at"] == LAUNCH
    assert clinic.subscriber_row()["look_at"] == LAUNCH


def _key_of_an_earlier_incident(
    clinic: Clinic, *, state: str, circumstance: Circumstance
) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    with writing(clinic.engine) as connection:
        earlier = insert_incident(
            connection, id="earlier", state=state, circumstance=circumstance.value
        )
        insert_certificates(
            connection, earlier, None, spki_sha256=sha256(spki).hexdigest()
        )
    return key


def test_csr_is_refused_when_its_key_was_why_somebodys_certificate_was_revoked(
    clinic: Clinic,
) -> None:
    key = _key_of_an_earlier_incident(
        clinic, state="closed", circumstance=Circumstance.KEY_COMPROMISE
    )
    pem = make_csr("host-1000.clinic.example", key=key)

    with pytest.raises(Refused, match="cannot be used"):
        clinic.take(
            SubmitCsrs(csrs=(CsrFor(pem=pem, certificates=(clinic.certificates[0],)),))
        )

    assert clinic.count(CSR) == 0


@pytest.mark.parametrize(
    ("state", "circumstance"),
    [("closed", Circumstance.MISISSUED), ("draft", Circumstance.KEY_COMPROMISE)],
)
def test_csr_is_taken_when_nobody_has_said_anything_against_its_key(
    clinic: Clinic, state: str, circumstance: Circumstance
) -> None:
    key = _key_of_an_earlier_incident(clinic, state=state, circumstance=circumstance)
    pem = make_csr("host-1000.clinic.example", key=key)

    clinic.take(
        SubmitCsrs(csrs=(CsrFor(pem=pem, certificates=(clinic.certificates[0],)),))
    )

    assert clinic.count(CSR) == 1


def test_csr_is_filed_once_when_the_same_comes_again(clinic: Clinic) -> None:
    act = SubmitCsrs(
        csrs=(
            CsrFor(
                pem=make_csr("host-1000.clinic.example"),
                certificates=(clinic.certificates[0],),
            ),
        )
    )
    clinic.take(act)
    clinic.take(act, "form-2")

    assert clinic.count(CSR) == 1


def test_newer_csr_is_filed_beside_the_first(clinic: Clinic) -> None:
    for number in range(2):
        csr = CsrFor(
            pem=make_csr("host-1000.clinic.example"),
            certificates=(clinic.certificates[0],),
        )
        clinic.take(SubmitCsrs(csrs=(csr,)), f"form-{number}")

    assert clinic.count(CSR) == 2
    assert clinic.replacement()[0] == "csr-received"


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param("nothing", id="no-csr"),
        pytest.param("", id="empty"),
        pytest.param("-----BEGIN PRIVATE KEY-----", id="private-key"),
        pytest.param(
            make_csr("a.clinic.example") + make_csr("b.clinic.example"), id="two"
        ),
    ],
)
def test_csr_is_checked_again_when_a_form_claims_that_it_was(
    clinic: Clinic, pem: str
) -> None:
    act = SubmitCsrs(csrs=(CsrFor(pem=pem, certificates=(clinic.certificates[0],)),))

    with pytest.raises(Refused, match="cannot be used"):
        clinic.take(act)
    assert clinic.count(REPLY) == 0


def test_others_certificate_is_refused_in_every_act(clinic: Clinic) -> None:
    theirs = (clinic.certificates[0], clinic.others[0])
    acts: list[ReplyAct] = [
        ReportReplaced(certificates=theirs),
        ReportNoLongerRequired(certificates=theirs),
        SubmitCsrs(
            csrs=(
                CsrFor(
                    pem=make_csr("host-2000.clinic.example"),
                    certificates=(clinic.others[0],),
                ),
            )
        ),
    ]
    for act in acts:
        with pytest.raises(Refused, match="not yours"):
            clinic.take(act)

    assert clinic.count(REPLY) == 0
    assert clinic.acts() == []


def test_reply_is_refused_when_the_incident_is_closed(clinic: Clinic) -> None:
    with writing(clinic.engine) as connection:
        connection.execute(update(table(Incident)).values(state="closed"))

    with pytest.raises(Refused, match="no replies"):
        clinic.take(READ_IT)


def test_batch_is_bounded_when_many_reports_are_due(clinic: Clinic) -> None:
    for number, certificate in enumerate(clinic.certificates):
        clinic.take(ReportReplaced(certificates=(certificate,)), f"form-{number}")
    clinic.clock.step_to(LAUNCH + GRACE)

    first = apply_due_replies(clinic.engine, clinic.clock, batch=2)
    second = apply_due_replies(clinic.engine, clinic.clock, batch=2)

    assert (first.applied, second.applied) == (2, 1)


def test_i3_totals_sum_to_the_number_of_certificates(clinic: Clinic) -> None:
    clinic.take(ReportReplaced(certificates=(clinic.certificates[0],)))
    clinic.clock.step_to(LAUNCH + GRACE)
    clinic.apply()
    with writing(clinic.engine) as connection:
        connection.execute(
            update(REVOCATIONS)
            .where(REVOCATIONS.c.certificate_id == clinic.certificates[0])
            .values(state="published")
        )

    with reading(clinic.engine) as connection:
        view = subscriber_view(
            connection,
            incident=clinic.incident,
            subscriber=clinic.subscriber,
            now=clinic.clock.now(),
        )
    assert view is not None
    t = view.totals
    assert t.all == 3
    assert t.without_csr + t.with_csr + t.replaced + t.given_up == t.all
    assert t.waiting + t.revoked == t.all
    assert view.next_revocation_time == REVOCATION


def test_due_query_uses_its_index(sqlite_engine: Engine) -> None:
    with reading(sqlite_engine) as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM reply"
            " WHERE state = 'pending' AND effective_at <= '2026-03-02'"
            " ORDER BY effective_at, id LIMIT 10"
        ).all()

    assert any("ix_reply_state_effective_at" in str(row) for row in plan)


def _stranger(clinic: Clinic) -> Clinic:
    with writing(clinic.engine) as connection:
        other = connection.execute(
            select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.name == "Other School")
        ).scalar_one()
        contact = insert_contact(
            connection, clinic.incident, SubscriberId(other), "head@school.example"
        )
    return replace(
        clinic, claims=claims_for(clinic.incident, SubscriberId(other), contact)
    )
