"""Writes to those who were named as contacts, and to those whose contacts were changed."""

from models.terms import ReplyId, ReplyKind
from tocsin.links import CONFIRMATION
from tocsin.mail.render import ConfirmationContext, ContactsContext
from tocsin.policy.contacts import masked
from tocsin.steps.correspondence import Brief, Written
from tocsin.store.contact_changes import Change


def write_confirmation(brief: Brief) -> Written | None:
    """
    Ask an address whether it is right.

    Its reader may be anybody: they learn whose contact they would be, and nothing else.
    """
    reader = brief.notice.to
    if reader.subscriber is None:
        return None
    context = ConfirmationContext(
        subscriber=reader.subscriber_name,
        link=brief.link(reader.subscriber, purpose=CONFIRMATION),
        **brief.sender.signature,
    )
    return Written(rendered=brief.render(context))


def write_contacts_changed(brief: Brief) -> Written | None:
    """Say what was changed about who gets our mails; None where nothing was."""
    reader = brief.notice.to
    change = brief.matters.contact_changes.get(ReplyId(brief.notice.sequence))
    if reader.subscriber is None or change is None:
        return None
    is_reader = change.leaves == reader.contact
    has_left = is_reader and change.had_effect
    context = ContactsContext(
        incident_title=brief.record.title,
        subscriber=reader.subscriber_name,
        contact_name=reader.name,
        what=_what(change),
        by=change.by_name or "***",
        person=change.name or masked(change.email),
        address=masked(change.email),
        leaves=""
        if change.leaves is None
        else change.leaves_name or masked(change.leaves_email),
        is_reader=is_reader,
        link="" if has_left else brief.link(reader.subscriber),
        **brief.sender.signature,
    )
    return Written(rendered=brief.render(context))


def _what(change: Change) -> str:
    match change.kind:
        case ReplyKind.CONFIRM_ADDRESS:
            return "confirmed"
        case ReplyKind.DECLINE_ADDRESS:
            return "declined"
        case ReplyKind.REMOVE_CONTACT:
            return "removed"
        case _:
            return "added" if change.had_effect else "named"
