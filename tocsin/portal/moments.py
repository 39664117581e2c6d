"""Instants as people read them: in their own zone, in UTC beside it, and how far away."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_name

from tocsin.mail.language import Language
from tocsin.phrases import Phrase, phrase

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_NOW = timedelta(0)


class Glance:
    """
    One look at the clock, and how long what was said of it stays true.

    Args:
        now: What the clock said, UTC.

    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.holds = timedelta.max

    def said(self, *, holds: timedelta) -> None:
        """Note that something was said that will be true for so long."""
        self.holds = min(self.holds, holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    One instant, in words.

    Args:
        iso: For machines: RFC 3339, UTC.
        local: With weekday, in the reader's zone, with its name.
        day: Its date in the reader's zone.
        time: Its time of day there.
        zone: The zone's short name there and then, such as "HKT" or "UTC-03:00".
        zone_name: The zone's full name.
        utc: In UTC, with the date where it is another one than in the reader's zone.
        is_utc: Whether the reader's zone is UTC itself.
        ahead: How far away it is; negative when it has come.
        glance: The look at the clock that this is from.

    """

    iso: str
    local: str
    day: str
    time: str
    zone: str
    zone_name: str
    utc: str
    is_utc: bool
    ahead: timedelta
    glance: Glance

    @property
    def distance(self) -> Phrase:
        """Say "in 2 days 4 hours", or "2 days 4 hours ago"."""
        self.glance.said(holds=distance_holds(self.ahead))
        return distance(self.ahead)

    @property
    def is_past(self) -> bool:
        """Whether it has come."""
        if self.ahead > _NOW:
            self.glance.said(holds=self.ahead)
        return self.ahead <= _NOW


def moment(at: datetime, *, zone: str, glance: Glance, language: Language) -> Moment:
    """Put an instant into words for a reader in ``zone``, an IANA name."""
    written = _written(at, zone=zone, language=language)
    return replace(written, ahead=at - glance.now, glance=glance)


@lru_cache(maxsize=16_384)
def _written(at: datetime, *, zone: str, language: Language) -> Moment:
    """Write what does not depend on when it is read: a page has it many times."""
    local = at.astimezone(ZoneInfo(zone))
    utc = at.astimezone(UTC)
    written = language.instant(at, zone)
    return Moment(
        iso=for_machines(at),
        local=written.local,
        day=language.day(at, zone),
        time=f"{local:%H:%M}",
        zone=_short_name(local),
        zone_name=get_timezone_name(local, width="long", locale=language.locale),
        utc=language.utc_time(at) if local.date() == utc.date() else written.utc,
        is_utc=local.utcoffset() == timedelta(0),
        ahead=_NOW,
        glance=Glance(at),
    )


def for_machines(at: datetime) -> str:
    """Write an instant in UTC by RFC 3339, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def distance(span: timedelta) -> Phrase:
    """Say how far away an instant is, in its two largest units, rounded down."""
    words = in_units(abs(span))
    if words is None:
        if span <= timedelta(0):
            return phrase("just now")
        return phrase("in less than a minute")
    if span <= timedelta(0):
        return phrase("%(span)s ago", span=words)
    return phrase("in %(span)s", span=words)


def distance_holds(span: timedelta) -> timedelta:
    """Return for how long ``distance`` says the same of an instant so far away."""
    unit = _HOUR if abs(span) >= _DAY else _MINUTE
    if span > _NOW:
        return span % unit
    return unit - -span % unit


def in_units(span: timedelta) -> Phrase | None:
    """Say how long a span is; None where it is less than a minute."""
    days, rest = divmod(span, _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes = rest // _MINUTE
    parts = []
    if days:
        parts.append(phrase("%(number)s day", "%(number)s days", number=days))
    if hours:
        parts.append(phrase("%(number)s hour", "%(number)s hours", number=hours))
    if minutes and not days:  # they help nobody while there are days
        parts.append(phrase("%(number)s minute", "%(number)s minutes", number=minutes))
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    return phrase("%(larger)s %(smaller)s", larger=parts[0], smaller=parts[1])


def _short_name(local: datetime) -> str:
    name = local.tzname() or ""
    if name.isalpha():
        return name
    offset = local.isoformat()[-6:]
    return f"UTC{offset.replace('-', chr(0x2212))}"
