"""What outreach policy needs to know; the store builds it."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import (
    ContactId,
    ContactState,
    EscalationCause,
    NoticeKind,
    SubscriberId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFacts:
    """The instants that an incident's timetable hangs on, UTC."""

    launched_at: datetime
    revocation_starts_at: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFacts:
    """A notice that was planned for a contact, whatever became of it."""

    kind: NoticeKind
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactFacts:
    """
    One contact of a subscriber.

    Args:
        contact: Its key.
        rank: 1 is the primary contact.
        state: Whether mail reaches them.
        named_by_reply: The subscriber named them during the incident.
        notices: What was planned for them so far, but for answers to their mail.
        came_back: Nothing that was sent to them got through, and nothing is on its way.

    """

    contact: ContactId
    rank: int
    state: ContactState
    named_by_reply: bool
    notices: frozenset[NoticeFacts]
    came_back: bool = False

    @property
    def was_told(self) -> bool:
        """Whether any notice was planned for them."""
        return bool(self.notices)

    @property
    def is_active(self) -> bool:
        """Whether they can be written to."""
        return self.state is ContactState.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationFacts:
    """An escalation that has not ended."""

    cause: EscalationCause
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberFacts:
    """
    What there is to know of one subscriber at one instant.

    Args:
        subscriber: Its key.
        position: Steps of the timetable that were taken.
        has_acknowledged: Somebody there has answered in any way.
        unsettled_certificates: Neither replaced nor given up, revoked or not.
        open_certificates: Of those, how many are not revoked yet.
        missing_csrs: Of those, how many still lack a CSR.
        contacts: All of them, in any order.
        escalations: Those that have not ended.

    """

    subscriber: SubscriberId
    position: int
    has_acknowledged: bool
    unsettled_certificates: int
    open_certificates: int
    missing_csrs: int
    contacts: tuple[ContactFacts, ...]
    escalations: tuple[EscalationFacts, ...]
