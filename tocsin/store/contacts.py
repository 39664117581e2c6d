"""A subscriber's contacts, who come and go by reply; a link lives as long as its contact."""

from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from models.base import table
from models.subscriber import Contact
from models.terms import ContactId, ContactState, IncidentId, SubscriberId
from tocsin.links import LinkClaims
from tocsin.store.session import rows_changed

CONTACT = table(Contact)

CURRENT = select(CONTACT.c.id).where(
    CONTACT.c.id == bindparam("contact"),
    CONTACT.c.incident_id == bindparam("incident"),
    CONTACT.c.subscriber_id == bindparam("subscriber"),
    CONTACT.c.token_generation == bindparam("generation"),
    CONTACT.c.state != ContactState.REMOVED.value,
)
"""Every request through a link asks this: it is put together once."""


def contact_is_current(connection: Connection, *, claims: LinkClaims) -> bool:
    """Whether a link's contact is still one, of that subscriber and incident."""
    whose = {
        "contact": claims.contact,
        "incident": claims.incident,
        "subscriber": claims.subscriber,
        "generation": claims.generation,
    }
    return connection.execute(CURRENT, whose).first() is not None


def add_contact(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    name: str,
    email: str,
    phone: str,
    instead_of: ContactId | None,
) -> ContactId:
    """
    Name a contact, who is told at once; a known address becomes reachable again.

    Args:
        connection: The transaction; it holds the subscriber's lock.
        incident: Of the link.
        subscriber: Of the link.
        name: Of the person or role.
        email: Checked before.
        phone: May be empty.
        instead_of: Whose rank the contact takes; None to come after all others.

    """
    of_subscriber = CONTACT.c.subscriber_id == subscriber
    ranks = select(CONTACT.c.rank).where(of_subscriber)
    rank = connection.execute(
        ranks.where(CONTACT.c.id == instead_of)
        if instead_of is not None
        else select(func.coalesce(func.max(CONTACT.c.rank), 0) + 1).where(of_subscriber)
    ).scalar_one()
    known = connection.execute(
        select(CONTACT.c.id, CONTACT.c.rank).where(
            of_subscriber,
            CONTACT.c.incident_id == incident,
            CONTACT.c.email == email,
        )
    ).first()
    if known is not None and instead_of is None:
        rank = known.rank  # a new number does not make anybody less important
    values = {
        "rank": rank,
        "name": name,
        "phone": phone,
        "state": ContactState.ACTIVE.value,
        "state_reason": "",
        "named_by_reply": True,
    }
    if known is not None:
        connection.execute(
            update(CONTACT).where(CONTACT.c.id == known.id).values(values)
        )
        return ContactId(known.id)
    result = connection.execute(
        insert(CONTACT).values(
            values
            | {
                "incident_id": incident,
                "subscriber_id": subscriber,
                "role": "subscriber",
                "email": email,
                "token_generation": 0,
            }
        )
    )
    key: Any = result.inserted_primary_key
    return ContactId(int(key[0]))


def remove_contact(
    connection: Connection, *, subscriber: SubscriberId, contact: ContactId
) -> bool:
    """Let a contact go: no more mail, and the links they have die at once."""
    result = connection.execute(
        update(CONTACT)
        .where(
            CONTACT.c.id == contact,
            CONTACT.c.subscriber_id == subscriber,
            CONTACT.c.state != ContactState.REMOVED.value,
        )
        .values(
            state=ContactState.REMOVED.value,
            token_generation=CONTACT.c.token_generation + 1,
        )
    )
    return rows_changed(result) == 1
