"""From a form to what somebody changes about who gets our mails."""

from collections.abc import Iterable
from dataclasses import replace

from models.terms import ContactId, ContactState
from tocsin.errors import BadInput
from tocsin.intake.contacts import parse_address
from tocsin.phrases import Phrase, phrase
from tocsin.portal.desk import Desk, Visit
from tocsin.portal.forms import LONGEST_NAME, Parsed, Problem, Submitted
from tocsin.steps.reply_acts import (
    AskAgain,
    ChangeContact,
    ConfirmAddress,
    RemoveContact,
)
from tocsin.store.views import ContactView

_LONGEST_PHONE = 40
_PHONE_CHARACTERS = frozenset("+-0123456789 ()./x")


def parse_contact(_desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read who is to be written to."""
    parsed = read_contact(form, visit.view.contacts)
    if not isinstance(parsed.act, ChangeContact):
        return parsed
    email = parsed.act.email.casefold()
    is_known = any(
        one.email.casefold() == email and not one.is_unconfirmed
        for one in visit.view.contacts
    )
    is_self = parsed.act.instead_of == visit.claims.contact
    return replace(
        parsed, shown={**parsed.shown, "is_self": is_self, "is_known": is_known}
    )


def read_contact(form: Submitted, known: Iterable[ContactView]) -> Parsed:
    """Read a contact, and whom of those known it takes the place of."""
    values = {name: form.one(name) for name in ("name", "email", "phone", "instead_of")}
    problems = []
    contacts = {str(contact.contact): contact for contact in known}
    instead_of = values["instead_of"]
    name = " ".join(values["name"].split())
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        problems.append(
            Problem(
                field="name", message=phrase("Enter the name of the person or role.")
            )
        )
    email = ""
    try:
        email = parse_address(values["email"])
    except BadInput:
        problems.append(
            Problem(
                field="email",
                message=phrase(
                    "Enter one e-mail address like name@example.org, without a name or"
                    " brackets."
                ),
            )
        )
    if email and any(
        contact.email.casefold() == email.casefold()
        for key, contact in contacts.items()
        if key == instead_of
    ):
        problems.append(
            Problem(
                field="email",
                message=phrase("This is the address that leaves the list."),
            )
        )
    phone = values["phone"]
    if len(phone) > _LONGEST_PHONE or not set(phone) <= _PHONE_CHARACTERS:
        problems.append(
            Problem(
                field="phone",
                message=phrase(
                    "Enter a phone number with digits, like +852 5550 0100, or leave it"
                    " out."
                ),
            )
        )
    if instead_of != "nobody" and instead_of not in contacts:
        problems.append(
            Problem(
                field="instead_of",
                message=phrase("Say whether somebody leaves the list."),
            )
        )
    if problems:
        return Parsed(problems=tuple(problems), values=values)
    leaves = contacts.get(instead_of)
    return Parsed(
        act=ChangeContact(
            name=name,
            email=email,
            phone=phone,
            instead_of=ContactId(leaves.contact) if leaves else None,
        ),
        values=values,
        shown={"leaves": leaves},
        carried=list(values.items()),
    )


def parse_remove(_desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read who leaves the list, or which address is not wanted after all."""
    given = form.one("who")
    contact = _chosen(visit.view.contacts, given)
    if contact is None:
        return _unchosen(phrase("Say who leaves the list."), given)
    return Parsed(
        act=RemoveContact(contact=contact.contact),
        values={"who": given},
        shown={
            "leaves": contact,
            "is_self": contact.contact == visit.claims.contact,
        },
        carried=[("who", given)],
    )


def parse_ask_again(_desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read which address is to be asked once more."""
    given = form.one("who")
    contact = _chosen(
        (one for one in visit.view.contacts if one.state is ContactState.UNCONFIRMED),
        given,
    )
    if contact is None:
        return _unchosen(phrase("Say who is to be asked again."), given)
    return Parsed(
        act=AskAgain(contact=contact.contact),
        values={"who": given},
        shown={"asked": contact},
        carried=[("who", given)],
    )


def parse_own_address(_desk: Desk, _visit: Visit, form: Submitted) -> Parsed:
    """Read that somebody's own address is right."""
    if form.one("sure") != "1":
        problem = Problem(
            field="sure",
            message=phrase("Tick that this address is right, or name another one."),
        )
        return Parsed(problems=(problem,))
    return Parsed(act=ConfirmAddress(), carried=[("sure", "1")])


def _chosen(contacts: Iterable[ContactView], given: str) -> ContactView | None:
    return next((one for one in contacts if str(one.contact) == given), None)


def _unchosen(message: Phrase, given: str) -> Parsed:
    return Parsed(
        problems=(Problem(field="who", message=message),), values={"who": given}
    )
