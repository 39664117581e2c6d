"""Writes what a notice says, from what stands in the database when it is sent."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection

from models.terms import (
    Circumstance,
    NoticeKind,
    ReplyId,
    ScopeChangeId,
)
from tocsin.links import ESCALATION, NO_SUBSCRIBER, Links
from tocsin.mail.calendar import calendar_file
from tocsin.mail.render import (
    EscalationContext,
    EscalationLine,
    NoticeContext,
    TemplateSet,
)
from tocsin.mail.skeleton import assemble, certificate_list
from tocsin.mail.smtp import OutgoingMessage
from tocsin.policy.rules import Rule, parse_rule_pack
from tocsin.policy.sending import is_past_use
from tocsin.steps.contact_letters import (
    write_confirmation,
    write_contacts_changed,
)
from tocsin.steps.correspondence import Brief, Matters, Sender, Written, listed
from tocsin.steps.withdrawn_letters import write_withdrawal
from tocsin.store.contact_changes import changes_of
from tocsin.store.incidents import read_incident
from tocsin.store.matters import (
    ESCALATIONS_SHOWN,
    CertificateSample,
    LiveEscalation,
    certificate_samples,
    escalations_for,
    withdrawn_samples,
)
from tocsin.store.outbox import ClaimedNotice

__all__ = ["Letter", "Matters", "Sender", "read_matters", "write_letter"]

_IN_CALENDAR = frozenset((NoticeKind.INITIAL, NoticeKind.REMINDER, NoticeKind.FINAL))
"""Kinds that bring the instant along for a calendar; an answer to a mail does not."""


class Letter(NamedTuple):
    """A message ready to leave, and the escalations it tells of."""

    message: OutgoingMessage
    escalations: tuple[int, ...] = ()


def read_matters(connection: Connection, claimed: Sequence[ClaimedNotice]) -> Matters:
    """Read what these notices are about; a handful of queries, however many they are."""
    staff = {
        (notice.incident, notice.to.role)
        for notice in claimed
        if notice.kind is NoticeKind.ESCALATION
    }
    return Matters(
        incidents={
            incident: read_incident(connection, incident=incident)
            for incident in {notice.incident for notice in claimed}
        },
        samples=certificate_samples(
            connection,
            subscribers=[
                notice.to.subscriber
                for notice in claimed
                if notice.to.subscriber is not None
            ],
        ),
        escalations={
            (incident, role): escalations_for(connection, incident=incident, role=role)
            for incident, role in staff
        },
        withdrawn=withdrawn_samples(
            connection,
            wanted={
                (ScopeChangeId(notice.sequence), notice.to.subscriber)
                for notice in claimed
                if notice.kind is NoticeKind.WITHDRAWAL
                and notice.to.subscriber is not None
            },
        ),
        contact_changes=changes_of(
            connection,
            {
                ReplyId(notice.sequence)
                for notice in claimed
                if notice.kind is NoticeKind.CONTACTS_CHANGED
            },
        ),
    )


def is_past_its_use(notice: ClaimedNotice, matters: Matters, *, now: datetime) -> bool:
    """Whether a notice waited until what it says helps nobody any more."""
    subscriber = notice.to.subscriber
    sample = None if subscriber is None else matters.samples.get(subscriber)
    return sample is not None and is_past_use(
        notice.kind,
        revocation_time=sample.revocation_time,
        is_revoked=sample.is_revoked,
        now=now,
    )


def write_letter(
    notice: ClaimedNotice,
    matters: Matters,
    *,
    templates: TemplateSet,
    links: Links,
    sender: Sender,
    is_test: bool = False,
) -> Letter | None:
    """
    Write one message; None when there is nothing left to say.

    Args:
        notice: Which, and to whom.
        matters: What it is about.
        templates: Those of the incident.
        links: Signs the link in it.
        sender: Who it comes from.
        is_test: Say so in the subject.

    Raises:
        Broken: A template does not fit.

    """
    language = templates.wording(notice.kind, notice.to.language).language
    brief = Brief(
        notice=notice,
        matters=matters,
        templates=templates,
        language=language,
        links=links,
        sender=sender,
    )
    written = _WRITERS.get(notice.kind, _to_subscriber)(brief)
    if written is None:
        return None
    rendered = written.rendered
    if is_test:
        rendered = rendered._replace(subject=f"{language.test_mark}{rendered.subject}")
    content = assemble(
        rendered,
        language=language.tag,
        sender_name=sender.name,
        sender_address=sender.address,
        reply_to=sender.reply_to,
        # What a stranger reads was not written by whoever named them.
        recipient_name=""
        if notice.kind is NoticeKind.CONFIRM_ADDRESS
        else notice.to.name,
        recipient_address=notice.to.email,
        message_id=notice.message_id,
        references=notice.thread,
        date=notice.planned_at,
        certificates=written.certificates,
        calendar=written.calendar,
    )
    return Letter(
        message=OutgoingMessage(
            notice_id=notice.notice_id,
            sender=sender.return_path(notice.verp_token),
            recipient=notice.to.email,
            content=content,
            is_in_lines=True,
        ),
        escalations=written.escalations,
    )


def _to_subscriber(brief: Brief) -> Written | None:
    notice = brief.notice
    subscriber = notice.to.subscriber
    sample = None if subscriber is None else brief.matters.samples.get(subscriber)
    if subscriber is None or sample is None:
        return None
    if sample.is_revoked and not _is_never_late(notice.kind):
        return None  # too late to remind; a first notice still has to be read
    rendered = brief.render(
        _subscriber_context(brief, sample, link=brief.link(subscriber)),
        is_in_calendar=notice.kind in _IN_CALENDAR and not sample.is_revoked,
    )
    certificates = calendar = None
    if sample.total > len(sample.first):
        certificates = certificate_list(
            listed(sample.certificates), columns=brief.language.data.columns
        )
    if rendered.event is not None:
        calendar = calendar_file(
            brief.entry(subscriber), rendered.event, at=sample.revocation_time
        )
    return Written(rendered=rendered, certificates=certificates, calendar=calendar)


def _to_staff(brief: Brief) -> Written | None:
    live = brief.matters.escalations[brief.notice.incident, brief.notice.to.role]
    if not live:
        return None
    return Written(
        rendered=brief.render(_staff_context(brief, live)),
        escalations=tuple(one.escalation_id for one in live),
    )


_WRITERS = {
    NoticeKind.ESCALATION: _to_staff,
    NoticeKind.WITHDRAWAL: write_withdrawal,
    NoticeKind.CONFIRM_ADDRESS: write_confirmation,
    NoticeKind.CONTACTS_CHANGED: write_contacts_changed,
}
"""Who writes a notice; what is not here is about the certificates of a subscriber."""


def _is_never_late(kind: NoticeKind) -> bool:
    return kind is NoticeKind.INITIAL or kind.answers_mail


def _subscriber_context(
    brief: Brief, sample: CertificateSample, *, link: str
) -> NoticeContext:
    record, reader, language = brief.record, brief.notice.to, brief.language
    rule = _rule(record.rule_pack, record.circumstance)
    return NoticeContext(
        incident_title=record.title,
        circumstance=language.circumstance(rule.circumstance, otherwise=rule.text),
        source=rule.source,
        subscriber=reader.subscriber_name,
        contact_name=reader.name,
        certificates=listed(sample.first),
        more=sample.total - len(sample.first),
        total=sample.total,
        without_csr=sample.without_csr,
        is_revoked=sample.is_revoked,
        revocation=language.instant(sample.revocation_time, reader.zone),
        deadline=language.instant(record.deadline, reader.zone),
        link=link,
        **brief.sender.signature,
    )


@lru_cache(maxsize=16)
def _rule(pack: str, circumstance: Circumstance) -> Rule:
    """Return a rule of a frozen pack, read once and not for each notice."""
    return parse_rule_pack(pack).rule(circumstance)


def _staff_context(brief: Brief, live: Sequence[LiveEscalation]) -> EscalationContext:
    record, reader, language = brief.record, brief.notice.to, brief.language
    shown = live[:ESCALATIONS_SHOWN]
    return EscalationContext(
        incident_title=record.title,
        contact_name=reader.name,
        role=language.role(reader.role),
        rows=tuple(
            EscalationLine(
                subscriber=one.subscriber or record.title,
                sector=one.sector,
                cause=language.cause(one.cause),
                step=one.step,
                certificates=one.certificates,
                missing=one.missing,
                since=language.instant(one.raised_at, reader.zone).local,
            )
            for one in shown
        ),
        more=len(live) - len(shown),
        total=len(live),
        revocation=language.instant(record.facts.revocation_starts_at, reader.zone),
        deadline=language.instant(record.deadline, reader.zone),
        incident=record.id,
        link=brief.link(NO_SUBSCRIBER, purpose=ESCALATION),
    )
