"""What lists of people and instants hold; the store fills them, dashboards show them."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import (
    ContactState,
    EscalationCause,
    EscalationId,
    EscalationState,
    ReplyKind,
    SubscriberId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwingSubscriber:
    """
    A subscriber from whom a CSR is missing.

    Args:
        subscriber: Its key.
        name: The organisation's.
        sector: As in the directory; may be empty.
        certificates: All its affected certificates.
        missing: Those neither revoked nor replaced nor given up, without a CSR.
        last_notice_at: When the relay last took a notice to any of its contacts.
        reachable_contacts: Contacts to whom mail gets through.
        acknowledged_at: When somebody there first answered; None: never.

    """

    subscriber: SubscriberId
    name: str
    sector: str
    certificates: int
    missing: int
    last_notice_at: datetime | None
    reachable_contacts: int
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owing:
    """
    Who owes CSRs, worst first.

    Args:
        rows: The first of them, as many as were asked for.
        subscribers: How many there are altogether.
        missing: Certificates they hold together without a CSR.
        silent: Of the subscribers, how many never answered.

    """

    rows: tuple[OwingSubscriber, ...]
    subscribers: int
    missing: int
    silent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEscalation:
    """
    An escalation that somebody has to act on.

    Args:
        escalation: Its key.
        subscriber: Whom it is about; None: the whole incident.
        name: The organisation's; empty for the whole incident.
        cause: Why it was raised.
        level: The ladder's step, from 1; 0 for what no step raised.
        step: The step's name.
        targets: Who is to act: roles that are told, or the call sheet.
        state: Raised, told, or acknowledged: then somebody is on it.
        raised_at: When it was last raised.
        raised_times: How often; more than 1: it was repeated, or came back.
        told_at: When the notice left; None: not yet.
        acknowledged_at: When somebody last said that they are on it; None: nobody did.
        acknowledged_by: Who.
        certificates: The subscriber's affected certificates.
        open_certificates: Of those, how many are not revoked yet.

    """

    escalation: EscalationId
    subscriber: SubscriberId | None
    name: str
    cause: EscalationCause
    level: int
    step: str
    targets: tuple[str, ...]
    state: EscalationState
    raised_at: datetime
    raised_times: int
    told_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    certificates: int
    open_certificates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEscalations:
    """
    What needs a person, highest step first.

    Args:
        rows: The first of them, as many as were asked for.
        escalations: How many there are altogether.

    """

    rows: tuple[LiveEscalation, ...]
    escalations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableContact:
    """Somebody to telephone."""

    name: str
    phone: str
    rank: int
    state: ContactState


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableSubscriber:
    """
    A subscriber to some or all of whose contacts mail does not get through.

    Args:
        subscriber: Its key.
        name: The organisation's.
        sector: As in the directory; may be empty.
        certificates: Its certificates that are not revoked yet.
        reachable_contacts: Contacts to whom mail gets through; 0: nobody.
        contacts: Everybody who may be called, by rank.
        acknowledged_at: When somebody there first answered; None: never.

    """

    subscriber: SubscriberId
    name: str
    sector: str
    certificates: int
    reachable_contacts: int
    contacts: tuple[CallableContact, ...]
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """
    Whom mail does not reach; those whom it does not reach at all come first.

    Args:
        rows: The first of them, as many as were asked for.
        nobody_left: Subscribers without any contact that mail reaches.
        some_bounced: Subscribers of whom another contact is still reached.
        certificates: Certificates not revoked yet of those with nobody left.

    """

    rows: tuple[UnreachableSubscriber, ...]
    nobody_left: int
    some_bounced: int
    certificates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedByLink:
    """
    What somebody asked the CA's people for on their page.

    Args:
        subscriber: Whose page.
        name: The organisation's.
        kind: What for; what they wrote stands at the desk alone.
        received_at: When, UTC.

    """

    subscriber: SubscriberId
    name: str
    kind: ReplyKind
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TimetableEntry:
    """
    One instant of an incident's timetable, UTC.

    Args:
        at: When.
        name: What, as people read it.
        subscribers: Whom a step of the ladder still concerns; None: not a step, past.
        certificates: What a revocation or publication instant is about, or None.
        notices: Notices a past step planned; None where it is ahead, or no step.
        sent: Of those, how many the relay took.
        escalations: Escalations a past step raised, or None.

    """

    at: datetime
    name: str
    subscribers: int | None = None
    certificates: int | None = None
    notices: int | None = None
    sent: int | None = None
    escalations: int | None = None
