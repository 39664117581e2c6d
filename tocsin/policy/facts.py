"""What outreach policy needs to know; the store builds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from models.terms import (
    ContactId,
    ContactState,
    EscalationCause,
    EscalationState,
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
    """
    A notice that was planned for a contact, whatever became of it.

    Args:
        kind: What it is for.
        sequence: Its number among those of its kind.
        has_left: It left, or may have; one that still waits is not on its way.

    """

    kind: NoticeKind
    sequence: int
    has_left: bool = field(default=True, compare=False)


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
        was_reached: The relay took one of them, and it did not come back.
        disowns: They say that they are not the right person. They are written to all
            the same: whoever holds a link must not be able to silence what follows.

    """

    contact: ContactId
    rank: int
    state: ContactState
    named_by_reply: bool
    notices: frozenset[NoticeFacts]
    was_reached: bool
    came_back: bool = False
    disowns: bool = False

    @property
    def was_told(self) -> bool:
        """Whether any notice was planned for them."""
        return bool(self.notices)

    @property
    def may_have_heard(self) -> bool:
        """Whether any notice has left for them, or may have."""
        return any(notice.has_left for notice in self.notices)

    @property
    def is_active(self) -> bool:
        """Whether they can be written to."""
        return self.state is ContactState.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationFacts:
    """
    An escalation that has not ended; there is one for each cause.

    Args:
        cause: Why.
        level: The step that raised it, by its place in the ladder; 0: none did.
        state: One of the live ones.
        raised_at: When it was last raised, UTC.
        acknowledged_at: When somebody last said that they are on it, UTC.

    """

    cause: EscalationCause
    level: int
    state: EscalationState
    raised_at: datetime
    acknowledged_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberFacts:
    """
    What there is to know of one subscriber at one instant.

    Args:
        subscriber: Its key.
        position: Steps of the timetable that were taken.
        has_acknowledged: Somebody there has answered in any way.
        last_answer_at: When they last did, UTC; None: never.
        unsettled_certificates: Neither replaced nor given up, revoked or not.
        open_certificates: Of those, how many are not revoked yet.
        missing_csrs: Of those, how many still lack a CSR.
        uninstalled_certificates: Of those, how many have a replacement that nobody has
            reported to be in use.
        has_refused_csr: A CSR came in that cannot be used, and no good one since.
        contacts: All of them, in any order.
        escalations: Those that have not ended.
        disowned_at: When somebody there last said that it is not theirs, UTC; None:
            nobody did, or it was seen to since.
        help_asked_at: When somebody there last asked for a person, UTC; None likewise.

    """

    subscriber: SubscriberId
    position: int
    has_acknowledged: bool
    last_answer_at: datetime | None
    unsettled_certificates: int
    open_certificates: int
    missing_csrs: int
    uninstalled_certificates: int
    has_refused_csr: bool
    contacts: tuple[ContactFacts, ...]
    escalations: tuple[EscalationFacts, ...]
    disowned_at: datetime | None = None
    help_asked_at: datetime | None = None

    @property
    def asked_at(self) -> Mapping[EscalationCause, datetime]:
        """When they asked for a person of the CA, by why."""
        asked = {
            EscalationCause.NOT_THEIRS: self.disowned_at,
            EscalationCause.HELP_WANTED: self.help_asked_at,
        }
        return {cause: at for cause, at in asked.items() if at is not None}

    @property
    def can_be_reached(self) -> bool:
        """Whether there is anybody left to write to."""
        return any(one.is_active and not one.came_back for one in self.contacts)

    @property
    def is_undelivered(self) -> bool:
        """There is somebody to write to, and nothing has got through to anybody."""
        return self.can_be_reached and not any(
            contact.is_active and contact.was_reached for contact in self.contacts
        )
