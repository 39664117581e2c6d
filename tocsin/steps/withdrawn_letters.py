"""Writes to subscribers that certificates of theirs are not revoked after all."""

from models.terms import ScopeChangeId
from tocsin.links import Links
from tocsin.mail.language import Language
from tocsin.mail.render import TemplateSet, WithdrawalContext, render_notice
from tocsin.mail.skeleton import certificate_list
from tocsin.steps.correspondence import (
    Matters,
    Sender,
    Written,
    claims_in,
    listed,
)
from tocsin.store.matters import FIRST
from tocsin.store.outbox import ClaimedNotice


def write_withdrawal(
    notice: ClaimedNotice,
    matters: Matters,
    templates: TemplateSet,
    language: Language,
    *,
    links: Links,
    sender: Sender,
) -> Written | None:
    """
    Write that a withdrawal concerns a subscriber; None where it does not.

    Args:
        notice: Which, and to whom; its sequence is the number of the withdrawal.
        matters: What it is about.
        templates: Those of the incident.
        language: The reader's.
        links: Signs the link in it.
        sender: Who it comes from.

    """
    record, subscriber = matters.incidents[notice.incident], notice.to.subscriber
    if subscriber is None:
        return None
    sample = matters.withdrawn.get((ScopeChangeId(notice.sequence), subscriber))
    if sample is None:
        return None
    token = links.sign(claims_in(notice, record, subscriber))
    total = len(sample.certificates)
    return Written(
        rendered=render_notice(
            templates,
            kind=notice.kind,
            language=language.tag,
            context=WithdrawalContext(
                incident_title=record.title,
                subscriber=notice.to.subscriber_name,
                contact_name=notice.to.name,
                certificates=listed(sample.certificates[:FIRST]),
                more=max(0, total - FIRST),
                total=total,
                remaining=sample.remaining,
                reason=" ".join(sample.reason.split()).rstrip("."),
                link=f"{sender.portal_url}/s/{token}",
                ca_name=sender.ca_name,
                ca_phone=sender.ca_phone,
                ca_site=sender.ca_site,
            ),
        ),
        certificates=certificate_list(
            listed(sample.certificates), columns=language.data.columns
        )
        if total > FIRST
        else None,
    )
