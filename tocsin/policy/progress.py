"""Shares that sum to 100.0, durations as people say them, and whether all ends in time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tocsin.errors import Broken
from tocsin.policy.figures import IncidentFigures

_TENTHS = 1000
"""Tenths of a percent in the whole."""

_NEEDS_A_PERSON = frozenset({"refused", "unknown", "pending-approval", "fatal"})
"""Answers of a CA after which trying again does not help."""


def shares(counts: Sequence[int]) -> tuple[Decimal, ...]:
    """
    Return each count's percentage, to one decimal; together exactly 100.0 (I3).

    What rounding down leaves over goes to the largest remainders, the first of equal
    ones. When there is nothing to share, every share is 0.0.

    Raises:
        Broken: A count is negative.

    """
    if any(count < 0 for count in counts):
        raise Broken(f"a count is negative: {list(counts)}")
    total = sum(counts)
    if not total:
        return tuple(Decimal("0.0") for _ in counts)
    tenths = [count * _TENTHS // total for count in counts]
    by_remainder = sorted(
        range(len(counts)), key=lambda index: -(counts[index] * _TENTHS % total)
    )
    for index in by_remainder[: _TENTHS - sum(tenths)]:
        tenths[index] += 1
    return tuple(Decimal(value).scaleb(-1) for value in tenths)


def spell_duration(duration: timedelta) -> str:
    """
    Say how long, in its two largest units: "2 d 4 h", "3 h 12 min", "40 s".

    The sign is the caller's to say in words; what is left over is cut, not rounded.
    """
    seconds = int(abs(duration).total_seconds())
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    while len(units) > 1 and not units[0][0]:
        units.pop(0)
    return " ".join(
        f"{value} {unit}"
        for index, (value, unit) in enumerate(units[:2])
        if value or index == 0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    When everything will be published, as far as the plan tells.

    Args:
        done_at: When the last revocation will be, or was, visible, UTC.
        slack: From then to the deadline; negative: after it.
        at_risk: Somebody has to do something.
        sentence: The same for people.

    """

    done_at: datetime
    slack: timedelta
    at_risk: bool
    sentence: str


def forecast(
    *,
    total: int,
    published: int,
    scheduled_start: datetime,
    rate_per_second: float,
    publication_delay: timedelta,
    now: datetime,
    deadline: datetime,
    last_published_at: datetime | None = None,
    stuck: int = 0,
    restrained: int = 0,
    restrained_until: datetime | None = None,
) -> Forecast:
    """
    Say whether all will be published by the deadline.

    Args:
        total: Affected certificates, without those that were withdrawn.
        published: Of those, how many are published.
        scheduled_start: When revocation starts, UTC; early ones do not count.
        rate_per_second: Revocations the CA takes per second.
        publication_delay: From the last answer to its visibility, at most.
        now: The present instant, UTC.
        deadline: By when everything is published, UTC.
        last_published_at: When the latest publication was seen; None: none yet.
        stuck: Not revoked, and trying again will not help: the CA refuses.
        restrained: Kept from the CA by court orders.
        restrained_until: When the last of these ends, UTC.

    Raises:
        Broken: The rate is not positive, or more is published than there is.

    """
    if rate_per_second <= 0 or not 0 <= published <= total:
        raise Broken(f"no forecast at {rate_per_second}/s for {published} of {total}")
    remaining = total - published
    if not remaining:
        return _done(total, last_published_at or now, deadline)
    seconds = math.ceil(remaining / rate_per_second)
    begins = max(now, scheduled_start)
    done_at = begins + timedelta(seconds=seconds) + publication_delay
    if restrained and restrained_until is not None:
        # Revoked the minute the order ends, and published after that.
        freed = math.ceil(restrained / rate_per_second)
        after = restrained_until + timedelta(seconds=freed) + publication_delay
        done_at = max(done_at, after)
    slack = deadline - done_at
    return Forecast(
        done_at=done_at,
        slack=slack,
        at_risk=slack < timedelta(0) or stuck > 0,
        sentence=_outlook(
            total=total,
            remaining=remaining,
            stuck=stuck,
            slack=slack,
            since=now - deadline,
            order=_order(restrained, total, restrained_until),
        ),
    )


def incident_forecast(figures: IncidentFigures) -> Forecast | None:
    """Say the same of an incident's figures; None while there is no plan for them."""
    summary = figures.summary
    if summary.revocation_starts_at is None or not figures.certificates:
        return None
    if not figures.to_publish:
        return _nothing_left(figures)
    if figures.unpublished and not summary.rate_per_second:
        return None
    return forecast(
        total=figures.to_publish,
        published=figures.published,
        scheduled_start=summary.revocation_starts_at,
        rate_per_second=summary.rate_per_second or 1.0,
        publication_delay=summary.publication_delay or timedelta(0),
        now=figures.as_of,
        deadline=summary.deadline,
        last_published_at=figures.last_published_at,
        stuck=sum(
            count
            for answer, count in figures.problems.items()
            if answer in _NEEDS_A_PERSON
        ),
        restrained=figures.restrained,
        restrained_until=figures.restrained_until,
    )


def _nothing_left(figures: IncidentFigures) -> Forecast:
    slack = figures.summary.deadline - figures.as_of
    return Forecast(
        done_at=figures.as_of,
        slack=slack,
        at_risk=False,
        sentence=f"Nothing is to be revoked: all {figures.certificates:,} certificates "
        "were withdrawn.",
    )


def _done(total: int, done_at: datetime, deadline: datetime) -> Forecast:
    slack = deadline - done_at
    is_late = slack < timedelta(0)
    direction = "after" if is_late else "before"
    sentence = (
        f"{'LATE' if is_late else 'Done'}: {_all(total)} published "
        f"{spell_duration(slack)} {direction} the deadline."
    )
    return Forecast(done_at=done_at, slack=slack, at_risk=False, sentence=sentence)


def _outlook(
    *,
    total: int,
    remaining: int,
    stuck: int,
    slack: timedelta,
    since: timedelta,
    order: str,
) -> str:
    if since > timedelta(0):
        sentence = (
            f"LATE: the deadline passed {spell_duration(since)} ago, and "
            f"{remaining:,} of {total:,} {_are(remaining)} not published."
        )
    elif slack < timedelta(0):
        sentence = (
            f"AT RISK: the last of {remaining:,} certificates will be published "
            f"{spell_duration(slack)} after the deadline."
        )
    elif stuck:
        sentence = "AT RISK:"
    else:
        return (
            f"On schedule: {_all(total, future=True)} be published "
            f"{spell_duration(slack)} before the deadline.{order}"
        )
    if stuck:
        sentence += f" The CA does not revoke {stuck:,} of {total:,}: see why."
    return sentence + order


def _order(restrained: int, total: int, until: datetime | None) -> str:
    """Say what court orders keep from the CA; empty where there is nothing."""
    if not restrained or until is None:
        return ""
    return (
        f" A court order keeps {restrained:,} of {total:,} from being revoked before "
        f"{until:%Y-%m-%d %H:%M} UTC."
    )


def _all(total: int, *, future: bool = False) -> str:
    verb = "will" if future else "was" if total == 1 else "were"
    return f"the one certificate {verb}" if total == 1 else f"all {total:,} {verb}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
