"""Who is a contact, and who may stop being one; what colleagues see of each other."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from models.terms import ContactId, ContactState
from tocsin.policy.facts import ContactFacts

MOST_WAITING = 5
"""Addresses of one subscriber that wait for their confirmation at a time."""

MOST_CHANGES = 10
"""Changes of one subscriber's contacts within ``CHANGES_WITHIN``: each is a mail to all."""

CHANGES_WITHIN = timedelta(hours=24)

MOST_ASKED = 3
"""Times that an address is asked whether it is right: nobody is pestered by us."""

ASKED_EVERY = timedelta(minutes=10)


def state_when_named(known: ContactState | None) -> ContactState:
    """
    Return what a contact is that somebody of the subscriber names.

    An address sees nothing before it has confirmed itself. One that was written to
    before has no need to: it is on the list, or was until mail to it came back.

    Args:
        known: What it was so far; None: nobody knew of it.

    """
    match known:
        case None | ContactState.UNCONFIRMED | ContactState.REMOVED:
            return ContactState.UNCONFIRMED
        case ContactState.ACTIVE | ContactState.UNREACHABLE:
            return ContactState.ACTIVE


def may_leave(leaver: ContactId, contacts: Iterable[ContactFacts]) -> bool:
    """
    Whether somebody is left who can be reached, if this contact leaves.

    Whoever has not confirmed their address does not count: neither as somebody who is
    left, nor as somebody who is missed. A number that can be called is missed.
    """
    contacts = tuple(contacts)
    if any(
        one.contact == leaver and one.state is ContactState.UNCONFIRMED
        for one in contacts
    ):
        return True
    return any(
        one.contact != leaver
        and one.is_active
        and not one.came_back
        and not one.disowns
        for one in contacts
    )


def may_be_asked_again(asked_at: Sequence[datetime], now: datetime) -> bool:
    """Whether an address that does not confirm itself may be asked once more."""
    return len(asked_at) < MOST_ASKED and all(
        at + ASKED_EVERY <= now for at in asked_at
    )


def masked(email: str) -> str:
    """Return an address as colleagues see it: to be recognised, not to be used."""
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}***{at}{domain}"
