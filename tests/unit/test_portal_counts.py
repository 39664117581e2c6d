"""How the portal counts: requests in a minute, and how long what it says stays true."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tocsin.portal.limits import Counts
from tocsin.portal.moments import Glance, distance, distance_holds, moment
from tocsin.portal.tongues import read_tongues

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ENGLISH = read_tongues()["en"].language
SPANS = st.one_of(
    st.timedeltas(timedelta(days=-9), timedelta(days=9)),
    st.timedeltas(timedelta(minutes=-3), timedelta(minutes=3)),
    st.integers(-300, 300).map(lambda minutes: timedelta(minutes=minutes)),
)


@given(SPANS, st.floats(0, 1, exclude_max=True))
def test_distance_is_said_the_same_while_it_holds(span: timedelta, part: float) -> None:
    held = distance_holds(span) - timedelta(microseconds=1)
    later = span - max(held * part, timedelta(0))

    if distance_holds(span) > timedelta(0):
        assert distance(later) == distance(span)
        assert (later <= timedelta(0)) == (span <= timedelta(0))


@given(SPANS)
def test_distance_does_not_hold_beyond_what_can_be_told(span: timedelta) -> None:
    assert timedelta(0) <= distance_holds(span) <= timedelta(hours=1)
    assert distance(
        span - distance_holds(span) - timedelta(microseconds=1)
    ) != distance(span)


def test_look_at_the_clock_holds_until_the_first_thing_said_of_it_changes() -> None:
    glance = Glance(NOW)
    at = NOW + timedelta(days=2, minutes=10)
    seen = moment(at, zone="UTC", glance=glance, language=ENGLISH)

    assert glance.holds == timedelta.max
    assert not seen.is_past
    assert glance.holds == timedelta(days=2, minutes=10)
    assert str(seen.distance) == "in 2 days"
    assert glance.holds == timedelta(minutes=10)


def test_each_key_is_let_through_so_often_in_a_minute_from_its_first() -> None:
    counts = Counts(2)

    assert [counts.takes("a", now=at) for at in (0.0, 30.0, 59.0)] == [
        True,
        True,
        False,
    ]
    assert counts.takes("b", now=59.0)
    assert [counts.takes("a", now=at) for at in (60.0, 61.0, 62.0)] == [
        True,
        True,
        False,
    ]


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from("abcd")), max_size=60))
def test_counts_are_forgotten_when_their_minute_is_over(
    steps: list[tuple[float, str]],
) -> None:
    counts = Counts(3)
    now = 0.0
    begun: dict[str, tuple[float, int]] = {}
    for step, key in steps:
        now += step
        start, taken = begun.get(key, (now, 0))
        if start + 60.0 <= now:
            start, taken = now, 0
        begun[key] = (start, taken + 1)

        assert counts.takes(key, now=now) == (taken < 3)

    assert len(counts) == sum(start + 60.0 > now for start, _ in begun.values())
