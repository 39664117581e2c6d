"""Writes to subscribers that certificates of theirs are not revoked after all."""

from models.terms import ScopeChangeId
from tocsin.mail.calendar import cancellation_file
from tocsin.mail.render import WithdrawalContext
from tocsin.mail.skeleton import certificate_list
from tocsin.steps.correspondence import Brief, Written, listed
from tocsin.store.matters import FIRST


def write_withdrawal(brief: Brief) -> Written | None:
    """Write that a withdrawal concerns a subscriber; None where it does not."""
    reader = brief.notice.to
    if reader.subscriber is None:
        return None
    withdrawal = ScopeChangeId(brief.notice.sequence)
    sample = brief.matters.withdrawn.get((withdrawal, reader.subscriber))
    if sample is None:
        return None
    lines = listed(sample.certificates)
    context = WithdrawalContext(
        incident_title=brief.record.title,
        subscriber=reader.subscriber_name,
        contact_name=reader.name,
        certificates=lines[:FIRST],
        more=max(0, len(lines) - FIRST),
        total=len(lines),
        remaining=sample.remaining,
        reason=" ".join(sample.reason.split()).rstrip("."),
        link=brief.link(reader.subscriber),
        **brief.sender.signature,
    )
    rendered = brief.render(context)
    return Written(
        rendered=rendered,
        certificates=certificate_list(lines, columns=brief.language.data.columns)
        if len(lines) > FIRST
        else None,
        # The instant still stands for what is left.
        calendar=None
        if sample.remaining
        else cancellation_file(brief.entry(reader.subscriber), title=rendered.subject),
    )
