"""Mail that came back, filed once and set against the notice it was (I4)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from models.base import table
from models.outreach import Bounce, Notice
from models.subscriber import Contact
from models.terms import ContactId, IncidentId, NoticeId, NoticeState, SubscriberId
from tocsin.store.outcomes import mark_unreachable
from tocsin.store.session import insert_ignoring

BOUNCE = table(Bounce)
NOTICE = table(Notice)
CONTACT = table(Contact)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNotice:
    """A notice as mail that came back can name it."""

    notice_id: NoticeId
    incident: IncidentId
    contact: ContactId
    subscriber: SubscriberId | None
    verp_token: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBounce:
    """
    One message that came back.

    Args:
        fingerprint: SHA-256 of its bytes, hex: the same message is filed once.
        notice: What came back; None when nothing in it says.
        permanent: Whether the address is of no more use.
        status: The enhanced status code (RFC 3463).
        detail: In words, without addresses.

    """

    fingerprint: str
    notice: KnownNotice | None
    permanent: bool
    status: str
    detail: str


def find_notices(
    connection: Connection,
    *,
    verp_tokens: Collection[str],
    message_ids: Collection[str],
) -> list[KnownNotice]:
    """Return the notices that have one of these tokens or Message-IDs."""
    if not verp_tokens and not message_ids:
        return []
    rows = connection.execute(
        select(
            NOTICE.c.id,
            NOTICE.c.incident_id,
            NOTICE.c.contact_id,
            NOTICE.c.verp_token,
            NOTICE.c.message_id,
            CONTACT.c.subscriber_id,
        )
        .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
        .where(
            or_(
                NOTICE.c.verp_token.in_(sorted(verp_tokens)),
                NOTICE.c.message_id.in_(sorted(message_ids)),
            )
        )
    )
    return [
        KnownNotice(
            notice_id=NoticeId(row.id),
            incident=IncidentId(row.incident_id),
            contact=ContactId(row.contact_id),
            subscriber=None
            if row.subscriber_id is None
            else SubscriberId(row.subscriber_id),
            verp_token=row.verp_token,
            message_id=row.message_id,
        )
        for row in rows
    ]


def known_fingerprints(
    connection: Connection, fingerprints: Collection[str]
) -> set[str]:
    """Return those that were filed before."""
    return set(
        connection.execute(
            select(BOUNCE.c.fingerprint).where(
                BOUNCE.c.fingerprint.in_(sorted(fingerprints))
            )
        ).scalars()
    )


def file_returned(
    connection: Connection, bounces: Sequence[NewBounce], *, now: datetime
) -> None:
    """File what came back; for good means that policy turns to the next contact."""
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
                "detail": bounce.detail,
            }
            for bounce in bounces
        ],
    )
    gone = [bounce.notice for bounce in bounces if bounce.notice and bounce.permanent]
    if not gone:
        return
    connection.execute(
        update(NOTICE)
        .where(
            NOTICE.c.id.in_([notice.notice_id for notice in gone]),
            # One that is being sent again was taken once: this is what came of it.
            NOTICE.c.state.in_(
                (
                    NoticeState.SENT.value,
                    NoticeState.SENDING.value,
                    NoticeState.PLANNED.value,
                )
            ),
        )
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
        subscribers=[
            notice.subscriber for notice in gone if notice.subscriber is not None
        ],
        now=now,
    )
