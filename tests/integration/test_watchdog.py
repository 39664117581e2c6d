"""The watchdog as a process and as a step: what it finds, and what it shows outside."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

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
from fakes.plans import query_plans
from fakes.receiver import receiving
from sqlalchemy import Engine, select

from models.base import table
from models.outreach import Escalation, Notice, Reply
from models.terms import IncidentId, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.policy.ladder import shipped_ladder
from tocsin.steps.outreach import Telling, plan_outreach
from tocsin.steps.watchdog import Heartbeat, Watched, watch_once
from tocsin.store import watch
from tocsin.store.session import reading, writing

INCIDENT = IncidentId("test-incident")
TELLING = Telling(mail_domain="ca.example")
GRACE = timedelta(minutes=10)


@pytest.fixture
def subscriber(engine: Engine) -> SubscriberId:
    return populate(engine)


def populate(engine: Engine) -> SubscriberId:
    with writing(engine) as connection:
        insert_incident(connection, ladder=shipped_ladder(timedelta(days=5)).text)
        subscriber = insert_subscriber(connection, INCIDENT, look_at=LAUNCH)
        insert_contact(connection, INCIDENT, subscriber)
        insert_contact(
            connection, INCIDENT, None, "ops@ca.example", role="operations-manager"
        )
        insert_revocations(
            connection,
            INCIDENT,
            insert_certificates(connection, INCIDENT, subscriber, 2),
        )
    return subscriber


def look(engine: Engine, clock: SteppedClock, **heartbeat: Any) -> Watched:
    return watch_once(
        engine,
        clock,
        telling=TELLING,
        publication_within=HOUR,
        heartbeat=Heartbeat(grace=GRACE, **heartbeat),
    )


def missed(watched: Watched) -> list[tuple[str, int]]:
    return [(one.what, one.count) for one in watched.missed.get(INCIDENT, ())]


def escalations(engine: Engine) -> list[tuple[str, str]]:
    row = table(Escalation)
    with reading(engine) as connection:
        return [
            (one.cause, one.state)
            for one in connection.execute(select(row).order_by(row.c.id))
        ]


@pytest.mark.usefixtures("subscriber")
def test_step_that_nobody_took_is_found_and_told_of_once(
    engine: Engine, clock: SteppedClock
) -> None:
    clock.step_to(LAUNCH + GRACE)

    found = [missed(look(engine, clock)) for _ in range(2)]

    assert found == [[("Step “First notice” not taken for subscribers", 1)]] * 2
    assert escalations(engine) == [("step-missed", "raised")]
    notice = table(Notice)
    with reading(engine) as connection:
        kinds = connection.execute(select(notice.c.kind)).scalars().all()
    assert kinds == ["escalation"]


@pytest.mark.usefixtures("subscriber")
def test_notice_that_never_left_is_found_although_its_step_was_taken(
    engine: Engine, clock: SteppedClock
) -> None:
    plan_outreach(engine, incident=INCIDENT, telling=TELLING, clock=clock)
    assert look(engine, clock).all_is_well

    clock.step_to(LAUNCH + GRACE)

    assert missed(look(engine, clock)) == [("Notices planned and not sent", 1)]


@pytest.mark.usefixtures("subscriber")
@pytest.mark.parametrize(
    "notice",
    [
        # A relay refuses it for now: it is tried again, and is no fault of ours.
        {"attempts": 2, "due_at": LAUNCH + HOUR},
        # Put off until tomorrow, because somebody gets enough mail today.
        {"attempts": 0, "due_at": LAUNCH + 20 * HOUR},
    ],
)
def test_notice_that_waits_for_good_reason_is_not_missed(
    engine: Engine, clock: SteppedClock, notice: dict[str, Any]
) -> None:
    plan_outreach(engine, incident=INCIDENT, telling=TELLING, clock=clock)
    with writing(engine) as connection:
        connection.execute(table(Notice).update().values(notice))

    clock.step_to(LAUNCH + HOUR - timedelta(minutes=1))

    assert look(engine, clock).all_is_well


def test_reply_and_revocation_that_nobody_saw_to_are_found(
    engine: Engine, clock: SteppedClock, subscriber: SubscriberId
) -> None:
    with writing(engine) as connection:
        connection.execute(
            table(Reply)
            .insert()
            .values(
                incident_id=INCIDENT,
                subscriber_id=subscriber,
                contact_id=1,
                kind="replaced",
                state="pending",
                nonce="n",
                received_at=LAUNCH,
                effective_at=LAUNCH + HOUR,
                certificate_ids=[1],
            )
        )
        connection.execute(table(Notice).update().values(state="sent"))
    clock.step_to(REVOCATION + GRACE)

    found = missed(look(engine, clock))

    assert found[0] == ("Certificates not revoked in time", 2)
    assert found[-1] == ("Replies that have not taken effect", 1)


@pytest.mark.usefixtures("subscriber")
def test_heartbeat_is_written_and_fetched_only_while_nothing_was_missed(
    engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    file = tmp_path / "watchdog.json"
    with receiving() as server:
        look(engine, clock, file=file, url=server.ping)
        clock.step_to(LAUNCH + GRACE)
        look(engine, clock, file=file, url=server.ping)

    assert json.loads(file.read_text()) == {
        "at": LAUNCH.isoformat(),
        "incidents": 1,
    }
    assert server.asked == ["/ping/secret"]


def test_heartbeat_that_nobody_takes_stops_nothing_and_tells_no_secret(
    engine: Engine, clock: SteppedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert look(engine, clock, url="http://127.0.0.1:9/ping/secret").all_is_well

    assert "secret" not in capsys.readouterr().err


def test_every_query_of_the_watchdog_uses_an_index(sqlite_engine: Engine) -> None:
    plans = query_plans(
        sqlite_engine,
        lambda connection: watch.watch_facts(
            connection,
            incident=INCIDENT,
            expected=3,
            now=LAUNCH,
            grace=GRACE,
            publication_within=HOUR,
        ),
    )

    assert any("ix_subscriber_incident_id_ladder_position" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN")]


# As a process.


@pytest.fixture
def database(sqlite_engine: Engine) -> Engine:
    return sqlite_engine


def once(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tocsin.watchdog", "--once"],
        env={"TOCSIN_DATA_DIRECTORY": str(folder), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("database")
def test_process_ends_well_when_nothing_was_missed(tmp_path: Path) -> None:
    done = once(tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "Nothing due was missed in 0 running incidents\n"
    assert (tmp_path / "watchdog.json").exists()


def test_process_raises_the_alarm_by_itself_when_the_engine_is_dead(
    database: Engine, tmp_path: Path
) -> None:
    populate(database)
    with receiving() as server:
        (tmp_path / "alarms").write_text(server.alarms)
        done = once(tmp_path, TOCSIN_ALARM_URLS_FILE=str(tmp_path / "alarms"))

    assert done.returncode == 3, done.stderr
    assert "First notice” not taken for subscribers: 1" in done.stdout
    assert not (tmp_path / "watchdog.json").exists()
    (said,) = server.taken
    assert "something due was not done" in said["message"]
    assert escalations(database) == [("step-missed", "raised")]
