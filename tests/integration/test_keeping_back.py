"""What must not leave is kept back, counted, shown, and never lost."""

from datetime import timedelta
from typing import Any

import pytest
from factories import HOUR, LAUNCH, REVOCATION, insert_contact
from fakes.planned import INCIDENT, Planned, addresses, plan_notices
from fakes.plans import query_plans
from fakes.scripted_relay import TAKE_AND_CLOSE, Asked, ScriptedRelay
from sqlalchemy import Engine, update

from models.base import table
from models.outreach import Notice
from models.revocation import Revocation
from models.terms import InDoubt, NoticeId, NoticeKind, NoticeState, PauseCause
from tocsin.clock import SteppedClock
from tocsin.demo.ports import free_port
from tocsin.errors import BadInput
from tocsin.policy.sending import SendingRules
from tocsin.steps.keeping_back import give_up_held, release_held, resume_sending
from tocsin.steps.send import LEASE_WITHIN, Sent
from tocsin.store import incidents, outbox
from tocsin.store.figures import incident_figures
from tocsin.store.held import backlog, held_notices
from tocsin.store.pauses import latest_attempts, live_pause
from tocsin.store.session import reading, writing
from tocsin.store.sifting import sift_due

HOLD = SendingRules(in_doubt=InDoubt.HOLD)
DAY = timedelta(hours=24)


@pytest.fixture
def planned(engine: Engine, clock: SteppedClock) -> Planned:
    return plan_notices(engine, clock, *addresses(3))


@pytest.fixture
def one(engine: Engine, clock: SteppedClock) -> Planned:
    return plan_notices(engine, clock, "chan@clinic.example")


def claim_and_die(planned: Planned, *, step: bool = True) -> None:
    """Take everything that is due and end without a word."""
    with writing(planned.engine) as connection:
        outbox.claim_notices(
            connection,
            owner="killed",
            now=planned.clock.now(),
            lease_within=LEASE_WITHIN,
            limit=100,
        )
    if step:
        planned.clock.step_to(planned.clock.now() + LEASE_WITHIN)


def actions(planned: Planned) -> list[str]:
    return [act.action for act in planned.acts()]


# In doubt.


def test_notice_is_held_for_an_officer_when_nobody_knows_whether_it_left(
    one: Planned,
) -> None:
    def answer(asked: Asked) -> str | None:
        return TAKE_AND_CLOSE if asked.verb == "CONTENT" else None

    with ScriptedRelay(answer) as relay:
        sent = one.send(relay.port, rules=HOLD)
        one.step(days=1)
        again = one.send(relay.port, rules=HOLD)

    assert (sent, again) == (Sent(claimed=1, in_doubt=1), Sent())
    assert len(relay.taken) == 1
    (row,) = one.notices()
    assert (row.state, row.possibly_repeated, row.attempts) == ("held", 0, 1)
    assert row.lease_owner is None


def test_notice_is_held_when_whoever_sent_it_was_killed(planned: Planned) -> None:
    claim_and_die(planned)

    with ScriptedRelay() as relay:
        assert planned.send(relay.port, rules=HOLD) == Sent()

    assert planned.states() == {"held": 3}
    assert [one.outcome for one in planned.attempts()] == ["in-doubt"] * 3
    (act,) = planned.acts()
    assert (act.action, act.detail) == ("notices-kept-back", {"held": [1, 2, 3]})
    with reading(planned.engine) as connection:
        listed = held_notices(connection)
        counted = backlog(connection, now=planned.clock.now())
        figures = incident_figures(
            connection, incident=INCIDENT, now=planned.clock.now()
        )
    assert [(item.notice, item.subscriber) for item in listed] == [
        (1, "Clinic 1"),
        (2, "Clinic 2"),
        (3, "Clinic 3"),
    ]
    assert listed[0].message_id == planned.notices()[0].message_id
    assert (counted.held, counted.due) == (3, 0)
    # I3: what is held stands in the figures that sum.
    assert figures.notices_in(NoticeState.HELD) == 3


