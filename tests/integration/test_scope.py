"""Withdrawals and court orders: what two officers can do, and what nobody can."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_contact,
    insert_incident,
)
from fakes.cas import WaywardCa, calls_by_serial
from fakes.launched import LaunchedIncident, launch
from fakes.scope import (
    CHAN,
    LAM,
    LIST,
    WONG,
    Office,
    come_in,
    order,
    withdrawal,
)
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from models.base import table
from models.incident import Incident
from models.office import OfficeMail
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.scope import ScopeChange, ScopedCertificate, ScopeDocument
from models.subscriber import Subscriber
from models.terms import IncidentId, OfficeRole, ScopeChangeId, ScopeState
from tocsin.ca.backend import AnswerKind
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput, Refused
from tocsin.guard import watch_once as guard_once
from tocsin.policy.ladder import shipped_ladder
from tocsin.policy.office import Officer, Officers
from tocsin.policy.progress import incident_forecast
from tocsin.policy.revocation import Outcome
from tocsin.steps.outreach import Telling
from tocsin.steps.proposals import lapse_overtaken, refuse, see
from tocsin.steps.report import write_report
from tocsin.steps.scope import Signatory, end_order, sign
from tocsin.steps.watchdog import Heartbeat
from tocsin.steps.watchdog import watch_once as watchdog_once
from tocsin.store import revocations
from tocsin.store.figures import incident_figures
from tocsin.store.incidents import finished_incidents
from tocsin.store.reconciliation import verify
from tocsin.store.scope import read_change
from tocsin.store.session import reading, writing

ROWS = table(Revocation)
CHANGES = table(ScopeChange)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def launched(engine: Engine, tmp_path: Path, clock: SteppedClock) -> LaunchedIncident:
    """Three certificates, on both kinds of database: where the SQL is what matters."""
    return launch_and_tell(engine, tmp_path, clock)


@pytest.fixture
def of_sqlite(
    sqlite_engine: Engine, tmp_path: Path, clock: SteppedClock
) -> LaunchedIncident:
    """The same, once."""
    return launch_and_tell(sqlite_engine, tmp_path, clock)


def launch_and_tell(
    engine: Engine, tmp_path: Path, clock: SteppedClock
) -> LaunchedIncident:
    """Launch three certificates of a real issuer, whose subscriber was told."""
    launched = launch(
        engine,
        tmp_path / "ca",
        clock,
        ladder=shipped_ladder(timedelta(days=5)).text,
    )
    with writing(engine) as connection:
        subscriber = connection.execute(select(table(Subscriber).c.id)).scalar_one()
        contact = insert_contact(connection, launched.incident, subscriber)
        connection.execute(
            insert(table(Notice)).values(
                incident_id=launched.incident,
                contact_id=contact,
                kind="initial",
                sequence=0,
                state="sent",
                planned_at=LAUNCH,
                due_at=LAUNCH,
                message_id="<first@ca.example>",
                verp_token="first",  # noqa: S106 - no secret
                attempts=1,
                possibly_repeated=0,
            )
        )
    return launched


def change_of(launched: LaunchedIncident, change: ScopeChangeId) -> Any:
    with reading(launched.engine) as connection:
        known = read_change(connection, change=change)
    assert known is not None
    return known


def as_it_should(launched: LaunchedIncident) -> None:
    """Assert that the figures add up and the record agrees with the rows."""
    with reading(launched.engine) as connection:
        verdict = verify(connection, incident=launched.incident)
        incident_figures(
            connection, incident=launched.incident, now=launched.clock.now()
        )
    # What the fixture inserted has no act behind it.
    assert [p for p in verdict.problems if "scheduled" not in p] == []


# A withdrawal


def test_withdrawn_certificate_is_never_revoked_when_two_officers_have_signed(
    launched: LaunchedIncident,
) -> None:
    change = launched.office.put_down(withdrawal(), launched.certificates[:1])
    first = launched.office.signed(change, CHAN)
    assert (first.state, first.called) == (ScopeState.PROPOSED, 1)
    assert launched.states() == {"scheduled": 3}

    done = launched.office.signed(change, LAM)

    assert (done.state, done.applied, done.too_late) == (ScopeState.AGREED, 1, 0)
    assert done.told == 1
    launched.clock.step_to(REVOCATION)
    launched.revoke()
    assert launched.states() == {"published": 2, "withdrawn": 1}
    assert launched.rows()[0].revocation_time == REVOCATION
    assert len(calls_by_serial(launched.directory)) == 2
    as_it_should(launched)


def test_without_a_second_signature_everything_is_revoked_on_time(
    of_sqlite: LaunchedIncident,
) -> None:
    for proposal in (withdrawal(), order(DEADLINE + HOUR)):
        change = of_sqlite.office.put_down(proposal, of_sqlite.certificates)
        of_sqlite.office.signed(change, CHAN)

    of_sqlite.clock.step_to(REVOCATION)
    of_sqlite.revoke()

    assert of_sqlite.states() == {"published": 3}
    assert lapse_overtaken(of_sqlite.engine, of_sqlite.clock) == 2
    assert lapse_overtaken(of_sqlite.engine, of_sqlite.clock) == 0
    as_it_should(of_sqlite)


def test_signature_counts_once_when_it_is_given_twice(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates[:1])
    of_sqlite.office.signed(change, CHAN, CHAN)
    assert change_of(of_sqlite, change).state is ScopeState.PROPOSED

    of_sqlite.office.signed(change, LAM, LAM, CHAN)

    actions = [act.action for act in of_sqlite.acts()]
    assert actions == [
        "withdrawal-proposed",
        "withdrawal-signed",
        "withdrawal-agreed",
    ]


def test_proposal_is_one_when_its_form_is_sent_twice(
    of_sqlite: LaunchedIncident,
) -> None:
    first, second = (
        of_sqlite.office.put_down(
            withdrawal(), of_sqlite.certificates[:1], form="the same"
        )
        for _ in range(2)
    )

    assert first == second


def test_second_signature_is_refused_when_it_is_the_same_persons(
    of_sqlite: LaunchedIncident,
) -> None:
    again = Officer(
        name="Tai-Man CHAN", email="t.chan@home.example", role=OfficeRole.OFFICER
    )
    tagged = Officer(
        name="Chan T M", email="chan+desk@ca.example", role=OfficeRole.OFFICER
    )
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates[:1])
    people = Officers(people=(CHAN, again, tagged, LAM, WONG), problems=())
    first = of_sqlite.office.signed(change, CHAN, on=people)
    assert first.called == 1  # LAM alone: the others may be the same person

    for officer in (again, tagged):
        with pytest.raises(Refused, match="somebody else"):
            of_sqlite.office.signed(change, officer, on=people)
    with pytest.raises(Refused, match="manager"):
        of_sqlite.office.signed(change, WONG, on=people)


def test_second_signature_is_refused_when_the_first_officer_left_the_list(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates[:1])
    of_sqlite.office.signed(change, CHAN)

    for people in (
        (LAM,),
        (LAM, replace(CHAN, role=OfficeRole.MANAGER)),
        (LAM, replace(CHAN, name="Chan Siu Ming")),
    ):
        with pytest.raises(Refused, match="no officer on the list"):
            of_sqlite.office.signed(
                change, LAM, on=Officers(people=people, problems=())
            )
    assert of_sqlite.states() == {"scheduled": 3}


def test_signature_is_refused_when_the_link_was_printed_at_the_machine(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates[:1])

    with pytest.raises(Refused, match="printed"):
        sign(
            of_sqlite.engine,
            change,
            Signatory(officer=CHAN, mail=None),
            LIST,
            mail_domain="ca.example",
            clock=of_sqlite.clock,
        )


def test_proposal_lapses_when_the_certificate_is_revoked_in_the_meantime(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates[:1])
    of_sqlite.office.signed(change, CHAN)
    of_sqlite.clock.step_to(REVOCATION)
    of_sqlite.revoke()

    done = of_sqlite.office.signed(change, LAM)

    assert done.state is ScopeState.LAPSED
    assert of_sqlite.states() == {"published": 3}
    with pytest.raises(Refused, match="lapsed already"):
        of_sqlite.office.signed(change, LAM)


def test_the_rest_is_withdrawn_when_some_are_revoked_in_the_meantime(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates[:2])
    of_sqlite.office.signed(change, CHAN)
    with writing(of_sqlite.engine) as connection:
        revocations.bring_forward(
            connection, certificates=of_sqlite.certificates[:1], to=LAUNCH
        )
    of_sqlite.revoke()

    done = of_sqlite.office.signed(change, LAM)

    assert (done.applied, done.too_late) == (1, 1)
    assert of_sqlite.states() == {"published": 1, "withdrawn": 1, "scheduled": 1}


def test_nothing_is_withdrawn_when_the_ca_is_being_asked_for_it(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates)
    of_sqlite.office.signed(change, CHAN)
    of_sqlite.clock.step_to(REVOCATION)
    with writing(of_sqlite.engine) as connection:
        due = revocations.claim_due(
            connection,
            owner="a process that is at it",
            now=REVOCATION,
            due_before=REVOCATION,
            lease_within=MINUTE,
            limit=9,
        )
    of_sqlite.step(minutes=5)  # nobody knows whether it ended

    with pytest.raises(Refused, match="at this moment"):
        of_sqlite.office.signed(change, LAM)

    with writing(of_sqlite.engine) as connection:
        revocations.record_answers(
            connection,
            owner="a process that is at it",
            outcomes=[
                Outcome(
                    certificate_id=one.certificate_id,
                    incident=one.incident,
                    is_revoked=False,
                    answer=AnswerKind.UNKNOWN.value,
                    detail="",
                    ca_revoked_at=None,
                    next_at=of_sqlite.clock.now(),
                )
                for one in due
            ],
            now=of_sqlite.clock.now(),
        )
    assert of_sqlite.office.signed(change, LAM).applied == 3
    of_sqlite.revoke()
    assert of_sqlite.states() == {"withdrawn": 3}


def test_late_answer_of_the_ca_is_the_truth_when_a_certificate_was_withdrawn(
    of_sqlite: LaunchedIncident,
) -> None:
    of_sqlite.office.agreed(withdrawal(), of_sqlite.certificates[:1])
    with writing(of_sqlite.engine) as connection:
        revocations.record_answers(
            connection,
            owner="a process that slept for hours",
            outcomes=[
                Outcome(
                    certificate_id=of_sqlite.certificates[0],
                    incident=of_sqlite.incident,
                    is_revoked=True,
                    answer=AnswerKind.DONE.value,
                    detail="",
                    ca_revoked_at=of_sqlite.clock.now(),
                    next_at=of_sqlite.clock.now(),
                )
            ],
            now=of_sqlite.clock.now(),
        )

    assert of_sqlite.states() == {"revoked": 1, "scheduled": 2}
    assert of_sqlite.rows()[0].withdrawn_at is not None


def test_proposal_has_no_effect_when_it_is_refused(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.put_down(withdrawal(), of_sqlite.certificates[:1])
    of_sqlite.office.signed(change, CHAN)

    with pytest.raises(BadInput):
        refuse(of_sqlite.engine, change, LAM, why=" ", clock=of_sqlite.clock)
    assert refuse(
        of_sqlite.engine, change, LAM, why="It is affected.", clock=of_sqlite.clock
    )
    assert not refuse(of_sqlite.engine, change, LAM, why="Again", clock=of_sqlite.clock)

    with pytest.raises(Refused, match="refused already"):
        of_sqlite.office.signed(change, LAM)
    assert change_of(of_sqlite, change).ended_by == LAM.name


def test_nothing_can_be_proposed_when_the_incident_is_a_drill(
    sqlite_engine: Engine, clock: SteppedClock
) -> None:
    with writing(sqlite_engine) as connection:
        insert_incident(connection, is_drill=True)

    with pytest.raises(Refused, match="drill"):
        Office(
            engine=sqlite_engine, clock=clock, incident=IncidentId("test-incident")
        ).put_down(withdrawal(), [])


def test_one_of_two_wins_when_officers_race(launched: LaunchedIncident) -> None:
    """LAM signs while CHAN takes it back; never both."""
    change = launched.office.put_down(withdrawal(), launched.certificates[:1])
    launched.office.signed(change, CHAN)
    lam = come_in(launched.engine, LAM, launched.clock.now())
    start, ended = threading.Barrier(2), dict[str, object]()

    def race(name: str, act: Callable[[], object]) -> None:
        start.wait()
        try:
            ended[name] = act()
        except Refused as error:
            ended[name] = error

    threads = [
        threading.Thread(target=race, args=(name, act))
        for name, act in (
            (
                "sign",
                lambda: sign(
                    launched.engine,
                    change,
                    lam,
                    LIST,
                    mail_domain="ca.example",
                    clock=launched.clock,
                ),
            ),
            (
                "refuse",
                lambda: refuse(
                    launched.engine, change, CHAN, why="No", clock=launched.clock
                ),
            ),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    state = change_of(launched, change).state
    if state is ScopeState.AGREED:
        assert ended["refuse"] is False
        assert launched.states() == {"scheduled": 2, "withdrawn": 1}
    else:
        assert state is ScopeState.REFUSED
        assert isinstance(ended["sign"], Refused)
        assert launched.states() == {"scheduled": 3}
    as_it_should(launched)


def test_incident_ends_when_the_rest_was_withdrawn(of_sqlite: LaunchedIncident) -> None:
    of_sqlite.office.agreed(withdrawal(), of_sqlite.certificates[:2])
    of_sqlite.clock.step_to(REVOCATION)
    of_sqlite.revoke()

    with writing(of_sqlite.engine) as connection:
        connection.execute(update(table(Notice)).values(state="sent"))
        connection.execute(update(table(Subscriber)).values(look_at=None))
        assert finished_incidents(connection, now=of_sqlite.clock.now()) == [
            of_sqlite.incident
        ]


# A court order


def test_order_keeps_a_certificate_until_it_ends_and_not_a_minute_longer(
    launched: LaunchedIncident,
) -> None:
    end = REVOCATION + 2 * HOUR
    launched.office.agreed(order(end), launched.certificates[:1])
    assert launched.rows()[0].revocation_time == REVOCATION

    launched.clock.step_to(end - timedelta(microseconds=1))
    launched.revoke()
    assert launched.states() == {"scheduled": 1, "published": 2}
    with reading(launched.engine) as connection:
        assert revocations.next_due(connection) == end

    launched.clock.step_to(end)
    launched.revoke()
    assert launched.states() == {"published": 3}
    assert launched.rows()[0].revocation_time == REVOCATION
    as_it_should(launched)


def test_guard_alone_revokes_when_an_order_has_ended(
    of_sqlite: LaunchedIncident, tmp_path: Path
) -> None:
    end = DEADLINE + HOUR
    of_sqlite.office.agreed(order(end), of_sqlite.certificates)

    def guard() -> Any:
        return guard_once(
            of_sqlite.engine,
            of_sqlite.ca,
            of_sqlite.publication,
            of_sqlite.clock,
            heartbeat=tmp_path / "heartbeat",
            grace=MINUTE,
            owner="guard",
        )

    of_sqlite.clock.step_to(DEADLINE + MINUTE)
    watched = guard()
    assert watched.all_is_well  # what an order restrains is not due
    assert watched.outstanding.restrained == 3
    assert json.loads((tmp_path / "heartbeat").read_text())["restrained"] == 3

    of_sqlite.clock.step_to(end + MINUTE)
    assert guard().revoked.revoked == 3
    of_sqlite.step(minutes=1)
    guard()
    assert of_sqlite.states() == {"published": 3}


def test_watchdog_raises_the_alarm_when_an_order_reaches_beyond_the_deadline(
    of_sqlite: LaunchedIncident, tmp_path: Path
) -> None:
    end = DEADLINE + HOUR
    of_sqlite.office.agreed(order(end), of_sqlite.certificates[:1])
    of_sqlite.clock.step_to(REVOCATION)
    of_sqlite.revoke()

    def look() -> list[tuple[str, str]]:
        watched = watchdog_once(
            of_sqlite.engine,
            of_sqlite.clock,
            telling=Telling(mail_domain="ca.example"),
            publication_within=HOUR,
            heartbeat=Heartbeat(grace=timedelta(days=9), file=tmp_path / "beat"),
        )
        assert watched.all_is_well
        escalation = table(Escalation)
        with reading(of_sqlite.engine) as connection:
            return [
                (row.cause, row.state)
                for row in connection.execute(
                    select(escalation).where(escalation.c.cause == "order-overdue")
                )
            ]

    of_sqlite.clock.step_to(DEADLINE - MINUTE)
    assert look() == []
    of_sqlite.clock.step_to(DEADLINE + MINUTE)
    assert [cause for cause, _ in look()] == ["order-overdue"]
    assert len(look()) == 1

    of_sqlite.clock.step_to(end)
    of_sqlite.revoke()
    assert look() == [("order-overdue", "ended")]


def test_order_ends_at_once_when_one_officer_lifts_it(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.agreed(order(DEADLINE + HOUR), of_sqlite.certificates[:1])
    of_sqlite.clock.step_to(REVOCATION + MINUTE)
    of_sqlite.revoke()
    assert of_sqlite.states() == {"scheduled": 1, "published": 2}

    eased = end_order(
        of_sqlite.engine,
        change,
        actor=LAM.actor,
        why="Discharged on appeal",
        clock=of_sqlite.clock,
    )
    of_sqlite.revoke()

    assert eased == 1
    assert of_sqlite.states() == {"published": 3}
    as_it_should(of_sqlite)


def test_end_of_an_order_moves_earlier_only(of_sqlite: LaunchedIncident) -> None:
    change = of_sqlite.office.agreed(order(DEADLINE), of_sqlite.certificates[:1])

    def end(at: datetime) -> int:
        return end_order(
            of_sqlite.engine,
            change,
            actor=LAM.actor,
            why="Varied",
            clock=of_sqlite.clock,
            ends_at=at,
        )

    for later in (DEADLINE, DEADLINE + HOUR):
        with pytest.raises(BadInput, match="earlier only"):
            end(later)
    assert end(DEADLINE - HOUR) == 1
    assert end(REVOCATION - HOUR) == 1
    assert of_sqlite.rows()[0].due_at == REVOCATION
    of_sqlite.clock.step_to(REVOCATION)
    with pytest.raises(Refused):
        end(REVOCATION)
    of_sqlite.revoke()
    assert of_sqlite.states() == {"published": 3}


def test_longer_of_two_orders_holds_until_it_is_lifted(
    launched: LaunchedIncident,
) -> None:
    short, long = REVOCATION + HOUR, REVOCATION + 3 * HOUR
    first = launched.office.agreed(order(short), launched.certificates[:1])
    second = launched.office.agreed(order(long), launched.certificates[:1])
    assert launched.rows()[0].restrained_until == long

    end_order(
        launched.engine, first, actor=LAM.actor, why="Lifted", clock=launched.clock
    )
    assert launched.rows()[0].restrained_until == long
    end_order(
        launched.engine, second, actor=LAM.actor, why="Lifted", clock=launched.clock
    )
    row = launched.rows()[0]
    assert (row.restrained_until, row.due_at) == (LAUNCH, REVOCATION)


def test_report_of_a_subscriber_brings_nothing_forward_past_an_order(
    launched: LaunchedIncident,
) -> None:
    end = REVOCATION + HOUR
    launched.office.agreed(order(end), launched.certificates[:1])

    with writing(launched.engine) as connection:
        moved = revocations.bring_forward(
            connection, certificates=launched.certificates, to=LAUNCH
        )
    launched.revoke()

    assert moved == 3
    assert launched.states() == {"scheduled": 1, "published": 2}
    row = launched.rows()[0]
    assert (row.revocation_time, row.due_at) == (LAUNCH, end)


def test_order_holds_what_the_ca_refused_before(of_sqlite: LaunchedIncident) -> None:
    of_sqlite.clock.step_to(REVOCATION)
    serials = range(0x1000, 0x1003)
    of_sqlite.revoke(
        WaywardCa(
            of_sqlite.ca, answers=dict.fromkeys(serials, AnswerKind.PENDING_APPROVAL)
        )
    )
    assert of_sqlite.states() == {"submitted": 3}
    end = REVOCATION + HOUR
    of_sqlite.office.agreed(order(end), of_sqlite.certificates)

    of_sqlite.clock.step_to(end - MINUTE)
    of_sqlite.revoke()
    assert of_sqlite.states() == {"submitted": 3}

    of_sqlite.clock.step_to(end)
    of_sqlite.revoke()
    assert of_sqlite.states() == {"published": 3}


# What is said of it


def test_i3_figures_forecast_and_report_account_for_both(
    launched: LaunchedIncident, tmp_path: Path
) -> None:
    launched.office.agreed(withdrawal(), launched.certificates[:1])
    launched.office.agreed(order(DEADLINE + 3 * HOUR), launched.certificates[1:2])
    with writing(launched.engine) as connection:
        connection.execute(
            update(table(Incident)).values(
                plan={"rate_per_second": 10.0, "publication_delay_seconds": 60}
            )
        )
    with reading(launched.engine) as connection:
        ahead = incident_forecast(
            incident_figures(connection, incident=launched.incident, now=LAUNCH)
        )
    assert ahead is not None
    assert ahead.at_risk
    assert ahead.done_at > DEADLINE + 3 * HOUR
    assert "A court order keeps 1 of 2" in ahead.sentence

    launched.clock.step_to(DEADLINE + HOUR)
    launched.revoke()
    written = write_report(
        launched.engine,
        incident=launched.incident,
        directory=tmp_path / "report",
        clock=launched.clock,
    )

    figures = written.figures
    assert (figures.certificates, figures.to_publish) == (3, 2)
    assert (figures.published, figures.withdrawn, figures.restrained) == (1, 1, 1)
    assert (figures.unpublished, figures.restrained_overdue) == (1, 1)
    status = (tmp_path / "report" / "status.md").read_text("utf-8")
    assert "| Withdrawn: listed wrongly, not revoked | 1 | 33.4 % |" in status or (
        "| Withdrawn: listed wrongly, not revoked | 1 | 33.3 % |" in status
    )
    assert "a court order restrains the CA | 1 |" in status
    assert "issued under the corrected profile" in status
    assert "High Court of Hong Kong (HCMP 1234/2026)" in status
    assert "overdue: 1." in status
    table_ = (tmp_path / "report" / "certificates.csv").read_text("utf-8").splitlines()
    assert table_[0].endswith("Revocation reason,Withdrawn or restrained")
    assert ",N/A,N/A,N/A," in table_[1]
    assert "withdrawn by two officers" in table_[1]
    assert ",Delayed,2026-03-07T12:00:00Z,superseded," in table_[2]
    assert table_[3].endswith(",superseded,")


def test_subscriber_is_told_once_and_reminded_of_the_rest_only(
    of_sqlite: LaunchedIncident,
) -> None:
    change = of_sqlite.office.agreed(withdrawal(), of_sqlite.certificates[:2])

    notice = table(Notice)
    with reading(of_sqlite.engine) as connection:
        rows = connection.execute(
            select(notice.c.sequence, notice.c.state).where(
                notice.c.kind == "withdrawal"
            )
        ).all()
    assert [tuple(row) for row in rows] == [(change, "planned")]


def test_preview_says_what_it_would_do(of_sqlite: LaunchedIncident) -> None:
    change = of_sqlite.office.put_down(order(DEADLINE + HOUR), of_sqlite.certificates)

    seen = see(of_sqlite.engine, change, clock=of_sqlite.clock)

    assert seen is not None
    text = " ".join(seen.effects)
    assert "3 certificates will not be sent to the CA before 2026-03-07 10:00" in text
    assert "will be missed for them" in text
    assert "9.16.3" in text
    assert len(seen.certificates) == 3
    assert see(of_sqlite.engine, ScopeChangeId(99), clock=of_sqlite.clock) is None


# What the database refuses, whatever the program says


def refused(launched: LaunchedIncident, statement: Any, match: str) -> None:
    with (
        pytest.raises(DBAPIError, match=match),
        writing(launched.engine) as connection,
    ):
        connection.execute(statement)


def test_i1_database_refuses_a_way_out_when_nobody_has_signed(
    launched: LaunchedIncident,
) -> None:
    for values, match in (
        ({"state": "withdrawn", "withdrawn_at": LAUNCH}, "two officers withdraw"),
        ({"withdrawn_at": LAUNCH}, "instant of a withdrawal"),
        ({"restrained_until": DEADLINE}, "court order in force"),
        ({"due_at": DEADLINE}, "due at its revocation time"),
    ):
        refused(launched, update(ROWS).values(values), match)


def test_i1_database_refuses_a_withdrawal_when_one_officer_has_signed(
    launched: LaunchedIncident,
) -> None:
    change = launched.office.put_down(withdrawal(), launched.certificates[:1])
    launched.office.signed(change, CHAN)

    refused(
        launched,
        update(ROWS)
        .where(ROWS.c.certificate_id == launched.certificates[0])
        .values(state="withdrawn", withdrawn_at=LAUNCH),
        "two officers withdraw",
    )
    refused(launched, update(CHANGES).values(state="agreed"), "two.officers")
    # The same person's other mail, and a name that is made up.
    other = come_in(launched.engine, CHAN, LAUNCH)
    second = {
        "state": "agreed",
        "second_by": "Somebody Else",
        "second_key": LAM.key,
        "second_mail_id": other.mail,
        "second_at": LAUNCH,
    }
    refused(launched, update(CHANGES).values(second), "two officers sign")
    printed = come_in(launched.engine, LAM, LAUNCH, state="printed")
    refused(
        launched,
        update(CHANGES).values(second | {"second_mail_id": printed.mail}),
        "two officers sign",
    )
    unused = come_in(launched.engine, LAM, LAUNCH, used_at=None)
    refused(
        launched,
        update(CHANGES).values(second | {"second_mail_id": unused.mail}),
        "two officers sign",
    )


def test_i1_database_refuses_to_change_what_was_signed(
    launched: LaunchedIncident,
) -> None:
    change = launched.office.agreed(order(DEADLINE), launched.certificates[:1])
    of_change = update(CHANGES).where(CHANGES.c.id == change)

    refused(launched, of_change.values(reason="another"), "stays as it is")
    refused(
        launched, of_change.values(ends_at=DEADLINE + HOUR), "never moves later|order"
    )
    refused(launched, of_change.values(first_by="Nobody"), "signature stays")
    refused(launched, of_change.values(state="refused"), "stays so")
    refused(launched, delete(CHANGES), "never deleted|foreign|FOREIGN")
    refused(
        launched,
        insert(table(ScopedCertificate)).values(
            change_id=change,
            certificate_id=launched.certificates[1],
            outcome="open",
        ),
        "before the first signature",
    )
    refused(
        launched,
        update(table(ScopeDocument)).values(content=b"another"),
        "stays as it is",
    )
    # What the order does not name, and what it would no longer allow.
    refused(
        launched,
        update(ROWS)
        .where(ROWS.c.certificate_id == launched.certificates[1])
        .values(restrained_until=DEADLINE),
        "court order in force",
    )
    end_order(
        launched.engine, change, actor=LAM.actor, why="Lifted", clock=launched.clock
    )
    refused(
        launched,
        update(ROWS)
        .where(ROWS.c.certificate_id == launched.certificates[0])
        .values(restrained_until=DEADLINE),
        "court order in force",
    )
    refused(
        launched,
        update(ROWS)
        .where(ROWS.c.certificate_id == launched.certificates[0])
        .values(restrained_until=None),
        "stays on record",
    )


def test_i1_database_refuses_another_incidents_decision(
    launched: LaunchedIncident,
) -> None:
    with writing(launched.engine) as connection:
        other = insert_incident(connection, id="other-incident")

    with pytest.raises(DBAPIError, match="before the first signature"):
        replace(launched.office, incident=other).put_down(
            withdrawal(), launched.certificates[:1]
        )


def test_i1_database_refuses_to_undo_a_withdrawal(launched: LaunchedIncident) -> None:
    launched.office.agreed(withdrawal(), launched.certificates[:1])
    row = update(ROWS).where(ROWS.c.certificate_id == launched.certificates[0])

    refused(launched, row.values(state="scheduled"), "withdrawal stays")
    refused(launched, row.values(withdrawn_at=REVOCATION), "instant of a withdrawal")


_KILLED = """
import os, sys
from datetime import datetime
from fakes.scope import LAM, LIST, come_in
from models.terms import ScopeChangeId
from tocsin.clock import SteppedClock
from tocsin.steps import scope
from tocsin.store import audit
from tocsin.store.session import open_engine

