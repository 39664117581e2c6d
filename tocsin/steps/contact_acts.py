"""
What subscribers change about who gets our mails.

An address that they name sees nothing before it has confirmed itself. Until then those
who were written to before stay: nobody becomes unreachable by a slip of the pen.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from models.terms import ContactId, ContactState, NoticeKind
from tocsin.errors import Refused
from tocsin.phrases import phrase
from tocsin.policy.contacts import (
    CHANGES_WITHIN,
    MOST_CHANGES,
    MOST_WAITING,
    may_be_asked_again,
    may_leave,
    state_when_named,
)
from tocsin.policy.effects import SendNotice
from tocsin.steps.reply_acts import (
    AskAgain,
    ChangeContact,
    ConfirmAddress,
    ContactAct,
    RemoveContact,
)
from tocsin.steps.scene import Scene
from tocsin.store import contact_changes, contacts, intents
from tocsin.store.contacts import KnownContact
from tocsin.store.outreach import contact_facts, look_now

_SOURCE = "a subscriber has its own contacts"

NOBODY_LEFT = phrase(
    "nobody else of yours can be reached: name somebody, and wait until they have"
    " confirmed their address"
)


def change_contacts(
    act: ContactAct, connection: Connection, scene: Scene
) -> dict[str, object]:
    """
    Do what somebody changes about who gets our mails.

    Returns:
        What the record says.

    Raises:
        Refused: As for each of the acts.

    """
    match act:
        case ChangeContact():
            return name_contact(act, connection, scene)
        case RemoveContact():
            return remove_contact(act, connection, scene)
        case AskAgain():
            return ask_again(act, connection, scene)
        case ConfirmAddress():
            return confirm_own(connection, scene)


def name_contact(
    act: ChangeContact, connection: Connection, scene: Scene
) -> dict[str, object]:
    """
    Name a contact, who is asked whether that is right; until then nobody leaves.

    Returns:
        What the record says.

    Raises:
        Refused: Too many wait or were changed, the address does not want our mails, or
            nobody would be left.

    """
    subscriber = scene.claims.subscriber
    _refuse_many(connection, scene)
    known = contacts.find_contact(connection, subscriber=subscriber, email=act.email)
    leaver = None
    if act.instead_of is not None:
        leaver = _on_the_list(connection, scene, act.instead_of)
    if known is not None and leaver is not None and known.contact == leaver.contact:
        raise Refused(
            phrase("this is the address that leaves the list"), source=_SOURCE
        )
    if state_when_named(known.state if known else None) is ContactState.ACTIVE:
        return _name_known(act, connection, scene, leaver)
    return _name_unconfirmed(act, connection, scene, known, leaver)


def _name_known(
    act: ChangeContact,
    connection: Connection,
    scene: Scene,
    leaver: KnownContact | None,
) -> dict[str, object]:
    if leaver is not None:
        _leave(connection, scene, leaver)
    added = contacts.add_contact(
        connection,
        incident=scene.claims.incident,
        subscriber=scene.claims.subscriber,
        name=act.name,
        email=act.email,
        phone=act.phone,
        instead_of=act.instead_of,
    )
    return _changed(connection, scene, added, leaver, had_effect=True)


def _name_unconfirmed(
    act: ChangeContact,
    connection: Connection,
    scene: Scene,
    known: KnownContact | None,
    leaver: KnownContact | None,
) -> dict[str, object]:
    subscriber = scene.claims.subscriber
    if known is not None and known.disowned_at is not None:
        raise Refused(
            phrase(
                "whoever reads this address told us that they want no mails about this;"
                " if that is wrong, call us"
            ),
            source=_SOURCE,
        )
    waits_already = known is not None and known.state is ContactState.UNCONFIRMED
    if not waits_already:
        waiting = contacts.count_waiting(connection, subscriber=subscriber)
        if waiting >= MOST_WAITING:
            raise Refused(
                phrase(
                    "%(most)s addresses of yours wait for their confirmation already:"
                    " withdraw one of them first",
                    most=MOST_WAITING,
                ),
                source=_SOURCE,
            )
    added = contacts.add_unconfirmed(
        connection,
        incident=scene.claims.incident,
        subscriber=subscriber,
        name=act.name,
        email=act.email,
        phone=act.phone,
        instead_of=act.instead_of,
        now=(known.waits_since if waits_already and known else None) or scene.now,
    )
    if not waits_already:  # else its mail is under way: a corrected name needs none
        _ask(connection, scene, added)
    return _changed(connection, scene, added, leaver, had_effect=False)


def remove_contact(
    act: RemoveContact, connection: Connection, scene: Scene
) -> dict[str, object]:
    """
    Let a contact go, or take back that an address was named.

    Raises:
        Refused: They are not on the list (any more), or nobody would be left.

    """
    _refuse_many(connection, scene)
    leaver = _on_the_list(connection, scene, act.contact)
    _leave(connection, scene, leaver)
    was_asked_only = leaver.state is ContactState.UNCONFIRMED
    return _changed(
        connection, scene, leaver.contact, leaver, had_effect=not was_asked_only
    )


def ask_again(act: AskAgain, connection: Connection, scene: Scene) -> dict[str, object]:
    """
    Send the mail again in which an address confirms itself.

    Raises:
        Refused: It does not wait (any more), or was asked often enough.

    """
    _refuse_many(connection, scene)
    asked = contacts.contact_with_key(
        connection, subscriber=scene.claims.subscriber, contact=act.contact
    )
    if asked is None or asked.state is not ContactState.UNCONFIRMED:
        raise Refused(
            phrase("this address does not wait for its confirmation (any more)"),
            source=_SOURCE,
        )
    _ask(connection, scene, asked.contact)
    contact_changes.record_change(
        connection,
        reply=scene.reply,
        contact=asked.contact,
        leaves=None,
        had_effect=False,
    )
    return {"asked_again": asked.contact}


def confirm_own(connection: Connection, scene: Scene) -> dict[str, object]:
    """Put on record that somebody's own address is right."""
    contact = _on_the_list(connection, scene, scene.claims.contact)
    contacts.confirm_contact(connection, contact=contact, now=scene.now)
    contact_changes.record_change(
        connection,
        reply=scene.reply,
        contact=contact.contact,
        leaves=None,
        had_effect=False,
    )
    look_now(connection, [scene.claims.subscriber], now=scene.now)
    return {"address_confirmed": contact.contact}


