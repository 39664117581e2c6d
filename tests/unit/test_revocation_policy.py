from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from models.terms import RevocationState
from tocsin.policy import revocation as policy
from tocsin.policy.revocation import (
    MAY_FOLLOW,
    RevocationPlan,
    earliest,
    lease_for,
    next_attempt,
    next_proof_at,
    plan_revocation,
)

MADE_AWARE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FIVE_DAYS = MADE_AWARE + timedelta(days=5)
ONE_DAY = MADE_AWARE + timedelta(days=1)
LAUNCH = MADE_AWARE + timedelta(hours=3)
MINUTE = timedelta(minutes=1)

instants = st.datetimes(
    min_value=datetime(2026, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2027, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def plan(
    *,
    deadline: datetime = FIVE_DAYS,
    count: int = 1111,
    rate: float = 1000.0,
    delay: timedelta = MINUTE,
    launched_at: datetime = LAUNCH,
) -> RevocationPlan:
    return plan_revocation(
        made_aware_at=MADE_AWARE,
        deadline=deadline,
        count=count,
        rate_per_second=rate,
        publication_delay=delay,
        launched_at=launched_at,
    )


def test_margin_is_two_and_a_half_hours_when_the_window_is_five_days() -> None:
    made = plan()

    assert made.margin == timedelta(hours=2, minutes=30)
    # 4 s to revoke and 1 min to publish, to the full minute before that.
    assert made.starts_at == FIVE_DAYS - timedelta(hours=2, minutes=32)
    assert not made.is_late
    assert made.explain == (
        "Revocation starts 2 h 32 min before the deadline: 4 s to revoke 1,111 "
        "certificates (the CA takes 1,000 a second; doubled for safety) and 1 min until "
        "the CA has published them, and 2 h 30 min in reserve."
    )


def test_margin_is_half_an_hour_when_the_window_is_one_day() -> None:
    made = plan(deadline=ONE_DAY)

    assert made.margin == timedelta(minutes=30)
    assert made.starts_at == ONE_DAY - timedelta(minutes=32)


def test_a_slow_ca_starts_early_when_there_is_much_to_do() -> None:
    # 4.6 revocations a second were measured at a real CA's API.
    made = plan(count=100_000, rate=4.6)

    assert made.seconds_needed == 2 * 21_740
    assert made.published_by + made.margin <= FIVE_DAYS
    assert not made.is_late


def test_revocation_starts_at_once_when_the_planned_start_has_passed() -> None:
    made = plan(launched_at=FIVE_DAYS - timedelta(hours=1))

    assert made.starts_at == FIVE_DAYS - timedelta(hours=1)
    assert not made.is_late
    assert "starts at once, 1 h before the deadline" in made.explain
    assert "less than the usual 2 h 30 min" in made.explain


def test_a_plan_says_that_it_is_late_when_there_is_too_little_time_left() -> None:
    made = plan(launched_at=FIVE_DAYS - timedelta(seconds=30))

    assert made.is_late
    assert "starts at once, 30 s before the deadline, and will be late" in made.explain


def test_revocation_starts_now_and_is_late_when_the_deadline_has_passed() -> None:
    made = plan(launched_at=FIVE_DAYS + timedelta(hours=5))

    assert made.starts_at == FIVE_DAYS + timedelta(hours=5)
    assert made.is_late
    assert made.explain.startswith("The deadline has passed 5 h ago: revocation starts")


def test_a_plan_is_kept_as_numbers() -> None:
    record = plan(count=1).as_record()

    assert record["count"] == 1
    assert record["rate_per_second"] == 1000.0
    assert record["seconds_needed"] == 2
    assert record["publication_delay_seconds"] == 60
    assert record["margin_seconds"] == 9000
    assert "1 certificate " in str(record["explain"])


def test_a_ca_without_a_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="a second"):
        plan(rate=0)


@given(
    window=st.sampled_from([timedelta(days=1), timedelta(days=5), timedelta(days=7)]),
    count=st.integers(0, 3_000_000),
    rate=st.floats(0.5, 50_000),
    delay=st.timedeltas(timedelta(), timedelta(hours=6)),
    after=st.timedeltas(timedelta(), timedelta(days=8)),
)
def test_a_plan_ends_before_the_deadline_whenever_that_is_possible(
    window: timedelta, count: int, rate: float, delay: timedelta, after: timedelta
) -> None:
    deadline = MADE_AWARE + window
    launched_at = MADE_AWARE + after

    made = plan(
        deadline=deadline, count=count, rate=rate, delay=delay, launched_at=launched_at
    )

    as_early_as_can_be = launched_at + timedelta(seconds=made.seconds_needed) + delay
    assert made.is_late == (as_early_as_can_be > deadline)
    assert made.starts_at >= launched_at
    assert made.is_late or made.published_by <= deadline
    assert made.seconds_needed >= 2 * count / rate
    if made.starts_at > launched_at:
        # Not earlier than it must be, either: people have this time to replace.
        assert timedelta() <= (deadline - made.margin - made.published_by) < MINUTE
    if made.is_late:
        assert made.starts_at == launched_at


@given(planned=instants, proposals=st.lists(instants))
def test_i1_a_time_never_moves_later_whatever_is_proposed(
    planned: datetime, proposals: list[datetime]
) -> None:
    current = planned
    for proposed in proposals:
        following = earliest(current, proposed)

        assert following <= current
        assert following <= proposed
        current = following

    assert current == min([planned, *proposals])


def test_i1_policy_offers_nothing_that_moves_a_time_later() -> None:
    forbidden = ("extend", "postpone", "hold", "delay_", "later", "approve", "confirm")

    offered = [name for name in vars(policy) if not name.startswith("_")]

    assert not [name for name in offered for word in forbidden if word in name]


@given(attempts=st.integers(1, 10_000), wait=st.none() | st.timedeltas())
def test_what_is_due_is_tried_again_within_a_minute_however_often_it_failed(
    attempts: int, wait: timedelta | None
) -> None:
    following = next_attempt(attempts, LAUNCH, wait)

    assert LAUNCH < following <= LAUNCH + MINUTE


def test_waits_double_when_the_ca_names_none() -> None:
    waits = [next_attempt(attempts, LAUNCH) - LAUNCH for attempts in range(1, 8)]

    assert [wait.total_seconds() for wait in waits] == [2, 4, 8, 16, 32, 60, 60]


def test_a_ca_that_is_away_is_asked_again_within_a_quarter_of_a_minute() -> None:
    # It may come back a minute before the deadline.
    waits = [
        next_attempt(attempts, LAUNCH, is_ca_away=True) - LAUNCH
        for attempts in range(1, 8)
    ]

    assert [wait.total_seconds() for wait in waits] == [2, 4, 8, 15, 15, 15, 15]


def test_the_ca_is_asked_again_when_it_said_so() -> None:
    assert next_attempt(7, LAUNCH, timedelta(seconds=5)) == LAUNCH + timedelta(
        seconds=5
    )


@given(delay=st.timedeltas(timedelta(), timedelta(days=1)))
def test_publication_is_read_again_soon(delay: timedelta) -> None:
    wait = next_proof_at(LAUNCH, delay) - LAUNCH

    assert timedelta(seconds=10) <= wait <= timedelta(minutes=5)


def test_a_claim_holds_as_long_as_a_slow_ca_needs() -> None:
    assert lease_for(500, 1000.0) == timedelta(seconds=63)
    assert lease_for(500, 5.0) == timedelta(seconds=360)


def test_the_table_of_states_leaves_none_out_and_ends_in_published() -> None:
    assert set(MAY_FOLLOW) == set(RevocationState)
    ends = [state for state, following in MAY_FOLLOW.items() if not following]
    assert ends == [RevocationState.PUBLISHED]


class OneRevocation(RuleBasedStateMachine):
    """One row as the store moves it: planned once, brought forward, tried, proven."""

    def __init__(self) -> None:
        super().__init__()
        self.state = RevocationState.SCHEDULED
        self.now = LAUNCH
        self.planned = plan().starts_at
        self.revocation_time = self.planned
        self.due_at = self.planned
        self.attempts = 0

    def move(self, state: RevocationState) -> None:
        assert state in MAY_FOLLOW[self.state]
        self.state = state

    @rule(wait=st.timedeltas(timedelta(), timedelta(days=1)))
    def time_passes(self, wait: timedelta) -> None:
        self.now += wait

    @precondition(lambda self: self.state is RevocationState.SCHEDULED)
    @rule(to=instants)
    def bring_forward(self, to: datetime) -> None:
        self.revocation_time = self.due_at = earliest(self.revocation_time, to)

    @precondition(
        lambda self: (
            self.state in (RevocationState.SCHEDULED, RevocationState.SUBMITTED)
            and self.due_at <= self.now
        )
    )
    @rule(retry_after=st.none() | st.timedeltas(timedelta(), timedelta(days=1)))
    def the_ca_says_not_now(self, retry_after: timedelta | None) -> None:
        self.move(RevocationState.SUBMITTED)
        self.attempts += 1
        self.due_at = next_attempt(self.attempts, self.now, retry_after)

    @precondition(
        lambda self: (
            self.state in (RevocationState.SCHEDULED, RevocationState.SUBMITTED)
            and self.due_at <= self.now
        )
    )
    @rule()
    def the_ca_revokes(self) -> None:
        self.move(RevocationState.SUBMITTED)
        self.attempts += 1
        self.move(RevocationState.REVOKED)
        self.due_at = self.now

    @precondition(
        lambda self: self.state is RevocationState.REVOKED and self.due_at <= self.now
    )
    @rule(is_seen=st.booleans())
    def its_publication_is_read(self, *, is_seen: bool) -> None:
        if is_seen:
            self.move(RevocationState.PUBLISHED)
        else:
            self.due_at = next_proof_at(self.now, MINUTE)

    @invariant()
    def i1_never_later_than_planned(self) -> None:
        assert self.revocation_time <= self.planned

    @invariant()
    def nothing_unfinished_waits_long(self) -> None:
        if self.state is RevocationState.SCHEDULED:
            assert self.due_at == self.revocation_time
        elif self.state is not RevocationState.PUBLISHED:
            assert self.due_at <= self.now + timedelta(minutes=5)


TestOneRevocation = OneRevocation.TestCase
