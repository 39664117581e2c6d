"""I3: shares sum to 100.0. I9: the forecast ends with publication, not with answers."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import Broken
from tocsin.policy.progress import Forecast, forecast, shares, spell_duration

COUNTS = st.lists(st.integers(0, 3_000_000), max_size=12)
SECOND = timedelta(seconds=1)


def outlook(
    *,
    total: int = 1_111,
    published: int = 0,
    rate_per_second: float = 10,
    now: datetime = LAUNCH,
    publication_delay: timedelta = HOUR,
    last_published_at: datetime | None = None,
    stuck: int = 0,
) -> Forecast:
    return forecast(
        total=total,
        published=published,
        scheduled_start=REVOCATION,
        rate_per_second=rate_per_second,
        publication_delay=publication_delay,
        now=now,
        deadline=DEADLINE,
        last_published_at=last_published_at,
        stuck=stuck,
    )


def test_i3_the_record_s_percentages_reconcile_when_they_did_not_in_2024() -> None:
    assert shares([1_079, 32]) == (Decimal("97.1"), Decimal("2.9"))


@given(COUNTS)
def test_i3_shares_sum_to_one_hundred_when_there_is_anything(counts: list[int]) -> None:
    total = sum(shares(counts), Decimal(0))

    assert total == (Decimal("100.0") if sum(counts) else 0)


@given(st.lists(st.integers(0, 3_000_000), min_size=2, max_size=12, unique=True))
def test_the_larger_of_two_counts_never_gets_the_smaller_share(
    counts: list[int],
) -> None:
    pairs = sorted(zip(counts, shares(counts), strict=True))

    assert [share for _, share in pairs] == sorted(share for _, share in pairs)


@given(COUNTS)
def test_each_share_is_within_a_tenth_of_the_exact_one(counts: list[int]) -> None:
    total = sum(counts) or 1

    for count, share in zip(counts, shares(counts), strict=True):
        assert abs(share - Decimal(count) * 100 / total) < Decimal("0.1")
        assert share.as_tuple().exponent == -1


@given(st.integers(0, 1_000), st.integers(0, 999), st.integers(1, 1_000))
def test_a_share_does_not_shrink_when_its_count_grows(
    count: int, rest: int, more: int
) -> None:
    assert shares([count + more, rest])[0] >= shares([count, rest])[0]


def test_shares_are_zero_when_nothing_is_counted() -> None:
    assert shares([0, 0]) == (Decimal("0.0"), Decimal("0.0"))
    assert shares([]) == ()


def test_shares_stop_when_a_count_is_negative() -> None:
    with pytest.raises(Broken, match="negative"):
        shares([3, -1])


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(hours=3, minutes=12, seconds=59), "3 h 12 min"),
        (timedelta(days=66, hours=17, minutes=14), "66 d 17 h"),
        (timedelta(days=2), "2 d"),
        (timedelta(days=2, minutes=5), "2 d"),
        (timedelta(minutes=1, seconds=5), "1 min 5 s"),
        (timedelta(seconds=40), "40 s"),
        (timedelta(0), "0 s"),
        (-timedelta(minutes=90), "1 h 30 min"),
    ],
)
def test_durations_are_said_in_two_units(duration: timedelta, words: str) -> None:
    assert spell_duration(duration) == words


def test_all_is_on_schedule_when_the_plan_leaves_room() -> None:
    seen = outlook()

    # 1,111 at 10/s take 112 s, and publication an hour.
    assert seen.done_at == REVOCATION + 112 * SECOND + HOUR
    assert seen.slack == DEADLINE - seen.done_at
    assert not seen.at_risk
    assert (
        seen.sentence
        == "On schedule: all 1,111 will be published 4 h 58 min before the deadline."
    )


def test_i9_the_publication_delay_counts_when_it_eats_the_slack() -> None:
    seen = outlook(publication_delay=7 * HOUR)

    assert seen.at_risk
    assert seen.sentence == (
        "AT RISK: the last of 1,111 certificates will be published 1 h 1 min after "
        "the deadline."
    )


def test_it_is_at_risk_when_the_ca_refuses_some() -> None:
    seen = outlook(stuck=3)

    assert seen.at_risk
    assert seen.sentence == "AT RISK: The CA does not revoke 3 of 1,111: see why."


def test_it_says_late_when_the_deadline_has_passed() -> None:
    seen = outlook(published=1_100, now=DEADLINE + 2 * HOUR)

    assert seen.at_risk
    assert seen.sentence == (
        "LATE: the deadline passed 2 h ago, and 11 of 1,111 are not published."
    )


def test_it_is_done_as_of_the_last_publication_when_all_is_published() -> None:
    seen = outlook(
        published=1_111, now=DEADLINE + HOUR, last_published_at=DEADLINE - 3 * HOUR
    )

    assert seen.done_at == DEADLINE - 3 * HOUR
    assert not seen.at_risk
    assert seen.sentence == "Done: all 1,111 were published 3 h before the deadline."


def test_it_says_late_for_ever_when_the_last_came_after_the_deadline() -> None:
    seen = outlook(total=1, published=1, last_published_at=DEADLINE + HOUR)

    assert (
        seen.sentence
        == "LATE: the one certificate was published 1 h after the deadline."
    )


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.floats(0.1, 1_000), st.data())
def test_the_forecast_comes_no_later_when_more_is_published(
    published: int, remaining: int, rate: float, data: st.DataObject
) -> None:
    total = published + remaining
    more = data.draw(st.integers(published, total))
    before, after = (
        outlook(
            total=total,
            published=done,
            rate_per_second=rate,
            now=REVOCATION,
            last_published_at=REVOCATION,
        )
        for done in (published, more)
    )

    assert after.done_at <= before.done_at
    assert before.slack == DEADLINE - before.done_at


@given(st.integers(1, 5_000), st.floats(0.1, 1_000), st.integers(0, 1_000_000))
def test_the_forecast_comes_no_earlier_when_time_passes_without_progress(
    total: int, rate: float, seconds: int
) -> None:
    first = outlook(total=total, rate_per_second=rate)
    later = outlook(total=total, rate_per_second=rate, now=LAUNCH + seconds * SECOND)

    assert later.done_at >= first.done_at
    assert later.at_risk or not first.at_risk


def test_a_forecast_stops_when_its_figures_make_no_sense() -> None:
    with pytest.raises(Broken):
        outlook(published=1_112)
    with pytest.raises(Broken):
        outlook(rate_per_second=0)
