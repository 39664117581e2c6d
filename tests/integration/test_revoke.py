import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_incident,
    insert_revocations,
)
from fakes.cas import WaywardCa, calls_by_serial
from fakes.launched import LaunchedIncident, launch
from sqlalchemy import Engine, select, text, update

from models.base import table
from models.revocation import Revocation
from models.terms import CertificateId, Reason, RevocationState
from tocsin.ca.backend import AnswerKind, RevocationAnswer, RevocationRequest
from tocsin.ca.issuers import create_issuer
from tocsin.clock import SteppedClock
from tocsin.errors import Broken, Refused, Unavailable
from tocsin.policy.revocation import Outcome
from tocsin.store import overdue, revocations
from tocsin.store.session import reading, writing

ROWS = table(Revocation)
SECOND = timedelta(seconds=1)
FIRST = 0x1000  # the serial of the first certificate

Make = Callable[..., LaunchedIncident]


@pytest.fixture
def make(engine: Engine, tmp_path: Path, clock: SteppedClock) -> Make:
    return lambda count=3: launch(engine, tmp_path / "ca", clock, count=count)


@pytest.fixture
def due(make: Make) -> LaunchedIncident:
    """Three certificates whose revocation is due now."""
    launched = make()
    launched.clock.step_to(REVOCATION)
    return launched


# The way it should go


def test_everything_due_is_revoked_published_and_proven(due: LaunchedIncident) -> None:
    done = due.revoke()

    assert (done.claimed, done.revoked, done.published) == (3, 3, 3)
    assert done.not_revoked == done.unproven == done.wrong_reason == 0
    (proof,) = due.proofs()
    assert (proof.published, proof.crl_entries, proof.ocsp_answers) == (3, 3, 3)
    assert proof.read_at == REVOCATION
    for row in due.rows():
        assert row.state == "published"
        assert row.answer == "done"
        assert row.submitted_at == row.revoked_at == REVOCATION
        assert row.ca_revoked_at == row.published_at == REVOCATION
        assert row.published_reason == Reason.SUPERSEDED
        assert row.proof_id == proof.id
        assert (row.attempts, row.lease_owner, row.lease_until) == (1, None, None)
    assert set(calls_by_serial(due.directory).values()) == {1}


def test_i5_each_change_is_on_record_with_the_certificates_concerned(
    due: LaunchedIncident,
) -> None:
    due.revoke(actor="guard")

    acts = [(act.actor, act.action, json.loads(act.detail)) for act in due.acts()]
    assert [(actor, action) for actor, action, _ in acts] == [
        ("guard", "revocations-submitted"),
        ("guard", "revocations-answered"),
        ("guard", "revocations-published"),
    ]
    submitted, answered, published = (detail for _, _, detail in acts)
    assert submitted == {"certificates": due.certificates}
    assert answered == {"done": due.certificates}
    assert published["certificates"] == due.certificates
    assert published["crl_number"] == 1


def test_nothing_is_revoked_when_it_is_not_due(make: Make) -> None:
    launched = make()
    launched.clock.step_to(REVOCATION - SECOND)

    done = launched.revoke()

    assert done.claimed == done.published == 0
    assert calls_by_serial(launched.directory) == {}
    assert launched.states() == {"scheduled": 3}
    assert launched.acts() == []


def test_i4_a_second_pass_does_nothing(due: LaunchedIncident) -> None:
    due.revoke()
    acts = due.acts()

    done = due.revoke()

    assert (done.claimed, done.published) == (0, 0)
    assert due.acts() == acts
    assert set(calls_by_serial(due.directory).values()) == {1}


def test_i3_counts_sum_when_there_are_many_batches(make: Make) -> None:
    launched = make(450)
    launched.clock.step_to(REVOCATION)

    done = launched.revoke(batch=200)

    assert done.claimed == done.revoked == done.published == 450
    answered = [act for act in launched.acts() if act.action == "revocations-answered"]
    assert len(answered) == 5  # at most 100 in each transaction
    assert launched.states() == {"published": 450}


