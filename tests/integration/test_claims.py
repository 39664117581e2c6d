"""Claims on revocations: what is in doubt is looked up, what is lost is let go."""

from datetime import timedelta
from pathlib import Path

import pytest
from factories import REVOCATION
from fakes.cas import WaywardCa, calls_by_serial
from fakes.launched import LaunchedIncident, launch
from sqlalchemy import Engine

from tocsin.clock import SteppedClock
from tocsin.errors import Unavailable
from tocsin.store import revocations
from tocsin.store.session import writing

FIRST = 0x1000
COUNT = 20


@pytest.fixture
def due(engine: Engine, tmp_path: Path, clock: SteppedClock) -> LaunchedIncident:
    made = launch(engine, tmp_path / "ca", clock, count=COUNT)
    clock.step_to(REVOCATION)
    return made


def claim(due: LaunchedIncident, *, owner: str) -> int:
    with writing(due.engine) as connection:
        return len(
            revocations.claim_due(
                connection,
                owner=owner,
                now=due.clock.now(),
                due_before=due.clock.now(),
                lease_within=timedelta(seconds=60),
                limit=500,
            )
        )


def test_i4_a_certificate_without_a_status_waits_and_holds_up_no_other(
    due: LaunchedIncident,
) -> None:
    claim(due, owner="dead")
    due.step(minutes=2)
    ca = WaywardCa(due.ca, no_status={FIRST + 3, FIRST + 11})

    done = due.revoke(ca)

    assert (done.revoked, done.retried) == (COUNT - 2, 2)
    assert set(range(FIRST, FIRST + COUNT)) - set(ca.asked) == ca.no_status
    assert due.rows()[3].answer_detail == "HTTP 500"
    ca.no_status.clear()
    due.step(seconds=20)
    assert due.revoke(ca).revoked == 2
    assert set(calls_by_serial(due.directory).values()) == {1}


def test_i4_what_was_looked_up_goes_on_when_the_ca_stops_answering_look_ups(
    due: LaunchedIncident,
) -> None:
    claim(due, owner="dead")
    due.step(minutes=2)

    def give_up(count: int) -> None:
        if count == 5:
            raise Unavailable("out of reach")

    ca = WaywardCa(due.ca, before_status=give_up)

    done = due.revoke(ca)

    assert (done.revoked, done.retried) == (5, COUNT - 5)


def test_i4_nothing_more_is_asked_for_when_the_clock_was_set_forward_and_others_took_over(
    due: LaunchedIncident,
) -> None:
    taken = 0

    def set_forward(count: int) -> None:
        nonlocal taken
        if count == 5:
            due.step(hours=1)
            taken = claim(due, owner="other")

    ca = WaywardCa(due.ca, before_answer=set_forward)

    due.revoke(ca, owner="first")

    # The one that was on its way; then the claim was found to be another's.
    assert taken == COUNT
    assert len(ca.asked) == 6
    assert due.states() == {"published": 6, "submitted": 14}


def test_i4_a_claim_goes_on_when_the_clock_was_set_forward_and_nobody_took_over(
    due: LaunchedIncident,
) -> None:
    def set_forward(count: int) -> None:
        if count == 5:
            due.step(hours=1)

    done = due.revoke(WaywardCa(due.ca, before_answer=set_forward))

    assert (done.revoked, done.published) == (COUNT, COUNT)
    assert set(calls_by_serial(due.directory).values()) == {1}
