"""Sends what the desk has to say to the CA's own people: claimed, sent, put on record (I4)."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine

from models.terms import NoticeId, OfficeMailKind, OfficeMailState, ScopeState
from tocsin.clock import Clock
from tocsin.links import Links
from tocsin.mail.messages import Mailer, OutgoingMessage, SendKind, SendOutcome
from tocsin.mail.office import (
    ApprovalContext,
    OfficeContext,
    ScopeContext,
    SignInContext,
    render_office_mail,
    when,
)
from tocsin.mail.skeleton import assemble
from tocsin.policy.office import Officer, Officers
from tocsin.policy.scope import effects
from tocsin.steps.letters import Sender
from tocsin.steps.sign_in import path_in
from tocsin.steps.signing_links import change_of, path_to_sign
from tocsin.store import office, scope
from tocsin.store.drafts import read_draft
from tocsin.store.incidents import IncidentRecord, read_incident
from tocsin.store.named import named_certificates
from tocsin.store.office import MailToOfficer
from tocsin.store.session import reading, writing

log = structlog.get_logger()

_LANGUAGE = "en"


def send_office_mail(
    engine: Engine,
    mailer: Mailer,
    links: Links,
    sender: Sender,
    officers: Officers,
    *,
    zone: str,
    clock: Clock,
) -> int:
    """
    Send what is planned, once; say how many mails the relay took.

    A mail whose end nobody saw is not sent again: whoever waits for it asks again.

    Args:
        engine: The database.
        mailer: The relay.
        links: Signs the ways in.
        sender: Who the mail comes from, and where the desk is.
        officers: Where the mail goes.
        zone: IANA zone of the CA's office.
        clock: Tells now.

    """
    with writing(engine) as connection:
        claimed = office.claim_mail(connection, now=clock.now())
    if not claimed:
        return 0
    with reading(engine) as connection:
        messages = list(
            _messages(connection, claimed, links, sender, officers, zone=zone)
        )
    outcomes: Sequence[SendOutcome] = ()
    try:
        outcomes = list(mailer.send(messages))
    except Exception:
        log.exception("Mail of the officers' desk cannot be sent", mails=len(messages))
    _record(engine, claimed, outcomes, now=clock.now())
    return sum(outcome.kind is SendKind.SENT for outcome in outcomes)


def _record(
    engine: Engine,
    claimed: Sequence[MailToOfficer],
    outcomes: Sequence[SendOutcome],
    *,
    now: datetime,
) -> None:
    ended = {int(outcome.notice_id): outcome for outcome in outcomes}
    with writing(engine) as connection:
        for mail in claimed:
            outcome = ended.get(mail.mail)
            is_sent = outcome is not None and outcome.kind is SendKind.SENT
            office.record_mail_outcome(
                connection,
                mail=mail.mail,
                state=OfficeMailState.SENT if is_sent else OfficeMailState.FAILED,
                detail=outcome.detail if outcome else "not sent",
                now=now,
            )
    failed = len(claimed) - sum(one.kind is SendKind.SENT for one in outcomes)
    if failed:
        log.error("Mail of the officers' desk was not taken", mails=failed)


def _messages(
    connection: Connection,
    claimed: Sequence[MailToOfficer],
    links: Links,
    sender: Sender,
    officers: Officers,
    *,
    zone: str,
) -> Iterator[OutgoingMessage]:
    for mail in claimed:
        officer = officers.find(mail.address_key)
        if officer is None:
            continue  # left the list since
        context = _context(connection, mail, officer, links, sender, zone=zone)
        if context is None:
            continue  # nothing waits for a signature any more
        rendered = render_office_mail(context)
        domain = sender.address.rpartition("@")[2]
        yield OutgoingMessage(
            notice_id=NoticeId(mail.mail),
            sender=sender.address,
            recipient=officer.email,
            content=assemble(
                rendered,
                language=_LANGUAGE,
                sender_name=sender.name,
                sender_address=sender.address,
                recipient_name=officer.name,
                recipient_address=officer.email,
                message_id=f"<desk.{mail.mail}.{mail.asked_at:%Y%m%d%H%M%S}@{domain}>",
                references=None,
                date=mail.asked_at,
            ),
        )


def _context(
    connection: Connection,
    mail: MailToOfficer,
    officer: Officer,
    links: Links,
    sender: Sender,
    *,
    zone: str,
) -> OfficeContext | None:
    if mail.kind is OfficeMailKind.SIGN_IN or mail.incident is None:
        return SignInContext(
            name=officer.name,
            link=sender.portal_url + path_in(links, mail.mail, mail.expires_at),
            until=when(mail.expires_at, zone),
            ca_name=sender.ca_name,
        )
    incident = read_incident(connection, incident=mail.incident)
    if mail.kind is OfficeMailKind.SCOPE:
        return _call_to_sign(
            connection, mail, officer, links, sender, incident=incident, zone=zone
        )
    draft = read_draft(connection, incident=mail.incident)
    return ApprovalContext(
        name=officer.name,
        asked_by=(draft.asked_by or "" if draft else "").removeprefix("officer:"),
        title=incident.title,
        deadline=when(incident.deadline, zone),
        link=sender.portal_url + mail.leads_to,
        ca_name=sender.ca_name,
    )


def _call_to_sign(
    connection: Connection,
    mail: MailToOfficer,
    officer: Officer,
    links: Links,
    sender: Sender,
    *,
    incident: IncidentRecord,
    zone: str,
) -> ScopeContext | None:
    change = scope.read_change(connection, change=change_of(mail))
    if change is None or change.state is not ScopeState.PROPOSED:
        return None
    certificates = named_certificates(connection, change=change.change)
    return ScopeContext(
        name=officer.name,
        kind=change.kind.value,
        asked_by=change.first.by if change.first else "",
        title=incident.title,
        total=change.named,
        reason=" ".join(change.proposal.reason.split()),
        effects=tuple(
            effects(
                change.proposal,
                certificates,
                deadline=incident.deadline,
                now=mail.asked_at,
            )
        ),
        link=sender.portal_url + path_to_sign(links, mail),
        until=when(mail.expires_at, zone),
        ca_name=sender.ca_name,
    )
