"""From a form to what only a person of the CA can see to: not theirs, help, more time."""

from dataclasses import dataclass

import structlog

from models.terms import CertificateId, MailTopic
from tocsin.mail.writing import read_note
from tocsin.phrases import phrase
from tocsin.portal.contact_forms import read_contact
from tocsin.portal.desk import Desk, Visit
from tocsin.portal.forms import (
    Parsed,
    Problem,
    Submitted,
    read_keys,
)
from tocsin.steps.reply_acts import AskExtension, AskHelp, ChangeContact, NotMine
from tocsin.store.views import CertificateView

log = structlog.get_logger()

LONGEST_MESSAGE = 2_000
"""Characters; whoever has more to say telephones."""

_LONGEST_PHONE = 40
_FEWEST_DIGITS = 5
_PHONE_CHARACTERS = frozenset("+-0123456789 ()./x")
_WHOLE, _SOME = "everything", "certificates"
_NAMED = ("name", "email", "phone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What was written, or why it is not taken."""

    text: str
    problem: Problem | None


def parse_not_mine(desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read what is somebody else's, and who else should have it."""
    scope = form.one("scope")
    keys = read_keys(form.every("certificate"))
    message = read_message(form.one("message"), visit)
    values: dict[str, object] = {
        "scope": scope,
        "certificate": keys,
        "message": message.text,
        **{name: form.one(name) for name in _NAMED},
    }
    problems = [message.problem] if message.problem else []
    certificates = _chosen(desk, visit, form) if scope == _SOME else ()
    if scope not in (_WHOLE, _SOME):
        problems.insert(
            0,
            Problem(
                field="scope",
                message=phrase(
                    "Say whether you are the wrong person, or only some certificates"
                    " are not yours."
                ),
            ),
        )
    elif scope == _SOME and (not keys or len(certificates) != len(keys)):
        problems.insert(
            0,
            Problem(
                field="certificate",
                message=phrase("Tick the certificates that are not yours."),
            ),
        )
    named, wrong = _named(form, visit)
    problems += wrong
    if problems:
        return Parsed(problems=tuple(problems), values=values)
    chosen = tuple(CertificateId(one.certificate) for one in certificates)
    return Parsed(
        act=NotMine(
            certificates=tuple(sorted(chosen)), message=message.text, named=named
        ),
        values=values,
        shown={"certificates": certificates, "named": named},
        carried=[
            ("scope", scope),
            *(("certificate", str(key)) for key in sorted(chosen)),
            ("message", message.text),
            *((name, form.one(name)) for name in _NAMED),
        ],
    )


def parse_help(_desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read what stands in the way, and where to call."""
    message = read_message(form.one("message"), visit)
    phone = form.one("phone")
    problems = [message.problem] if message.problem else []
    if not message.problem and not message.text:
        problems.append(
            Problem(
                field="message",
                message=phrase("Write what stands in the way: one sentence is enough."),
            )
        )
    if not is_phone(phone):
        problems.append(
            Problem(
                field="phone",
                message=phrase(
                    "Enter a phone number at which we reach you, like +852 5550 0123."
                ),
            )
        )
    values = {"message": message.text, "phone": phone}
    if problems:
        return Parsed(problems=tuple(problems), values=values)
    return Parsed(
        act=AskHelp(message=message.text, phone=phone),
        values=values,
        carried=list(values.items()),
    )


def parse_extension(_desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read why somebody needs more time."""
    message = read_message(form.one("message"), visit)
    values = {"message": message.text}
    if message.problem:
        return Parsed(problems=(message.problem,), values=values)
    if not message.text:
        problem = Problem(
            field="message",
            message=phrase("Write why you need more time: it goes on record."),
        )
        return Parsed(problems=(problem,), values=values)
    return Parsed(
        act=AskExtension(message=message.text),
        values=values,
        carried=list(values.items()),
    )


def _chosen(desk: Desk, visit: Visit, form: Submitted) -> tuple[CertificateView, ...]:
    keys = read_keys(form.every("certificate"))
    return desk.certificates(visit, sorted(keys))


def read_message(text: str, visit: Visit) -> Message:
    """Read what somebody wrote; what cannot be kept comes with its problem."""
    note = read_note(text)
    if MailTopic.PRIVATE_KEY in note.topics:
        # Nothing of it goes back into the page: the key would lie in caches.
        log.error(
            "A private key was written; it was refused and not stored",
            incident=visit.claims.incident,
            contact=visit.claims.contact,
        )
        problem = Problem(
            field="message",
            message=phrase(
                "There was a private key in it. We refused it and did not store it."
                " Consider this key compromised, and write without it."
            ),
        )
        return Message(text="", problem=problem)
    if len(note.text) > LONGEST_MESSAGE:
        problem = Problem(
            field="message",
            message=phrase(
                "Shorten it to %(most)s characters, or call us.",
                most=f"{LONGEST_MESSAGE:,}",
            ),
        )
        return Message(text=note.text, problem=problem)
    return Message(text=note.text, problem=None)


def _named(
    form: Submitted, visit: Visit
) -> tuple[ChangeContact | None, tuple[Problem, ...]]:
    """Read who should get our mails, where somebody is named at all."""
    if not any(form.one(name) for name in _NAMED):
        return None, ()
    parsed = read_contact(
        Submitted(
            fields={
                **{name: form.every(name) for name in _NAMED},
                "instead_of": ("nobody",),
            },
            files=(),
        ),
        visit.view.contacts,
    )
    named = parsed.act if isinstance(parsed.act, ChangeContact) else None
    return named, parsed.problems


def is_phone(text: str) -> bool:
    """Whether somebody can be called at it."""
    return (
        len(text) <= _LONGEST_PHONE
        and set(text) <= _PHONE_CHARACTERS
        and sum(character.isdigit() for character in text) >= _FEWEST_DIGITS
    )
