"""What the holder of an address answers who was named as a contact: yes, or not me."""

from dataclasses import dataclass
from enum import StrEnum

import structlog
from sqlalchemy import Connection, Engine

from models.terms import ContactState, IncidentState, ReplyKind, ReplyState
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.links import LinkClaims
from tocsin.phrases import phrase
from tocsin.steps.contact_acts import tell_of_change
from tocsin.steps.scene import Scene
from tocsin.store import audit, contact_changes, contacts, intents, replies
from tocsin.store.contacts import KnownContact
from tocsin.store.incidents import read_incident
from tocsin.store.outreach import look_now
from tocsin.store.replies import Standing
from tocsin.store.session import writing

log = structlog.get_logger()

_SOURCE = "an address confirms itself"


class Choice(StrEnum):
    """What the holder of an address says."""

    YES = "yes"
    NOT_ME = "not-me"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForAddress:
    """What somebody says who was named; the form's nonce is good for this alone."""

    choice: Choice


def named_contact(connection: Connection, *, claims: LinkClaims) -> KnownContact | None:
    """
    Return who was named, as far as their link still opens anything.

    It opens nothing for those who were on the list before, nor for those who left it:
    only for who was asked, and said yes or no.
    """
    found = contacts.contact_with_key(
        connection, subscriber=claims.subscriber, contact=claims.contact
    )
    if (
        found is None
        or found.incident != claims.incident
        or found.token_generation != claims.generation
    ):
        return None
    was_asked = bool(contact_changes.asked_at(connection, contact=found.contact))
    if not was_asked or (
        found.state is ContactState.REMOVED and found.disowned_at is None
    ):
        return None
    return found


def answer_for_address(
    engine: Engine,
    *,
    claims: LinkClaims,
    answer: AnswerForAddress,
    nonce: str,
    clock: Clock,
    mail_domain: str,
) -> bool:
    """
    Take what the holder of an address says, once, with its act on record (I5).

    From a yes on they are a contact and get the notice with the next cycle; whoever
    they take the place of leaves at that instant, and is told.

    Returns:
        False where they had answered before: nothing was done.

    Raises:
        Refused: The link is dead, or the incident does not run.

    """
    now = clock.now()
    with writing(engine) as connection:
        replies.lock_subscriber(connection, subscriber=claims.subscriber)
        contact = named_contact(connection, claims=claims)
        if contact is None:
            raise Refused(phrase("this link is not valid (any more)"), source=_SOURCE)
        record = read_incident(connection, incident=claims.incident)
        if record.state is not IncidentState.RUNNING:
            raise Refused(
                phrase("this incident takes no replies any more"),
                source="the incident is over",
            )
        if contact.state is not ContactState.UNCONFIRMED:
            return False
        is_yes = answer.choice is Choice.YES
        reply = replies.file_reply(
            connection,
            incident=claims.incident,
            subscriber=claims.subscriber,
            contact=claims.contact,
            kind=ReplyKind.CONFIRM_ADDRESS if is_yes else ReplyKind.DECLINE_ADDRESS,
            state=ReplyState.APPLIED,
            certificates=(),
            nonce=nonce,
            now=now,
            effective_at=now,
            message="",
            phone="",
        )
        if reply is None:
            return False
        scene = Scene(
            claims=claims,
            standing=Standing(state=record.state, circumstance=record.circumstance),
            reply=reply,
            mail_domain=mail_domain,
            blocklist=None,
            now=now,
        )
        detail = (
            _confirm(connection, scene, contact)
            if is_yes
            else _decline(connection, scene, contact)
        )
        look_now(connection, [claims.subscriber], now=now)
        audit.append(
            connection,
            incident=claims.incident,
            at=now,
            actor=f"contact:{claims.contact}",
            action="address-confirmed" if is_yes else "address-declined",
            detail={"reply": reply, "subscriber": claims.subscriber} | detail,
        )
    log.info(
        "Address answered",
        incident=claims.incident,
        contact=claims.contact,
        answer=answer.choice.value,
    )
    return True


def _confirm(
    connection: Connection, scene: Scene, contact: KnownContact
) -> dict[str, object]:
    contacts.confirm_contact(connection, contact=contact, now=scene.now)
    leaves = contact.instead_of
    if leaves is not None and not contacts.remove_contact(
        connection, subscriber=scene.claims.subscriber, contact=leaves
    ):
        leaves = None  # they left meanwhile
    if leaves is not None:
        intents.supersede_notices(connection, [leaves])
    contact_changes.record_change(
        connection,
        reply=scene.reply,
        contact=contact.contact,
        leaves=leaves,
        had_effect=True,
    )
    told = tell_of_change(
        connection,
        scene,
        besides=[leaves] if leaves is not None else (),
        without=contact.contact,
    )
    return {"contact_added": contact.contact, "contact_removed": leaves, "told": told}


def _decline(
    connection: Connection, scene: Scene, contact: KnownContact
) -> dict[str, object]:
    contacts.decline_contact(connection, contact=contact.contact, now=scene.now)
    intents.supersede_notices(connection, [contact.contact])
    contact_changes.record_change(
        connection,
        reply=scene.reply,
        contact=contact.contact,
        leaves=None,
        had_effect=False,
    )
    return {
        "contact_declined": contact.contact,
        "told": tell_of_change(connection, scene),
    }