def test_each_issuer_publishes_its_own(due: LaunchedIncident) -> None:
    other = create_issuer(due.directory, name="Test CA R2", now=LAUNCH)
    with writing(due.engine) as connection:
        incident = insert_incident(connection, id="second")
        more = insert_certificates(connection, incident, None, 2, issuer_key=other)
        insert_revocations(connection, incident, more)

    done = due.revoke()

    assert done.published == 5
    assert sorted(proof.published for proof in due.proofs()) == [2, 3]


def test_a_certificate_of_two_incidents_is_revoked_once(due: LaunchedIncident) -> None:
    with writing(due.engine) as connection:
        second = insert_incident(connection, id="second")
        same = insert_certificates(
            connection, second, None, 1, issuer_key=due.issuer_key
        )
        insert_revocations(connection, second, same, reason=int(Reason.KEY_COMPROMISE))

    done = due.revoke()

    assert (done.revoked, done.already, done.published) == (3, 1, 4)
    assert done.wrong_reason == 1  # the first reason stays, and it is said
    assert due.rows()[-1].published_reason == Reason.SUPERSEDED


# I1: never later


def test_i1_a_revocation_is_brought_forward_and_never_back(make: Make) -> None:
    launched = make()
    first, second, _ = launched.certificates
    with writing(launched.engine) as connection:
        moved = revocations.bring_forward(
            connection, certificates=[first, second], to=LAUNCH + HOUR
        )
        later = revocations.bring_forward(
            connection, certificates=launched.certificates, to=REVOCATION + HOUR
        )
        back = revocations.bring_forward(
            connection, certificates=[first], to=LAUNCH + 2 * HOUR
        )

    assert (moved, later, back) == (2, 0, 0)
    assert [row.revocation_time for row in launched.rows()] == [
        LAUNCH + HOUR,
        LAUNCH + HOUR,
        REVOCATION,
    ]
    launched.clock.step_to(LAUNCH + HOUR)
    assert launched.revoke().published == 2
    assert launched.states() == {"published": 2, "scheduled": 1}


def test_i1_nothing_is_brought_forward_when_it_is_under_way(
    due: LaunchedIncident,
) -> None:
    due.revoke()

    with writing(due.engine) as connection:
        moved = revocations.bring_forward(
            connection, certificates=due.certificates, to=LAUNCH
        )

    assert moved == 0


def test_i1_a_second_schedule_moves_nothing(
    engine: Engine, clock: SteppedClock
) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        insert_certificates(connection, incident, None, 3)
        first = revocations.schedule(
            connection,
            incident=incident,
            revocation_time=REVOCATION,
            reason=Reason.SUPERSEDED,
            now=clock.now(),
        )
        second = revocations.schedule(
            connection,
            incident=incident,
            revocation_time=REVOCATION + HOUR,
            reason=Reason.KEY_COMPROMISE,
            now=clock.now(),
        )
        rows = connection.execute(select(ROWS)).all()

    assert (first, second) == (3, 0)
    for row in rows:
        assert row.planned_time == row.revocation_time == row.due_at == REVOCATION
        assert (row.state, row.reason, row.attempts) == ("scheduled", 4, 0)
        assert row.serial == f"{FIRST + row.certificate_id - rows[0][0]:04x}"


def test_i8_a_drill_has_no_revocations(engine: Engine, clock: SteppedClock) -> None:
    with writing(engine) as connection:
        incident = insert_incident(connection, is_drill=True)
        insert_certificates(connection, incident, None, 1)

        with pytest.raises(Refused, match="I8"):
            revocations.schedule(
                connection,
                incident=incident,
                revocation_time=REVOCATION,
                reason=Reason.SUPERSEDED,
                now=clock.now(),
            )


