"""What was due and was not done, told from what is on record."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from tocsin.policy.facts import IncidentFacts
from tocsin.policy.ladder import shipped_ladder, subscriber_timetable
from tocsin.policy.watchdog import Missed, WatchFacts, missed, steps_due

INCIDENT = IncidentFacts(
    launched_at=LAUNCH, revocation_starts_at=REVOCATION, deadline=DEADLINE
)
LADDER = shipped_ladder(timedelta(days=5))
GRACE = timedelta(minutes=10)
ALL_WELL = WatchFacts(positions={}, unsent=0, unapplied=0, overdue=0, unpublished=0)


def look(facts: WatchFacts, now: datetime) -> list[Missed]:
    return list(missed(facts, ladder=LADDER, incident=INCIDENT, now=now, grace=GRACE))


def test_nothing_is_missed_when_nobody_is_behind() -> None:
    assert look(ALL_WELL, DEADLINE) == []


def test_first_notice_is_missed_when_nobody_took_it_within_the_grace() -> None:
    behind = replace(ALL_WELL, positions={0: 7})

    assert look(behind, LAUNCH + timedelta(minutes=9)) == []

    (one,) = look(behind, LAUNCH + GRACE)
    assert one.sentence == (
        "Step “First notice” not taken for subscribers: 7, due 2026-03-02 12:00 UTC"
    )


def test_each_missed_step_names_how_many_subscribers_it_is_about() -> None:
    found = look(replace(ALL_WELL, positions={0: 2, 1: 3}), LAUNCH + 5 * HOUR)

    assert [(one.count, one.due_at) for one in found] == [
        (2, LAUNCH),
        (5, LAUNCH + 4 * HOUR),
    ]
    assert "our mail does not get through” not taken" in found[1].what


@pytest.mark.parametrize("field", ["unsent", "unapplied", "overdue", "unpublished"])
def test_whatever_was_left_undone_is_named_with_its_count(field: str) -> None:
    (one,) = look(replace(ALL_WELL, **{field: 3}), LAUNCH)  # type: ignore[arg-type]

    assert one.count == 3


@given(st.integers(0, 30), st.integers(0, 500))
def test_who_is_where_they_ought_to_be_misses_nothing(
    position: int, quarters: int
) -> None:
    now = LAUNCH + quarters * timedelta(minutes=15)
    expected = steps_due(LADDER, INCIDENT, now=now, grace=GRACE)

    found = look(replace(ALL_WELL, positions={position: 1}), now)

    assert len(found) == max(0, expected - position)
    assert expected <= len(subscriber_timetable(LADDER, INCIDENT))
