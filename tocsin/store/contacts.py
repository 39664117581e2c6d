"""A subscriber's contacts, who come and go by reply; a link lives as long as its contact."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, select, update

from models.base import table
from models.subscriber import Contact, Subscriber
from models.terms import ContactId, ContactState, IncidentId, SubscriberId
from tocsin.links import LinkClaims
from tocsin.store.session import rows_changed

CONTACT = table(Contact)
SUBSCRIBER = table(Subscriber)

CURRENT = select(CONTACT.c.id).where(
    CONTACT.c.id == bindparam("contact"),
    CONTACT.c.incident_id == bindparam("incident"),
    CONTACT.c.subscriber_id == bindparam("subscriber"),
    CONTACT.c.token_generation == bindparam("generation"),
    CONTACT.c.state != ContactState.REMOVED.value,
    CONTACT.c.state != ContactState.UNCONFIRMED.value,
)
"""Every request through a link asks this: it is put together once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownContact:
    """
    A contact as its row stands.

    Args:
        contact: Its key.
        incident: Of which incident.
        rank: 1 is the primary contact.
        name: May be empty.
        email: Its address.
        state: What it is.
        waits_since: For its confirmation, UTC; None: it does not wait.
        confirmed_at: When its holder said that it is right, UTC; None: never.
        disowned_at: When its holder said that it is somebody else's, UTC.
        token_generation: Of its links.
        instead_of: Who leaves once it is confirmed.

    """

    contact: ContactId
    incident: IncidentId
    rank: int
    name: str
    email: str
    state: ContactState
    waits_since: datetime | None
    confirmed_at: datetime | None
    disowned_at: datetime | None
    token_generation: int
    instead_of: ContactId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberName:
    """What a stranger may learn of a subscriber; in which language and zone they read."""

    name: str
    language: str
    zone: str


def subscriber_name(
    connection: Connection, *, subscriber: SubscriberId
) -> SubscriberName:
    """Return how a subscriber is called."""
    row = connection.execute(
        select(SUBSCRIBER.c.name, SUBSCRIBER.c.language, SUBSCRIBER.c.zone).where(
            SUBSCRIBER.c.id == subscriber
        )
    ).one()
    return SubscriberName(name=row.name, language=row.language, zone=row.zone)


def contact_is_current(connection: Connection, *, claims: LinkClaims) -> bool:
    """Whether a link's contact is still one, of that subscriber and incident."""
    whose = {
        "contact": claims.contact,
        "incident": claims.incident,
        "subscriber": claims.subscriber,
        "generation": claims.generation,
    }
    return connection.execute(CURRENT, whose).first() is not None


def find_contact(
    connection: Connection, *, subscriber: SubscriberId, email: str
) -> KnownContact | None:
    """Return what is known of an address of a subscriber, however it is spelled."""
    row = connection.execute(
        select(CONTACT)
        .where(
            CONTACT.c.subscriber_id == subscriber,
            func.lower(CONTACT.c.email) == email.lower(),
        )
        # Who is on the list comes before who was.
        .order_by(CONTACT.c.state == ContactState.REMOVED.value, CONTACT.c.id)
        .limit(1)
    ).first()
    return _known(row) if row else None


def contact_with_key(
    connection: Connection, *, subscriber: SubscriberId, contact: ContactId
) -> KnownContact | None:
    """Return what is known of a contact of a subscriber, removed ones included."""
    row = connection.execute(
        select(CONTACT).where(
            CONTACT.c.subscriber_id == subscriber, CONTACT.c.id == contact
        )
    ).first()
    return _known(row) if row else None


def _known(row: Row[Any]) -> KnownContact:
    return KnownContact(
        contact=ContactId(row.id),
        incident=IncidentId(row.incident_id),
        rank=row.rank,
        name=row.name,
        email=row.email,
        state=ContactState(row.state),
        waits_since=row.waits_since,
        confirmed_at=row.confirmed_at,
        disowned_at=row.disowned_at,
        token_generation=row.token_generation,
        instead_of=None if row.instead_of_id is None else ContactId(row.instead_of_id),
    )


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
    return _put(
        connection,
        incident=incident,
        subscriber=subscriber,
        name=name,
        email=email,
        phone=phone,
        state=ContactState.ACTIVE,
        rank_of=instead_of,
    )