def test_a_plan_after_the_deadline_is_an_error_unless_that_has_passed(
    engine: Engine,
) -> None:
    def schedule(now: Any) -> int:
        with writing(engine) as connection:
            return revocations.schedule(
                connection,
                incident=incident,
                revocation_time=DEADLINE + HOUR,
                reason=Reason.SUPERSEDED,
                now=now,
            )

    with writing(engine) as connection:
        incident = insert_incident(connection)
        insert_certificates(connection, incident, None, 1)

    with pytest.raises(Broken):
        schedule(LAUNCH)
    assert schedule(DEADLINE + HOUR) == 1


# What a CA can say


@pytest.mark.parametrize(
    ("kind", "counted_as"),
    [
        (AnswerKind.UNKNOWN, "unknown"),
        (AnswerKind.REFUSED, "refused"),
        (AnswerKind.PENDING_APPROVAL, "pending"),
        (AnswerKind.RETRY, "retried"),
        (AnswerKind.FATAL, "retried"),
    ],
)
def test_a_certificate_that_is_not_revoked_stays_due_and_holds_up_no_other(
    due: LaunchedIncident, kind: AnswerKind, counted_as: str
) -> None:
    ca = WaywardCa(due.ca, answers={FIRST: kind})

    done = due.revoke(ca)

    assert done.revoked == done.published == 2
    assert getattr(done, counted_as) == done.not_revoked == 1
    row = due.rows()[0]
    assert (row.state, row.answer, row.answer_detail) == ("submitted", kind, "no")
    assert row.lease_owner is None
    assert REVOCATION < row.due_at <= REVOCATION + timedelta(minutes=1)


def test_a_refused_revocation_is_tried_for_ever_until_the_ca_does_it(
    due: LaunchedIncident,
) -> None:
    ca = WaywardCa(due.ca, answers={FIRST: AnswerKind.REFUSED})
    due.revoke(ca)
    for attempt in range(2, 12):
        assert due.revoke(ca).claimed == 0  # not before its time
        with reading(due.engine) as connection:
            following = revocations.next_due(connection)
        assert following is not None
        due.clock.step_to(following)
        assert due.revoke(ca).refused == 1
        assert due.rows()[0].attempts == attempt
    ca.answers.clear()
    due.step(minutes=1)

    done = due.revoke(ca)

    assert (done.revoked, done.published) == (1, 1)
    assert due.states() == {"published": 3}
    assert due.rows()[0].submitted_at == REVOCATION


def test_the_pass_ends_when_the_ca_is_away_and_everything_stays_due(
    make: Make,
) -> None:
    launched = make(50)
    launched.clock.step_to(REVOCATION)
    ca = WaywardCa(launched.ca, away_after=0, cannot_look_up=True)

    done = launched.revoke(ca, batch=10)

    assert (done.claimed, done.retried) == (10, 10)
    assert launched.states() == {"scheduled": 40, "submitted": 10}
    launched.step(minutes=2)
    ca.away_after = None
    again = launched.revoke(ca, batch=20)  # look-ups still fail: those 10 must wait
    assert (again.revoked, again.retried) == (40, 10)
    assert not ca.looked_up
    launched.step(minutes=2)
    ca.cannot_look_up = False
    last = launched.revoke(ca)
    assert (last.revoked, launched.states()) == (10, {"published": 50})
    assert set(calls_by_serial(launched.directory).values()) == {1}


def test_what_was_answered_is_recorded_when_the_ca_goes_away_half_way(
    make: Make,
) -> None:
    launched = make(250)
    launched.clock.step_to(REVOCATION)

    done = launched.revoke(WaywardCa(launched.ca, away_after=130))

    assert (done.claimed, done.revoked, done.retried) == (250, 130, 120)
    assert launched.states() == {"published": 130, "submitted": 120}


