"""Operations managers hear of a cycle that does not run, once an hour, while it lasts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import HOUR, insert_contact, insert_incident
from sqlalchemy import Engine, select

from models.audit import Act
from models.base import table
from tocsin.clock import SteppedClock
from tocsin.demo.ports import free_port
from tocsin.demo.relay import EmbeddedRelay
from tocsin.mail.smtp import SmtpMailer
from tocsin.settings import Settings, Tls
from tocsin.steps.collaborators import sender_of
from tocsin.steps.standstill import Standstill, Told, tell_standstill
from tocsin.store.session import reading, writing

PAUSED = Standstill(
    key="paused", what="The cycle is paused", what_to_do="Switch it on again."
)


@pytest.fixture
def relay(tmp_path: Path, clock: SteppedClock) -> Iterator[EmbeddedRelay]:
    with EmbeddedRelay(tmp_path / "mail", clock=clock) as relay:
        yield relay


@pytest.fixture
def running(engine: Engine) -> Engine:
    """An incident with two operations managers, and somebody else."""
    with writing(engine) as connection:
        incident = insert_incident(connection)
        for email, role in (
            ("lam@ca.example", "operations-manager"),
            ("ho@ca.example", "operations-manager"),
            ("lead@ca.example", "compliance-lead"),
        ):
            insert_contact(connection, incident, None, email, role=role)
    return engine


def tell(
    engine: Engine,
    clock: SteppedClock,
    port: int,
    *,
    what: Standstill = PAUSED,
    owner: str = "runner-1",
) -> Told:
    return tell_standstill(
        engine,
        SmtpMailer("127.0.0.1", port, tls=Tls.NONE, timeout_seconds=5),
        sender_of(Settings(mail_from="tocsin@ca.example")),
        clock,
        standstill=what,
        owner=owner,
    )


def acts(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(select(table(Act).c.action)).scalars())


def mails(folder: Path) -> list[str]:
    outbox = folder / "mail" / "outbox"
    return sorted(
        path.read_text("utf-8") for path in outbox.rglob("*") if path.is_file()
    )


def test_each_operations_manager_is_told_what_is_wrong_and_what_to_do(
    running: Engine, clock: SteppedClock, relay: EmbeddedRelay, tmp_path: Path
) -> None:
    told = tell(running, clock, relay.port)

    assert told == Told(people=2, sent=2)
    assert acts(running) == ["standstill-told"]
    written = mails(tmp_path)
    assert len(written) == 2
    for mail in written:
        assert "Subject: Tocsin needs you: The cycle is paused" in mail
        assert "Switch it on again." in mail
        assert "A test incident (test-incident)" in mail
        assert "Auto-Submitted: auto-generated" in mail


def test_i4_nobody_is_told_twice_when_many_alarms_sound_within_the_hour(
    running: Engine, clock: SteppedClock, relay: EmbeddedRelay
) -> None:
    tell(running, clock, relay.port)
    clock.step_to(clock.now() + HOUR / 2)

    again = tell(running, clock, relay.port, owner="runner-2")

    assert again == Told(people=2, sent=0, is_repetition=True)
    assert acts(running) == ["standstill-told"]


def test_they_are_told_again_when_it_lasts_longer_than_an_hour(
    running: Engine, clock: SteppedClock, relay: EmbeddedRelay
) -> None:
    tell(running, clock, relay.port)
    clock.step_to(clock.now() + HOUR)

    assert tell(running, clock, relay.port).sent == 2


def test_they_are_told_of_another_trouble_at_once(
    running: Engine, clock: SteppedClock, relay: EmbeddedRelay
) -> None:
    tell(running, clock, relay.port)
    late = Standstill(key="late", what="Cycles start late", what_to_do="Look.")

    assert tell(running, clock, relay.port, what=late).sent == 2


def test_the_next_alarm_tells_them_when_the_relay_was_down(
    running: Engine, clock: SteppedClock, relay: EmbeddedRelay
) -> None:
    assert tell(running, clock, free_port()) == Told(people=2, sent=0)
    assert acts(running) == []

    assert tell(running, clock, relay.port).sent == 2


def test_nobody_is_bothered_when_nothing_is_running(
    engine: Engine, clock: SteppedClock, relay: EmbeddedRelay
) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection, state="closed")
        insert_contact(
            connection, incident, None, "lam@ca.example", role="operations-manager"
        )

    assert tell(engine, clock, relay.port) == Told(people=0, sent=0)
