"""What two officers may decide about named certificates, and what it would do to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from models.terms import (
    CertificateId,
    IncidentId,
    RevocationState,
    ScopeChangeId,
    ScopeKind,
    ScopeOutcome,
    ScopeState,
)
from tocsin.errors import BadInput
from tocsin.policy.office import Officer, Officers, is_same_person
from tocsin.policy.progress import spell_duration
from tocsin.policy.revocation import due_at

MOST_NAMED = 1_000
"""Certificates in one proposal: somebody has to read their names (TLS BR 9.16.3)."""

_LONGEST_REASON = 2_000
_LONGEST_WORDS = 300
_SHORTEST_REASON = 10


class Standing(StrEnum):
    """What a decision could still do to a certificate."""

    OPEN = "open"
    AT_THE_CA = "at-the-ca"  # claimed: the CA may be revoking it now
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """
    What is proposed.

    Args:
        kind: A withdrawal or a court order.
        reason: Why, in words that every report will quote.
        court: Which court; empty for a withdrawal.
        reference: The order's number there; empty for a withdrawal.
        ends_at: When the order ends, UTC; None for a withdrawal, which does not.

    """

    kind: ScopeKind
    reason: str
    court: str = ""
    reference: str = ""
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who signed, as the officers' list had them, and when (UTC)."""

    by: str
    key: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeChange:
    """
    A proposal and what became of it; instants UTC.

    Args:
        change: Its number.
        incident: Whose certificates it names.
        proposal: What is proposed; ``ends_at`` as it was signed.
        state: Where it stands.
        ends_at: When the order ends, as shortened since; None for a withdrawal.
        document_name: What the order's file was called; empty for a withdrawal.
        document_sha256: Of its octets, hex.
        proposed_by: Whoever wrote it down, as in the record of acts.
        proposed_at: When.
        first: The first signature; None: nobody has signed.
        second: The one by which it took effect.
        ended_by: Who refused, lifted or shortened it last; empty: nobody.
        ended_at: When that was.
        ended_why: And why.
        named: Certificates that it names.
        applied: Of those, how many it touched when it was agreed.

    """

    change: ScopeChangeId
    incident: IncidentId
    proposal: Proposal
    state: ScopeState
    ends_at: datetime | None
    document_name: str
    document_sha256: str
    proposed_by: str
    proposed_at: datetime
    first: Signature | None
    second: Signature | None
    ended_by: str
    ended_at: datetime | None
    ended_why: str
    named: int
    applied: int

    @property
    def kind(self) -> ScopeKind:
        """A withdrawal or a court order."""
        return self.proposal.kind

    def is_in_force(self, now: datetime) -> bool:
        """Whether an order restrains at an instant."""
        return (
            self.state is ScopeState.AGREED
            and self.ends_at is not None
            and now < self.ends_at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCertificate:
    """
    One certificate that a proposal names.

    Args:
        certificate: Its key.
        serial: Lower-case hex.
        title: Its first name, else its subject.
        subscriber: Whose it is; empty: nobody known.
        state: How far its revocation is.
        is_claimed: A process has it, or ended without a word about it.
        was_asked: The CA was asked before, and has not revoked it.
        revocation_time: UTC.
        restrained_until: By an order before this one; None: by none.
        outcome: What this decision did to it.

    """

    certificate: CertificateId
    serial: str
    title: str
    subscriber: str
    state: RevocationState
    is_claimed: bool
    was_asked: bool
    revocation_time: datetime
    restrained_until: datetime | None
    outcome: ScopeOutcome

    @property
    def standing(self) -> Standing:
        """What a decision could still do to it."""
        match self.state:
            case RevocationState.REVOKED | RevocationState.PUBLISHED:
                return Standing.REVOKED
            case RevocationState.WITHDRAWN:
                return Standing.WITHDRAWN
            case RevocationState.SCHEDULED | RevocationState.SUBMITTED:
                return Standing.AT_THE_CA if self.is_claimed else Standing.OPEN


def check_proposal(proposal: Proposal, *, now: datetime) -> Iterator[BadInput]:
    """
    Yield what has to be mended before anybody can sign.

    Args:
        proposal: What is proposed.
        now: The present instant, UTC.

    """
    if not _SHORTEST_REASON <= len(proposal.reason) <= _LONGEST_REASON:
        yield BadInput(
            f"Say why, in {_SHORTEST_REASON} to {_LONGEST_REASON} characters: every "
            "report quotes it.",
            field="reason",
        )
    if proposal.kind is ScopeKind.WITHDRAWAL:
        return
    for field, text, words in (
        ("court", proposal.court, "Name the court that made the order."),
        ("reference", proposal.reference, "Give the order's number at the court."),
    ):
        if not text or len(text) > _LONGEST_WORDS:
            yield BadInput(words, field=field)
    if proposal.ends_at is None:
        yield BadInput(
            "Say when the order ends: there is no order without an end. A longer one "
            "is a new order.",
            field="ends_at",
        )
    elif proposal.ends_at <= now:
        yield BadInput("The order has ended by then.", field="ends_at")


def why_not_sign(
    change: ScopeChange, officer: Officer, officers: Officers
) -> str | None:
    """
    Say why somebody's signature would not count; None: it would.

    Args:
        change: What is to be signed.
        officer: Who would sign, as the list has them now.
        officers: The list as it is now.

    """
    if not officer.may_launch:
        return "only an officer may sign, and the list has you as a manager"
    if change.state is not ScopeState.PROPOSED:
        return f"it is {change.state} already"
    if change.first is None:
        return None
    first = officers.find(change.first.key)
    if first is None or not first.may_launch or first.name != change.first.by:
        return (
            f"{change.first.by}, who signed first, is no officer on the list any more: "
            "propose it anew"
        )
    if is_same_person(first, officer):
        return "you have signed; the second signature has to be somebody else's"
    return None


def effects(
    proposal: Proposal,
    certificates: Sequence[NamedCertificate],
    *,
    deadline: datetime,
    now: datetime,
) -> Iterator[str]:
    """
    Say what a decision would do if it were agreed now, sentence by sentence.

    Args:
        proposal: What is proposed.
        certificates: Those that it names.
        deadline: The incident's, UTC.
        now: The present instant, UTC.

    """
    free = [one for one in certificates if one.standing is Standing.OPEN]
    yield from _without_effect(certificates)
    if not free:
        yield "Nothing is left that this could change."
        return
    count = _count(len(free))
    if proposal.kind is ScopeKind.WITHDRAWAL:
        yield (
            f"{count} will not be revoked, now or later, and {_is_are(len(free))} "
            "counted as withdrawn. This cannot be taken back."
        )
        yield (
            "The subscribers who were told are told so. Every report from now on says "
            "that, and why."
        )
    elif proposal.ends_at is not None:
        yield from _of_order(proposal.ends_at, free, deadline=deadline, now=now)
    asked = sum(one.was_asked for one in free)
    if asked:
        yield (
            f"The CA was asked for {_count(asked)} before and has not revoked "
            f"{'it' if asked == 1 else 'them'}: see that nothing is pending there."
        )


def _of_order(
    ends_at: datetime,
    free: Sequence[NamedCertificate],
    *,
    deadline: datetime,
    now: datetime,
) -> Iterator[str]:
    times = [one.revocation_time for one in free]
    yield (
        f"{_count(len(free))} will not be sent to the CA before {minute(ends_at)}, when "
        "the order ends, and then at once."
    )
    first, last = min(times), max(times)
    span = minute(first) if first == last else f"{minute(first)} to {minute(last)}"
    late = sum(
        due_at(one.revocation_time, ends_at) > one.revocation_time for one in free
    )
    if not late:
        yield (
            f"The revocation time, {span}, is not before that: the order changes "
            "nothing."
        )
        return
    yield (
        f"The revocation time stays {span}. From then on {_count(late)} "
        f"{_is_are(late)} overdue, and every report says so."
    )
    if ends_at > deadline:
        past = "has passed" if deadline <= now else "will be missed"
        yield (
            f"The deadline, {minute(deadline)}, {past} for them, by "
            f"{spell_duration(ends_at - deadline)} at least: a delayed-revocation "
            "report is due, and TLS BR 9.16.3 obliges the CA to write the deviation "
            "into its CPS and to tell the CA/Browser Forum."
        )
    else:
        yield (
            f"The order ends {spell_duration(deadline - ends_at)} before the deadline: "
            "it can still be kept. TLS BR 9.16.3 may oblige the CA to tell the "
            "CA/Browser Forum all the same."
        )


def _without_effect(certificates: Sequence[NamedCertificate]) -> Iterator[str]:
    for standing, words in (
        (Standing.REVOKED, "revoked already, and {stay} so"),
        (Standing.WITHDRAWN, "withdrawn already"),
        (
            Standing.AT_THE_CA,
            "with the CA at this moment, and left to its answer",
        ),
    ):
        count = sum(one.standing is standing for one in certificates)
        if count:
            stay = "stays" if count == 1 else "stay"
            yield f"{_count(count)} {_is_are(count)} {words.format(stay=stay)}."


def minute(at: datetime) -> str:
    """Write an instant for a report or a record, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _count(count: int) -> str:
    return "1 certificate" if count == 1 else f"{count:,} certificates"


def _is_are(count: int) -> str:
    return "is" if count == 1 else "are"