def add_unconfirmed(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    name: str,
    email: str,
    phone: str,
    instead_of: ContactId | None,
    now: datetime,
) -> ContactId:
    """
    Name a contact who gets nothing and opens nothing before they confirm themselves.

    Args:
        connection: The transaction; it holds the subscriber's lock.
        incident: Of the link.
        subscriber: Of the link.
        name: Of the person or role.
        email: Checked before.
        phone: May be empty.
        instead_of: Who leaves once the address is confirmed; None: nobody.
        now: Since when it waits, UTC.

    """
    return _put(
        connection,
        incident=incident,
        subscriber=subscriber,
        name=name,
        email=email,
        phone=phone,
        state=ContactState.UNCONFIRMED,
        waits_since=now,
        leaves_then=instead_of,
    )


def _put(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    name: str,
    email: str,
    phone: str,
    state: ContactState,
    rank_of: ContactId | None = None,
    waits_since: datetime | None = None,
    leaves_then: ContactId | None = None,
) -> ContactId:
    of_subscriber = CONTACT.c.subscriber_id == subscriber
    known = find_contact(connection, subscriber=subscriber, email=email)
    ranks = select(CONTACT.c.rank).where(of_subscriber)
    rank = connection.execute(
        ranks.where(CONTACT.c.id == rank_of)
        if rank_of is not None
        else select(func.coalesce(func.max(CONTACT.c.rank), 0) + 1).where(of_subscriber)
    ).scalar_one()
    if known is not None and rank_of is None:
        rank = known.rank  # a new number does not make anybody less important
    values = {
        "rank": rank,
        "name": name,
        "phone": phone,
        "state": state.value,
        "state_reason": "",
        "named_by_reply": True,
        "waits_since": waits_since,
        "instead_of_id": leaves_then,
        "disowned_at": None,
    }
    if known is not None:
        connection.execute(
            update(CONTACT).where(CONTACT.c.id == known.contact).values(values)
        )
        return known.contact
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


def confirm_contact(
    connection: Connection, *, contact: KnownContact, now: datetime
) -> None:
    """Note that the address is right: from now on the contact is one."""
    leaves = select(CONTACT.c.rank).where(CONTACT.c.id == contact.instead_of)
    rank = None if contact.instead_of is None else connection.scalar(leaves)
    connection.execute(
        update(CONTACT)
        .where(
            CONTACT.c.id == contact.contact,
            CONTACT.c.state != ContactState.REMOVED.value,
        )
        .values(
            state=case(
                (
                    CONTACT.c.state == ContactState.UNCONFIRMED.value,
                    ContactState.ACTIVE.value,
                ),
                else_=CONTACT.c.state,
            ),
            confirmed_at=now,
            waits_since=None,
            instead_of_id=None,
            rank=contact.rank if rank is None else rank,
        )
    )


def decline_contact(
    connection: Connection, *, contact: ContactId, now: datetime
) -> None:
    """Note that whoever reads the address does not want our mails; its link stays."""
    connection.execute(
        update(CONTACT)
        .where(
            CONTACT.c.id == contact,
            CONTACT.c.state == ContactState.UNCONFIRMED.value,
        )
        .values(
            state=ContactState.REMOVED.value,
            waits_since=None,
            instead_of_id=None,
            disowned_at=now,
        )
    )


def count_waiting(connection: Connection, *, subscriber: SubscriberId) -> int:
    """Count the addresses of a subscriber that wait for their confirmation."""
    return connection.execute(
        select(func.count())
        .select_from(CONTACT)
        .where(
            CONTACT.c.subscriber_id == subscriber,
            CONTACT.c.state == ContactState.UNCONFIRMED.value,
        )
    ).scalar_one()


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
            waits_since=None,
            instead_of_id=None,
            token_generation=CONTACT.c.token_generation + 1,
        )
    )
    return rows_changed(result) == 1
