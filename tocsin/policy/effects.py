"""What outreach policy decides; the steps carry it out."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import (
    ContactId,
    ContactRole,
    EscalationCause,
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
    """Tell the CA's own people that a subscriber needs a person."""

    subscriber: SubscriberId
    cause: EscalationCause
    level: int
    step: str
    targets: tuple[ContactRole, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndEscalation:
    """The cause is gone."""

    subscriber: SubscriberId
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
