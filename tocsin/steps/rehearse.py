"""Writes a notice that nobody gets, or nobody but the CA's own people, to be looked at."""

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Engine

from models.terms import (
    Circumstance,
    ContactId,
    ContactRole,
    EscalationCause,
    IncidentId,
    IncidentState,
    NoticeId,
    NoticeKind,
    ReplyId,
    ReplyKind,
    ScopeChangeId,
    SubscriberId,
)
from tocsin.ca.backend import CaBackend
from tocsin.clock import Clock
from tocsin.errors import Broken
from tocsin.links import Links
from tocsin.mail.messages import Mailer, OutgoingMessage, SendOutcome
from tocsin.mail.render import TemplateSet
from tocsin.policy.rules import shipped_rule_pack
from tocsin.steps.launch import plan_incident
from tocsin.steps.letters import (
    Letter,
    Matters,
    Sender,
    read_matters,
    write_letter,
)
from tocsin.store import audit
from tocsin.store.contact_changes import Change
from tocsin.store.incidents import IncidentRecord, frozen_templates, read_incident
from tocsin.store.matters import (
    FIRST,
    CertificateSample,
    ListedCertificate,
    LiveEscalation,
    WithdrawnSample,
    certificate_samples,
)
from tocsin.store.outbox import ClaimedNotice, Recipient
from tocsin.store.recipients import recipient, thread_of
from tocsin.store.session import reading, writing

_NOBODYS = NoticeId(0)
"""No row has it: what is written here is on record nowhere as a notice."""

_SAMPLE_OF = 7
"""Certificates of the made-up subscriber: more than a mail names itself."""


def dead_links() -> Links:
    """Return links that look as real ones do and that no portal accepts."""
    return Links([secrets.token_urlsafe(48)])


def preview_letter(
    engine: Engine,
    *,
    incident: IncidentId,
    contact: ContactId,
    kind: NoticeKind,
    language: str | None,
    backend: CaBackend,
    templates: TemplateSet,
    links: Links,
    sender: Sender,
    now: datetime,
) -> Letter | None:
    """
    Write a notice as a contact would get it now; nothing is planned, sent or recorded.

    Args:
        engine: The database.
        incident: Running, or a draft that would be launched now.
        contact: Who would get it.
        kind: Which.
        language: Instead of the subscriber's; None: theirs.
        backend: Its rate tells when a draft's revocation would start.
        templates: Those of a draft; a running incident has its own (I7).
        links: What signs the link; those of ``dead_links`` unless it shall work.
        sender: Who the mail comes from.
        now: The present instant, UTC.

    Returns:
        None when there would be nothing left to say.

    Raises:
        BadInput: There is no such incident or contact.
        Broken: A template does not fit.

    """
    with reading(engine) as connection:
        record = read_incident(connection, incident=incident)
        to = recipient(connection, incident=incident, contact=contact)
        thread = thread_of(connection, contact=contact)
    if language is not None:
        to = to._replace(language=language)
    notice = _notice(incident, kind, to, sender=sender, thread=thread, now=now)
    if record.state is IncidentState.DRAFT:
        plan = plan_incident(engine, incident=incident, backend=backend, now=now)
        record = replace(record, launched_at=now, revocation_starts_at=plan.starts_at)
        with reading(engine) as connection:
            matters = Matters(
                incidents={incident: record},
                samples=certificate_samples(
                    connection,
                    subscribers=[to.subscriber] if to.subscriber is not None else [],
                    unscheduled_at=plan.starts_at,
                ),
                escalations={(incident, to.role): ()},
            )
    else:
        with reading(engine) as connection:
            matters = read_matters(connection, [notice])
            templates = TemplateSet.from_sources(
                frozen_templates(connection, incident=incident)
            )
    return write_letter(
        notice, matters, templates=templates, links=links, sender=sender
    )


def record_working_link(
    engine: Engine,
    *,
    incident: IncidentId,
    contact: ContactId,
    actor: str,
    clock: Clock,
) -> None:
    """Put on record that somebody had a contact's own link made (I5)."""
    with writing(engine) as connection:
        audit.append(
            connection,
            incident=incident,
            at=clock.now(),
            actor=actor,
            action="working-link-shown",
            detail={"contact": contact},
        )


def send_test(
    mailer: Mailer,
    *,
    to: str,
    kind: NoticeKind,
    language: str,
    templates: TemplateSet,
    sender: Sender,
    zone: str,
    now: datetime,
) -> SendOutcome:
    """
    Send a made-up notice through the relay; nothing is recorded.

    Its subject says that it is a test, its link leads nowhere, and what comes back of
    it is attributed to no notice.

    Args:
        mailer: The relay.
        to: One address.
        kind: Which notice.
        language: A language tag.
        templates: Those that a new incident would have.
        sender: Who the mail comes from.
        zone: The reader's.
        now: The present instant, UTC.

    Raises:
        Broken: A template does not fit.

    """
    message = sample_message(
        to=to,
        kind=kind,
        language=language,
        templates=templates,
        sender=sender,
        zone=zone,
        now=now,
    )
    return next(iter(list(mailer.send([message]))))


