"""Writes what a notice says, from what stands in the database when it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import Connection

from models.terms import (
    Circumstance,
    ContactRole,
    EscalationCause,
    IncidentId,
    NoticeKind,
    SubscriberId,
)
from tocsin.links import SUBSCRIBER, LinkClaims, Links
from tocsin.mail.render import (
    CertificateLine,
    EscalationContext,
    EscalationLine,
    Instant,
    NoticeContext,
    TemplateSet,
    instant,
    render_notice,
)
from tocsin.mail.skeleton import assemble, certificate_list
from tocsin.mail.smtp import OutgoingMessage
from tocsin.policy.rules import Rule, parse_rule_pack
from tocsin.store.incidents import IncidentRecord, read_incident
from tocsin.store.matters import (
    ESCALATIONS_SHOWN,
    CertificateSample,
    ListedCertificate,
    LiveEscalation,
    certificate_samples,
    escalations_for,
)
from tocsin.store.outbox import ClaimedNotice

LINK_VALID_WITHIN = timedelta(days=90)
"""After the deadline: people look back at what they did."""

_CAUSES: Mapping[EscalationCause, str] = {
    EscalationCause.CSR_MISSING: "CSR missing",
    EscalationCause.NOT_ACKNOWLEDGED: "not acknowledged",
    EscalationCause.UNREACHABLE: "no contact can be reached",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """
    Who the mail comes from.

    Args:
        address: The sender's address.
        name: The sender's name.
        bounce_domain: Domain of return paths.
        portal_url: Where subscribers answer, without a trailing slash.
        ca_name: How the CA calls itself.
        ca_phone: Whom to call, day and night.
        ca_site: The CA's own site.

    """

    address: str
    name: str
    bounce_domain: str
    portal_url: str
    ca_name: str
    ca_phone: str
    ca_site: str

    def return_path(self, verp_token: str) -> str:
        """Return the envelope sender that tells the notice when it comes back."""
        return f"bounce+{verp_token}@{self.bounce_domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matters:
    """What a batch of notices is about, read together and once."""

    incidents: Mapping[IncidentId, IncidentRecord]
    samples: Mapping[SubscriberId, CertificateSample]
    escalations: Mapping[tuple[IncidentId, ContactRole], Sequence[LiveEscalation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
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
    )


def write_letter(
    notice: ClaimedNotice,
    matters: Matters,
    *,
    templates: TemplateSet,
    links: Links,
    sender: Sender,
) -> Letter | None:
    """
    Write one message; None when there is nothing left to say.

    Raises:
        Broken: A template does not fit.

    """
    record = matters.incidents[notice.incident]
    attachment = None
    told: tuple[int, ...] = ()
    context: NoticeContext | EscalationContext
    if notice.kind is NoticeKind.ESCALATION:
        live = matters.escalations[notice.incident, notice.to.role]
        if not live:
            return None
        context = _to_staff(notice, record, live)
        told = tuple(one.escalation_id for one in live)
    else:
        subscriber = notice.to.subscriber
        sample = None if subscriber is None else matters.samples.get(subscriber)
        if subscriber is None or sample is None:
            return None
        if sample.is_revoked and notice.kind is not NoticeKind.INITIAL:
            return None  # too late to remind; a first notice still has to be read
        context = _to_subscriber(
            notice,
            record,
            sample,
            links.sign(_claims(notice, record, subscriber)),
            sender,
        )
        if context.more:
            attachment = certificate_list(_lines(sample.certificates))
    rendered = render_notice(
        templates, kind=notice.kind, language=notice.to.language, context=context
    )
    content = assemble(
        rendered,
        sender_name=sender.name,
        sender_address=sender.address,
        recipient_name=notice.to.name,
        recipient_address=notice.to.email,
        message_id=notice.message_id,
        references=notice.thread,
        date=notice.planned_at,
        attachment=attachment,
    )
    return Letter(
        message=OutgoingMessage(
            notice_id=notice.notice_id,
            sender=sender.return_path(notice.verp_token),
            recipient=notice.to.email,
            content=content,
        ),
        escalations=told,
    )


def _claims(
    notice: ClaimedNotice, record: IncidentRecord, subscriber: SubscriberId
) -> LinkClaims:
    return LinkClaims(
        incident=notice.incident,
        subscriber=subscriber,
        contact=notice.to.contact,
        purpose=SUBSCRIBER,
        generation=notice.to.token_generation,
        expires_at=record.deadline + LINK_VALID_WITHIN,
    )


def _to_subscriber(
    notice: ClaimedNotice,
    record: IncidentRecord,
    sample: CertificateSample,
    token: str,
    sender: Sender,
) -> NoticeContext:
    rule = _rule(record.rule_pack, record.circumstance)
    zone, language = notice.to.zone, notice.to.language
    return NoticeContext(
        incident_title=record.title,
        circumstance=rule.text,
        source=rule.source,
        subscriber=notice.to.subscriber_name,
        contact_name=notice.to.name,
        certificates=_lines(sample.first),
        more=sample.total - len(sample.first),
        total=sample.total,
        without_csr=sample.without_csr,
        is_revoked=sample.is_revoked,
        revocation=_instant(sample.revocation_time, zone, language),
        deadline=_instant(record.deadline, zone, language),
        link=f"{sender.portal_url}/s/{token}",
        ca_name=sender.ca_name,
        ca_phone=sender.ca_phone,
        ca_site=sender.ca_site,
    )


@lru_cache(maxsize=4096)
def _instant(at: datetime, zone: str, language: str) -> Instant:
    """Write an instant out; a few of them stand in thousands of notices."""
    return instant(at, zone, language)


@lru_cache(maxsize=16)
def _rule(pack: str, circumstance: Circumstance) -> Rule:
    """Return a rule of a frozen pack, read once and not for each notice."""
    return parse_rule_pack(pack).rule(circumstance)


def _to_staff(
    notice: ClaimedNotice, record: IncidentRecord, live: Sequence[LiveEscalation]
) -> EscalationContext:
    zone, language = notice.to.zone, notice.to.language
    shown = live[:ESCALATIONS_SHOWN]
    return EscalationContext(
        incident_title=record.title,
        contact_name=notice.to.name,
        role=notice.to.role.value.replace("-", " "),
        rows=tuple(
            EscalationLine(
                subscriber=one.subscriber,
                sector=one.sector,
                cause=_CAUSES[one.cause],
                step=one.step,
                certificates=one.certificates,
                missing=one.missing,
                since=_instant(one.raised_at, zone, language).local,
            )
            for one in shown
        ),
        more=len(live) - len(shown),
        total=len(live),
        revocation=_instant(record.facts.revocation_starts_at, zone, language),
        deadline=_instant(record.deadline, zone, language),
        prefect_hint=f"the artifacts of incident {record.id} in Prefect",
    )


def _lines(certificates: Sequence[ListedCertificate]) -> tuple[CertificateLine, ...]:
    return tuple(
        CertificateLine(
            name=one.name,
            serial=one.serial,
            not_after=f"{one.not_after:%Y-%m-%d}" if one.not_after else "",
        )
        for one in certificates
    )
