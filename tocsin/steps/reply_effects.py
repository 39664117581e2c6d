"""What an act of a subscriber does at once; what it brings forward has its grace period."""

from datetime import timedelta

from sqlalchemy import Connection

from models.terms import MailTopic
from tocsin.errors import Refused
from tocsin.phrases import phrase
from tocsin.steps.asks import Asked, take_up
from tocsin.steps.contact_acts import change_contacts, name_contact
from tocsin.steps.csrs import file_csrs
from tocsin.steps.reply_acts import (
    Acknowledge,
    AskExtension,
    AskHelp,
    ContactAct,
    NotMine,
    ReplyAct,
    ReportNoLongerRequired,
    ReportReplaced,
    SubmitCsrs,
    Undo,
)
from tocsin.steps.scene import Scene
from tocsin.store import asks, replies
from tocsin.store.outreach import look_now
from tocsin.store.wire import latest_checks

_JUST_BEFORE = timedelta(hours=1)


def take_effect(
    act: ReplyAct, connection: Connection, scene: Scene
) -> dict[str, object]:
    """
    Do what an act does at once.

    Returns:
        What else its record says.

    Raises:
        Refused: It is too late for it, or a CSR cannot be used.

    """
    if isinstance(act, ContactAct):
        return change_contacts(act, connection, scene)
    if isinstance(act, NotMine):
        return _disown(act, connection, scene)
    if isinstance(act, Undo):
        return _undo(act, connection, scene)
    detail = _answer(act, connection, scene)
    subscriber = scene.claims.subscriber
    # Whoever hands something in has read the notice. Somebody who only names another
    # person has not said so for that person.
    replies.acknowledge(connection, subscriber=subscriber, now=scene.now)
    if not isinstance(act, AskHelp | AskExtension) and not asks.disowns_some(
        connection, subscriber=subscriber
    ):
        # Somebody there acts: it is theirs, whoever said that it is not.
        asks.settle_disowned(connection, subscriber=subscriber)
    look_now(connection, [subscriber], now=scene.now)
    return detail


def _answer(
    act: Acknowledge
    | SubmitCsrs
    | ReportReplaced
    | ReportNoLongerRequired
    | AskHelp
    | AskExtension,
    connection: Connection,
    scene: Scene,
) -> dict[str, object]:
    """Do what somebody does who has read the notice."""
    match act:
        case Acknowledge():
            return {"choice": act.choice.value}
        case SubmitCsrs():
            filed = file_csrs(
                act,
                connection,
                scene.claims,
                standing=scene.standing,
                reply=scene.reply,
                blocklist=scene.blocklist,
                now=scene.now,
            )
            return {"csrs": filed}
        case ReportReplaced():
            return {"seen": _seen(act, connection, scene)}
        case ReportNoLongerRequired():
            return {}
        case AskHelp():
            return _ask(connection, scene, MailTopic.HELP)
        case AskExtension():
            return _ask(connection, scene, MailTopic.EXTENSION)


def _seen(act: ReportReplaced, connection: Connection, scene: Scene) -> list[object]:
    """Return what the hosts presented just before, for the record; it forbids nothing."""
    return [
        [view.certificate, view.finding.value]
        for view in latest_checks(connection, act.certificates).values()
        if view.checked_at > scene.now - _JUST_BEFORE
    ]


def _ask(
    connection: Connection,
    scene: Scene,
    topic: MailTopic,
    *,
    is_of_everything: bool = True,
) -> dict[str, object]:
    """Tell the CA's people, and answer: as if it had come by mail."""
    answers = take_up(
        connection,
        [
            Asked(
                key=str(scene.reply),
                incident=scene.claims.incident,
                subscriber=scene.claims.subscriber,
                contact=scene.claims.contact,
                topics=frozenset((topic,)),
                is_of_everything=is_of_everything,
            )
        ],
        mail_domain=scene.mail_domain,
        now=scene.now,
    )
    return {"answered_with": [kind.value for kind in answers.values()]}


def _disown(act: NotMine, connection: Connection, scene: Scene) -> dict[str, object]:
    detail = _ask(
        connection,
        scene,
        MailTopic.NOT_ME,
        is_of_everything=not act.certificates,
    )
    if act.named is not None:
        detail |= name_contact(act.named, connection, scene)
    return detail


def _undo(act: Undo, connection: Connection, scene: Scene) -> dict[str, object]:
    claims = scene.claims
    if not replies.undo(
        connection,
        incident=claims.incident,
        subscriber=claims.subscriber,
        reply=act.reply,
    ):
        raise Refused(
            phrase("it can no longer be undone"), source="it has had its effect"
        )
    undone = replies.find_reply(
        connection,
        incident=claims.incident,
        subscriber=claims.subscriber,
        reply=act.reply,
    )
    if undone is not None:
        asks.take_back(
            connection,
            subscriber=claims.subscriber,
            contact=undone.contact,
            kind=undone.kind,
        )
        look_now(connection, [claims.subscriber], now=scene.now)
    return {"undone": act.reply}
