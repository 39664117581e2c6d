"""Puts together what an officer sees before launching; nothing is launched or sent."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Engine

from models.terms import IncidentId, NoticeKind, Reason
from tocsin.ca.backend import CaBackend
from tocsin.errors import BadInput
from tocsin.mail.checks import check_templates
from tocsin.mail.render import (
    CertificateLine,
    NoticeContext,
    TemplateSet,
    render_notice,
)
from tocsin.policy.facts import IncidentFacts
from tocsin.policy.ladder import Ladder, parse_ladder
from tocsin.policy.revocation import RevocationPlan
from tocsin.policy.rules import Rule, parse_rule_pack
from tocsin.reports.preview import Aside, Moment, Preview, SampleNotice
from tocsin.settings import Settings
from tocsin.steps.intake import Imported
from tocsin.steps.launch import plan_incident, timetable_of
from tocsin.store import incidents
from tocsin.store.imports import DraftFigures, draft_figures, findings
from tocsin.store.incidents import IncidentRecord
from tocsin.store.intents import missing_roles
from tocsin.store.samples import SampleRecipient, sample_recipient
from tocsin.store.session import reading

_ASIDES = 20
_TO_SUBSCRIBERS = (NoticeKind.INITIAL, NoticeKind.REMINDER, NoticeKind.FINAL)


def preview_incident(
    engine: Engine,
    *,
    incident: IncidentId,
    imported: Imported,
    backend: CaBackend,
    templates: TemplateSet,
    settings: Settings,
    now: datetime,
) -> Preview:
    """
    Say what came in, what would happen if it were launched now, and what is odd.

    Raises:
        BadInput: A template is broken; found here, before the first mail.

    """
    if broken := check_templates(templates):
        raise BadInput(f"templates: {'; '.join(broken[:3])}. See `templates check`.")
    plan = plan_incident(engine, incident=incident, backend=backend, now=now)
    with reading(engine) as connection:
        record = incidents.read_incident(connection, incident=incident)
        figures = draft_figures(connection, incident=incident, now=now)
        sample = sample_recipient(connection, incident=incident)
        ladder = parse_ladder(record.ladder)
        unstaffed = missing_roles(connection, incident=incident, roles=ladder.roles)
        conflicts = [
            finding
            for finding in findings(connection, incident=incident, limit=2 * _ASIDES)
            if finding.outcome != "set-aside"
        ]
    rule = parse_rule_pack(record.rule_pack).rule(record.circumstance)
    warnings = [*_warnings(figures, imported, plan, backend, rule.reason)]
    if unstaffed:
        warnings.append(
            f"Nobody in the directory is {', '.join(unstaffed)}: escalations to them "
            "stand on the dashboards only."
        )
    return Preview(
        incident=incident,
        title=record.title,
        circumstance=rule.text,
        source=rule.source,
        reason=rule.reason.label,
        zone=record.zone,
        made_aware_at=record.made_aware_at,
        deadline=record.deadline,
        is_past=record.deadline <= now,
        entries=figures.entries,
        accepted=figures.accepted,
        duplicates=figures.duplicates,
        set_aside=figures.set_aside,
        certificates=figures.certificates,
        certificates_of_nobody=figures.without_subscriber,
        certificates_without_contact=figures.without_contact,
        subscribers=figures.subscribers,
        subscribers_without_contacts=figures.subscribers_without_contacts,
        contacts=imported.contacts,
        contacts_duplicate=imported.contacts_duplicate,
        contacts_without_address=imported.without_address,
        contacts_set_aside=imported.contacts_set_aside,
        directory_rows=imported.directory_rows,
        warnings=tuple(warnings),
        notes=imported.notes,
        asides=tuple(
            Aside(
                file=problem.file,
                row=problem.row,
                field=problem.field or "",
                finding=problem.finding,
            )
            for problem in imported.problems[:_ASIDES]
        )
        + tuple(
            Aside(file=one.file, row=one.row, field="", finding=one.finding)
            for one in conflicts[:_ASIDES]
        ),
        plan=plan.explain,
        starts_at=plan.starts_at,
        timetable=_timetable(ladder, record, plan, now),
        notices=tuple(
            _samples(
                sample,
                rule=rule,
                record=record,
                plan=plan,
                templates=templates,
                settings=settings,
            )
        ),
    )


def _warnings(
    figures: DraftFigures,
    imported: Imported,
    plan: RevocationPlan,
    backend: CaBackend,
    reason: Reason,
) -> Iterator[str]:
    yield from _warnings_of_revocation(figures, plan, backend)
    able = backend.capabilities
    if reason not in able.keeps_reasons:
        yield (
            f"The CA backend {able.name} does not publish the reason {reason.label}: "
            "what it revokes will stand in the CRL without it (TLS BR 7.2.2)."
        )
    yield from _warnings_of_input(figures, imported)
    for overlap in figures.overlaps:
        yield (
            f"{_spell(overlap.certificates, 'certificate')} also in incident "
            f"{overlap.incident} ({overlap.title}): whichever time is earlier counts, "
            "and people may hear of both."
        )


def _warnings_of_revocation(
    figures: DraftFigures, plan: RevocationPlan, backend: CaBackend
) -> Iterator[str]:
    if not figures.certificates:
        yield "There is no certificate to revoke: nothing can be launched."
    if plan.is_late:
        yield "Not everything can be published by the deadline: disclose the delay now."
    for issuer in figures.issuers:
        if not backend.knows_issuer(issuer.issuer_key):
            yield (
                f"The CA backend does not know the issuer {issuer.name}: "
                f"{_spell(issuer.certificates, 'certificate')} cannot be revoked there. "
                "`tocsin backend check` lists its issuers."
            )


def _warnings_of_input(figures: DraftFigures, imported: Imported) -> Iterator[str]:
    if imported.conflicts:
        yield (
            f"{_spell(imported.conflicts, 'entry', 'entries')} with an earlier one that "
            "says otherwise (two subscribers, or two certificates with one serial): the "
            "first was kept; see below."
        )
    if imported.set_aside:
        yield (
            f"{_spell(imported.set_aside, 'entry', 'entries')} set aside; see the "
            "reasons below."
        )
    if figures.without_subscriber:
        yield (
            f"{_spell(figures.without_subscriber, 'certificate')} that nobody is known "
            "for: to be revoked without a word to anybody."
        )
    if figures.subscribers_without_contacts:
        yield (
            f"{_spell(figures.subscribers_without_contacts, 'subscriber')} without any "
            "contact: straight to an escalation."
        )
    if figures.already_expired:
        yield f"{_spell(figures.already_expired, 'certificate')} expired already."


def _spell(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _timetable(
    ladder: Ladder, record: IncidentRecord, plan: RevocationPlan, now: datetime
) -> tuple[Moment, ...]:
    facts = IncidentFacts(
        launched_at=now,
        revocation_starts_at=plan.starts_at,
        deadline=record.deadline,
    )
    return tuple(
        Moment(at=moment.at, name=moment.name)
        for moment in timetable_of(ladder, facts, plan.count)
    )


def _samples(
    sample: SampleRecipient | None,
    *,
    rule: Rule,
    record: IncidentRecord,
    plan: RevocationPlan,
    templates: TemplateSet,
    settings: Settings,
) -> Iterator[SampleNotice]:
    if sample is None:
        return
    language = templates.wording(_TO_SUBSCRIBERS[0], sample.language).language
    context = NoticeContext(
        incident_title=record.title,
        circumstance=language.circumstance(rule.circumstance, otherwise=rule.text),
        source=rule.source,
        subscriber=sample.subscriber,
        contact_name=sample.contact,
        certificates=tuple(
            CertificateLine(
                name=name,
                serial=serial,
                not_after=f"{not_after:%Y-%m-%d}" if not_after else "",
            )
            for name, serial, not_after in sample.certificates
        ),
        more=max(0, sample.total - len(sample.certificates)),
        total=sample.total,
        without_csr=sample.total,
        is_revoked=False,
        revocation=language.instant(plan.starts_at, sample.zone),
        deadline=language.instant(record.deadline, sample.zone),
        link=f"{settings.public_portal}/s/(each contact's own link)",
        ca_name=settings.ca_name,
        ca_phone=settings.ca_phone,
        ca_site=settings.ca_site,
    )
    for kind in _TO_SUBSCRIBERS:
        rendered = render_notice(
            templates, kind=kind, language=sample.language, context=context
        )
        yield SampleNotice(
            kind=kind.value,
            recipient=sample.subscriber,
            subject=rendered.subject,
            text=rendered.text,
        )
