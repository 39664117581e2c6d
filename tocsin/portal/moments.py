"""Instants as people read them: in their own zone, in UTC beside it, and how far away."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, get_timezone_name

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    One instant, in words.

    Args:
        iso: For machines: RFC 3339, UTC.
        local: With weekday, in the reader's zone, without its name.
        day: Its date in the reader's zone.
        zone: The zone's short name there and then, such as "HKT" or "UTC-03:00".
        zone_name: The zone's full name.
        utc: In UTC, with the date where it is another one than in the reader's zone.
        distance: "in 2 days 4 hours", or "2 days 4 hours ago".
        is_past: Whether it has come.
        is_utc: Whether the reader's zone is UTC itself.

    """

    iso: str
    local: str
    day: str
    zone: str
    zone_name: str
    utc: str
    distance: str
    is_past: bool
    is_utc: bool


def moment(at: datetime, *, zone: str, now: datetime, locale: str = "en") -> Moment:
    """Put an instant into words for a reader in ``zone``, an IANA name."""
    local = at.astimezone(ZoneInfo(zone))
    utc = at.astimezone(UTC)
    same_day = local.date() == utc.date()
    return Moment(
        iso=utc.isoformat(timespec="seconds").replace("+00:00", "Z"),
        local=format_datetime(local, "EEEE d MMMM y, HH:mm", locale=locale),
        day=format_date(local, "d MMMM y", locale=locale),
        zone=_short_name(local),
        zone_name=get_timezone_name(local, width="long", locale=locale),
        utc=format_datetime(
            utc, "HH:mm" if same_day else "EEEE d MMMM, HH:mm", locale=locale
        )
        + " UTC",
        distance=distance(at - now),
        is_past=at <= now,
        is_utc=local.utcoffset() == timedelta(0),
    )


def distance(span: timedelta) -> str:
    """Say how far away an instant is, in its two largest units, rounded down."""
    text = _span(abs(span))
    if text is None:
        return "just now" if span <= timedelta(0) else "in less than a minute"
    return f"{text} ago" if span <= timedelta(0) else f"in {text}"


def _span(span: timedelta) -> str | None:
    days, rest = divmod(span, _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes = rest // _MINUTE
    parts = [
        f"{number} {unit}{'' if number == 1 else 's'}"
        for number, unit in ((days, "day"), (hours, "hour"), (minutes, "minute"))
        if number
    ]
    # Minutes help nobody while there are days.
    return " ".join(parts[:2] if not days else parts[: 2 if hours else 1]) or None


def _short_name(local: datetime) -> str:
    name = local.tzname() or ""
    if name.isalpha():
        return name
    offset = local.isoformat()[-6:]
    return f"UTC{offset.replace('-', chr(0x2212))}"
