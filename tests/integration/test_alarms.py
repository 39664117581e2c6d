"""Alarms beside mail reach each channel once, through Apprise to a real server."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import LAUNCH, insert_incident, insert_subscriber
from fakes.plans import query_plans
from fakes.receiver import Receiver, receiving
from sqlalchemy import Engine, select

from models.base import table
from models.outreach import Alarm
from models.terms import EscalationCause, EscalationTarget, IncidentId, SubscriberId
from tocsin.alarms import Channels, read_channels
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput
from tocsin.policy.effects import EndEscalation, RaiseEscalation
from tocsin.policy.rules import shipped_rule_pack
from tocsin.steps.alarms import AlarmsSent, send_due_alarms
from tocsin.steps.outreach import Telling, put_on_record
from tocsin.store import alarms, audit
from tocsin.store.session import reading, writing

INCIDENT = IncidentId("test-incident")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def subscriber(engine: Engine) -> SubscriberId:
    with writing(engine) as connection:
        insert_incident(connection, rule_pack=shipped_rule_pack().text)
        return insert_subscriber(connection, INCIDENT)


def channels_of(*receivers: Receiver) -> Channels:
    return Channels({f"line {n}": one.alarms for n, one in enumerate(receivers, 1)})


def escalate(
    engine: Engine,
    subscriber: SubscriberId,
    clock: SteppedClock,
    channels: Channels,
    *,
    level: int = 1,
) -> None:
    effect = RaiseEscalation(
        subscriber=subscriber,
        cause=EscalationCause.CSR_MISSING,
        level=level,
        step="Managers",
        targets=(EscalationTarget.ACCOUNT_MANAGER,),
    )
    record(engine, effect, clock, channels)


def record(
    engine: Engine,
    effect: RaiseEscalation | EndEscalation,
    clock: SteppedClock,
    channels: Channels,
) -> None:
    with writing(engine) as connection:
        put_on_record(
            connection,
            [effect],
            incident=INCIDENT,
            telling=Telling(mail_domain="ca.example", channels=channels.keys),
            now=clock.now(),
        )


def send(engine: Engine, channels: Channels, clock: SteppedClock) -> AlarmsSent:
    return send_due_alarms(engine, channels, clock, owner="test")


def rows(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        return list(
            connection.execute(select(table(Alarm)).order_by(table(Alarm).c.id))
        )


def test_channel_is_told_once_what_waits_and_no_names(
    engine: Engine, subscriber: SubscriberId, clock: SteppedClock, receiver: Receiver
) -> None:
    channels = channels_of(receiver)
    escalate(engine, subscriber, clock, channels)

    first = send(engine, channels, clock)
    again = send(engine, channels, clock)

    assert first == AlarmsSent(claimed=1, sent=1)
    assert again == AlarmsSent()
    (said,) = receiver.taken
    assert said["title"] == "A test incident: 1 case waits for a person"
    assert "1: CSR missing" in said["message"]
    assert "Alarm test-incident/1" in said["message"]
    assert "Clinic" not in json.dumps(said)
    with reading(engine) as connection:
        act = [*audit.acts(connection, incident=INCIDENT)][-1]
        assert audit.check_chain(connection, incident=INCIDENT).is_intact
    assert act.action == "alarm-tried"
    assert receiver.alarms not in json.dumps(act.detail)


def test_one_alarm_tells_of_all_that_was_raised_before_it_left(
    engine: Engine, subscriber: SubscriberId, clock: SteppedClock, receiver: Receiver
) -> None:
    channels = channels_of(receiver)
    escalate(engine, subscriber, clock, channels)
    escalate(engine, subscriber, clock, channels, level=2)

    send(engine, channels, clock)
    escalate(engine, subscriber, clock, channels, level=3)
    send(engine, channels, clock)

    assert [row.number for row in rows(engine)] == [1, 2]
    assert len(receiver.taken) == 2


def test_i4_channel_that_took_it_hears_nothing_more_when_another_refuses(
    engine: Engine, subscriber: SubscriberId, clock: SteppedClock
) -> None:
    with receiving() as good, receiving() as bad:
        channels = channels_of(good, bad)
        escalate(engine, subscriber, clock, channels)
        bad.status = 503
        assert send(engine, channels, clock) == AlarmsSent(claimed=2, sent=1, retried=1)
        bad.status = 200
        assert send(engine, channels, clock).claimed == 0
        clock.step_to(clock.now() + timedelta(minutes=1))
        assert send(engine, channels, clock) == AlarmsSent(claimed=1, sent=1)

        assert (len(good.taken), len(bad.taken)) == (1, 1)


def test_i4_alarm_is_sent_again_and_counted_when_nobody_saw_its_end(
    engine: Engine, subscriber: SubscriberId, clock: SteppedClock, receiver: Receiver
) -> None:
    channels = channels_of(receiver)
    escalate(engine, subscriber, clock, channels)
    with writing(engine) as connection:
        alarms.claim_alarms(
            connection,
            owner="killed",
            now=clock.now(),
            lease_within=timedelta(minutes=2),
            limit=10,
        )

    assert send(engine, channels, clock).claimed == 0
    clock.step_to(clock.now() + timedelta(minutes=2))
    assert send(engine, channels, clock).sent == 1

    (row,) = rows(engine)
    assert (row.state, row.attempts, row.possibly_repeated) == ("sent", 2, 1)


def test_alarm_is_dropped_when_nothing_waits_any_more(
    engine: Engine, subscriber: SubscriberId, clock: SteppedClock, receiver: Receiver
) -> None:
    channels = channels_of(receiver)
    escalate(engine, subscriber, clock, channels)
    record(
        engine,
        EndEscalation(subscriber=subscriber, cause=EscalationCause.CSR_MISSING),
        clock,
        channels,
    )

    assert send(engine, channels, clock).superseded == 1
    assert receiver.taken == []


def test_alarm_fails_for_good_after_hours_of_refusals(
    engine: Engine, subscriber: SubscriberId, clock: SteppedClock, receiver: Receiver
) -> None:
    receiver.status = 500
    channels = channels_of(receiver)
    escalate(engine, subscriber, clock, channels)

    tries = 0
    while rows(engine)[0].state == "planned":
        tries += send(engine, channels, clock).claimed
        clock.step_to(clock.now() + timedelta(hours=1))

    assert tries == 8
    assert rows(engine)[0].state == "failed"


def test_alarms_are_counted_by_incident_only_where_somebody_waits(
    engine: Engine, subscriber: SubscriberId, clock: SteppedClock, receiver: Receiver
) -> None:
    escalate(engine, subscriber, clock, channels_of(receiver))

    with reading(engine) as connection:
        found = alarms.waiting_causes(connection, incidents=[INCIDENT])

    assert found[INCIDENT] == {EscalationCause.CSR_MISSING: 1}


def test_file_of_channels_is_read_without_remarks_and_blank_lines(
    tmp_path: Path,
) -> None:
    file = tmp_path / "alarms"
    file.write_text("# the duty phone\njson://127.0.0.1:9/\n\njson://127.0.0.1:9/b\n")

    assert len(read_channels(file).keys) == 2


def test_line_that_apprise_cannot_read_is_named_without_its_secret(
    tmp_path: Path,
) -> None:
    file = tmp_path / "alarms"
    file.write_text("json://127.0.0.1:9/\nnosuch://hunter2@host\n")

    with pytest.raises(BadInput, match="alarms, line 2") as caught:
        read_channels(file)
    assert "hunter2" not in str(caught.value)


def test_every_query_for_due_alarms_uses_an_index(sqlite_engine: Engine) -> None:
    plans = query_plans(
        sqlite_engine,
        lambda connection: alarms.claim_alarms(
            connection,
            owner="test",
            now=LAUNCH,
            lease_within=timedelta(minutes=2),
            limit=50,
        ),
    )

    assert any("ix_alarm_state_due_at" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN")]
