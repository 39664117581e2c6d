"""What outreach policy decides; the steps carry it out."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import (
    ContactId,
    EscalationCause,
    EscalationTarget,
    NoticeKind,
    SubscriberId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendNotice:
    """Write to one contact; the key is (contact, kind, sequence) (I4)."""

    contact: ContactId
    kind: NoticeKind
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseEscalation:
    """
    Tell the CA's own people that somebody is needed, or tell them again.

    Args:
        subscriber: For whom; None: for the whole incident.
        cause: Why. It takes over from whatever is live of the same cause.
        level: The ladder's step; 0: none.
        step: Its name, for people.
        targets: Who is to act.

    """

    subscriber: SubscriberId | None
    cause: EscalationCause
    level: int
    step: str
    targets: tuple[EscalationTarget, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndEscalation:
    """The cause is gone."""

    subscriber: SubscriberId | None
    cause: EscalationCause


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOn:
    """
    The subscriber was looked at.

    Args:
        subscriber: Whom.
        position: Steps of the timetable taken by now.
        look_at: When to look again, UTC; None: only when something happens.

    """

    subscriber: SubscriberId
    position: int
    look_at: datetime | None


Effect = SendNotice | RaiseEscalation | EndEscalation | MoveOn
