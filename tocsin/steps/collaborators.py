"""Builds what a run needs from the settings, once, for every entry point that acts."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Engine

from tocsin.alarms import read_channels
from tocsin.ca.factory import open_ca
from tocsin.clock import Clock
from tocsin.links import Links, read_secrets
from tocsin.mail.dial import default_context
from tocsin.mail.dkim import DkimSigner
from tocsin.mail.imap import ImapMailbox
from tocsin.mail.incoming import Mailbox
from tocsin.mail.maildir import MaildirReader
from tocsin.mail.render import TemplateSet
from tocsin.mail.smtp import SmtpMailer
from tocsin.policy.sending import SendingRules
from tocsin.policy.wire import AddressRules, parse_networks
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.send import Sender
from tocsin.steps.watchdog import Heartbeat
from tocsin.store.session import migrate, open_engine
from tocsin.wire import Wire


@contextmanager
def open_database(settings: Settings) -> Iterator[Engine]:
    """Open the database, its schema up to date."""
    engine = open_engine(settings.database)
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()


@contextmanager
def open_collaborators(
    settings: Settings, *, clock: Clock, owner: str | None = None
) -> Iterator[Collaborators]:
    """
    Build everything that acts.

    Args:
        settings: What the operator set.
        clock: Tells now.
        owner: A name in leases; None: host and process.

    """
    ca = open_ca(settings, clock=clock)
    with open_database(settings) as engine:
        yield Collaborators(
            engine=engine,
            backend=ca.backend,
            publication=ca.publication,
            mailer=mailer_of(settings),
            mailboxes=mailboxes_of(settings),
            journals=settings.journals,
            links=Links(read_secrets(settings.link_secrets)),
            sender=sender_of(settings),
            clock=clock,
            owner=owner or f"{socket.gethostname()[:40]}-{os.getpid()}",
            channels=None
            if settings.alarm_urls_file is None
            else read_channels(settings.alarm_urls_file),
            watchdog=Heartbeat(
                grace=timedelta(seconds=settings.watchdog_grace_seconds),
                file=settings.watchdog_heartbeat,
                url=settings.watchdog_url,
            ),
            rules=rules_of(settings),
        )


def rules_of(settings: Settings) -> SendingRules:
    """Return what the operator set about sending."""
    return SendingRules(
        in_doubt=settings.mail_in_doubt,
        per_address=settings.mails_per_address,
        pause_from=settings.pause_from,
        pause_share=settings.pause_share,
        pause_within=timedelta(minutes=settings.pause_within_minutes),
        probe_every=timedelta(minutes=settings.probe_every_minutes),
        alarm_after=timedelta(minutes=settings.alarm_after_minutes),
    )


def mailer_of(settings: Settings) -> SmtpMailer:
    """Build what sends; it connects when there is something to send."""
    password = settings.smtp_password
    host, port = settings.relay
    return SmtpMailer(
        host,
        port,
        tls=settings.smtp_tls,
        tls_context=default_context(
            settings.smtp_tls,
            is_verified=settings.smtp_verify,
            ca_file=settings.smtp_ca_file,
        ),
        username=settings.smtp_username,
        password=password.get_secret_value() if password else None,
        local_hostname=settings.smtp_hello or settings.bounce_domain,
        connections=settings.smtp_connections,
        per_connection=settings.smtp_per_connection,
        per_second=settings.smtp_per_second,
        per_domain_per_second=settings.smtp_domain_per_second,
        timeout_seconds=settings.smtp_timeout_seconds,
        signer=_signer_of(settings),
    )


def _signer_of(settings: Settings) -> DkimSigner | None:
    if settings.dkim_key_file is None:
        return None
    return DkimSigner.from_file(
        settings.dkim_key_file,
        domain=settings.dkim_domain or settings.mail_from.rpartition("@")[2],
        selector=settings.dkim_selector,
    )


def sender_of(settings: Settings) -> Sender:
    """Return who the mail comes from."""
    return Sender(
        address=settings.mail_from,
        name=settings.ca_name,
        reply_to=settings.mail_reply_to,
        bounce_domain=settings.bounce_domain,
        portal_url=settings.public_portal,
        ca_name=settings.ca_name,
        ca_phone=settings.ca_phone,
        ca_site=settings.ca_site,
    )


def mailboxes_of(settings: Settings) -> list[Mailbox]:
    """Return where mail comes in: the maildir, and the IMAP mailbox if there is one."""
    mailboxes: list[Mailbox] = [MaildirReader(settings.bounces)]
    if settings.imap_host is not None:
        mailboxes.append(
            ImapMailbox(
                settings.imap_host,
                settings.imap_port,
                tls=settings.imap_tls,
                username=settings.imap_username,
                password=settings.imap_password.get_secret_value(),
                folder=settings.imap_folder,
                largest=settings.max_mail_bytes,
            )
        )
    return mailboxes


def current_templates(settings: Settings) -> TemplateSet:
    """Return the templates that a new incident would be frozen with."""
    return TemplateSet.from_files(settings.template_directory)


def wire_of(settings: Settings) -> Wire:
    """
    Build what looks at hosts.

    Raises:
        BadInput: A network in the settings is none.

    """
    return Wire(
        AddressRules(
            own=parse_networks(
                settings.wire_own_networks, field="TOCSIN_WIRE_OWN_NETWORKS"
            ),
            allowed=parse_networks(
                settings.wire_allowed_networks, field="TOCSIN_WIRE_ALLOWED_NETWORKS"
            ),
        ),
        port=settings.wire_port,
        seconds=settings.wire_seconds,
    )
