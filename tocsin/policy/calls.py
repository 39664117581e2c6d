"""Who has to be telephoned, in which order; the store fills it, commands and pages show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.terms import (
    CallOutcome,
    ContactId,
    ContactState,
    IncidentId,
    SubscriberId,
    UnreachableReason,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetContact:
    """
    Somebody to ask for.

    Args:
        contact: Their key.
        name: May be empty, as may be the phone number.
        email: The address on record: to be read out and corrected.
        phone: As in the directory.
        rank: 1 is the primary contact.
        state: Whether mail gets through.
        reason: Why it does not; None where it does, or where nobody noted it.
        came_back: What was sent came back, though the address may be good.

    """

    contact: ContactId
    name: str
    email: str
    phone: str
    rank: int
    state: ContactState
    reason: UnreachableReason | None
    came_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCall:
    """What came of the last call."""

    called_at: datetime
    caller: str
    outcome: CallOutcome
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """
    One subscriber to telephone.

    Args:
        subscriber: Its key.
        name: The organisation's.
        sector: As in the directory; may be empty.
        language: In which they read.
        zone: Their time zone: nobody is called at three in the morning unawares.
        certificates: Of theirs that are not revoked yet.
        first_names: Hosts of some of those.
        revocation_time: When the first of them is revoked, UTC.
        why: Why they stand on the sheet, as people read it.
        contacts: Whom to ask for, by rank, those with a number first.
        calls: How many were made.
        last: The last of them; None: nobody called yet.

    """

    subscriber: SubscriberId
    name: str
    sector: str
    language: str
    zone: str
    certificates: int
    first_names: tuple[str, ...]
    revocation_time: datetime
    why: tuple[str, ...]
    contacts: tuple[SheetContact, ...]
    calls: int
    last: LastCall | None

    @property
    def is_reached(self) -> bool:
        """Whether somebody there was reached by the last call."""
        return self.last is not None and self.last.outcome is CallOutcome.REACHED


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSheet:
    """
    Whom to telephone: who was not reached yet first, then the largest.

    Args:
        incident: Of which incident.
        title: What it is called.
        deadline: By when everything is published, UTC.
        rows: The first of them, as many as were asked for.
        subscribers: How many stand on it altogether.
        reached: Of those, how many were reached by the last call.
        certificates: Certificates not revoked yet of all of them.

    """

    incident: IncidentId
    title: str
    deadline: datetime
    rows: tuple[SheetRow, ...]
    subscribers: int
    reached: int
    certificates: int


NOBODY_LEFT = "mail reaches nobody there"
"""Why a subscriber stands on the sheet whom no step of the ladder put there."""


def reasons_to_call(*, can_be_reached: bool, steps: Sequence[str]) -> tuple[str, ...]:
    """Say why a subscriber stands on the sheet."""
    return (*(() if can_be_reached else (NOBODY_LEFT,)), *sorted(set(steps)))
