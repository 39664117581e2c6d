"""Whom an officer means: a contact by its key, or the first one of a subscriber by name."""

from sqlalchemy import Connection, func, select

from models.terms import ContactId, ContactState, IncidentId
from tocsin.errors import BadInput
from tocsin.store.outbox import (
    CONTACT,
    INCIDENT,
    NOTICE,
    RECIPIENT,
    SUBSCRIBER,
    Recipient,
    recipient_of,
)

_NAMED = 5


def recipient(
    connection: Connection, *, incident: IncidentId, contact: ContactId
) -> Recipient:
    """
    Return a contact, as a notice to them would find it.

    Raises:
        BadInput: The incident has no such contact.

    """
    row = connection.execute(
        select(CONTACT.c.id.label("contact_id"), *RECIPIENT)
        .join(INCIDENT, INCIDENT.c.id == CONTACT.c.incident_id)
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == CONTACT.c.subscriber_id)
        .where(CONTACT.c.incident_id == incident, CONTACT.c.id == contact)
    ).one_or_none()
    if row is None:
        raise BadInput(f"incident {incident} has no contact {contact}", field="contact")
    return recipient_of(row)


def first_contact_of(
    connection: Connection, *, incident: IncidentId, subscriber: str
) -> ContactId:
    """
    Return who of a subscriber would be written to first.

    Args:
        connection: To read with.
        incident: Which.
        subscriber: Its name, in any case, or a part that no other one has.

    Raises:
        BadInput: No subscriber or several are called so, or nobody is left to write to.

    """
    wanted = " ".join(subscriber.casefold().split())
    of_incident = SUBSCRIBER.c.incident_id == incident
    found = connection.execute(
        select(SUBSCRIBER.c.id, SUBSCRIBER.c.name, SUBSCRIBER.c.key)
        .where(of_incident, SUBSCRIBER.c.key.contains(wanted, autoescape=True))
        .order_by(func.length(SUBSCRIBER.c.key), SUBSCRIBER.c.name)
        .limit(_NAMED + 1)
    ).all()
    chosen = [row for row in found if row.key == wanted] or found
    if len(chosen) != 1:
        names = "; ".join(row.name for row in chosen[:_NAMED])
        more = " and more" * (len(chosen) > _NAMED)
        raise BadInput(
            f"several subscribers are called {subscriber!r}: {names}{more}"
            if chosen
            else f"incident {incident} has no subscriber called {subscriber!r}",
            field="subscriber",
        )
    contact = connection.execute(
        select(CONTACT.c.id)
        .where(
            CONTACT.c.subscriber_id == chosen[0].id,
            CONTACT.c.state == ContactState.ACTIVE.value,
        )
        .order_by(CONTACT.c.rank, CONTACT.c.id)
        .limit(1)
    ).scalar()
    if contact is None:
        raise BadInput(
            f"{chosen[0].name} has no contact that can be written to",
            field="subscriber",
        )
    return ContactId(contact)


def thread_of(connection: Connection, *, contact: ContactId) -> str | None:
    """Return the first message to a contact, which later ones refer to."""
    found: str | None = connection.execute(
        select(NOTICE.c.message_id)
        .where(NOTICE.c.contact_id == contact)
        .order_by(NOTICE.c.id)
        .limit(1)
    ).scalar()
    return found