def test_what_got_no_answer_is_in_doubt_and_looked_up_when_its_claim_ends(
    due: LaunchedIncident,
) -> None:
    ca = WaywardCa(due.ca, silent_after=1)

    done = due.revoke(ca)
    at_once = due.revoke(ca)
    due.step(minutes=2)
    ca.silent_after = None
    later = due.revoke(ca)

    assert (done.revoked, done.in_doubt, done.not_revoked) == (1, 2, 2)
    assert at_once.claimed == 0
    assert ca.looked_up == [FIRST + 1, FIRST + 2]
    assert (later.revoked, later.published) == (2, 2)


class Confused(WaywardCa):
    """Answers for certificates that nobody asked about."""

    def revoke(self, requests: Any) -> Any:
        yield from super().revoke(requests[:1])
        yield RevocationAnswer(certificate_id=CertificateId(-1), kind=AnswerKind.DONE)


def test_an_answer_nobody_asked_for_stops_the_pass_and_loses_no_other(
    due: LaunchedIncident,
) -> None:
    with pytest.raises(Broken, match="not asked"):
        due.revoke(Confused(due.ca))

    assert due.states() == {"revoked": 1, "submitted": 2}


# I4: every effect once


def claim_and_die(
    launched: LaunchedIncident, *, after_calls: int, owner: str = "dead"
) -> None:
    """Do what a process does that dies after so many calls: nothing is recorded."""
    with writing(launched.engine) as connection:
        claimed = revocations.claim_due(
            connection,
            owner=owner,
            now=launched.clock.now(),
            due_before=launched.clock.now(),
            lease_within=timedelta(seconds=60),
            limit=500,
        )
    list(
        launched.ca.revoke(
            [
                RevocationRequest(
                    certificate_id=due.certificate_id,
                    issuer_key=due.issuer_key,
                    serial=due.serial,
                    reason=due.reason,
                )
                for due in claimed[:after_calls]
            ]
        )
    )


@pytest.mark.parametrize("after_calls", [0, 1, 3])
def test_i4_what_a_dead_process_left_in_doubt_is_looked_up_and_not_repeated(
    due: LaunchedIncident, after_calls: int
) -> None:
    claim_and_die(due, after_calls=after_calls)

    while_claimed = due.revoke()
    with reading(due.engine) as connection:
        following = revocations.next_due(connection)
    due.step(seconds=60)
    done = due.revoke()

    assert while_claimed.claimed == 0
    assert following == REVOCATION + timedelta(seconds=60)
    assert (done.already, done.revoked) == (after_calls, 3 - after_calls)
    assert done.published == 3
    assert calls_by_serial(due.directory) == dict.fromkeys(range(FIRST, FIRST + 3), 1)
    revoked_at = [row.ca_revoked_at for row in due.rows()]
    assert revoked_at.count(REVOCATION) == after_calls
    assert revoked_at.count(REVOCATION + timedelta(seconds=60)) == 3 - after_calls


def test_i4_a_process_stops_when_its_claim_was_taken_over(
    make: Make,
) -> None:
    launched = make(300)
    launched.clock.step_to(REVOCATION)

    def lose_the_claim(count: int) -> None:
        if count == 150:
            with writing(launched.engine) as connection:
                connection.execute(
                    update(ROWS)
                    .where(ROWS.c.state == "submitted")
                    .values(lease_owner="another")
                )

    ca = WaywardCa(launched.ca, before_answer=lose_the_claim)

    done = launched.revoke(ca)

    # Noticed when the next answers are recorded; what the CA did is recorded, too.
    assert (done.revoked, done.in_doubt) == (200, 100)
    assert launched.states() == {"published": 200, "submitted": 100}


def test_i4_a_process_stops_when_its_claim_was_taken_over_while_it_looked_up(
    make: Make,
) -> None:
    launched = make(200)
    launched.clock.step_to(REVOCATION)
    claim_and_die(launched, after_calls=150)
    launched.step(minutes=2)

    def lose_the_claim(count: int) -> None:
        if count == 50:
            with writing(launched.engine) as connection:
                connection.execute(update(ROWS).values(lease_owner="another"))

    ca = WaywardCa(launched.ca, before_status=lose_the_claim)

    done = launched.revoke(ca)

    assert (done.already, done.in_doubt) == (100, 100)
    assert ca.asked == []


