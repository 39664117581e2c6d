"""Who is written to from now on, as an officer corrects it."""

import structlog
from sqlalchemy import Connection, Engine

from models.terms import ContactId, IncidentId, IncidentState, SubscriberId
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.policy.office import Officer
from tocsin.steps.once import do_once
from tocsin.steps.reply_acts import ChangeContact
from tocsin.store import asks, audit, contacts, replies
from tocsin.store.forms import SentForm
from tocsin.store.incidents import read_incident
from tocsin.store.outreach import look_now
from tocsin.store.session import writing

log = structlog.get_logger()

_SOURCE = "a subscriber has its own contacts"


def correct_contact(
    engine: Engine,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    change: ChangeContact,
    by: Officer,
    clock: Clock,
    form: SentForm | None = None,
) -> ContactId:
    """
    Correct or add a contact at the desk; they are written to at the next wake-up.

    Raises:
        Refused: The incident is closed, or the one to leave is not on the list.
        DoneBefore: The form has done so.

    """
    now = clock.now()
    with writing(engine) as connection:
        do_once(connection, form, now=now)
        replies.lock_subscriber(connection, subscriber=subscriber)
        state = read_incident(connection, incident=incident).state
        if state is IncidentState.CLOSED:
            raise Refused(
                "nobody is written to any more", source="the incident is over"
            )
        added = _change(
            connection, incident=incident, subscriber=subscriber, change=change
        )
        # An officer says who it is: whoever disowned it has been heard.
        asks.settle_disowned(connection, subscriber=subscriber)
        if state is IncidentState.RUNNING:
            look_now(connection, [subscriber], now=now)
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=by.actor,
            action="contact-corrected",
            detail={
                "subscriber": subscriber,
                "contact_added": added,
                "contact_removed": change.instead_of,
            },
        )
    log.info("Contact corrected", incident=incident, contact=added)
    return added


def _change(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    change: ChangeContact,
) -> ContactId:
    """
    Name a contact and let another go, in the caller's transaction.

    Raises:
        Refused: The one to leave is not on the list (any more).

    """
    if change.instead_of is not None and not contacts.remove_contact(
        connection, subscriber=subscriber, contact=change.instead_of
    ):
        raise Refused("this contact is not on the list (any more)", source=_SOURCE)
    return contacts.add_contact(
        connection,
        incident=incident,
        subscriber=subscriber,
        name=change.name,
        email=change.email,
        phone=change.phone,
        instead_of=change.instead_of,
    )
