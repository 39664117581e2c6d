"""The shipped ladders, walked from launch to the end: every line of the log is expected."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from factories import HOUR, LAUNCH
from fakes.walk import Walk, walking
from sqlalchemy import select

from models.base import table
from models.outreach import Notice
from models.revocation import Revocation
from models.terms import Circumstance, EscalationCause, NoticeState
from tocsin.policy.ladder import shipped_ladder
from tocsin.steps.escalations import acknowledge
from tocsin.steps.reply_acts import ReportReplaced
from tocsin.store.escalations import Seen, escalations_of
from tocsin.store.reconciliation import verify
from tocsin.store.session import reading
from tocsin.watchdog import look

pytestmark = pytest.mark.server

FIRST, SECOND, HEAD = (
    "first@clinic.example",
    "second@clinic.example",
    "head@school.example",
)
ACCOUNT, OPERATIONS, LEAD = (
    "account@ca.example",
    "operations@ca.example",
    "lead@ca.example",
)


@pytest.fixture
def five_days(tmp_path: Path) -> Iterator[Walk]:
    with walking(
        tmp_path, circumstance=Circumstance.MISISSUED, before_launch=3 * HOUR
    ) as walk:
        yield walk
        # Whatever a test did not expect fails it.
        assert walk.log == []


@pytest.fixture
def one_day(tmp_path: Path) -> Iterator[Walk]:
    with walking(
        tmp_path,
        circumstance=Circumstance.VALIDATION_UNRELIABLE,
        before_launch=timedelta(minutes=30),
    ) as walk:
        yield walk
        assert walk.log == []


def school_replaces(walk: Walk, at: datetime) -> None:
    """Let the school report its certificate as replaced, which ends its part."""
    walk.live(at)
    walk.reply(HEAD, ReportReplaced(certificates=walk.certificates("school.example")))


def test_five_day_ladder_is_walked_to_its_end_when_a_clinic_never_answers(
    five_days: Walk,
) -> None:
    school_replaces(five_days, LAUNCH + 20 * HOUR)
    five_days.live()

    assert five_days.take_log() == [
        ("First notice", f"{FIRST} gets initial"),
        ("First notice", f"{HEAD} gets initial"),
        ("Next contact where nobody answered", f"{SECOND} gets initial"),
        *both("Reminder to those without CSR", "reminder"),
        silent("Account managers call where nobody answered"),
        told("Account managers call where nobody answered", ACCOUNT),
        *both("Account managers call where nobody answered", "reminder"),
        *both("Second reminder to those without CSR", "reminder"),
        silent("Whoever is still silent is telephoned"),
        told("Whoever is still silent is telephoned", ACCOUNT),
        missing("Operations managers take over missing CSRs"),
        told("Operations managers take over missing CSRs", OPERATIONS),
        *both("Last notice before revocation", "final"),
        missing("Operations managers take over missing CSRs (again, 1)"),
        told("Operations managers take over missing CSRs (again, 1)", OPERATIONS),
        missing("Compliance lead is told who will lose a certificate in use"),
        told("Compliance lead is told who will lose a certificate in use", LEAD),
        *both("Revocation is near", "final"),
    ]
    everything_ended_well(five_days)


def test_one_day_ladder_is_walked_to_its_end_when_a_clinic_never_answers(
    one_day: Walk,
) -> None:
    school_replaces(one_day, LAUNCH + 2 * HOUR)
    one_day.live()

    assert one_day.take_log() == [
        ("First notice", f"{FIRST} gets initial"),
        ("First notice", f"{HEAD} gets initial"),
        ("First notice", f"{SECOND} gets initial"),
        *both("Reminder to those without CSR", "reminder"),
        silent("Account managers call where nobody answered"),
        told("Account managers call where nobody answered", ACCOUNT),
        *both("Second reminder to those without CSR", "reminder"),
        missing("Operations managers take over missing CSRs"),
        told("Operations managers take over missing CSRs", OPERATIONS),
        missing("Operations managers take over missing CSRs (again, 1)"),
        told("Operations managers take over missing CSRs (again, 1)", OPERATIONS),
        *both("Last notice before revocation", "final"),
        missing("Operations managers take over missing CSRs (again, 2)"),
        told("Operations managers take over missing CSRs (again, 2)", OPERATIONS),
        missing("Compliance lead is told who will lose a certificate in use"),
        told("Compliance lead is told who will lose a certificate in use", LEAD),
        *both("Revocation is near", "final"),
    ]
    everything_ended_well(one_day)


def test_one_message_each_when_the_engine_was_down_across_two_due_steps(
    five_days: Walk,
) -> None:
    school_replaces(five_days, LAUNCH + 20 * HOUR)
    five_days.live(five_days.due("Reminder to those without CSR") - HOUR)
    five_days.take_log()

    five_days.step_to(five_days.due("Second reminder to those without CSR") - HOUR)
    five_days.run()

    back = five_days.moment()
    assert five_days.take_log() == [
        silent(back),
        told(back, ACCOUNT),
        *both(back, "reminder"),
    ]
    # Of the two that had come due, the earlier was never planned, let alone sent.
    levels = {step.name: step.level for step in shipped_ladder(timedelta(days=5)).steps}
    notice = table(Notice)
    with reading(five_days.c.engine) as connection:
        reminders = {
            (row.sequence, row.state)
            for row in connection.execute(
                select(notice).where(notice.c.kind == "reminder")
            )
        }
    assert reminders == {
        (levels["Account managers call where nobody answered"], "sent")
    }


def test_notice_that_never_left_is_superseded_when_the_next_step_comes_due(
    five_days: Walk,
) -> None:
    school_replaces(five_days, LAUNCH + 20 * HOUR)
    five_days.live(five_days.due("Reminder to those without CSR") - HOUR)
    five_days.take_log()
    five_days.relay.stop()
    five_days.step_to(five_days.due("Reminder to those without CSR"))
    five_days.run()
    assert five_days.take_log() == []

    five_days.relay.start()
    five_days.step_to(five_days.due("Account managers call where nobody answered"))
    five_days.run()

    name = "Account managers call where nobody answered"
    assert five_days.take_log() == [
        silent(name),
        told(name, ACCOUNT),
        *both(name, "reminder"),
    ]
    notice = table(Notice)
    with reading(five_days.c.engine) as connection:
        states = [
            row.state
            for row in connection.execute(
                select(notice)
                .where(notice.c.kind == "reminder")
                .order_by(notice.c.sequence)
            )
        ]
    assert states == [NoticeState.SUPERSEDED] * 2 + [NoticeState.SENT] * 2


def test_acknowledged_escalation_comes_back_when_nothing_followed(
    five_days: Walk,
) -> None:
    school_replaces(five_days, LAUNCH + 20 * HOUR)
    step = "Operations managers take over missing CSRs"
    five_days.live(five_days.due(step))
    five_days.take_log()
    five_days.live(five_days.now + HOUR)
    assert five_days.take_log() == []

    back_at = take(five_days, EscalationCause.CSR_MISSING, by="Lee Siu Ling")
    five_days.live(back_at - timedelta(minutes=1))
    assert five_days.take_log() == []
    five_days.live(back_at)

    at = five_days.moment()
    assert five_days.take_log() == [missing(at), told(at, OPERATIONS)]
    assert ("csr-missing", "told", 2) in five_days.escalations()


def test_acknowledged_escalation_ends_when_the_subscriber_does_what_was_asked(
    five_days: Walk,
) -> None:
    school_replaces(five_days, LAUNCH + 20 * HOUR)
    five_days.live(five_days.due("Operations managers take over missing CSRs"))
    five_days.take_log()
    take(five_days, EscalationCause.CSR_MISSING, by="Lee Siu Ling")

    five_days.reply(
        FIRST, ReportReplaced(certificates=five_days.certificates("clinic.example"))
    )
    five_days.live()

    # Somebody answered at once; an hour later it can no longer be undone.
    assert [what for _, what in five_days.take_log()] == [
        "Clinic ended: not-acknowledged",
        "Clinic ended: csr-missing",
    ]
    assert {state for _, state, _ in five_days.escalations()} <= {
        "ended",
        "raised-further",
    }


def test_watchdog_speaks_and_withholds_its_heartbeat_when_a_step_is_not_taken(
    five_days: Walk,
) -> None:
    school_replaces(five_days, LAUNCH + 20 * HOUR)
    due = five_days.due("Reminder to those without CSR")
    five_days.live(due - timedelta(minutes=30))
    five_days.take_log()
    beat = heartbeat(five_days)

    five_days.step_to(due + timedelta(minutes=9))
    assert look(five_days.c).all_is_well
    assert heartbeat(five_days) > beat
    beat = heartbeat(five_days)
    five_days.step_to(due + timedelta(minutes=10))
    watched = look(five_days.c)

    (left,) = watched.missed.values()
    (one,) = left
    assert "“Reminder to those without CSR” not taken" in one.what
    assert (one.count, one.due_at) == (2, due)
    assert heartbeat(five_days) == beat
    assert ("step-missed", "raised", 1) in five_days.escalations()

    # Asked again, it is the same one; once the engine is back, it is over.
    look(five_days.c)
    assert five_days.escalations().count(("step-missed", "raised", 1)) == 1
    five_days.run()
    at = five_days.moment()
    assert five_days.take_log() == [
        (at, "Incident raised: step-missed"),
        (at, "Incident ended: step-missed"),
        (at, f"{FIRST} gets reminder"),
        (at, f"{LEAD} gets escalation"),
        (at, f"{OPERATIONS} gets escalation"),
        (at, f"{SECOND} gets reminder"),
    ]
    assert heartbeat(five_days) == five_days.now.isoformat()
    assert ("step-missed", "ended", 1) in five_days.escalations()


def test_undelivered_mail_is_an_escalation_that_ends_when_something_gets_through(
    one_day: Walk,
) -> None:
    one_day.relay.stop()
    one_day.run()
    one_day.step_to(
        one_day.due("Account managers call where our mail does not get through")
    )
    one_day.run()

    at = one_day.moment()
    assert one_day.take_log() == [
        (at, "Clinic raised: not-delivered"),
        (at, "School raised: not-delivered"),
        # An hour in which nothing left at all.
        (at, "Incident raised: step-missed"),
    ]

    one_day.relay.start()
    one_day.step_to(one_day.now + timedelta(minutes=2))
    one_day.run()
    at = one_day.moment()
    assert one_day.take_log() == [
        (at, "Incident ended: step-missed"),
        told(at, ACCOUNT),
        (at, f"{FIRST} gets initial"),
        (at, f"{HEAD} gets initial"),
        told(at, LEAD),
        told(at, OPERATIONS),
        (at, f"{SECOND} gets initial"),
    ]
    one_day.step_to(one_day.now + HOUR)
    one_day.run()
    at = one_day.moment()
    assert one_day.take_log() == [
        (at, "Clinic ended: not-delivered"),
        (at, "School ended: not-delivered"),
    ]


# Words of the log.


def both(at: str, kind: str) -> list[tuple[str, str]]:
    return [(at, f"{FIRST} gets {kind}"), (at, f"{SECOND} gets {kind}")]


def silent(at: str) -> tuple[str, str]:
    return (at, "Clinic raised: not-acknowledged")


def missing(at: str) -> tuple[str, str]:
    return (at, "Clinic raised: csr-missing")


def told(at: str, who: str) -> tuple[str, str]:
    return (at, f"{who} gets escalation")


def take(walk: Walk, cause: EscalationCause, *, by: str) -> datetime:
    """Acknowledge what is live of a cause; return when it comes back."""
    with reading(walk.c.engine) as connection:
        seen = [
            Seen(escalation=one.escalation, raised_times=one.raised_times)
            for one in escalations_of(connection, incident=walk.incident)
            if one.cause is cause
        ]
    done = acknowledge(
        walk.c.engine,
        seen,
        incident=walk.incident,
        by=by,
        actor="officer:lee",
        clock=walk.c.clock,
    )
    assert len(done.escalations) == 1
    return done.back_at


def heartbeat(walk: Walk) -> str:
    assert walk.c.watchdog.file is not None
    return str(json.loads(walk.c.watchdog.file.read_text())["at"])


def everything_ended_well(walk: Walk) -> None:
    """All is published before the deadline, nothing is live, the record agrees."""
    record, revocation = walk.record, table(Revocation)
    assert record.state == "closed"
    with reading(walk.c.engine) as connection:
        assert verify(connection, incident=walk.incident).problems == ()
        rows = connection.execute(select(revocation)).all()
    assert all(row.published_at < record.deadline for row in rows)
    assert {state for _, state, _ in walk.escalations()} == {"ended", "raised-further"}