def test_what_was_found_is_kept_when_the_ca_goes_away_during_the_look_up(
    due: LaunchedIncident,
) -> None:
    claim_and_die(due, after_calls=3)
    due.step(minutes=2)

    def go_away(count: int) -> None:
        if count == 1:
            raise Unavailable("out of reach")

    ca = WaywardCa(due.ca, before_status=go_away)

    done = due.revoke(ca)

    assert (done.already, done.retried, done.published) == (1, 2, 1)
    assert ca.asked == []  # not looked up is not repeated


def test_i4_a_process_that_lost_its_claim_can_only_add_what_is_revoked(
    due: LaunchedIncident,
) -> None:
    claim_and_die(due, after_calls=0, owner="slow")
    due.step(minutes=2)
    claim_and_die(due, after_calls=0, owner="another")
    first, second, _ = due.certificates

    def outcome(certificate: CertificateId, *, is_revoked: bool) -> Outcome:
        return Outcome(
            certificate_id=certificate,
            incident=due.incident,
            is_revoked=is_revoked,
            answer="done" if is_revoked else "retry",
            detail="",
            ca_revoked_at=REVOCATION if is_revoked else None,
            next_at=DEADLINE,
        )

    with writing(due.engine) as connection:
        changed = revocations.record_answers(
            connection,
            owner="slow",
            outcomes=[
                outcome(first, is_revoked=True),
                outcome(second, is_revoked=False),
            ],
            now=due.clock.now(),
        )

    assert changed == 1
    assert [(row.state, row.lease_owner) for row in due.rows()] == [
        ("revoked", None),
        ("submitted", "another"),
        ("submitted", "another"),
    ]


def test_a_claim_is_renewed_while_a_slow_ca_answers(make: Make) -> None:
    launched = make(250)
    launched.clock.step_to(REVOCATION)
    seen: list[Any] = []

    def look(count: int) -> None:
        launched.step(seconds=0.5)
        if count == 220:
            seen.extend(row for row in launched.rows() if row.state == "submitted")

    done = launched.revoke(WaywardCa(launched.ca, before_answer=look))

    assert done.revoked == 250  # in 125 s, twice as long as a claim of 500 holds
    assert {row.lease_until for row in seen} == {
        REVOCATION + timedelta(seconds=100 + 63)
    }


# I9: done means published


def test_i9_a_revocation_is_not_done_until_the_crl_shows_it(
    due: LaunchedIncident,
) -> None:
    ca = WaywardCa(due.ca, forgets_to_publish=True)
    due.ca.publish(due.issuer_key)

    done = due.revoke(ca)

    assert (done.revoked, done.published, done.unproven) == (3, 0, 3)
    assert due.states() == {"revoked": 3}
    assert due.proofs() == []
    ca.forgets_to_publish = False
    assert due.revoke(ca).published == 0  # read again when that is due, not at once
    seen_at = due.step(minutes=1)
    assert due.revoke(ca).published == 3
    assert {row.published_at for row in due.rows()} == {seen_at}
    assert {row.ca_revoked_at for row in due.rows()} == {REVOCATION}


def test_i9_nothing_is_recorded_when_publication_cannot_be_read(
    due: LaunchedIncident,
) -> None:
    ca = WaywardCa(due.ca, cannot_publish=True)

    done = due.revoke(ca)

    assert (done.revoked, done.published) == (3, 0)
    assert due.states() == {"revoked": 3}
    with reading(due.engine) as connection:
        following = revocations.next_due(connection)
    assert following is not None
    assert REVOCATION < following <= REVOCATION + timedelta(minutes=5)
    due.clock.step_to(following)
    ca.cannot_publish = False
    assert due.revoke(ca).published == 3


