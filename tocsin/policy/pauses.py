"""When sending pauses for everybody, and who is told; without it a fault would spread."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from models.terms import PauseCause
from tocsin.policy.sending import SendingRules

LOOK_BACK = 200
"""Attempts that are looked at, at most: what was before says little of now."""

_PERMANENT = 5
# RFC 3463, 3.4: X.3.X is about the mail system itself (full, out of order), not about
# the recipient; greylisting says X.7.X or nothing.
_MAIL_SYSTEM = re.compile(r"\b[45]\.3\.\d{1,3}\b")


class Verdict(Enum):
    """What one attempt says of the relay."""

    TAKEN = "taken"
    UNREACHABLE = "unreachable"
    RELAY_REFUSED = "relay-refused"
    ADDRESS_REFUSED = "address-refused"
    NOTHING = "nothing"  # greylisting, a doubt, a template of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePause:
    """
    The pause that lasts; instants UTC.

    Args:
        pause_id: Which.
        cause: Why.
        counts: The attempts it was decided on, by what they say.
        paused_at: Since when.
        probe_at: When one message is tried (again).
        probes: How many were tried so far.
        alarmed_at: When people were told; None: nobody is needed yet.

    """

    pause_id: int
    cause: PauseCause
    counts: dict[str, int]
    paused_at: datetime
    probe_at: datetime
    probes: int
    alarmed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """
    How one attempt ended.

    Args:
        ended_at: When, UTC.
        outcome: As it is on record.
        smtp_code: The relay's last word; None where it gave none.
        detail: Its words.

    """

    ended_at: datetime
    outcome: str
    smtp_code: int | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePause:
    """
    Sending has to pause.

    Args:
        cause: Why.
        counts: Attempts looked at, by what they say.

    """

    cause: PauseCause
    counts: dict[str, int]


def verdict(attempt: AttemptFacts) -> Verdict:
    """Tell trouble with one address from trouble with the relay."""
    is_permanent = (attempt.smtp_code or 0) // 100 == _PERMANENT
    match attempt.outcome:
        case "sent":
            return Verdict.TAKEN
        case "not-sent":
            return Verdict.UNREACHABLE
        case "failed" if is_permanent:
            return Verdict.ADDRESS_REFUSED
        # A 5yz that is not about the address is about us: no login, relaying denied.
        case "retry" if is_permanent or _MAIL_SYSTEM.search(attempt.detail):
            return Verdict.RELAY_REFUSED
        case _:
            return Verdict.NOTHING


def due_pause(
    attempts: Sequence[AttemptFacts], *, rules: SendingRules, now: datetime
) -> DuePause | None:
    """
    Say whether sending has to pause, for whatever reason comes first.

    Greylisting, a message in doubt or a broken template pauses nothing: other messages
    are none the worse for it.

    Args:
        attempts: The latest, newest first, none from before sending was last resumed.
        rules: What an operator set.
        now: The present instant, UTC.

    """
    recent = [
        verdict(attempt)
        for attempt in attempts[:LOOK_BACK]
        if attempt.ended_at > now - rules.pause_within
    ]
    counts = {
        one.value: recent.count(one)
        for one in Verdict
        if one is not Verdict.NOTHING and one in recent
    } | {"attempts": len(recent)}
    if recent and recent[0] is Verdict.UNREACHABLE:
        return DuePause(cause=PauseCause.RELAY_UNREACHABLE, counts=counts)
    if len(recent) < rules.pause_from:
        return None
    for one, cause in (
        (Verdict.RELAY_REFUSED, PauseCause.RELAY_REFUSES),
        (Verdict.ADDRESS_REFUSED, PauseCause.ADDRESSES_REFUSED),
    ):
        if recent.count(one) >= rules.pause_share * len(recent):
            return DuePause(cause=cause, counts=counts)
    return None


def alarm_is_due(
    cause: PauseCause, *, paused_at: datetime, rules: SendingRules, now: datetime
) -> bool:
    """
    Whether people have to be told that sending pauses.

    A relay that restarts is out of reach for a moment, and nobody is needed.
    """
    if cause is PauseCause.RELAY_UNREACHABLE:
        return now >= paused_at + rules.alarm_after
    return True


def pause_sentence(cause: PauseCause) -> str:
    """Say why sending pauses, for people."""
    match cause:
        case PauseCause.RELAY_UNREACHABLE:
            return "the relay cannot be reached"
        case PauseCause.RELAY_REFUSES:
            return "the relay refuses what we send, whoever it is for"
        case PauseCause.ADDRESSES_REFUSED:
            return "too many addresses are refused for good"
