"""What people wrote back, filed once with its subscriber, and shown to the officers."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, cast, func, or_, select

from models.base import table
from models.incident import FrozenTemplate, Incident
from models.mail import MailReply
from models.outreach import Notice
from models.subscriber import Contact, Subscriber
from models.terms import (
    ContactId,
    IncidentId,
    MailKind,
    MailReplyId,
    MailTopic,
    NoticeKind,
    SubscriberId,
)
from tocsin.errors import BadInput
from tocsin.policy.answers import EarlierAnswer
from tocsin.policy.mail import (
    AttachmentView,
    MailReplies,
    MailReplyView,
)
from tocsin.store.bounces import KnownNotice
from tocsin.store.session import insert_ignoring

MAIL_REPLY = table(MailReply)
NOTICE = table(Notice)
CONTACT = table(Contact)
SUBSCRIBER = table(Subscriber)
INCIDENT = table(Incident)
TEMPLATE = table(FrozenTemplate)

_SHOWN = (MailKind.PERSON.value, MailKind.DEPARTURE.value, MailKind.CHALLENGE.value)
_ANSWERS = tuple(kind.value for kind in NoticeKind if kind.answers_mail)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMail:
    """
    One message that came in and is no failure.

    Args:
        fingerprint: SHA-256 of its bytes, hex.
        way: By which it came: maildir, imap, pipe.
        kind: What it is.
        known_by: What told whose it is; empty when nothing did.
        notice: What it is about; None when nothing says.
        sender: The address that it says it is from.
        subject: One line.
        text: Without quotations, link tokens and private keys.
        is_cut: There was more.
        topics: What an officer must see.
        attachments: Name, media type, size in bytes and topic of each.
        answered_with: The notice that answers it; None: it is not answered.

    """

    fingerprint: str
    way: str
    kind: MailKind
    known_by: str
    notice: KnownNotice | None
    sender: str
    subject: str
    text: str
    is_cut: bool
    topics: tuple[MailTopic, ...]
    attachments: tuple[AttachmentView, ...]
    answered_with: NoticeKind | None


def file_mail(
    connection: Connection, mails: Sequence[NewMail], *, now: datetime
) -> list[MailReplyId]:
    """File messages; return the keys of those that were not filed before."""
    keys = []
    for mail in mails:
        notice = mail.notice
        key = connection.execute(
            insert_ignoring(connection, MAIL_REPLY, conflict=("fingerprint",))
            .values(
                fingerprint=mail.fingerprint,
                received_at=now,
                way=mail.way,
                kind=mail.kind.value,
                known_by=mail.known_by,
                incident_id=notice.incident if notice else None,
                subscriber_id=notice.subscriber if notice else None,
                contact_id=notice.contact if notice else None,
                notice_id=notice.notice_id if notice else None,
                sender=mail.sender[:320],
                subject=mail.subject,
                text=mail.text,
                is_cut=mail.is_cut,
                topics=[topic.value for topic in mail.topics],
                attachments=[
                    {
                        "name": one.name,
                        "kind": one.kind,
                        "size": one.size,
                        "topic": one.topic,
                    }
                    for one in mail.attachments
                ],
                answered_with=mail.answered_with.value if mail.answered_with else "",
            )
            .returning(MAIL_REPLY.c.id)
        ).scalar()
        if key is not None:
            keys.append(MailReplyId(key))
    return keys


def earlier_answers(
    connection: Connection, contacts: Collection[ContactId]
) -> Mapping[ContactId, list[EarlierAnswer]]:
    """Return what these contacts were answered before, each in its incident."""
    found: dict[ContactId, list[EarlierAnswer]] = defaultdict(list)
    if not contacts:
        return found
    for row in connection.execute(
        select(NOTICE.c.contact_id, NOTICE.c.kind, NOTICE.c.planned_at).where(
            NOTICE.c.contact_id.in_(sorted(contacts)), NOTICE.c.kind.in_(_ANSWERS)
        )
    ):
        found[ContactId(row.contact_id)].append(
            EarlierAnswer(kind=NoticeKind(row.kind), planned_at=row.planned_at)
        )
    return found


def answerable(
    connection: Connection, incidents: Collection[IncidentId]
) -> set[tuple[IncidentId, NoticeKind]]:
    """Return which answers each incident froze words for (I7); older ones have none."""
    if not incidents:
        return set()
    rows = connection.execute(
        select(TEMPLATE.c.incident_id, TEMPLATE.c.path).where(
            TEMPLATE.c.incident_id.in_(sorted(incidents)),
            TEMPLATE.c.path.like("en/%/body.txt"),
        )
    )
    return {
        (IncidentId(row.incident_id), NoticeKind(kind))
        for row in rows
        if (kind := row.path.split("/")[1]) in _ANSWERS
    }


def mail_replies(
    connection: Connection,
    *,
    incident: IncidentId | None,
    limit: int,
    everything: bool = False,
    subscriber: SubscriberId | None = None,
) -> MailReplies:
    """
    List what people wrote, the newest first; of programs, what a person must know.

    What cannot be told whose it is stands in every incident's list: nobody else would
    ever look at it.

    Args:
        connection: The transaction.
        incident: Of which incident; None: of all.
        limit: How many rows at most; the counts are of all.
        everything: Delays, confirmations and the like, too.
        subscriber: Of one alone; None: of all, and of nobody knows whom.

    """
    conditions: list[ColumnElement[bool]] = []
    if subscriber is not None:
        conditions.append(MAIL_REPLY.c.subscriber_id == subscriber)
    elif incident is not None:
        conditions.append(
            or_(
                MAIL_REPLY.c.incident_id == incident,
                MAIL_REPLY.c.incident_id.is_(None),
            )
        )
    if not everything:
        conditions.append(
            or_(
                MAIL_REPLY.c.kind.in_(_SHOWN),
                # Away, as long as nobody knows whose absence it is: of no use.
                (MAIL_REPLY.c.kind == MailKind.ABSENCE.value)
                & MAIL_REPLY.c.incident_id.is_not(None),
            )
        )
    is_person = MAIL_REPLY.c.kind == MailKind.PERSON.value
    topics = cast(MAIL_REPLY.c.topics, Text)
    totals = connection.execute(
        select(
            func.count().label("total"),
            func.count().filter(is_person).label("people"),
            func.count()
            .filter(is_person & topics.like(f'%"{MailTopic.EXTENSION}"%'))
            .label("extensions"),
            func.count()
            .filter(MAIL_REPLY.c.kind == MailKind.DEPARTURE.value)
            .label("departures"),
            func.count()
            .filter(is_person & MAIL_REPLY.c.incident_id.is_(None))
            .label("unattributed"),
            func.count()
            .filter(topics.like(f'%"{MailTopic.PRIVATE_KEY}"%'))
            .label("private_keys"),
        ).where(*conditions)
    ).one()
    rows = connection.execute(
        _views()
        .where(*conditions)
        .order_by(MAIL_REPLY.c.received_at.desc(), MAIL_REPLY.c.id.desc())
        .limit(limit)
    )
    return MailReplies(
        rows=tuple(_view(row) for row in rows),
        total=totals.total,
        people=totals.people,
        extensions=totals.extensions,
        departures=totals.departures,
        unattributed=totals.unattributed,
        private_keys=totals.private_keys,
    )


def read_mail_reply(connection: Connection, *, key: MailReplyId) -> MailReplyView:
    """
    Return one message.

    Raises:
        BadInput: There is none of this number.

    """
    row = connection.execute(_views().where(MAIL_REPLY.c.id == key)).first()
    if row is None:
        raise BadInput(
            f"there is no reply {key}. `tocsin reply list` shows the numbers."
        )
    return _view(row)


def _views() -> Any:
    return (
        select(
            MAIL_REPLY,
            SUBSCRIBER.c.name.label("subscriber_name"),
            CONTACT.c.name.label("contact_name"),
            CONTACT.c.email.label("contact_email"),
        )
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == MAIL_REPLY.c.subscriber_id)
        .outerjoin(CONTACT, CONTACT.c.id == MAIL_REPLY.c.contact_id)
    )


def _view(row: Row[Any]) -> MailReplyView:
    return MailReplyView(
        key=MailReplyId(row.id),
        received_at=row.received_at,
        kind=MailKind(row.kind),
        known_by=row.known_by,
        incident=None if row.incident_id is None else IncidentId(row.incident_id),
        subscriber=None
        if row.subscriber_id is None
        else SubscriberId(row.subscriber_id),
        subscriber_name=row.subscriber_name or "",
        contact=None if row.contact_id is None else ContactId(row.contact_id),
        contact_name=row.contact_name or "",
        sender=row.sender,
        is_from_contact=bool(row.contact_email)
        and row.contact_email.casefold() == row.sender,
        subject=row.subject,
        text=row.text,
        is_cut=row.is_cut,
        topics=tuple(MailTopic(topic) for topic in row.topics),
        attachments=tuple(
            AttachmentView(
                name=str(one["name"]),
                kind=str(one["kind"]),
                size=int(one["size"]),
                topic=str(one["topic"]),
            )
            for one in row.attachments
        ),
        answered_with=NoticeKind(row.answered_with) if row.answered_with else None,
    )