def test_i9_a_wrong_reason_at_the_ca_is_published_and_on_record(
    due: LaunchedIncident,
) -> None:
    with writing(due.engine) as connection:
        connection.execute(update(ROWS).values(reason=int(Reason.UNSPECIFIED)))
        connection.execute(
            update(ROWS)
            .where(ROWS.c.certificate_id == due.certificates[0])
            .values(reason=int(Reason.KEY_COMPROMISE))
        )
    claim_and_die(due, after_calls=3)
    with writing(due.engine) as connection:
        connection.execute(update(ROWS).values(reason=int(Reason.UNSPECIFIED)))
    due.step(minutes=2)

    done = due.revoke()

    assert (done.already, done.published, done.wrong_reason) == (3, 3, 1)
    assert [row.published_reason for row in due.rows()] == [1, 0, 0]
    detail = json.loads(due.acts()[-1].detail)
    assert detail["wrong_reason"] == due.certificates[:1]


# What is due, and what is overdue


def test_next_due_is_the_earliest_of_all_states(make: Make) -> None:
    launched = make()

    with writing(launched.engine) as connection:
        scheduled = revocations.next_due(connection)
        revocations.bring_forward(
            connection, certificates=launched.certificates[:1], to=LAUNCH + HOUR
        )
        brought = revocations.next_due(connection)
        after = revocations.next_due(connection, after=LAUNCH + HOUR)
    launched.clock.step_to(REVOCATION)
    launched.revoke()
    with reading(launched.engine) as connection:
        finished = revocations.next_due(connection)

    assert (scheduled, brought, after) == (REVOCATION, LAUNCH + HOUR, REVOCATION)
    assert finished is None


def test_overdue_counts_what_nobody_is_at_work_on(due: LaunchedIncident) -> None:
    def count(**later: int) -> tuple[int, int]:
        now = due.step(**later)
        with reading(due.engine) as connection:
            left = overdue.outstanding(
                connection,
                now=now,
                grace=timedelta(seconds=60),
                publication_within=timedelta(seconds=60),
            )
        return left.overdue, left.unpublished

    assert count(seconds=59) == (0, 0)
    assert count(seconds=1) == (3, 0)
    claim_and_die(due, after_calls=0)
    assert count(seconds=59) == (0, 0)  # somebody is at work
    assert count(seconds=1) == (3, 0)
    due.revoke(WaywardCa(due.ca, cannot_publish=True))
    assert count(seconds=119) == (0, 0)
    assert count(seconds=1) == (0, 3)
    due.revoke()
    assert count(seconds=1) == (0, 0)


def test_every_due_query_reads_an_index(sqlite_engine: Engine) -> None:
    statements: list[Any] = [
        revocations.due_statement(state, due_before=REVOCATION, limit=500)
        for state in (
            RevocationState.SCHEDULED,
            RevocationState.SUBMITTED,
            RevocationState.REVOKED,
        )
    ]
    statements += revocations.next_due_statements(after=None)
    statements += revocations.next_due_statements(after=LAUNCH)
    statements += overdue.overdue_statements(now=REVOCATION, due_before=REVOCATION)

    for statement in statements:
        compiled = statement.compile(
            dialect=sqlite_engine.dialect, compile_kwargs={"literal_binds": False}
        )
        with reading(sqlite_engine) as connection:
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {compiled}",
                tuple(compiled.params[name] for name in compiled.positiontup or ()),
            ).all()
        steps = " / ".join(row[3] for row in plan)
        assert "SEARCH revocation USING" in steps, steps
        assert "SCAN" not in steps, steps


def test_due_revocations_are_read_in_order_without_sorting(
    sqlite_engine: Engine,
) -> None:
    # With 100,000 due at once a sort for each batch of 500 would be quadratic.
    with reading(sqlite_engine) as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT certificate_id FROM revocation "
                "WHERE state = 'scheduled' AND due_at <= '2026-03-07' "
                "ORDER BY due_at LIMIT 500"
            )
        ).all()

    assert "TEMP B-TREE" not in str(plan)
