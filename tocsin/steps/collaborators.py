"""Builds what a run needs from the settings, once, for every entry point that acts."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from tocsin.ca.factory import open_ca
from tocsin.clock import Clock
from tocsin.links import Links, read_secrets
from tocsin.mail.render import TemplateSet
from tocsin.mail.smtp import SmtpMailer
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.send import Sender
from tocsin.store.session import migrate, open_engine


@contextmanager
def open_database(settings: Settings) -> Iterator[Engine]:
    """Open the database, its schema up to date."""
    engine = open_engine(settings.database)
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()


def mailer_of(settings: Settings) -> SmtpMailer:
    """Return the way to the relay."""
    password = settings.smtp_password
    host, port = settings.relay
    return SmtpMailer(
        host,
        port,
        tls=settings.smtp_tls,
        username=settings.smtp_username,
        password=password.get_secret_value() if password else None,
        connections=settings.smtp_connections,
    )


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
            bounces=settings.bounces,
            links=Links(read_secrets(settings.link_secrets)),
            sender=sender_of(settings),
            clock=clock,
            owner=owner or f"{socket.gethostname()[:40]}-{os.getpid()}",
        )


def sender_of(settings: Settings) -> Sender:
    """Return who the mail comes from."""
    return Sender(
        address=settings.mail_from,
        name=settings.ca_name,
        bounce_domain=settings.bounce_domain,
        portal_url=settings.public_portal,
        ca_name=settings.ca_name,
        ca_phone=settings.ca_phone,
        ca_site=settings.ca_site,
    )


def current_templates(settings: Settings) -> TemplateSet:
    """Return the templates that a new incident would be frozen with."""
    return TemplateSet.from_files(settings.template_directory)
