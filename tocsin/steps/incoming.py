"""Files what comes in by mail; without it a dead address would look like silence."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine

from models.terms import (
    IncidentId,
    MailKind,
    NoticeKind,
    UnreachableReason,
)
from tocsin.clock import Clock
from tocsin.errors import Unavailable
from tocsin.links import Links
from tocsin.mail.incoming import Incoming, Mailbox, understand
from tocsin.policy.mail import AttachmentView
from tocsin.steps.asks import Asked, take_up
from tocsin.steps.matched_mail import Matched, match_mail
from tocsin.store import audit
from tocsin.store.bounces import (
    NewBounce,
    file_returned,
    known_fingerprints,
    subscribers_of,
)
from tocsin.store.mail import NewMail, file_mail
from tocsin.store.outcomes import mark_unreachable
from tocsin.store.session import writing

log = structlog.get_logger()

_BATCH = 100

PIPE = "pipe"
"""How mail is called that an MTA hands in by a pipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """
    What was found; ``read`` is the sum of the rest (I3).

    Args:
        read: Messages.
        bounced: Came back for good.
        temporary: Came back, but trying again can help.
        departed: Somebody's program says that they left.
        written: A person wrote.
        others: Absences, delays, confirmations and the like.
        unattributed: Came back, and nothing says what it was.
        repeated: Filed before, by a run that ended before it said so.

    """

    read: int = 0
    bounced: int = 0
    temporary: int = 0
    departed: int = 0
    written: int = 0
    others: int = 0
    unattributed: int = 0
    repeated: int = 0

    def plus(self, other: "Filed") -> "Filed":
        """Return the sum."""
        return Filed(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in fields(self)
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFiling:
    """
    What filing needs beside the messages.

    Args:
        engine: The database.
        links: Reads the links of ours that people quote.
        mail_domain: Domain of the Message-IDs of answers.
        clock: Tells now.

    """

    engine: Engine
    links: Links
    mail_domain: str
    clock: Clock


def file_incoming(filing: MailFiling, mailboxes: Sequence[Mailbox]) -> Filed:
    """
    Read what came in, and file it.

    What was read is on record before its mailbox is told: a killed run reads it again,
    and files nothing twice. A mailbox that does not answer keeps no other from being
    read.

    Raises:
        Unavailable: A mailbox did not answer; the others were read.

    """
    filed = Filed()
    silent: Unavailable | None = None
    for mailbox in mailboxes:
        try:
            filed = filed.plus(_file_mailbox(filing, mailbox))
        except Unavailable as error:
            log.warning("A mailbox does not answer", mailbox=mailbox.name)
            silent = error
    if filed.read:
        log.info(
            "Incoming mail filed",
            **{field.name: getattr(filed, field.name) for field in fields(filed)},
        )
    if silent is not None:
        raise silent
    return filed


def file_message(filing: MailFiling, content: bytes, *, way: str = PIPE) -> Filed:
    """File one message that was handed in; it is on record when this returns."""
    return _file(filing, [understand(content)], way=way)


def _file_mailbox(filing: MailFiling, mailbox: Mailbox) -> Filed:
    filed = Filed()
    # What arrives meanwhile is the next run's.
    keys = mailbox.keys()
    for start in range(0, len(keys), _BATCH):
        messages = list(mailbox.read(keys[start : start + _BATCH]))
        mails = [understand(message.content) for message in messages]
        filed = filed.plus(_file(filing, mails, way=mailbox.name))
        mailbox.done([message.key for message in messages])
    return filed


def _file(filing: MailFiling, mails: Sequence[Incoming], *, way: str) -> Filed:
    """File a batch in one transaction, with the acts that put it on record (I5)."""
    now = filing.clock.now()
    unique = {mail.fingerprint: mail for mail in mails}
    with writing(filing.engine) as connection:
        known = known_fingerprints(connection, unique.keys())
        new = [mail for key, mail in unique.items() if key not in known]
        matched = match_mail(connection, new, links=filing.links, now=now)
        returned = [one for one in matched if one.mail.bounce is not None]
        others = [one for one in matched if one.mail.bounce is None]
        bounces = [bounce for one in returned if (bounce := _bounce(one)) is not None]
        file_returned(connection, bounces, now=now)
        left = [one.notice for one in others if _has_left(one) and one.notice]
        mark_unreachable(
            connection,
            contacts=[notice.contact for notice in left],
            subscribers=subscribers_of(left),
            reason=UnreachableReason.LEFT,
            now=now,
        )
        answers = take_up(
            connection, _asked(others), mail_domain=filing.mail_domain, now=now
        )
        file_mail(
            connection,
            [_new_mail(one, way, answers.get(one.mail.fingerprint)) for one in others],
            now=now,
        )
        _append_acts(connection, bounces, others, answers, now=now)
    kinds = [one.mail.kind for one in others]
    attributed = [bounce for bounce in bounces if bounce.notice]
    permanent = sum(bounce.permanent for bounce in attributed)
    departed = kinds.count(MailKind.DEPARTURE)
    written = kinds.count(MailKind.PERSON)
    return Filed(
        read=len(mails),
        bounced=permanent,
        temporary=len(attributed) - permanent,
        departed=departed,
        written=written,
        others=len(others) - departed - written,
        unattributed=len(bounces) - len(attributed),
        repeated=len(mails) - len(new),
    )


def _bounce(one: Matched) -> NewBounce | None:
    returned = one.mail.bounce
    if returned is None:
        return None
    return NewBounce(
        fingerprint=one.mail.fingerprint,
        notice=one.notice,
        known_by=one.known_by,
        is_proven=one.is_proven,
        permanent=returned.is_permanent,
        status=returned.status,
        reason=returned.reason,
        detail=returned.detail,
    )


def _has_left(one: Matched) -> bool:
    """Whether a contact is gone; an answer that only names an address proves nothing."""
    return one.mail.kind is MailKind.DEPARTURE and one.is_proven


def _asked(others: Sequence[Matched]) -> list[Asked]:
    """Return what people wrote, as far as it is known whose contact each is."""
    return [
        Asked(
            key=one.mail.fingerprint,
            incident=one.notice.incident,
            subscriber=one.notice.subscriber,
            contact=one.notice.contact,
            topics=frozenset(one.mail.written.topics),
            can_be_written_to=one.notice.is_live,
            is_certain=one.is_proven,
        )
        for one in others
        if one.mail.kind is MailKind.PERSON and one.notice and one.notice.subscriber
    ]


def _new_mail(one: Matched, way: str, answer: NoticeKind | None) -> NewMail:
    written = one.mail.written
    return NewMail(
        fingerprint=one.mail.fingerprint,
        way=way,
        kind=one.mail.kind,
        known_by=one.known_by,
        notice=one.notice,
        sender=one.mail.named.sender,
        subject=written.subject,
        text=written.text,
        is_cut=written.is_cut,
        topics=written.topics,
        attachments=tuple(
            AttachmentView(
                name=attachment.name,
                kind=attachment.kind,
                size=attachment.size,
                topic=attachment.topic,
            )
            for attachment in written.attachments
        ),
        answered_with=answer,
    )


def _append_acts(
    connection: Connection,
    bounces: Sequence[NewBounce],
    others: Sequence[Matched],
    answers: Mapping[str, NoticeKind],
    *,
    now: datetime,
) -> None:
    """Put it on record, in the words of what it did; no addresses, no texts."""
    acts: dict[IncidentId, dict[str, list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for bounce in bounces:
        if bounce.notice:
            outcome = "bounced" if bounce.permanent else "temporary"
            acts[bounce.notice.incident][outcome].append(bounce.notice.notice_id)
    for one in others:
        if one.notice:
            for word in _in_words(one, is_answered=one.mail.fingerprint in answers):
                acts[one.notice.incident][word].append(one.notice.contact)
    for incident, detail in sorted(acts.items()):
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor="engine",
            action="mail-filed",
            detail=detail,
        )


def _in_words(one: Matched, *, is_answered: bool) -> Iterator[str]:
    """Yield the lists of an act's detail in which the contact of a message stands."""
    if one.mail.kind is MailKind.DEPARTURE and not one.is_proven:
        yield "departure-unproven"
        return
    yield one.mail.kind.value
    if one.mail.kind is MailKind.PERSON:
        yield from (topic.value for topic in one.mail.written.topics)
        if is_answered:
            yield "answered"
