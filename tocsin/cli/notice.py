"""`tocsin notice`: what is sent to people: a look before, a test, and what is kept back."""

import os
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

import typer

from models.terms import ContactId, IncidentId, NoticeKind
from tocsin.ca.factory import open_ca
from tocsin.cli.held import give_up, held, release, resume, waiting
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.links import Links, read_secrets
from tocsin.mail.language import FALLBACK
from tocsin.mail.messages import SendKind
from tocsin.settings import read_settings
from tocsin.steps.collaborators import (
    current_templates,
    mailer_of,
    open_database,
    sender_of,
)
from tocsin.steps.rehearse import (
    dead_links,
    preview_letter,
    record_working_link,
    send_test,
)
from tocsin.store.recipients import first_contact_of
from tocsin.store.session import reading

app = typer.Typer(
    help="Notices: see one as a contact would get it, send yourself a test, decide on "
    "what is kept back.",
    no_args_is_help=True,
)
app.command("waiting")(waiting)
app.command("held")(held)
app.command("release")(release)
app.command("give-up")(give_up)
app.command("resume")(resume)

_Kind = Annotated[NoticeKind, typer.Option(help="Which notice.")]


@app.command()
def preview(
    incident: Annotated[str, typer.Argument(help="The incident's key.")],
    *,
    kind: _Kind,
    out: Annotated[Path, typer.Option(help="Directory to write to.")],
    contact: Annotated[
        int | None, typer.Option(help="The contact's number.", show_default=False)
    ] = None,
    subscriber: Annotated[
        str | None,
        typer.Option(
            help="A subscriber's name: the contact who would be written to first.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="A language tag, instead of the subscriber's own.", show_default=False
        ),
    ] = None,
    with_working_link: Annotated[
        bool,
        typer.Option(
            "--with-working-link",
            help="Let the link act for the contact, as the real one would. That is "
            "put on record. Otherwise it looks the same and leads nowhere.",
        ),
    ] = False,
) -> None:
    """
    Write a notice as .eml and .html, as a contact would get it now.

    By the same way as a sent one; nothing is sent. A draft is shown as if it were
    launched now.
    """
    settings, clock = read_settings(), SystemClock()
    key = IncidentId(incident)
    with open_database(settings) as engine:
        chosen = _chosen(contact, subscriber)
        if isinstance(chosen, str):
            with reading(engine) as connection:
                chosen = first_contact_of(connection, incident=key, subscriber=chosen)
        letter = preview_letter(
            engine,
            incident=key,
            contact=chosen,
            kind=kind,
            language=language,
            backend=open_ca(settings, clock=clock).backend,
            templates=current_templates(settings),
            links=Links(read_secrets(settings.link_secrets))
            if with_working_link
            else dead_links(),
            sender=sender_of(settings),
            now=clock.now(),
        )
        if letter is None:
            print(
                f"A {kind} to contact {chosen} would not be sent: nothing to say now."
            )
            raise typer.Exit(1)
        if with_working_link:
            record_working_link(
                engine, incident=key, contact=chosen, actor="officer", clock=clock
            )
    mail = message_from_bytes(
        letter.message.content, _class=EmailMessage, policy=policy.default
    )
    page = mail.get_body(("html",))
    out.mkdir(parents=True, exist_ok=True)
    name = f"{kind}-{chosen}-{mail['Content-Language']}"
    _write(out / f"{name}.eml", letter.message.content)
    if isinstance(page, EmailMessage):
        _write(out / f"{name}.html", page.get_content().encode("utf-8"))
    attached = ", ".join(part.get_filename() or "" for part in mail.iter_attachments())
    print(f"To:       {mail['To']}")
    print(f"Subject:  {mail['Subject']}")
    print(f"Attached: {attached or 'nothing'}")
    print(f"Size:     {len(letter.message.content):,} bytes")
    print(
        "Link:     works, and acts for this contact: keep these files to yourself"
        if with_working_link
        else "Link:     looks like the real one and leads nowhere"
    )
    print(f"In {out}: {name}.eml, {name}.html. Nothing was sent.")


@app.command("send-test")
def send_test_(
    *,
    to: Annotated[str, typer.Option(help="One address, of your own.")],
    kind: _Kind,
    language: Annotated[
        str, typer.Option(help="A language tag; English where there is none of it.")
    ] = FALLBACK,
) -> None:
    """
    Send a made-up notice through your relay, marked as a test in its subject.

    It is recorded nowhere as a notice, and its link leads nowhere.
    """
    settings = read_settings()
    if to.count("@") != 1 or any(sign in to for sign in " ,;<>"):
        raise BadInput(f"not one address: {to!r}", field="--to")
    ended = send_test(
        mailer_of(settings),
        to=to,
        kind=kind,
        language=language,
        templates=current_templates(settings),
        sender=sender_of(settings),
        zone=settings.zone,
        now=SystemClock().now(),
    )
    host, port = settings.relay
    said = f"{ended.smtp_code or 'no answer'} {ended.detail}".strip()
    if ended.kind is not SendKind.SENT:
        print(f"Not sent ({ended.kind}): the relay {host}:{port} said: {said}")
        raise typer.Exit(1)
    print(f"The relay {host}:{port} took it: {said}")
    if settings.uses_embedded_relay:
        print(
            "That is the embedded relay, which delivers to nobody: look in "
            f"{settings.mailbox / 'outbox'}"
        )
    else:
        print(f"Next: see that it arrived at {to}, and not among the spam.")


def _chosen(contact: int | None, subscriber: str | None) -> ContactId | str:
    """Return the contact's number, or the name of a subscriber."""
    if (contact is None) == (subscriber is None):
        raise BadInput("say who, by exactly one of --contact and --subscriber")
    if contact is not None:
        return ContactId(contact)
    return subscriber or ""


def _write(path: Path, content: bytes) -> None:
    """Write what holds contact details: for the officer alone to read."""
    path.unlink(missing_ok=True)
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
    ) as (file):
        file.write(content)
