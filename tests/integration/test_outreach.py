"""What the outreach policy decides stands in the database, once."""

from datetime import datetime

import pytest
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
from fakes.planned import Planned
from fakes.plans import query_plans
from fakes.scripted_relay import ScriptedRelay
from sqlalchemy import Engine, select, update

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Escalation, Notice
from models.subscriber import Contact
from models.terms import ContactRole, IncidentId, NoticeKind, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.demo.ports import free_port
from tocsin.policy.ladder import shipped_ladder
from tocsin.policy.rules import shipped_rule_pack
from tocsin.steps.outreach import PlannedOutreach, Telling, plan_outreach
from tocsin.store import audit, outreach
from tocsin.store.session import reading, writing

NOTICE, ESCALATION = table(Notice), table(Escalation)
INCIDENT = IncidentId("test-incident")
LADDER = shipped_ladder(shipped_rule_pack().rules[-1].within)


@pytest.fixture
def subscriber(engine: Engine) -> SubscriberId:
    """A clinic with two contacts and three certificates, and the CA's own people."""
    with writing(engine) as connection:
        insert_incident(
            connection, ladder=LADDER.text, rule_pack=shipped_rule_pack().text
        )
        key = insert_subscriber(connection, INCIDENT, look_at=LAUNCH)
        insert_contact(connection, INCIDENT, key, "first@clinic.example")
        insert_contact(connection, INCIDENT, key, "second@clinic.example", rank=2)
        for role in ContactRole:
            if role is not ContactRole.SUBSCRIBER:
                insert_contact(
                    connection, INCIDENT, None, f"{role}@ca.example", role=role.value
                )
        certificates = insert_certificates(connection, INCIDENT, key, 3)
        insert_revocations(connection, INCIDENT, certificates)
    return key


def plan(engine: Engine, at: datetime) -> PlannedOutreach:
    return plan_outreach(
        engine,
        incident=INCIDENT,
        telling=Telling(mail_domain="ca.example"),
        clock=SteppedClock(at),
    )


def notices(engine: Engine) -> list[tuple[str, str, int, str]]:
    contact = table(Contact)
    with reading(engine) as connection:
        return [
            (row.email, row.kind, row.sequence, row.state)
            for row in connection.execute(
                select(
                    contact.c.email, NOTICE.c.kind, NOTICE.c.sequence, NOTICE.c.state
                )
                .join(contact, contact.c.id == NOTICE.c.contact_id)
                .order_by(NOTICE.c.id)
            )
        ]


