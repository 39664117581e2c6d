"""Figures that sum (I3), counted in SQL on both databases."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    MADE_AWARE,
    REVOCATION,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from sqlalchemy import Connection, Engine, insert, text, update

from models.base import table
from models.incident import AffectedCertificate, Entry
from models.outreach import Csr, Escalation, Notice, Reply
from models.revocation import Revocation
from models.terms import (
    CertificateId,
    ContactId,
    ContactState,
    EscalationCause,
    EscalationState,
    IncidentId,
    NoticeKind,
    NoticeState,
    ReplacementState,
    ReplyKind,
    RevocationState,
    SubscriberId,
)
from tocsin.errors import BadInput, Broken
from tocsin.policy.ladder import shipped_ladder
from tocsin.policy.progress import incident_forecast
from tocsin.store import figures as store_figures
from tocsin.store.figures import (
    certificate_rows,
    incident_figures,
    published_over_time,
)
from tocsin.store.session import reading, writing
from tocsin.store.summaries import incident_summary, list_incidents
from tocsin.store.timetable import timetable
from tocsin.store.worklists import (
    live_escalations,
    subscribers_owing_csr,
    unreachable,
)

PLAN = {"rate_per_second": 10.0, "publication_delay_seconds": 3600}


def insert_entries(
    connection: Connection, incident: IncidentId, **outcomes: int
) -> None:
    for outcome, count in outcomes.items():
        for number in range(count):
            connection.execute(
                insert(table(Entry)).values(
                    incident_id=incident,
                    file="list.pem",
                    row=number + 1,
                    outcome=outcome.replace("_", "-"),
                )
            )


def insert_notice(
    connection: Connection, incident: IncidentId, contact: ContactId, **changes: Any
) -> None:
    row = {
        "incident_id": incident,
        "contact_id": contact,
        "kind": NoticeKind.INITIAL.value,
        "sequence": 0,
        "state": NoticeState.SENT.value,
        "planned_at": LAUNCH,
        "due_at": LAUNCH,
        "sent_at": LAUNCH,
        "attempts": 1,
        "possibly_repeated": 0,
    } | changes
    key = f"{contact}-{row['kind']}-{row['sequence']}"
    connection.execute(
        insert(table(Notice)).values(row | {"message_id": key, "verp_token": key})
    )


def insert_reply(
    connection: Connection,
    incident: IncidentId,
    subscriber: SubscriberId,
    contact: ContactId,
    *,
    nonce: str,
    kind: ReplyKind = ReplyKind.SUBMIT_CSR,
    state: str = "applied",
) -> int:
    result: Any = connection.execute(
        insert(table(Reply)).values(
            incident_id=incident,
            subscriber_id=subscriber,
            contact_id=contact,
            kind=kind.value,
            state=state,
            nonce=nonce,
            received_at=LAUNCH + HOUR,
            effective_at=LAUNCH + HOUR,
            certificate_ids=[],
        )
    )
    return int(result.inserted_primary_key[0])


def insert_csr(
    connection: Connection, reply: int, certificate: CertificateId, sha256: str
) -> None:
    connection.execute(
        insert(table(Csr)).values(
            reply_id=reply,
            certificate_id=certificate,
            sha256=sha256,
            pem="",
            findings=[],
            received_at=LAUNCH + HOUR,
        )
    )


def insert_escalation(
    connection: Connection,
    incident: IncidentId,
    subscriber: SubscriberId,
    **changes: Any,
) -> None:
    connection.execute(
        insert(table(Escalation)).values(
            {
                "incident_id": incident,
                "subscriber_id": subscriber,
                "cause": EscalationCause.CSR_MISSING.value,
                "level": 6,
                "step": "Operations managers take over missing CSRs",
                "state": EscalationState.TOLD.value,
                "targets": ["operations-manager"],
                "raised_at": LAUNCH + HOUR,
                "told_at": LAUNCH + HOUR,
            }
            | changes
        )
    )


def publish(
    connection: Connection, certificates: Sequence[CertificateId], at: datetime
) -> None:
    revocation = table(Revocation)
    connection.execute(
        update(revocation)
        .where(revocation.c.certificate_id.in_(certificates))
        .values(
            state=RevocationState.PUBLISHED.value,
            revoked_at=at - HOUR,
            ca_revoked_at=at - HOUR,
            published_at=at,
            published_reason=4,
            answer="done",
        )
    )


def replace(
    connection: Connection,
    certificates: Sequence[CertificateId],
    state: ReplacementState,
) -> None:
    certificate = table(AffectedCertificate)
    connection.execute(
        update(certificate)
        .where(certificate.c.id.in_(certificates))
        .values(replacement_state=state.value)
    )


def count(engine: Engine, incident: IncidentId, now: datetime = REVOCATION) -> Any:
    with reading(engine) as connection:
        return incident_figures(connection, incident=incident, now=now)


def test_i3_every_certificate_is_counted_once_when_states_are_mixed(
    engine: Engine,
) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection, plan=PLAN)
        subscriber = insert_subscriber(connection, incident)
        insert_entries(connection, incident, accepted=10, duplicate=3, set_aside=2)
        certificates = insert_certificates(connection, incident, subscriber, 8)
        certificates += insert_certificates(
            connection, incident, None, 2, first_serial=0x2000, not_after=LAUNCH
        )
        insert_revocations(connection, incident, certificates)
        publish(connection, certificates[:3], DEADLINE)
        publish(connection, certificates[3:4], DEADLINE + timedelta(microseconds=1))
        replace(connection, certificates[:2], ReplacementState.REPLACED)
        revocation = table(Revocation)
        for certificate, answer in zip(
            certificates[4:7], ("refused", "refused", "retry"), strict=True
        ):
            connection.execute(
                update(revocation)
                .where(revocation.c.certificate_id == certificate)
                .values(state="submitted", answer=answer)
            )

    seen = count(engine, incident, DEADLINE + HOUR)

    assert seen.certificates == 10
    assert seen.revocation == {"scheduled": 3, "submitted": 3, "revoked": 0} | {
        "published": 4,
        "withdrawn": 0,
    }
    assert (seen.published_before_deadline, seen.published_late) == (3, 1)
    assert (seen.published, seen.unpublished, seen.overdue) == (4, 6, 6)
    assert (seen.entries, seen.accepted, seen.duplicates) == (15, 10, 3)
    assert seen.set_aside == 2
    assert (seen.unclaimed, seen.expired, seen.unscheduled) == (2, 2, 0)
    assert seen.replacement["replaced"] == 2
    assert sum(seen.replacement.values()) == 10
    assert seen.problems == {"refused": 2, "retry": 1}
    assert seen.first_revoked_at == DEADLINE - HOUR
    assert seen.last_published_at == DEADLINE + timedelta(microseconds=1)
    assert seen.published_with_other_reason == 0
    outlook = incident_forecast(seen)
    assert outlook is not None
    assert "does not revoke 2 of 10" in outlook.sentence


def test_i3_counting_stops_when_a_revocation_belongs_to_another_incident(
    engine: Engine,
) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        other = insert_incident(connection, id="other")
        certificates = insert_certificates(connection, incident, None, 2)
        insert_revocations(connection, other, certificates)
        insert_revocations(
            connection,
            other,
            insert_certificates(connection, other, None, 1),
        )

    with pytest.raises(Broken, match="by revocation state are 0 together, and 2"):
        count(engine, incident)


def test_i3_counting_stops_when_an_entry_has_no_known_outcome(engine: Engine) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        insert_entries(connection, incident, accepted=1, lost=1)

    with pytest.raises(Broken, match="entries"):
        count(engine, incident)


def test_people_are_counted_when_they_were_told_and_answered(engine: Engine) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        one = insert_subscriber(connection, incident, acknowledged_at=LAUNCH + HOUR)
        two = insert_subscriber(connection, incident, "Harbour School")
        insert_certificates(connection, incident, two, 1, first_serial=0x2000)
        # A directory names everybody; an incident concerns some.
        insert_contact(
            connection,
            incident,
            insert_subscriber(connection, incident, "Not concerned"),
            "a@elsewhere.example",
        )
        first = insert_contact(connection, incident, one)
        lost = insert_contact(
            connection, incident, two, "gone@school.example", state="unreachable"
        )
        staff = insert_contact(
            connection, incident, None, "ops@ca.example", role="operations-manager"
        )
        insert_notice(connection, incident, first, possibly_repeated=1)
        insert_notice(connection, incident, lost, state="bounced", bounced_at=LAUNCH)
        insert_notice(
            connection, incident, first, kind="reminder", sequence=3, state="failed"
        )
        insert_notice(connection, incident, staff, kind="escalation", sequence=6)
        [certificate, _] = insert_certificates(connection, incident, one, 2)
        reply = insert_reply(connection, incident, one, first, nonce="a")
        insert_reply(
            connection,
            incident,
            one,
            first,
            nonce="b",
            kind=ReplyKind.REPLACED,
            state="undone",
        )
        insert_csr(connection, reply, certificate, "aa" * 32)
        insert_csr(connection, reply, certificate, "bb" * 32)
        insert_escalation(connection, incident, two)
        insert_escalation(connection, incident, two, level=4, state="raised-further")
        # Another incident's people are none of ours.
        insert_contact(
            connection,
            insert_incident(connection, id="other"),
            insert_subscriber(connection, IncidentId("other")),
        )

    seen = count(engine, incident)

    assert (seen.subscribers, seen.subscribers_acknowledged) == (2, 1)
    assert seen.contacts == {
        ContactState.ACTIVE: 1,
        ContactState.UNREACHABLE: 1,
        ContactState.REMOVED: 0,
        ContactState.UNCONFIRMED: 0,
    }
    assert seen.notices_sent == 3
    assert seen.notices_in(NoticeState.BOUNCED) == 1
    assert seen.notices_in(NoticeState.FAILED) == 1
    assert seen.possibly_repeated == 1
    assert seen.replies[ReplyKind.SUBMIT_CSR] == 1
    assert sum(seen.replies.values()) == 1
    assert (seen.csrs, seen.certificates_with_csr) == (2, 1)
    assert seen.live_escalations == 1
    assert sum(seen.escalations.values()) == 2


def test_a_draft_is_counted_when_nothing_is_scheduled_yet(engine: Engine) -> None:
    with writing(engine) as connection:
        incident = insert_incident(
            connection, state="draft", launched_at=None, revocation_starts_at=None
        )
        insert_certificates(connection, incident, None, 3)

    seen = count(engine, incident, LAUNCH)

    assert (seen.certificates, seen.unscheduled, seen.published) == (3, 3, 0)
    assert incident_forecast(seen) is None


def test_an_unknown_incident_is_named_when_asked_for(engine: Engine) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        count(engine, IncidentId("nowhere"))


def test_publications_accumulate_by_the_instant_they_were_seen(engine: Engine) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        certificates = insert_certificates(connection, incident, None, 6)
        insert_revocations(connection, incident, certificates)
        publish(connection, certificates[3:5], REVOCATION + HOUR)
        publish(connection, certificates[:3], REVOCATION)

    with reading(engine) as connection:
        series = published_over_time(connection, incident=incident)

    assert series == [(REVOCATION, 3), (REVOCATION + HOUR, 5)]


def test_i3_every_certificate_is_listed_once_when_there_are_several_pages(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_figures, "_PAGE", 3)
    with writing(engine) as connection:
        incident = insert_incident(connection)
        other = insert_incident(connection, id="other")
        certificates = insert_certificates(connection, incident, None, 4)
        insert_certificates(connection, other, None, 2)
        certificates += insert_certificates(
            connection, incident, None, 3, first_serial=0x3000
        )
        insert_revocations(connection, incident, certificates[:5])
        publish(connection, certificates[:1], REVOCATION + HOUR)

    with reading(engine) as connection:
        rows = list(certificate_rows(connection, incident=incident))

    assert [row.certificate for row in rows] == certificates
    assert rows[0].state is RevocationState.PUBLISHED
    assert rows[0].revoked_at == REVOCATION
    assert rows[0].issuer == "CN=Test CA"
    assert rows[1].revocation_time == REVOCATION
    assert rows[6].state is None
    assert rows[6].reason.label == "superseded"


def test_those_with_most_missing_csrs_come_first(engine: Engine) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        small, large, done, revoked = (
            insert_subscriber(connection, incident, name)
            for name in ("Small", "Large", "Done", "Revoked")
        )
        certificates = {
            subscriber: insert_certificates(
                connection, incident, subscriber, size, first_serial=0x1000 * start
            )
            for start, (subscriber, size) in enumerate(
                ((small, 1), (large, 5), (done, 7), (revoked, 9)), start=1
            )
        }
        everything = [key for keys in certificates.values() for key in keys]
        insert_revocations(connection, incident, everything)
        replace(connection, certificates[done], ReplacementState.CSR_RECEIVED)
        replace(connection, certificates[large][:2], ReplacementState.REPLACED)
        publish(connection, certificates[revoked], REVOCATION)
        contact = insert_contact(connection, incident, large)
        insert_contact(
            connection, incident, large, "two@large.example", state="unreachable"
        )
        insert_notice(connection, incident, contact)
        insert_notice(
            connection,
            incident,
            contact,
            kind="reminder",
            sequence=3,
            sent_at=LAUNCH + HOUR,
        )

    with reading(engine) as connection:
        owing = subscribers_owing_csr(connection, incident=incident, limit=1)
        everybody = subscribers_owing_csr(connection, incident=incident, limit=20)

    assert (owing.subscribers, owing.missing, owing.silent) == (2, 4, 2)
    [worst] = owing.rows
    assert (worst.name, worst.certificates, worst.missing) == ("Large", 5, 3)
    assert worst.last_notice_at == LAUNCH + HOUR
    assert worst.reachable_contacts == 1
    assert worst.acknowledged_at is None
    assert [row.name for row in everybody.rows] == ["Large", "Small"]
    assert everybody.rows[1].last_notice_at is None


def test_live_escalations_are_listed_from_the_highest_step(engine: Engine) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        one = insert_subscriber(connection, incident)
        two = insert_subscriber(connection, incident, "Harbour School")
        insert_certificates(connection, incident, one, 2)
        insert_escalation(connection, incident, one, level=4, state="raised-further")
        insert_escalation(connection, incident, one, cause="csr-refused", level=6)
        insert_escalation(
            connection, incident, one, level=8, state="raised", told_at=None
        )
        insert_escalation(connection, incident, two, cause="unreachable", level=0)
        insert_escalation(connection, incident, two, level=6, state="ended")

    with reading(engine) as connection:
        live = live_escalations(connection, incident=incident, limit=2)

    assert live.escalations == 3
    assert [(row.name, row.level) for row in live.rows] == [
        ("Harbour School", 0),
        ("Harbour Clinic", 8),
    ]
    assert live.rows[0].certificates == 0
    assert live.rows[1].certificates == live.rows[1].open_certificates == 2
    assert live.rows[1].told_at is None
    assert live.rows[1].targets == ("operations-manager",)


def test_those_whom_no_mail_reaches_are_listed_with_whom_to_call(
    engine: Engine,
) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        lost, half, fine, none, revoked = (
            insert_subscriber(connection, incident, name)
            for name in ("Lost", "Half", "Fine", "None at all", "Revoked")
        )
        for start, subscriber in enumerate((lost, half, fine, none, revoked), start=1):
            certificates = insert_certificates(
                connection, incident, subscriber, start, first_serial=0x1000 * start
            )
            insert_revocations(connection, incident, certificates)
            if subscriber == revoked:
                publish(connection, certificates, REVOCATION)
        insert_contact(connection, incident, lost, state="unreachable", phone="+852 1")
        insert_contact(
            connection, incident, lost, "x@lost.example", state="removed", rank=2
        )
        insert_contact(connection, incident, half, state="unreachable")
        insert_contact(connection, incident, half, "b@half.example", rank=2)
        insert_contact(connection, incident, fine)
        insert_contact(connection, incident, revoked, state="unreachable")

    with reading(engine) as connection:
        found = unreachable(connection, incident=incident, limit=20)

    assert (found.nobody_left, found.some_bounced, found.certificates) == (2, 1, 5)
    assert [row.name for row in found.rows] == ["None at all", "Lost", "Half"]
    assert found.rows[0].contacts == ()
    [caller] = found.rows[1].contacts
    assert (caller.phone, caller.state) == ("+852 1", ContactState.UNREACHABLE)
    assert found.rows[2].reachable_contacts == 1


def test_the_timetable_says_what_steps_did_and_whom_the_next_concern(
    engine: Engine,
) -> None:
    ladder = shipped_ladder(timedelta(days=5))
    with writing(engine) as connection:
        incident = insert_incident(connection, ladder=ladder.text)
        told = insert_subscriber(connection, incident, acknowledged_at=LAUNCH)
        silent = insert_subscriber(connection, incident, "Harbour School")
        certificates = insert_certificates(connection, incident, told, 2)
        certificates += insert_certificates(
            connection, incident, silent, 1, first_serial=0x2000
        )
        insert_revocations(connection, incident, certificates)
        replace(connection, certificates[:2], ReplacementState.CSR_RECEIVED)
        for subscriber, state in ((told, "sent"), (silent, "failed")):
            contact = insert_contact(connection, incident, subscriber)
            insert_notice(connection, incident, contact, state=state)

    with reading(engine) as connection:
        entries = timetable(connection, incident=incident, now=LAUNCH + HOUR)

    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert (entries[0].at, entries[0].name) == (MADE_AWARE, "The clock starts")
    assert entries[-1].at == DEADLINE
    by_name = {entry.name: entry for entry in entries}
    starts = by_name["Revocation starts"]
    assert (starts.at, starts.certificates) == (REVOCATION, 3)
    first = by_name["First notice"]
    assert (first.notices, first.sent, first.subscribers) == (2, 1, None)
    assert by_name["Reminder to those without CSR"].subscribers == 1
    assert by_name["Next contact where nobody answered"].subscribers == 1
    assert by_name["Last notice before revocation"].subscribers == 2


def test_incidents_are_listed_with_how_far_they_are(engine: Engine) -> None:
    with writing(engine) as connection:
        first = insert_incident(connection, plan=PLAN)
        insert_incident(connection, id="second", drafted_at=LAUNCH + HOUR)
        certificates = insert_certificates(connection, first, None, 3)
        insert_revocations(connection, first, certificates)
        publish(connection, certificates[:1], REVOCATION)

    with reading(engine) as connection:
        listed = list_incidents(connection)
        summary = incident_summary(connection, incident=first)

    assert [
        (one.summary.incident, one.certificates, one.published) for one in listed
    ] == [("second", 0, 0), (first, 3, 1)]
    assert summary.rate_per_second == 10.0
    assert summary.publication_delay == HOUR


def test_counting_one_incident_reads_no_other_s_revocations(
    sqlite_engine: Engine,
) -> None:
    with reading(sqlite_engine) as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT state, count(*) FROM revocation "
                "WHERE incident_id = 'x' GROUP BY state"
            )
        ).all()

    assert "ix_revocation_incident_id_state" in str(plan)