def test_officer_decides_and_both_decisions_are_on_record(planned: Planned) -> None:
    claim_and_die(planned)
    with ScriptedRelay() as relay:
        planned.send(relay.port, rules=HOLD)

        released = release_held(
            planned.engine,
            notices=[NoticeId(1), NoticeId(2)],
            actor="officer",
            reason="not in the relay's log",
            clock=planned.clock,
        )
        given_up = give_up_held(
            planned.engine,
            notices=[NoticeId(3)],
            actor="officer",
            reason="the relay's log has it",
            clock=planned.clock,
        )
        sent = planned.send(relay.port, rules=HOLD)

    assert (released, given_up, sent.sent) == (2, 1, 2)
    assert planned.states() == {"sent": 2, "given-up": 1}
    assert [row.possibly_repeated for row in planned.notices()] == [1, 1, 0]
    acts = {act.action: act for act in planned.acts()}
    assert acts["notices-released"].actor == "officer"
    assert acts["notices-released"].detail == {
        "notices": [1, 2],
        "reason": "not in the relay's log",
    }
    assert acts["notices-given-up"].detail["notices"] == [3]


def test_nothing_is_changed_when_one_of_them_is_not_held(planned: Planned) -> None:
    claim_and_die(planned)
    with ScriptedRelay() as relay:
        planned.send(relay.port, rules=HOLD)
    before = actions(planned)

    for notices, reason in (([1, 99], "why"), ([1], "  ")):
        with pytest.raises(BadInput):
            release_held(
                planned.engine,
                notices=[NoticeId(key) for key in notices],
                actor="officer",
                reason=reason,
                clock=planned.clock,
            )

    assert planned.states() == {"held": 3}
    assert actions(planned) == before


def test_staff_are_told_again_when_their_message_is_in_doubt_and_others_are_held(
    one: Planned,
) -> None:
    with writing(one.engine) as connection:
        manager = insert_contact(
            connection, INCIDENT, None, "am@ca.example", role="account-manager"
        )
    one.plan([manager], kind=NoticeKind.ESCALATION)
    claim_and_die(one)

    with writing(one.engine) as connection:
        sift_due(connection, rules=HOLD, now=one.clock.now(), limit=100)

    assert [row.state for row in one.notices()] == ["held", "sending"]