def tell_of_change(
    connection: Connection,
    scene: Scene,
    *,
    besides: Iterable[ContactId] = (),
    without: ContactId | None = None,
) -> int:
    """
    Plan one mail about a change to everybody who is written to.

    Whoever made the change gets it, too: it was somebody with their link.

    Args:
        connection: The transaction of the change.
        scene: Whose reply it is; its number is that of the mail (I4).
        besides: Who hears of it although they have left.
        without: Who needs not be told.

    """
    told = {
        one.contact
        for one in contact_facts(connection, subscriber=scene.claims.subscriber)
        if one.is_active
    }
    told = (told | set(besides)) - {without}
    intents.plan_notices(
        connection,
        [
            SendNotice(
                contact=contact,
                kind=NoticeKind.CONTACTS_CHANGED,
                sequence=scene.reply,
            )
            for contact in sorted(told)
        ],
        incident=scene.claims.incident,
        mail_domain=scene.mail_domain,
        now=scene.now,
    )
    return len(told)


def _changed(
    connection: Connection,
    scene: Scene,
    contact: ContactId,
    leaver: KnownContact | None,
    *,
    had_effect: bool,
) -> dict[str, object]:
    """Put a change on record, tell of it, and have policy look at the subscriber."""
    contact_changes.record_change(
        connection,
        reply=scene.reply,
        contact=contact,
        leaves=leaver.contact if leaver else None,
        had_effect=had_effect,
    )
    is_removal = leaver is not None and leaver.contact == contact
    gone = [leaver.contact] if leaver is not None and had_effect else []
    told = 0
    if had_effect or not is_removal:  # who was never a contact leaves no gap
        told = tell_of_change(connection, scene, besides=gone)
    look_now(connection, [scene.claims.subscriber], now=scene.now)
    removed = gone or ([contact] if is_removal else [])
    return {
        "contact_added": None if is_removal else contact,
        "contact_removed": removed[0] if removed else None,
        "waits_for_confirmation": not had_effect and not is_removal,
        "told": told,
    }


def _on_the_list(
    connection: Connection, scene: Scene, contact: ContactId
) -> KnownContact:
    known = contacts.contact_with_key(
        connection, subscriber=scene.claims.subscriber, contact=contact
    )
    if known is None or known.state is ContactState.REMOVED:
        raise Refused(
            phrase("this contact is not on the list (any more)"), source=_SOURCE
        )
    return known


def _leave(connection: Connection, scene: Scene, leaver: KnownContact) -> None:
    """Let a contact go, unless nobody would be left."""
    facts = contact_facts(connection, subscriber=scene.claims.subscriber)
    if not may_leave(leaver.contact, facts):
        raise Refused(NOBODY_LEFT, source=_SOURCE)
    contacts.remove_contact(
        connection, subscriber=scene.claims.subscriber, contact=leaver.contact
    )
    intents.supersede_notices(connection, [leaver.contact])


def _ask(connection: Connection, scene: Scene, contact: ContactId) -> None:
    """Plan the one mail that an address gets before it has confirmed itself."""
    asked_at = contact_changes.asked_at(connection, contact=contact)
    if not may_be_asked_again(asked_at, scene.now):
        raise Refused(
            phrase(
                "this address was asked a few minutes ago, or several times already;"
                " wait, or call us"
            ),
            source=_SOURCE,
        )
    intents.plan_notices(
        connection,
        [
            SendNotice(
                contact=contact,
                kind=NoticeKind.CONFIRM_ADDRESS,
                sequence=1 + len(asked_at),
            )
        ],
        incident=scene.claims.incident,
        mail_domain=scene.mail_domain,
        now=scene.now,
    )


def _refuse_many(connection: Connection, scene: Scene) -> None:
    changes = contact_changes.count_changes(
        connection,
        subscriber=scene.claims.subscriber,
        since=scene.now - CHANGES_WITHIN,
    )
    if changes >= MOST_CHANGES:
        raise Refused(
            phrase("your contacts were changed too often within a day: call us"),
            source=_SOURCE,
        )
