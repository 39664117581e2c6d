"""What a subscriber can do, and how each of it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.terms import ReplyKind
from tocsin.portal.ask_forms import parse_extension, parse_help, parse_not_mine
from tocsin.portal.contact_forms import (
    parse_ask_again,
    parse_contact,
    parse_own_address,
    parse_remove,
)
from tocsin.portal.forms import (
    Parser,
    parse_acknowledge,
    parse_csrs,
    parse_no_longer_required,
    parse_replaced,
)
from tocsin.portal.looking import Looker, look_if_agreed
from tocsin.store.views import Selection

EMPTY: Mapping[str, object] = {
    "choice": "",
    "csr": "",
    "for": "",
    "private_key": False,
    "certificate": frozenset(),
    "all": False,
    "look": False,
    "name": "",
    "email": "",
    "phone": "",
    "instead_of": "",
    "who": "",
    "scope": "",
    "message": "",
}
"""What a form shows before anybody touches it: nothing is ticked or chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActPage:
    """
    One thing a subscriber can do: a form, a page to check it, the deed.

    Args:
        slug: In its address; the templates are named after it.
        kind: What it files.
        parse: From the form to the act.
        selection: The certificates that its form offers.
        looks: What else the check page shows, if the sender agreed to look for it.

    """

    slug: str
    kind: ReplyKind
    parse: Parser
    selection: Selection = Selection.ALL
    looks: Looker | None = None


ACTS = (
    ActPage(slug="acknowledge", kind=ReplyKind.ACKNOWLEDGE, parse=parse_acknowledge),
    ActPage(
        slug="csr",
        kind=ReplyKind.SUBMIT_CSR,
        parse=parse_csrs,
        selection=Selection.WITHOUT_REPLACEMENT,
    ),
    ActPage(
        slug="replaced",
        kind=ReplyKind.REPLACED,
        parse=parse_replaced,
        selection=Selection.REVOCABLE_EARLY,
        looks=look_if_agreed,
    ),
    ActPage(
        slug="no-longer-required",
        kind=ReplyKind.NO_LONGER_REQUIRED,
        parse=parse_no_longer_required,
        selection=Selection.REVOCABLE_EARLY,
    ),
    ActPage(slug="contact", kind=ReplyKind.CHANGE_CONTACT, parse=parse_contact),
    ActPage(slug="remove-contact", kind=ReplyKind.REMOVE_CONTACT, parse=parse_remove),
    ActPage(slug="ask-again", kind=ReplyKind.ASK_AGAIN, parse=parse_ask_again),
    ActPage(slug="my-address", kind=ReplyKind.CONFIRM_ADDRESS, parse=parse_own_address),
    ActPage(slug="not-mine", kind=ReplyKind.NOT_MINE, parse=parse_not_mine),
    ActPage(slug="help", kind=ReplyKind.ASK_HELP, parse=parse_help),
    ActPage(slug="more-time", kind=ReplyKind.ASK_EXTENSION, parse=parse_extension),
)