def test_incident_does_not_close_while_a_notice_is_held(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        connection.execute(
            update(table(Revocation)).values(state="published", published_at=REVOCATION)
        )
        for state, finished in (("held", []), ("given-up", [INCIDENT])):
            connection.execute(update(table(Notice)).values(state=state))
            assert incidents.finished_incidents(connection, now=REVOCATION) == finished


# What one address gets in a day.


def test_mails_beyond_the_days_share_wait_whatever_incident_they_are_about(
    one: Planned,
) -> None:
    rules = SendingRules(per_address=2)
    with writing(one.engine) as connection:
        for _ in range(3):
            one.add(connection, "Chan@Clinic.example")
    one.plan(one.contacts[1:])

    with ScriptedRelay() as relay:
        today = one.send(relay.port, rules=rules)
        with reading(one.engine) as connection:
            assert outbox.next_due_notice(connection) == LAUNCH + DAY
        one.step(hours=23)
        nothing = one.send(relay.port, rules=rules)
        one.step(hours=1)
        tomorrow = one.send(relay.port, rules=rules)

    assert (today.sent, nothing.claimed, tomorrow.sent) == (2, 0, 2)
    assert one.states() == {"sent": 4}
    assert one.acts()[0].detail == {"postponed": [3, 4]}


def test_final_notice_leaves_and_what_waited_is_superseded_when_the_share_is_used_up(
    one: Planned,
) -> None:
    rules = SendingRules(per_address=1)
    with ScriptedRelay() as relay:
        one.send(relay.port, rules=rules)
        one.step(hours=1)
        one.plan(one.contacts, kind=NoticeKind.REMINDER, sequence=3)
        waits = one.send(relay.port, rules=rules)
        one.step(hours=1)
        one.plan(one.contacts, kind=NoticeKind.FINAL, sequence=7)
        final = one.send(relay.port, rules=rules)
        one.step(days=2)
        one.send(relay.port, rules=rules)

    assert (waits.claimed, final.sent) == (0, 1)
    assert [(row.kind, row.state) for row in one.notices()] == [
        ("initial", "sent"),
        ("reminder", "superseded"),
        ("final", "sent"),
    ]
    assert len(relay.taken) == 2


def test_others_are_sent_when_the_first_hundreds_due_are_all_for_one_address(
    one: Planned,
) -> None:
    with writing(one.engine) as connection:
        for _ in range(6):
            one.add(connection, "chan@clinic.example", certificates=1)
        one.add(connection, "lee@clinic.example")
    one.plan(one.contacts)

    with ScriptedRelay() as relay:
        sent = one.send(relay.port, rules=SendingRules(per_address=1), batch=2)

    assert sent == Sent(claimed=2, sent=2)
    # On connections of their own, so in any order.
    assert sorted(relay.recipients) == ["chan@clinic.example", "lee@clinic.example"]


# A moment that has passed.


@pytest.mark.parametrize("way", ["planned", "killed"])
def test_notice_is_superseded_when_a_later_step_spoke_while_it_was_on_its_way(
    one: Planned, way: str
) -> None:
    claim_and_die(one, step=way == "killed")
    if way == "planned":
        with writing(one.engine) as connection:
            connection.execute(
                update(table(Notice)).values(state="planned", due_at=LAUNCH + HOUR)
            )
    one.step(hours=1)
    one.plan(one.contacts, kind=NoticeKind.REMINDER, sequence=3)

    with ScriptedRelay() as relay:
        sent = one.send(relay.port)

    assert sent.sent == len(relay.taken) == 1
    assert [(row.kind, row.state) for row in one.notices()] == [
        ("initial", "superseded"),
        ("reminder", "sent"),
    ]


@pytest.mark.parametrize(
    ("kind", "state"),
    [(NoticeKind.REMINDER, "superseded"), (NoticeKind.INITIAL, "sent")],
)
def test_reminder_is_not_sent_late_when_the_relay_was_down_until_the_revocation(
    one: Planned, kind: NoticeKind, state: str
) -> None:
    one.plan(one.contacts, kind=kind, sequence=1)
    with writing(one.engine) as connection:
        connection.execute(
            update(table(Notice)).where(table(Notice).c.id == 1).values(state="sent")
        )
    one.clock.step_to(REVOCATION - timedelta(minutes=1))
    assert one.send(free_port()).not_sent == 1
    one.clock.step_to(REVOCATION)

    with ScriptedRelay() as relay:
        one.send(relay.port)

    assert one.notices()[-1].state == state
    assert len(relay.taken) == (state == "sent")


# When nothing leaves.


MANY = 400
ON_THEIR_WAY = 160
"""Claimed before a pause can be known: a batch, what was written ahead, what is untold."""


def test_sending_pauses_for_everybody_and_goes_on_when_a_probe_is_taken(
    engine: Engine, clock: SteppedClock
) -> None:
    planned = plan_notices(engine, clock, *addresses(MANY))
    refuses = True

    def answer(asked: Asked) -> str | None:
        if refuses and asked.verb == "MAIL":
            return "530 5.7.0 Authentication required"
        return None

    with ScriptedRelay(answer) as relay:
        paused = planned.send(relay.port, batch=20)
        with reading(engine) as connection:
            pause = live_pause(connection)
            # What steps a clock steps it to the probe, not to what waits.
            assert pause is not None
            assert outbox.next_due_notice(connection) == pause.probe_at
        planned.step(minutes=1)
        probe = planned.send(relay.port, batch=20)
        refuses = False
        planned.step(minutes=1)
        back = planned.send(relay.port, batch=20)
        planned.step(minutes=10)
        rest = planned.send(relay.port, batch=20)

    assert paused == Sent(claimed=paused.claimed, retried=paused.claimed)
    assert 20 <= paused.claimed <= ON_THEIR_WAY
    assert (pause.cause, pause.paused_at) == (PauseCause.RELAY_REFUSES, LAUNCH)
    assert pause.alarmed_at == LAUNCH
    assert probe == Sent(claimed=1, retried=1)
    assert back.sent + rest.sent == MANY
    with reading(engine) as connection:
        assert live_pause(connection) is None
    named = [act for act in planned.acts() if act.action.startswith("sending-")]
    assert [(act.actor, act.action) for act in named] == [
        ("engine", "sending-paused"),
        ("engine", "sending-resumed"),
    ]
    counts: Any = named[0].detail["counts"]
    assert counts["relay-refused"] == counts["attempts"] >= 20


def test_people_are_told_when_the_relay_stays_out_of_reach_not_when_it_restarts(
    planned: Planned,
) -> None:
    port = free_port()
    for _ in range(10):
        planned.send(port)
        planned.step(minutes=1)
    assert actions(planned).count("sending-paused") == 0
    # One message is tried each minute, not everything.
    assert len(planned.attempts()) == 3 + 9

    planned.send(port)

    assert actions(planned).count("sending-paused") == 1
    with reading(planned.engine) as connection:
        pause = live_pause(connection)
    assert pause is not None
    assert pause.cause is PauseCause.RELAY_UNREACHABLE
    with ScriptedRelay() as relay:
        planned.step(minutes=1)
        back = planned.send(relay.port)
    assert back.sent == 3
    assert actions(planned)[-3:].count("sending-resumed") == 1


def test_sending_goes_on_by_command_and_pauses_again_when_nothing_has_changed(
    engine: Engine, clock: SteppedClock
) -> None:
    planned = plan_notices(engine, clock, *addresses(MANY))

    def answer(asked: Asked) -> str | None:
        return "550 5.1.1 User unknown" if asked.verb == "RCPT" else None

    with ScriptedRelay(answer) as relay:
        paused = planned.send(relay.port, batch=20)
        planned.step(seconds=5)
        resume_sending(engine, actor="officer", reason="a test", clock=clock)
        planned.step(seconds=5)
        again = planned.send(relay.port, batch=20)

    for sent in (paused, again):
        assert sent == Sent(claimed=sent.claimed, failed=sent.claimed)
        assert 20 <= sent.claimed <= ON_THEIR_WAY
    failed = paused.failed + again.failed
    assert planned.states() == {"failed": failed, "planned": MANY - failed}
    named = [act for act in planned.acts() if act.action.startswith("sending-")]
    assert [(act.actor, act.action) for act in named] == [
        ("engine", "sending-paused"),
        ("officer", "sending-resumed"),
        ("engine", "sending-paused"),
    ]
    assert named[1].detail["reason"] == "a test"


def test_resuming_is_refused_when_sending_does_not_pause(planned: Planned) -> None:
    with pytest.raises(BadInput, match="does not pause"):
        resume_sending(
            planned.engine, actor="officer", reason="why", clock=planned.clock
        )


def test_greylisting_pauses_nothing(engine: Engine, clock: SteppedClock) -> None:
    planned = plan_notices(engine, clock, *addresses(60))

    def answer(asked: Asked) -> str | None:
        return "450 4.7.1 Greylisted" if asked.verb == "RCPT" else None

    with ScriptedRelay(answer) as relay:
        sent = planned.send(relay.port, batch=20)

    assert sent.retried == 60
    with reading(engine) as connection:
        assert live_pause(connection) is None


# What it costs.


def test_every_query_of_what_to_keep_back_uses_an_index(sqlite_engine: Engine) -> None:
    planned = plan_notices(sqlite_engine, SteppedClock(LAUNCH), *addresses(3))

    plans = query_plans(
        planned.engine,
        lambda connection: (
            sift_due(connection, rules=SendingRules(), now=LAUNCH, limit=100),
            latest_attempts(connection),
            live_pause(connection),
        ),
    )

    assert any("ix_contact_address" in plan for plan in plans)
    assert any("ix_notice_state_due_at" in plan for plan in plans)
    # The newest attempts by their key, at most 200; and one row for each pause so far.
    allowed = {"SCAN latest", "SCAN attempt", "SCAN sending_pause"}
    assert {
        plan for plan in plans if plan.startswith("SCAN") and "USING" not in plan
    } <= allowed
