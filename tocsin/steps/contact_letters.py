"""Writes to those who were named as contacts, and to those whose contacts were changed."""

from models.terms import ReplyId, ReplyKind
from tocsin.links import CONFIRMATION, Links
from tocsin.mail.language import Language
from tocsin.mail.render import (
    ConfirmationContext,
    ContactsContext,
    TemplateSet,
    render_notice,
)
from tocsin.policy.contacts import masked
from tocsin.steps.correspondence import (
    Matters,
    Sender,
    Written,
    claims_in,
)
from tocsin.store.contact_changes import Change
from tocsin.store.outbox import ClaimedNotice


def write_confirmation(
    notice: ClaimedNotice,
    matters: Matters,
    templates: TemplateSet,
    language: Language,
    *,
    links: Links,
    sender: Sender,
) -> Written | None:
    """
    Ask an address whether it is right.

    Its reader may be anybody: they learn whose contact they would be, and nothing else.
    """
    record, subscriber = matters.incidents[notice.incident], notice.to.subscriber
    if subscriber is None:
        return None
    token = links.sign(claims_in(notice, record, subscriber, purpose=CONFIRMATION))
    return Written(
        rendered=render_notice(
            templates,
            kind=notice.kind,
            language=language.tag,
            context=ConfirmationContext(
                subscriber=notice.to.subscriber_name,
                link=f"{sender.portal_url}/c/{token}",
                ca_name=sender.ca_name,
                ca_phone=sender.ca_phone,
                ca_site=sender.ca_site,
            ),
        )
    )


def write_contacts_changed(
    notice: ClaimedNotice,
    matters: Matters,
    templates: TemplateSet,
    language: Language,
    *,
    links: Links,
    sender: Sender,
) -> Written | None:
    """Say what was changed about who gets our mails; None where nothing was."""
    record, subscriber = matters.incidents[notice.incident], notice.to.subscriber
    change = matters.contact_changes.get(ReplyId(notice.sequence))
    if subscriber is None or change is None:
        return None
    is_reader = change.leaves == notice.to.contact
    has_left = is_reader and change.had_effect
    token = links.sign(claims_in(notice, record, subscriber))
    return Written(
        rendered=render_notice(
            templates,
            kind=notice.kind,
            language=language.tag,
            context=ContactsContext(
                incident_title=record.title,
                subscriber=notice.to.subscriber_name,
                contact_name=notice.to.name,
                what=_what(change),
                by=change.by_name or "***",
                person=change.name or masked(change.email),
                address=masked(change.email),
                leaves=""
                if change.leaves is None
                else change.leaves_name or masked(change.leaves_email),
                is_reader=is_reader,
                link="" if has_left else f"{sender.portal_url}/s/{token}",
                ca_name=sender.ca_name,
                ca_phone=sender.ca_phone,
                ca_site=sender.ca_site,
            ),
        )
    )


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