url, change, at, after = sys.argv[1:]
clock = SteppedClock(datetime.fromisoformat(at))
engine = open_engine(url)
who = come_in(engine, LAM, clock.now())
append = audit.append

def killed(*args, **kwargs):
    append(*args, **kwargs)
    os.kill(os.getpid(), 9)

if after == "record":  # the last statement before the transaction ends
    audit.append = killed
scope.sign(engine, ScopeChangeId(int(change)), who, LIST, mail_domain="ca.example",
           clock=clock)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("after", ["record", "commit"])
def test_i4_all_or_nothing_has_happened_when_the_signing_process_is_killed(
    launched: LaunchedIncident, database_url: str, after: str
) -> None:
    change = launched.office.put_down(withdrawal(), launched.certificates[:1])
    launched.office.signed(change, CHAN)

    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            _KILLED,
            database_url,
            str(change),
            launched.clock.now().isoformat(),
            after,
        ],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
        timeout=60,
    )

    assert ended.returncode == -9
    happened = after == "commit"
    states = {"scheduled": 2, "withdrawn": 1} if happened else {"scheduled": 3}
    assert launched.states() == states
    as_it_should(launched)
    done = launched.office.signed(change, LAM)
    assert done.state is ScopeState.AGREED
    assert launched.states() == {"scheduled": 2, "withdrawn": 1}
    notice = table(Notice)
    with reading(launched.engine) as connection:
        planned = connection.execute(
            select(notice).where(notice.c.kind == "withdrawal")
        ).all()
        mails = connection.execute(
            select(table(OfficeMail)).where(table(OfficeMail).c.kind == "scope-change")
        ).all()
    assert len(planned) == 1
    assert len(mails) == 1
    as_it_should(launched)
