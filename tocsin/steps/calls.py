"""Records what came of a call; a corrected contact is written to within the next run."""

from dataclasses import dataclass
from email.utils import parseaddr

import structlog
from sqlalchemy import Engine

from models.terms import CallOutcome, ContactId, IncidentId, IncidentState, SubscriberId
from tocsin.clock import Clock
from tocsin.errors import BadInput, Refused
from tocsin.steps.once import do_once
from tocsin.store import asks, audit, calls, contacts, replies
from tocsin.store.forms import SentForm
from tocsin.store.incidents import read_incident
from tocsin.store.outreach import look_now
from tocsin.store.session import writing

log = structlog.get_logger()

_LONGEST_NOTE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContact:
    """
    Whom a call named.

    Args:
        name: May be empty.
        email: Checked here: what cannot be an address is refused.
        phone: May be empty.

    """

    name: str
    email: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCall:
    """A call on record: its number, of whom, and the contact it named."""

    call: int
    subscriber: SubscriberId
    contact: ContactId | None


def parse_new_contact(text: str, *, phone: str = "") -> NewContact:
    """
    Read "Lee Siu Ling <lee@clinic.example>", or an address alone.

    Raises:
        BadInput: There is no address in it.

    """
    name, email = parseaddr(text)
    local, _, domain = email.rpartition("@")
    if not local or "." not in domain or any(c.isspace() for c in email):
        raise BadInput(
            f"no mail address in {text!r}. Give it as 'Name <name@example.org>'.",
            field="--new-contact",
        )
    return NewContact(name=name, email=email, phone=phone.strip())


def log_call(
    engine: Engine,
    *,
    incident: IncidentId,
    subscriber: str,
    outcome: CallOutcome,
    note: str,
    caller: str,
    new_contact: NewContact | None,
    clock: Clock,
    form: SentForm | None = None,
) -> LoggedCall:
    """
    Put a call on record, with its act (I5).

    Reaching somebody counts as their acknowledgement: an officer vouches for it, by
    name, and the record says so. Nothing else about a call does.

    Args:
        engine: The database.
        incident: Of which incident.
        subscriber: Its number on the sheet, or its name.
        outcome: What came of it.
        note: In words; may be empty.
        caller: Who called.
        new_contact: Whom the call named: told at once, as after a reply.
        clock: Tells now.
        form: By which it came, if by one.

    Raises:
        BadInput: No such incident or subscriber; no caller.
        Refused: The incident does not run.
        DoneBefore: The form has logged its call.

    """
    if not caller.strip():
        raise BadInput("say who called", field="--by")
    now = clock.now()
    with writing(engine) as connection:
        do_once(connection, form, now=now)
        record = read_incident(connection, incident=incident)
        if record.state is not IncidentState.RUNNING:
            raise Refused("this incident does not run: nobody is called", source="I7")
        key = calls.find_subscriber(connection, incident=incident, named=subscriber)
        replies.lock_subscriber(connection, subscriber=key)
        contact = None
        if new_contact is not None:
            contact = contacts.add_contact(
                connection,
                incident=incident,
                subscriber=key,
                name=new_contact.name,
                email=new_contact.email,
                phone=new_contact.phone,
                instead_of=None,
            )
        call = calls.insert_call(
            connection,
            incident=incident,
            subscriber=key,
            caller=caller.strip()[:120],
            outcome=outcome,
            note=note.strip()[:_LONGEST_NOTE],
            contact=contact,
            now=now,
        )
        if outcome is CallOutcome.REACHED:
            replies.acknowledge(connection, subscriber=key, now=now)
            # A person of the CA has spoken to a person there: nobody waits any more.
            asks.settle_help(connection, subscriber=key)
            asks.settle_disowned(connection, subscriber=key)
        look_now(connection, [key], now=now)
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=f"officer:{caller.strip()}"[:120],
            action="call-logged",
            detail={
                "call": call,
                "subscriber": key,
                "outcome": outcome.value,
                "contact_added": contact,
            },
        )
    log.info("Call logged", incident=incident, subscriber=key, outcome=outcome.value)
    return LoggedCall(call=call, subscriber=key, contact=contact)
