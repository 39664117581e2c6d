"""The public record of the 2024 case as data; without it the replay would have nothing to answer to."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

ZONE = "Asia/Hong_Kong"
"""UTC+8, the zone that the public report gives its times in."""

_HKT = ZoneInfo(ZONE)


def _at(month: int, day: int, hour: int, minute: int) -> datetime:
    """Return an instant of 2024 as the report writes it, UTC+8."""
    return datetime(2024, month, day, hour, minute, tzinfo=_HKT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """
    One published status of the 2024 incident, in certificates.

    Args:
        at: When it was published.
        revoked: Certificates revoked by then.
        replacements: Replacement certificates issued; None where the report is silent.
        note: What the report says of the rest.

    """

    at: datetime
    revoked: int
    replacements: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sector:
    """
    One sector of subscribers.

    Args:
        name: As the report names it.
        subscribers: How many the replay invents (assumption: the report gives none).
        certificates: How many certificates they hold together (assumption).

    """

    name: str
    subscribers: int
    certificates: int


TITLE = "Certificate Policies qualifier whose CPS URI is not http"
SOURCE = "Mozilla CA Certificate Compliance, bug 1886406 and its delayed-revocation bug"

CERTIFICATES = 1_111
LOG_ENTRIES = 1_176
"""For weeks the CA quoted this: it counted precertificates as certificates."""
PRECERTIFICATES = LOG_ENTRIES - CERTIFICATES

MADE_AWARE_AT = _at(3, 18, 21, 1)
CONFIRMED_AT = _at(3, 19, 15, 10)
IDENTIFIED_AT = _at(3, 20, 16, 0)
LAUNCHED_AT = _at(3, 20, 19, 10)
"""The list was published then: the earliest instant at which notices could leave."""
DEADLINE = _at(3, 23, 21, 1)

STATUSES = (
    Status(at=MADE_AWARE_AT, revoked=0, note="problem report received"),
    Status(at=DEADLINE, revoked=6, note="deadline"),
    Status(
        at=_at(4, 26, 22, 40),
        revoked=372,
        replacements=1_038,
        note="73 replacements outstanding",
    ),
    Status(
        at=_at(5, 3, 18, 15),
        revoked=841,
        replacements=1_070,
        note="23 wait for a CSR or an answer, 18 are no longer required",
    ),
    Status(
        at=_at(5, 10, 20, 45),
        revoked=950,
        note="92 in process, 64 pending confirmation, 5 wait for a CSR or an answer",
    ),
    Status(at=_at(5, 17, 22, 20), revoked=1_079, note="32 pending confirmation"),
    Status(at=_at(5, 20, 21, 0), revoked=1_090, note="21 pending confirmation"),
    Status(at=_at(5, 29, 14, 15), revoked=1_111, note="all revoked"),
)

REVOKED_SERIES: tuple[tuple[datetime, int], ...] = tuple(
    (status.at, status.revoked) for status in STATUSES
)
"""Certificates revoked over time in 2024, for the chart."""

CONFIRMED_BY_DEADLINE = 6
CSRS_BY_APRIL_26 = 1_038
CSRS_BY_MAY_3 = 1_070
NO_LONGER_REQUIRED = 18
STILL_WAITING_ON_MAY_3 = 23
STILL_WAITING_ON_MAY_10 = 5

LARGEST_HOLDER = 98
"""Certificates of the one healthcare provider; the report says "nearly 100"."""

# The sectors are the report's. Its only proportions are "over 70 % of government
# websites" and the healthcare provider; the split below is our assumption.
SECTORS = (
    Sector(name="Education", subscribers=74, certificates=298),
    Sector(name="Medical and Health", subscribers=31, certificates=226),
    Sector(name="Transport", subscribers=27, certificates=121),
    Sector(name="Social Services", subscribers=45, certificates=162),
    Sector(name="Public Order", subscribers=22, certificates=118),
    Sector(name="Inland Revenue", subscribers=6, certificates=41),
    Sector(
        name="Banking and electronic payment",
        subscribers=35,
        certificates=145,
    ),
)

# Assumptions where the report only says that representatives had changed jobs and
# that there was one contact per subscriber.
SUBSCRIBERS = sum(sector.subscribers for sector in SECTORS)
LOST_PRIMARIES = 26
"""Primary contacts who have left: their mail comes back."""
LOST_FOR_GOOD = 4
"""Of these, subscribers who gave no secondary contact either; they hold the last 5."""
WITH_SECONDARY_SHARE = 0.45
"""Share of the other subscribers who gave a secondary contact."""
