"""Withdrawals and court orders in words: for reports, and for those who must be told."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from models.terms import ScopeKind, ScopeState
from tocsin.policy.scope import ScopeChange, minute


def disclosed(changes: Iterable[ScopeChange], *, now: datetime) -> Iterator[str]:
    """
    Say what two officers decided, a sentence or two for each decision.

    Args:
        changes: Of one incident; those that were not agreed are left out.
        now: The instant that the report is for, UTC.

    """
    for change in changes:
        if change.state is not ScopeState.AGREED or change.second is None:
            continue
        yield f"{_count(change.applied)}: {note(change, now=now)}"


def note(change: ScopeChange, *, now: datetime) -> str:
    """
    Say of a certificate what was decided about it; empty where nothing was.

    Args:
        change: The decision.
        now: The instant that the report is for, UTC.

    """
    if change.state is not ScopeState.AGREED or change.second is None:
        return ""
    reason = " ".join(change.proposal.reason.split()).rstrip(".")
    if change.kind is ScopeKind.WITHDRAWAL:
        return (
            f"withdrawn by two officers on {minute(change.second.at)}, not revoked. "
            f"Reason: {reason}."
        )
    court, reference = change.proposal.court, change.proposal.reference
    until = minute(change.ends_at) if change.ends_at else "N/A"
    state = (
        f"restrains the CA until {until}"
        if change.is_in_force(now)
        else f"restrained the CA until {until}"
    )
    return (
        f"an order of {court} ({reference}) {state}; put in force by two officers on "
        f"{minute(change.second.at)} under TLS BR 9.16.3. Reason: {reason}."
        + _earlier_end(change)
    )


def _earlier_end(change: ScopeChange) -> str:
    if change.ends_at is None or change.ends_at == change.proposal.ends_at:
        return ""
    why = " ".join(change.ended_why.split()).rstrip(".")
    granted = minute(change.proposal.ends_at) if change.proposal.ends_at else "N/A"
    return f" It was granted until {granted} and ends earlier: {why}."


def forum_message(
    change: ScopeChange, *, ca_name: str, title: str, deadline: datetime
) -> str:
    """
    Draft what the CA has to tell the CA/Browser Forum of an order (TLS BR 9.16.3).

    What only the CA knows stands in square brackets.

    Args:
        change: The order.
        ca_name: How the CA calls itself.
        title: The incident's.
        deadline: By when the certificates ought to be revoked, UTC.

    """
    proposal = change.proposal
    until = minute(change.ends_at) if change.ends_at else "N/A"
    modification = (
        f"{_count(change.named)}, named in the order, will be revoked when the order "
        f"ends, {until} at the latest, and not by {minute(deadline)}. Nothing else is "
        f"modified: all other certificates of the incident ({title}) are revoked on "
        "schedule."
    )
    rule = "section 9.16.3 of the TLS Baseline Requirements"
    return f"""\
To: questions@cabforum.org
Subject: {ca_name}: notice under {rule}

{ca_name} gives notice under {rule}.

Law or order: {proposal.court}, {proposal.reference} [jurisdiction; statute, if any].
Requirement modified: section 4.9.1.1, the time within which a certificate is revoked.
Modification: {modification}
Why: {" ".join(proposal.reason.split())}
CPS: section 9.16.3 of [CPS, version, URL] now refers to this order in detail.

Please reply with the address of this message in the public archive.
"""


def _count(count: int) -> str:
    return "1 certificate" if count == 1 else f"{count:,} certificates"
