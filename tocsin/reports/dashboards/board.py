"""What the pages of one incident are made of, read at one instant so that they agree."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from models.terms import EscalationState, SubscriberId
from tocsin.policy.figures import IncidentFigures
from tocsin.policy.mail import MailReplies
from tocsin.policy.pauses import LivePause
from tocsin.policy.scope import ScopeChange
from tocsin.policy.worklists import (
    AskedByLink,
    LiveEscalations,
    Owing,
    TimetableEntry,
    Unreachable,
)


class Page(StrEnum):
    """The questions, in the order in which managers ask them; ends of artifacts' keys."""

    OVERVIEW = "overview"
    ESCALATIONS = "escalations"
    MISSING_CSRS = "missing-csrs"
    UNREACHABLE = "unreachable"
    REPLIES = "replies"
    REVOCATION = "revocation"

    @property
    def question(self) -> str:
        """The question in words."""
        return _QUESTIONS[self]


_QUESTIONS = {
    Page.OVERVIEW: "Will all be published in time, and who is needed?",
    Page.ESCALATIONS: "What waits for a person?",
    Page.MISSING_CSRS: "Who still owes CSRs?",
    Page.UNREACHABLE: "Whom does mail not reach?",
    Page.REPLIES: "What did people write back?",
    Page.REVOCATION: "How far is revocation?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """
    Everything that the pages of one incident are made of.

    Args:
        figures: Counts; their ``as_of`` is the instant.
        timetable: What happens when.
        owing: Who owes CSRs.
        escalations: What waits for a person.
        unreachable: Whom mail does not reach.
        pause: Why no notice leaves; None while they do.
        replies: What people wrote back.
        asked: What they asked for on their pages, as many as a page lists.
        desk: Address of the incident's desk, where one acts after proving who one is.
        changes: Withdrawals and court orders, whatever became of them.
        links: Addresses of the pages themselves; those that are missing get no link.

    """

    figures: IncidentFigures
    timetable: tuple[TimetableEntry, ...]
    owing: Owing
    escalations: LiveEscalations
    unreachable: Unreachable
    replies: MailReplies
    desk: str
    pause: LivePause | None = None
    changes: tuple[ScopeChange, ...] = ()
    asked: tuple[AskedByLink, ...] = ()
    links: Mapping[Page, str] = field(default_factory=dict)

    @property
    def escalations_waiting(self) -> int:
        """Live escalations that nobody has said to be on."""
        taken = self.figures.escalations[EscalationState.ACKNOWLEDGED]
        return self.escalations.escalations - taken

    @property
    def scope_desk(self) -> str:
        """Where certificates are withdrawn, and court orders put in force."""
        return f"{self.desk}/scope"

    @property
    def escalations_desk(self) -> str:
        """Where escalations are acknowledged."""
        return f"{self.desk}/escalations"

    @property
    def calls_desk(self) -> str:
        """Where the call sheet is, and what came of a call is recorded."""
        return f"{self.desk}/calls"

    @property
    def replies_desk(self) -> str:
        """Where what people wrote is read."""
        return f"{self.desk}/replies"

    @property
    def csrs_desk(self) -> str:
        """Where everybody is listed who owes CSRs."""
        return f"{self.desk}/csrs"

    def subscriber_desk(self, subscriber: SubscriberId | None) -> str:
        """Where one acts on a subscriber; None: on the incident itself."""
        return self.desk if subscriber is None else f"{self.desk}/s/{subscriber}"
