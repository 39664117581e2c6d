"""When revocation starts, what may follow what, and when to try again; nothing here can make a time later."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from models.terms import CertificateId, IncidentId, Reason, RevocationState, Sighting

# Margins, not rules: a CA under load takes half of what it took when it was measured,
# and 1/48 of the window is what people get to see a failure and act: 2 h 30 min in 5
# days, 30 min in 24 hours.
_SAFETY_FACTOR = 2
_MARGIN_DIVISOR = 48

_FIRST_WAIT = timedelta(seconds=2)
_LONGEST_WAIT = timedelta(seconds=60)
# A CA that comes back a minute before the deadline must find us asking.
_LONGEST_WAIT_FOR_CA = timedelta(seconds=15)
_SHORTEST_PROOF_WAIT = timedelta(seconds=10)
_LONGEST_PROOF_WAIT = timedelta(minutes=5)

MAY_FOLLOW: Mapping[RevocationState, frozenset[RevocationState]] = {
    RevocationState.SCHEDULED: frozenset(
        {RevocationState.SUBMITTED, RevocationState.WITHDRAWN}
    ),
    RevocationState.SUBMITTED: frozenset(
        {
            RevocationState.SUBMITTED,
            RevocationState.REVOKED,
            RevocationState.WITHDRAWN,  # only while no process is at work on it
        }
    ),
    RevocationState.REVOKED: frozenset({RevocationState.PUBLISHED}),
    RevocationState.PUBLISHED: frozenset(),
    # A late answer of the CA is true, whatever was decided.
    RevocationState.WITHDRAWN: frozenset({RevocationState.REVOKED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRevocation:
    """
    One revocation that this process has claimed.

    Args:
        certificate_id: Which certificate.
        incident: Its incident.
        issuer_key: SHA-256 of the issuer's name in canonical form, hex.
        serial: The serial number.
        reason: The CRLReason to publish.
        attempts: How often it was claimed, this claim included.

    """

    certificate_id: CertificateId
    incident: IncidentId
    issuer_key: str
    serial: int
    reason: Reason
    attempts: int

    @property
    def is_in_doubt(self) -> bool:
        """Whether the CA may have been called before: look before repeating (I4)."""
        return self.attempts > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What became of one claimed revocation.

    Args:
        certificate_id: Which certificate.
        incident: Its incident.
        is_revoked: Whether the CA has it revoked now.
        answer: The CA's answer, as a word.
        detail: The CA's own words, for people.
        ca_revoked_at: The CA's revocation time, UTC; None where it does not say.
        next_at: When to try again, UTC; for those not revoked.

    """

    certificate_id: CertificateId
    incident: IncidentId
    is_revoked: bool
    answer: str
    detail: str
    ca_revoked_at: datetime | None
    next_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueProof:
    """
    One revoked certificate of which nobody has seen yet that it is published.

    Args:
        certificate_id: Which certificate.
        incident: Its incident.
        serial: The serial number.
        reason: The CRLReason that was asked for.
        crl_urls: Where the certificate says that its CRL is; empty: nobody knows.
        sighting: What the last look has shown; None: nobody has looked yet.

    """

    certificate_id: CertificateId
    incident: IncidentId
    serial: int
    reason: Reason
    crl_urls: frozenset[str] = frozenset()
    sighting: Sighting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationPlan:
    """
    When revocation starts, and the reckoning behind it.

    Args:
        starts_at: The revocation time of every certificate, UTC.
        deadline: By when all are published, UTC.
        count: How many certificates.
        rate_per_second: What the CA was measured to take.
        seconds_needed: For all of them, doubled for safety.
        publication_delay: From the last answer to its visibility, at most.
        margin: What is kept in reserve; less than this was left where it starts late.
        is_late: Whether publication cannot be expected before the deadline.
        explain: All of this in plain words.

    """

    starts_at: datetime
    deadline: datetime
    count: int
    rate_per_second: float
    seconds_needed: int
    publication_delay: timedelta
    margin: timedelta
    is_late: bool
    explain: str

    @property
    def published_by(self) -> datetime:
        """When the last revocation will be visible, if all goes as slowly as feared."""
        return _published_by(
            self.starts_at, self.seconds_needed, self.publication_delay
        )

    def as_record(self) -> dict[str, object]:
        """Return what an incident keeps of its plan, as JSON values."""
        return {
            "count": self.count,
            "rate_per_second": self.rate_per_second,
            "seconds_needed": self.seconds_needed,
            "publication_delay_seconds": int(self.publication_delay.total_seconds()),
            "margin_seconds": int(self.margin.total_seconds()),
            "is_late": self.is_late,
            "explain": self.explain,
        }


