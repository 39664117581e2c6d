"""What people ask the CA for, by mail or on their page: told to its people, and answered."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from models.terms import (
    ContactId,
    IncidentId,
    MailKind,
    MailTopic,
    NoticeKind,
    SubscriberId,
)
from tocsin.policy.answers import EarlierAnswer, MailFacts, due_answer
from tocsin.policy.effects import SendNotice
from tocsin.store import asks, intents
from tocsin.store.mail import answerable, earlier_answers
from tocsin.store.outreach import look_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    Something that a person of a subscriber wrote to the CA.

    Args:
        key: Tells it from the others of its batch.
        incident: Of which incident.
        subscriber: Whose contact it is.
        contact: Who; by mail: whom the notice went to that it answers.
        topics: What it asks for.
        can_be_written_to: The incident runs, and mail reaches the contact.
        is_certain: Only that contact can have written it.
        is_of_everything: Not only of some certificates.

    """

    key: str
    incident: IncidentId
    subscriber: SubscriberId
    contact: ContactId
    topics: frozenset[MailTopic]
    can_be_written_to: bool = True
    is_certain: bool = True
    is_of_everything: bool = True


def take_up(
    connection: Connection,
    asked: Sequence[Asked],
    *,
    mail_domain: str,
    now: datetime,
) -> Mapping[str, NoticeKind]:
    """
    Put before the CA's people what only they can see to, and plan the answers.

    No revocation moves and no notice stops by it. Policy looks at these subscribers
    at once.

    Args:
        connection: The transaction that also files what was written.
        asked: What; the order decides which of several is answered.
        mail_domain: Of the answers' Message-IDs.
        now: When, UTC.

    Returns:
        The answers that were planned, by key.

    """
    live = [one for one in asked if one.can_be_written_to]
    disowning = [one for one in live if MailTopic.NOT_ME in one.topics]
    helpless = [one for one in live if MailTopic.HELP in one.topics]
    asks.note_disowned(connection, [one.subscriber for one in disowning], now=now)
    asks.note_wrong_people(
        connection,
        [
            one.contact
            for one in disowning
            # What anybody could have written silences and marks nobody.
            if one.is_certain and one.is_of_everything
        ],
        now=now,
    )
    asks.note_help_asked(connection, [one.subscriber for one in helpless], now=now)
    look_now(
        connection,
        sorted({one.subscriber for one in (*disowning, *helpless)}),
        now=now,
    )
    answers = _due_answers(connection, live, now=now)
    _plan(connection, answers.values(), mail_domain=mail_domain, now=now)
    return {key: answer.send.kind for key, answer in answers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An answer, and the incident it belongs to."""

    incident: IncidentId
    send: SendNotice


def _due_answers(
    connection: Connection, asked: Sequence[Asked], *, now: datetime
) -> dict[str, _Answer]:
    can = answerable(connection, {one.incident for one in asked})
    earlier = earlier_answers(connection, {one.contact for one in asked})
    planned: dict[str, _Answer] = {}
    for one in asked:
        before = earlier[one.contact]
        kind = due_answer(
            MailFacts(
                kind=MailKind.PERSON, topics=one.topics, is_known=True, answers=before
            ),
            now=now,
        )
        if kind is None or (one.incident, kind) not in can:
            continue
        planned[one.key] = _Answer(
            incident=one.incident,
            send=SendNotice(
                contact=one.contact,
                kind=kind,
                sequence=1 + sum(answer.kind is kind for answer in before),
            ),
        )
        before.append(EarlierAnswer(kind=kind, planned_at=now))
    return planned


def _plan(
    connection: Connection,
    answers: Iterable[_Answer],
    *,
    mail_domain: str,
    now: datetime,
) -> None:
    by_incident: dict[IncidentId, list[SendNotice]] = defaultdict(list)
    for answer in answers:
        by_incident[answer.incident].append(answer.send)
    for incident, sends in sorted(by_incident.items()):
        intents.plan_notices(
            connection, sends, incident=incident, mail_domain=mail_domain, now=now
        )