def mark_sent(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(update(NOTICE).values(state="sent"))


@pytest.mark.usefixtures("subscriber")
def test_i4_first_notice_is_planned_once_when_two_runs_ask_at_the_same_instant(
    engine: Engine,
) -> None:
    first = plan(engine, LAUNCH)
    second = plan(engine, LAUNCH)

    assert first.notices == {NoticeKind.INITIAL: 1}
    assert second.subscribers == 0
    assert notices(engine) == [("first@clinic.example", "initial", 0, "planned")]


@pytest.mark.usefixtures("subscriber")
def test_unsent_notice_is_superseded_when_a_later_step_came_due(engine: Engine) -> None:
    plan(engine, LAUNCH)

    plan(engine, REVOCATION - 20 * HOUR)

    assert set(notices(engine)) == {
        ("first@clinic.example", "initial", 0, "superseded"),
        ("first@clinic.example", "final", 11, "planned"),
        ("second@clinic.example", "final", 11, "planned"),
        ("account-manager@ca.example", "escalation", 1, "planned"),
        ("operations-manager@ca.example", "escalation", 1, "planned"),
    }
    assert len(notices(engine)) == 5


@pytest.mark.usefixtures("subscriber")
def test_each_contact_gets_one_message_when_the_engine_was_down_across_two_steps(
    engine: Engine, clock: SteppedClock
) -> None:
    planned = Planned(engine=engine, clock=clock)
    with ScriptedRelay() as relay:
        plan(engine, LAUNCH)
        planned.send(relay.port)
        # Reminders to all contacts are due at 0.38 and at 0.50 of the time.
        clock.step_to(LAUNCH + (REVOCATION - LAUNCH) * 0.55)
        plan(engine, clock.now())
        planned.send(relay.port)
        planned.send(relay.port)

    to_clinic = [name for name in relay.recipients if name.endswith("@clinic.example")]
    assert sorted(to_clinic) == [
        "first@clinic.example",
        "first@clinic.example",
        "second@clinic.example",
    ]
    assert sorted(
        row for row in notices(engine) if row[0].endswith("@clinic.example")
    ) == [
        ("first@clinic.example", "initial", 0, "sent"),
        ("first@clinic.example", "reminder", 8, "sent"),
        ("second@clinic.example", "initial", 0, "sent"),
    ]


@pytest.mark.usefixtures("subscriber")
def test_only_the_latest_leaves_when_the_relay_was_down_across_two_steps(
    engine: Engine, clock: SteppedClock
) -> None:
    planned = Planned(engine=engine, clock=clock)
    nowhere = free_port()
    for share in (0.26, 0.39, 0.51):
        clock.step_to(LAUNCH + (REVOCATION - LAUNCH) * share)
        plan(engine, clock.now())
        planned.send(nowhere)

    clock.step_to(clock.now() + HOUR)
    with ScriptedRelay() as relay:
        planned.send(relay.port)
        planned.send(relay.port)

    to_clinic = [name for name in relay.recipients if name.endswith("@clinic.example")]
    assert sorted(to_clinic) == ["first@clinic.example", "second@clinic.example"]
    assert [row for row in notices(engine) if row[0].startswith("first@")] == [
        ("first@clinic.example", "initial", 0, "superseded"),
        ("first@clinic.example", "initial", 7, "superseded"),
        # Nobody is reminded of what they never got.
        ("first@clinic.example", "initial", 8, "sent"),
    ]


@pytest.mark.usefixtures("subscriber")
def test_higher_escalation_takes_over_when_csrs_stay_missing(engine: Engine) -> None:
    plan(engine, LAUNCH)
    mark_sent(engine)
    plan(engine, REVOCATION - 30 * HOUR)
    mark_sent(engine)

    plan(engine, REVOCATION - 12 * HOUR)

    with reading(engine) as connection:
        states = connection.execute(
            select(ESCALATION.c.cause, ESCALATION.c.level, ESCALATION.c.state)
            .where(ESCALATION.c.cause == "csr-missing")
            .order_by(ESCALATION.c.level)
        ).all()
    assert [tuple(row) for row in states] == [
        ("csr-missing", 10, "raised-further"),
        ("csr-missing", 13, "raised"),
    ]


def test_escalations_end_and_nobody_is_written_to_when_all_is_replaced(
    engine: Engine, subscriber: SubscriberId
) -> None:
    plan(engine, LAUNCH)
    mark_sent(engine)
    plan(engine, REVOCATION - 30 * HOUR)
    mark_sent(engine)
    before = len(notices(engine))
    with writing(engine) as connection:
        connection.execute(
            update(table(AffectedCertificate)).values(replacement_state="replaced")
        )
        outreach.look_now(connection, [subscriber], now=REVOCATION - 29 * HOUR)

    planned = plan(engine, REVOCATION - 29 * HOUR)

    assert planned.ended > 0
    assert len(notices(engine)) == before
    with reading(engine) as connection:
        live = connection.execute(
            select(ESCALATION.c.id).where(ESCALATION.c.state.in_(("raised", "told")))
        ).all()
        assert live == []


def test_escalation_comes_back_when_its_cause_returns(
    engine: Engine, subscriber: SubscriberId
) -> None:
    contact = table(Contact)
    for instant, state in (
        (LAUNCH, "unreachable"),
        (LAUNCH + HOUR, "active"),
        (LAUNCH + 2 * HOUR, "unreachable"),
    ):
        with writing(engine) as connection:
            connection.execute(
                update(contact)
                .where(contact.c.subscriber_id == subscriber)
                .values(state=state)
            )
            outreach.look_now(connection, [subscriber], now=instant)
        plan(engine, instant)

    with reading(engine) as connection:
        rows = connection.execute(
            select(ESCALATION.c.cause, ESCALATION.c.state, ESCALATION.c.raised_at)
        ).all()
    assert [tuple(row) for row in rows] == [
        ("unreachable", "raised", LAUNCH + 2 * HOUR)
    ]


@pytest.mark.usefixtures("subscriber")
def test_i5_every_decision_is_on_record_when_it_was_written_down(
    engine: Engine,
) -> None:
    plan(engine, LAUNCH)

    with reading(engine) as connection:
        (act,) = audit.acts(connection, incident=INCIDENT)
        assert audit.check_chain(connection, incident=INCIDENT).is_intact
    assert act.action == "outreach-planned"
    assert act.detail["notices"] == [[1, "initial", 0]]


def test_every_query_for_due_subscribers_uses_an_index(sqlite_engine: Engine) -> None:
    plans = query_plans(
        sqlite_engine,
        lambda connection: outreach.due_subscribers(
            connection, incident=INCIDENT, now=LAUNCH, limit=500
        ),
    )

    assert any("ix_subscriber_incident_id_look_at" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN")]