def plan_revocation(
    *,
    made_aware_at: datetime,
    deadline: datetime,
    count: int,
    rate_per_second: float,
    publication_delay: timedelta,
    launched_at: datetime,
) -> RevocationPlan:
    """
    Plan when revocation starts so that it is published before the deadline.

    As late as it can be without risk, so that subscribers have the time the rules give
    them; at once where that instant has passed.

    Args:
        made_aware_at: When the clock started.
        deadline: By when every revocation is published (TLS BR 4.9.5).
        count: How many certificates.
        rate_per_second: How many revocations the CA takes in a second.
        publication_delay: From an answered revocation to its visibility, at most.
        launched_at: The earliest possible start.

    """
    if rate_per_second <= 0:
        message = f"a CA that takes {rate_per_second} revocations a second"
        raise ValueError(message)
    seconds_needed = _SAFETY_FACTOR * ceil(count / rate_per_second)
    margin = max(deadline - made_aware_at, timedelta()) / _MARGIN_DIVISOR
    latest = deadline - publication_delay - timedelta(seconds=seconds_needed)
    # A full minute, because people read it; the earlier one, because it is a promise.
    planned = (latest - margin).replace(second=0, microsecond=0)
    starts_at = max(planned, launched_at)
    is_late = _published_by(starts_at, seconds_needed, publication_delay) > deadline
    return RevocationPlan(
        starts_at=starts_at,
        deadline=deadline,
        count=count,
        rate_per_second=rate_per_second,
        seconds_needed=seconds_needed,
        publication_delay=publication_delay,
        margin=margin,
        is_late=is_late,
        explain=_explanation(
            deadline=deadline,
            count=count,
            rate_per_second=rate_per_second,
            seconds_needed=seconds_needed,
            publication_delay=publication_delay,
            margin=margin,
            starts_at=starts_at,
            is_at_once=planned < launched_at,
            is_late=is_late,
        ),
    )


def earliest(current: datetime, proposed: datetime) -> datetime:
    """Return the revocation time that holds when another is proposed (I1)."""
    return min(current, proposed)


def due_at(revocation_time: datetime, restrained_until: datetime | None) -> datetime:
    """
    Return when the CA is asked: at the revocation time, or the minute an order ends.

    The revocation time itself does not move: a certificate that a court order keeps
    beyond it is overdue (TLS BR 9.16.3).
    """
    return max(revocation_time, restrained_until or revocation_time)


def next_attempt(
    attempts: int,
    now: datetime,
    retry_after: timedelta | None = None,
    *,
    is_ca_away: bool = False,
) -> datetime:
    """
    Return when to ask the CA again after an answer that was not "revoked".

    There is no last attempt, and no long wait: what is due stays due.

    Args:
        attempts: How often it was tried, at least once.
        now: When the answer came.
        retry_after: What the CA asked for, where it did.
        is_ca_away: The CA gave no answer that was about the certificate.

    """
    if retry_after is not None:
        return now + min(max(retry_after, _FIRST_WAIT), _LONGEST_WAIT)
    doubled: timedelta = _FIRST_WAIT * 2 ** min(attempts - 1, 10)
    longest = _LONGEST_WAIT_FOR_CA if is_ca_away else _LONGEST_WAIT
    return now + min(doubled, longest)


def next_proof_at(now: datetime, publication_delay: timedelta) -> datetime:
    """Return when to read the CA's publication again if something was not in it yet."""
    wait = max(publication_delay / 4, _SHORTEST_PROOF_WAIT)
    return now + min(wait, _LONGEST_PROOF_WAIT)


def lease_for(count: int, rate_per_second: float) -> timedelta:
    """Return how long a claim on so many certificates holds without a sign of life."""
    return timedelta(seconds=60 + 3 * ceil(count / rate_per_second))


def _published_by(
    starts_at: datetime, seconds_needed: int, publication_delay: timedelta
) -> datetime:
    return starts_at + timedelta(seconds=seconds_needed) + publication_delay


def _explanation(
    *,
    deadline: datetime,
    count: int,
    rate_per_second: float,
    seconds_needed: int,
    publication_delay: timedelta,
    margin: timedelta,
    starts_at: datetime,
    is_at_once: bool,
    is_late: bool,
) -> str:
    certificates = "1 certificate" if count == 1 else f"{count:,} certificates"
    reckoning = (
        f"{_words(timedelta(seconds=seconds_needed))} to revoke {certificates} "
        f"(the CA takes {rate_per_second:,.6g} a second; doubled for safety) and "
        f"{_words(publication_delay)} until the CA has published them"
    )
    if starts_at >= deadline:
        return (
            f"The deadline has passed {_words(starts_at - deadline)} ago: revocation "
            f"starts at once, and it is late. It needs {reckoning}."
        )
    left = _words(deadline - starts_at)
    if is_late:
        return (
            f"Revocation starts at once, {left} before the deadline, and will be late: "
            f"it needs {reckoning}."
        )
    if is_at_once:
        return (
            f"Revocation starts at once, {left} before the deadline: it needs "
            f"{reckoning}, and less than the usual {_words(margin)} is left in reserve."
        )
    return (
        f"Revocation starts {left} before the deadline: {reckoning}, and "
        f"{_words(margin)} in reserve."
    )


def _words(span: timedelta) -> str:
    """Write a duration as people say it, its two largest units, rounded down."""
    seconds = int(span.total_seconds())
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts = []
    for unit, size in units:
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2]) or "0 s"
