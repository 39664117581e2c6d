"""What was changed about who gets our mails, by whom; each change is told once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from models.base import table
from models.outreach import ContactChange, Notice, Reply
from models.subscriber import Contact
from models.terms import ContactId, NoticeKind, ReplyId, ReplyKind, SubscriberId

_CHANGE = table(ContactChange)
_CONTACT = table(Contact)
_NOTICE = table(Notice)
_REPLY = table(Reply)

_COUNTED = tuple(
    kind.value
    for kind in ReplyKind
    # What the holder of an address says is never refused for its number.
    if kind in {ReplyKind.CHANGE_CONTACT, ReplyKind.REMOVE_CONTACT, ReplyKind.ASK_AGAIN}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    One change of a subscriber's contacts.

    Args:
        kind: What was done.
        by: The key of the contact by whose link.
        by_name: Their name; may be empty.
        contact: The key of the one it is about.
        name: Their name; may be empty.
        email: Their address.
        leaves: Who leaves the list by it, or would; None: nobody.
        leaves_name: Their name; may be empty.
        leaves_email: Their address.
        had_effect: The list is another one by it; else it waits for a confirmation.

    """

    kind: ReplyKind
    by: ContactId
    by_name: str
    contact: ContactId
    name: str
    email: str
    leaves: ContactId | None
    leaves_name: str
    leaves_email: str
    had_effect: bool


def record_change(
    connection: Connection,
    *,
    reply: ReplyId,
    contact: ContactId,
    leaves: ContactId | None,
    had_effect: bool,
) -> None:
    """Put on record whom a reply about contacts is about."""
    connection.execute(
        insert(_CHANGE).values(
            reply_id=reply,
            contact_id=contact,
            leaves_id=leaves,
            had_effect=had_effect,
        )
    )


def count_changes(
    connection: Connection, *, subscriber: SubscriberId, since: datetime
) -> int:
    """Count what was changed about a subscriber's contacts after an instant."""
    return connection.execute(
        select(func.count())
        .select_from(_CHANGE.join(_REPLY, _REPLY.c.id == _CHANGE.c.reply_id))
        .where(
            _REPLY.c.subscriber_id == subscriber,
            _REPLY.c.kind.in_(_COUNTED),
            _REPLY.c.received_at > since,
        )
    ).scalar_one()


def asked_at(connection: Connection, *, contact: ContactId) -> list[datetime]:
    """Return when an address was asked whether it is right, UTC, the latest last."""
    return list(
        connection.execute(
            select(_NOTICE.c.planned_at)
            .where(
                _NOTICE.c.contact_id == contact,
                _NOTICE.c.kind == NoticeKind.CONFIRM_ADDRESS.value,
            )
            .order_by(_NOTICE.c.planned_at)
        ).scalars()
    )


def changes_of(
    connection: Connection, replies: Collection[ReplyId]
) -> Mapping[ReplyId, Change]:
    """Return what was changed by each of these replies; others are left out."""
    if not replies:
        return {}
    by, leaver = _CONTACT.alias("by"), _CONTACT.alias("leaver")
    return {
        ReplyId(row.reply_id): Change(
            kind=ReplyKind(row.kind),
            by=ContactId(row.by_id),
            by_name=row.by_name,
            contact=ContactId(row.contact_id),
            name=row.name,
            email=row.email,
            leaves=None if row.leaves_id is None else ContactId(row.leaves_id),
            leaves_name=row.leaves_name or "",
            leaves_email=row.leaves_email or "",
            had_effect=row.had_effect,
        )
        for row in connection.execute(
            select(
                _CHANGE,
                _REPLY.c.kind,
                by.c.id.label("by_id"),
                by.c.name.label("by_name"),
                _CONTACT.c.name,
                _CONTACT.c.email,
                leaver.c.name.label("leaves_name"),
                leaver.c.email.label("leaves_email"),
            )
            .join(_REPLY, _REPLY.c.id == _CHANGE.c.reply_id)
            .join(by, by.c.id == _REPLY.c.contact_id)
            .join(_CONTACT, _CONTACT.c.id == _CHANGE.c.contact_id)
            .outerjoin(leaver, leaver.c.id == _CHANGE.c.leaves_id)
            .where(_CHANGE.c.reply_id.in_(sorted(replies)))
        )
    }
