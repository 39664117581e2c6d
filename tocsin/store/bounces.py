"""Mail that came back, filed once and set against the notice it was (I4)."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, func, select, update

from models.base import table
from models.incident import Incident
from models.mail import MailReply
from models.outreach import Bounce, Notice
from models.subscriber import Contact
from models.terms import (
    BounceReason,
    ContactId,
    ContactState,
    IncidentId,
    IncidentState,
    NoticeId,
    NoticeState,
    SubscriberId,
    UnreachableReason,
)
from tocsin.store.outcomes import mark_unreachable
from tocsin.store.outreach import look_now
from tocsin.store.session import insert_ignoring

BOUNCE = table(Bounce)
NOTICE = table(Notice)
CONTACT = table(Contact)
INCIDENT = table(Incident)
MAIL_REPLY = table(MailReply)

_T = TypeVar("_T")

_CHUNK = 500  # values in one statement
_TAKEN = (
    # One that is being sent again was taken once: this is what came of it.
    NoticeState.SENT.value,
    NoticeState.SENDING.value,
    NoticeState.PLANNED.value,
    NoticeState.HELD.value,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNotice:
    """
    A notice as mail that comes in can name it.

    Args:
        notice_id: Its key.
        incident: Of which incident.
        contact: To whom it went.
        subscriber: Whose contact that is; None for the CA's own people.
        email: To which address, in lower case.
        verp_token: Of its return path.
        message_id: In angle brackets.
        came_back: Whether it is known to have come back.
        is_live: The incident runs, and the contact can be written to.

    """

    notice_id: NoticeId
    incident: IncidentId
    contact: ContactId
    subscriber: SubscriberId | None
    email: str
    verp_token: str
    message_id: str
    came_back: bool
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBounce:
    """
    One message that came back.

    Args:
        fingerprint: SHA-256 of its bytes, hex: the same message is filed once.
        notice: What came back; None when nothing in it says.
        known_by: What told which notice it was; empty when nothing did.
        is_proven: Only who got the notice could have named it.
        permanent: Whether trying the address again is of no use.
        status: The enhanced status code (RFC 3463).
        reason: In one word.
        detail: In words, without addresses.

    """

    fingerprint: str
    notice: KnownNotice | None
    known_by: str
    is_proven: bool
    permanent: bool
    status: str
    reason: BounceReason
    detail: str


def find_notices(
    connection: Connection,
    *,
    verp_tokens: Collection[str] = (),
    message_ids: Collection[str] = (),
    addresses: Collection[str] = (),
    contacts: Collection[ContactId] = (),
) -> list[KnownNotice]:
    """
    Return the notices that have one of these tokens, Message-IDs or recipients.

    Args:
        connection: The transaction.
        verp_tokens: Of return paths.
        message_ids: In angle brackets.
        addresses: In lower case; of incidents that run only, the newest notice first.
        contacts: Likewise.

    """
    is_running = INCIDENT.c.state == IncidentState.RUNNING.value
    return [
        *_notices(connection, NOTICE.c.verp_token, verp_tokens),
        *_notices(connection, NOTICE.c.message_id, message_ids),
        *_notices(connection, func.lower(CONTACT.c.email), addresses, is_running),
        *_notices(connection, CONTACT.c.id, contacts, is_running),
    ]


def _notices(
    connection: Connection,
    column: ColumnElement[Any],
    values: Collection[Any],
    *conditions: ColumnElement[bool],
) -> Iterator[KnownNotice]:
    for chunk in _chunks(sorted(set(values))):
        rows = connection.execute(
            select(
                NOTICE.c.id,
                NOTICE.c.incident_id,
                NOTICE.c.contact_id,
                NOTICE.c.verp_token,
                NOTICE.c.message_id,
                NOTICE.c.state,
                CONTACT.c.subscriber_id,
                CONTACT.c.email,
                CONTACT.c.state.label("contact_state"),
                INCIDENT.c.state.label("incident_state"),
            )
            .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
            .join(INCIDENT, INCIDENT.c.id == NOTICE.c.incident_id)
            .where(column.in_(chunk), *conditions)
            .order_by(NOTICE.c.planned_at.desc(), NOTICE.c.id.desc())
        )
        for row in rows:
            yield KnownNotice(
                notice_id=NoticeId(row.id),
                incident=IncidentId(row.incident_id),
                contact=ContactId(row.contact_id),
                subscriber=None
                if row.subscriber_id is None
                else SubscriberId(row.subscriber_id),
                email=row.email.casefold(),
                verp_token=row.verp_token,
                message_id=row.message_id,
                came_back=row.state == NoticeState.BOUNCED.value,
                is_live=row.incident_state == IncidentState.RUNNING.value
                and row.contact_state == ContactState.ACTIVE.value,
            )


def known_fingerprints(
    connection: Connection, fingerprints: Collection[str]
) -> set[str]:
    """Return those that were filed before, as what came back or as anything else."""
    return {
        known
        for chunk in _chunks(sorted(fingerprints))
        for column in (BOUNCE.c.fingerprint, MAIL_REPLY.c.fingerprint)
        for known in connection.execute(
            select(column).where(column.in_(chunk))
        ).scalars()
    }


def file_returned(
    connection: Connection, bounces: Sequence[NewBounce], *, now: datetime
) -> None:
    """
    File what came back; policy turns to the next contact at once.

    For good, and proven, means that this one is not written to any more. Whoever
    invents a bounce and knows only an address cannot silence anybody: the next contact
    is told, and this one stays.
    """
    if not bounces:
        return
    connection.execute(
        insert_ignoring(connection, BOUNCE, conflict=("fingerprint",)),
        [
            {
                "fingerprint": bounce.fingerprint,
                "received_at": now,
                "notice_id": bounce.notice.notice_id if bounce.notice else None,
                "permanent": bounce.permanent,
                "status": bounce.status[:16],
                "reason": bounce.reason.value,
                "known_by": bounce.known_by,
                "detail": bounce.detail,
            }
            for bounce in bounces
        ],
    )
    came_back = [bounce.notice for bounce in bounces if bounce.notice]
    gone = [
        bounce.notice
        for bounce in bounces
        if bounce.notice and bounce.permanent and bounce.is_proven
    ]
    for chunk in _chunks([notice.notice_id for notice in came_back]):
        connection.execute(
            update(NOTICE)
            .where(NOTICE.c.id.in_(chunk), NOTICE.c.state.in_(_TAKEN))
            .values(
                state=NoticeState.BOUNCED.value,
                bounced_at=now,
                lease_owner=None,
                lease_until=None,
            )
        )
    mark_unreachable(
        connection,
        contacts=[notice.contact for notice in gone],
        subscribers=subscribers_of(gone),
        reason=UnreachableReason.BOUNCED,
        now=now,
    )
    look_now(connection, subscribers_of(came_back), now=now)


def subscribers_of(notices: Iterable[KnownNotice]) -> list[SubscriberId]:
    """Return whose contacts these notices went to, each once."""
    return sorted({one.subscriber for one in notices if one.subscriber is not None})


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