def sample_message(
    *,
    to: str,
    kind: NoticeKind,
    language: str,
    templates: TemplateSet,
    sender: Sender,
    zone: str,
    now: datetime,
) -> OutgoingMessage:
    """Write a notice about made-up certificates, marked as a test."""
    incident = IncidentId("test")
    is_staff = kind is NoticeKind.ESCALATION
    reader = Recipient(
        contact=ContactId(0),
        name="",
        email=to,
        role=ContactRole.COMPLIANCE_LEAD if is_staff else ContactRole.SUBSCRIBER,
        rank=1,
        token_generation=0,
        subscriber=None if is_staff else SubscriberId(0),
        subscriber_name="" if is_staff else "Harbour Clinic",
        zone=zone,
        language=language,
    )
    notice = _notice(incident, kind, reader, sender=sender, thread=None, now=now)
    letter = write_letter(
        notice,
        _sample_matters(incident, zone=zone, now=now),
        templates=templates,
        links=dead_links(),
        sender=sender,
        is_test=True,
    )
    if letter is None:  # the sample has something to say to everybody
        raise Broken(f"the sample says nothing in a notice of kind {kind}")
    return letter.message


def _notice(
    incident: IncidentId,
    kind: NoticeKind,
    to: Recipient,
    *,
    sender: Sender,
    thread: str | None,
    now: datetime,
) -> ClaimedNotice:
    domain = sender.address.rpartition("@")[2]
    return ClaimedNotice(
        notice_id=_NOBODYS,
        incident=incident,
        kind=kind,
        sequence=0,
        message_id=f"<{secrets.token_hex(12)}@{domain}>",
        thread=thread,
        verp_token=f"test{secrets.token_hex(8)}",
        attempts=0,
        is_repeat=False,
        planned_at=now.replace(microsecond=0),
        to=to,
    )


_SAMPLE_CHANGE = Change(
    kind=ReplyKind.CHANGE_CONTACT,
    by=ContactId(0),
    by_name="Chan Tai Man",
    contact=ContactId(0),
    name="Wong Ka Yan",
    email="wong@clinic.example",
    leaves=None,
    leaves_name="",
    leaves_email="",
    had_effect=False,
)


def _sample_matters(incident: IncidentId, *, zone: str, now: datetime) -> Matters:
    whole_hour = now.replace(minute=0, second=0, microsecond=0)
    starts_at = whole_hour + timedelta(days=2)
    pack = shipped_rule_pack()
    rule = pack.rule(Circumstance.MISISSUED)
    return Matters(
        incidents={
            incident: IncidentRecord(
                id=incident,
                title="A test of this mail",
                state=IncidentState.RUNNING,
                circumstance=rule.circumstance,
                reason=rule.reason,
                is_drill=False,
                zone=zone,
                made_aware_at=starts_at - timedelta(days=4),
                deadline=starts_at + timedelta(hours=6),
                drafted_at=now,
                launched_at=now - timedelta(days=1),
                revocation_starts_at=starts_at,
                closed_at=None,
                plan={},
                rule_pack=pack.text,
                ladder="",
            )
        },
        samples={
            SubscriberId(0): CertificateSample(
                certificates=tuple(
                    ListedCertificate(
                        name=f"host-{number}.clinic.example",
                        serial=f"{number:032x}",
                        not_after=starts_at + timedelta(days=90),
                    )
                    for number in range(1, _SAMPLE_OF + 1)
                ),
                is_revoked=False,
                without_csr=FIRST,
                revocation_time=starts_at,
            )
        },
        contact_changes={ReplyId(0): _SAMPLE_CHANGE},
        withdrawn={
            (ScopeChangeId(0), SubscriberId(0)): WithdrawnSample(
                certificates=(
                    ListedCertificate(
                        name="host-1.clinic.example",
                        serial=f"{1:032x}",
                        not_after=starts_at + timedelta(days=90),
                    ),
                ),
                remaining=_SAMPLE_OF - 1,
                reason="It was on the list by mistake",
            )
        },
        escalations={
            (incident, ContactRole.COMPLIANCE_LEAD): (
                LiveEscalation(
                    escalation_id=0,
                    subscriber="Harbour Clinic",
                    sector="Medical and Health",
                    cause=EscalationCause.CSR_MISSING,
                    step="",
                    certificates=_SAMPLE_OF,
                    missing=FIRST,
                    raised_at=whole_hour,
                    raised_times=1,
                    acknowledged_by=None,
                ),
            )
        },
    )
