"""What a ladder is made of, and when its steps fall in one incident."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from models.terms import ContactRole, EscalationCause, EscalationTarget, NoticeKind
from tocsin.policy.facts import IncidentFacts

SEQUENCES = 1_000
"""A step's repetitions are numbered so far apart; a ladder has fewer steps."""


class Condition(StrEnum):
    """Whom a step concerns."""

    ALWAYS = "always"
    OPEN = "open"  # a certificate is neither revoked nor replaced nor given up
    CSR_MISSING = "csr-missing"
    CSR_REFUSED = "csr-refused"  # one came in that cannot be used, no good one since
    NOT_ACKNOWLEDGED = "not-acknowledged"
    NOT_DELIVERED = "not-delivered"  # no relay took anything to anybody of theirs
    NOT_INSTALLED = "not-installed"  # a replacement is issued; nobody reports its use
    FORECAST_LATE = "forecast-late"  # the incident: not all will be published in time

    @property
    def cause(self) -> EscalationCause | None:
        """Why the CA's own people are told; None: it is no reason to."""
        if self is Condition.ALWAYS:
            return None
        if self is Condition.OPEN:
            return EscalationCause.NOT_REPLACED
        return EscalationCause(self.value)


class Target(StrEnum):
    """Whom a step tells."""

    NEXT_CONTACT = "next-contact"  # the first by rank who was not told yet
    TOLD_CONTACTS = "told-contacts"
    ALL_CONTACTS = "all-contacts"
    ACCOUNT_MANAGER = "account-manager"
    OPERATIONS_MANAGER = "operations-manager"
    COMPLIANCE_LEAD = "compliance-lead"
    CALL_SHEET = "call-sheet"  # whoever telephones

    @property
    def staff(self) -> EscalationTarget | None:
        """Who of the CA is to act; None for a subscriber's contacts."""
        match self:
            case Target.NEXT_CONTACT | Target.TOLD_CONTACTS | Target.ALL_CONTACTS:
                return None
            case Target.ACCOUNT_MANAGER:
                return EscalationTarget.ACCOUNT_MANAGER
            case Target.OPERATIONS_MANAGER:
                return EscalationTarget.OPERATIONS_MANAGER
            case Target.COMPLIANCE_LEAD:
                return EscalationTarget.COMPLIANCE_LEAD
            case Target.CALL_SHEET:
                return EscalationTarget.CALL_SHEET


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One rung.

    Args:
        level: Its place in the file, from 1; part of the key of what it sends.
        name: What managers read.
        after_launch: Its instant counts from the launch; or
        before_revocation: back from the start of revocation; or
        before_deadline: back from the deadline; or
        share: as a share, 0 to 1, of the time from launch to the start of revocation.
        when: Whom it concerns.
        tell: Whom it tells.
        notice: What a contact gets; None where it tells staff only.
        repeat_every: It comes again so often, as long as it concerns them; None: once.

    """

    level: int
    name: str
    after_launch: timedelta | None
    before_revocation: timedelta | None
    before_deadline: timedelta | None
    share: float | None
    when: Condition
    tell: frozenset[Target]
    notice: NoticeKind | None
    repeat_every: timedelta | None

    def due_at(self, incident: IncidentFacts) -> datetime:
        """Return its first instant, never before the launch."""
        start, end = incident.launched_at, incident.revocation_starts_at
        if self.after_launch is not None:
            instant = start + self.after_launch
        elif self.before_revocation is not None:
            instant = end - self.before_revocation
        elif self.before_deadline is not None:
            instant = incident.deadline - self.before_deadline
        else:
            instant = start + (end - start) * (self.share or 0.0)
        return max(start, instant)

    def ends_at(self, incident: IncidentFacts) -> datetime:
        """
        Return from when on it has lost its moment.

        Once revocation has begun there is nothing to remind subscribers of; the CA's
        own people can still do something until the deadline.
        """
        is_for_staff = self.before_deadline is not None and self.notice is None
        if is_for_staff or self.when is Condition.FORECAST_LATE:
            return incident.deadline
        return incident.revocation_starts_at

    @property
    def targets(self) -> tuple[EscalationTarget, ...]:
        """Who of the CA is to act."""
        return tuple(sorted(target.staff for target in self.tell if target.staff))

    @property
    def roles(self) -> tuple[ContactRole, ...]:
        """The CA's own roles it tells."""
        return tuple(target.role for target in self.targets if target.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """
    The steps in the order of the file, and the text they were read from.

    Args:
        name: For people.
        steps: At least one.
        unreachable: Whom to tell at once when no contact is left.
        missed: Whom to tell when something due was not done.
        asked: Whom to tell at once when a subscriber asks for a person.
        acknowledged_for: An escalation that somebody has acknowledged comes back when
            nothing followed for so long.
        text: To freeze (I7).

    """

    name: str
    steps: tuple[Step, ...]
    unreachable: tuple[EscalationTarget, ...]
    missed: tuple[EscalationTarget, ...]
    asked: tuple[EscalationTarget, ...]
    acknowledged_for: timedelta
    text: str

    @property
    def roles(self) -> frozenset[ContactRole]:
        """Everybody of the CA whom it may tell."""
        targets = {*self.unreachable, *self.missed, *self.asked}
        targets.update(*(step.targets for step in self.steps))
        return frozenset(target.role for target in targets if target.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueStep:
    """
    A step and one of its instants in one incident.

    Args:
        due_at: When, UTC.
        step: Which.
        repetition: 0 the first time.

    """

    due_at: datetime
    step: Step
    repetition: int = 0

    @property
    def is_moment(self) -> bool:
        """Whether it stands in a timetable; what only staff are told again does not."""
        return not self.repetition or self.step.notice is not None

    @property
    def sequence(self) -> int:
        """The number of the notices it sends, among those of their kind (I4)."""
        return self.step.level + SEQUENCES * self.repetition

    @property
    def name(self) -> str:
        """What people read in a timetable."""
        if not self.repetition:
            return self.step.name
        return f"{self.step.name} (again, {self.repetition})"


def timetable(ladder: Ladder, incident: IncidentFacts) -> tuple[DueStep, ...]:
    """
    Order the steps and their repetitions by their instants in this incident.

    A step that would fall on or after the start of revocation has lost its moment,
    unless it belongs to the launch itself, or concerns the CA's own people alone.
    """
    return tuple(
        sorted(
            (due for step in ladder.steps for due in _occurrences(step, incident)),
            key=lambda due: (due.due_at, due.step.level, due.repetition),
        )
    )


def subscriber_timetable(
    ladder: Ladder, incident: IncidentFacts
) -> tuple[DueStep, ...]:
    """Return those that concern subscribers; a subscriber's position counts them."""
    return tuple(
        due
        for due in timetable(ladder, incident)
        if due.step.when is not Condition.FORECAST_LATE
    )


def _occurrences(step: Step, incident: IncidentFacts) -> Iterator[DueStep]:
    due_at, ends_at = step.due_at(incident), step.ends_at(incident)
    if due_at < ends_at or step.after_launch == timedelta(0):
        yield DueStep(due_at=due_at, step=step)
    if step.repeat_every is None:
        return
    repetition = 1
    while (again_at := due_at + step.repeat_every * repetition) < ends_at:
        yield DueStep(due_at=again_at, step=step, repetition=repetition)
        repetition += 1
