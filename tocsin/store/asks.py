"""That subscribers asked for a person of the CA, and that it was seen to."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, select, update

from models.base import table
from models.outreach import Reply
from models.subscriber import Contact, Subscriber
from models.terms import ContactId, ContactState, ReplyKind, ReplyState, SubscriberId

_CONTACT = table(Contact)
_REPLY = table(Reply)
_SUBSCRIBER = table(Subscriber)

# Who is off the list keeps having said so: nobody names them again.
_DISOWNS = and_(
    _CONTACT.c.disowned_at.is_not(None), _CONTACT.c.state != ContactState.REMOVED.value
)


def note_disowned(
    connection: Connection, subscribers: Sequence[SubscriberId], *, now: datetime
) -> None:
    """Note that somebody there says it is not theirs; the latest time counts."""
    _note(connection, subscribers, disowned_at=now)


def note_wrong_people(
    connection: Connection, contacts: Sequence[ContactId], *, now: datetime
) -> None:
    """Note who says of themselves that they are not the right person."""
    if contacts:
        connection.execute(
            update(_CONTACT)
            .where(_CONTACT.c.id.in_(sorted(contacts)))
            .values(disowned_at=now)
        )


def note_help_asked(
    connection: Connection, subscribers: Sequence[SubscriberId], *, now: datetime
) -> None:
    """Note that somebody there asks for help; the latest time counts."""
    _note(connection, subscribers, help_asked_at=now)


def settle_help(connection: Connection, *, subscriber: SubscriberId) -> None:
    """Note that a person of the CA has spoken to them, or that they took it back."""
    _note(connection, [subscriber], help_asked_at=None)


def settle_disowned(connection: Connection, *, subscriber: SubscriberId) -> None:
    """Note that it is known by now whose it is, or that they took it back."""
    _note(connection, [subscriber], disowned_at=None)
    connection.execute(
        update(_CONTACT)
        .where(_DISOWNS, _CONTACT.c.subscriber_id == subscriber)
        .values(disowned_at=None)
    )


def disowns_some(connection: Connection, *, subscriber: SubscriberId) -> bool:
    """Whether certificates were named that are somebody else's: nobody there can tell."""
    return any(
        connection.execute(
            select(_REPLY.c.certificate_ids).where(
                _REPLY.c.subscriber_id == subscriber,
                _REPLY.c.kind == ReplyKind.NOT_MINE.value,
                _REPLY.c.state != ReplyState.UNDONE.value,
            )
        ).scalars()
    )


def take_back(
    connection: Connection,
    *,
    subscriber: SubscriberId,
    contact: ContactId,
    kind: ReplyKind,
) -> None:
    """
    Note that a reply of this kind was undone; what others said stands.

    Args:
        connection: The transaction in which it was undone.
        subscriber: Whose it was.
        contact: Who had said it.
        kind: What it was.

    """
    others = connection.execute(
        select(_REPLY.c.id)
        .where(
            _REPLY.c.subscriber_id == subscriber,
            _REPLY.c.kind == kind.value,
            _REPLY.c.state != ReplyState.UNDONE.value,
        )
        .limit(1)
    ).first()
    if kind is ReplyKind.ASK_HELP and others is None:
        settle_help(connection, subscriber=subscriber)
    if kind is not ReplyKind.NOT_MINE:
        return
    connection.execute(
        update(_CONTACT).where(_CONTACT.c.id == contact).values(disowned_at=None)
    )
    wrong_people = connection.execute(
        select(_CONTACT.c.id)
        .where(_DISOWNS, _CONTACT.c.subscriber_id == subscriber)
        .limit(1)
    ).first()
    if others is None and wrong_people is None:
        settle_disowned(connection, subscriber=subscriber)


def _note(
    connection: Connection,
    subscribers: Sequence[SubscriberId],
    **values: datetime | None,
) -> None:
    if subscribers:
        connection.execute(
            update(_SUBSCRIBER)
            .where(_SUBSCRIBER.c.id.in_(sorted(subscribers)))
            .values(**values)
        )
