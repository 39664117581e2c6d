"""`tocsin reply`: what people wrote back by mail, for the officers to read."""

import dataclasses
import json
from datetime import UTC
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.terms import IncidentId, MailReplyId
from tocsin.policy.mail import MailReplyView
from tocsin.settings import read_settings
from tocsin.steps.collaborators import open_database
from tocsin.store.mail import mail_replies, read_mail_reply
from tocsin.store.session import reading

app = typer.Typer(
    help="What people wrote back by mail, and programs that say who left.",
    no_args_is_help=True,
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
_WIDTH = 60


@app.command("list")
def list_replies(
    incident: Annotated[
        str | None,
        typer.Argument(help="The incident's key; left out: all.", metavar="[ID]"),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Delays, confirmations and the like, too.")
    ] = False,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 50,
    as_json: _Json = False,
) -> None:
    """List what came in, the newest first."""
    with open_database(read_settings()) as engine, reading(engine) as connection:
        found = mail_replies(
            connection,
            incident=IncidentId(incident) if incident else None,
            limit=limit,
            everything=everything,
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(found), default=str, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{found.people:,} written by people, {found.extensions:,} of them asking for "
        f"more time; {found.departures:,} say that somebody left",
        style="bold",
    )
    if found.unattributed:
        console.print(f"{found.unattributed:,} by people nobody knows: read them first")
    if found.private_keys:
        console.print(
            f"{found.private_keys:,} held a PRIVATE KEY: a key compromise each. The key "
            "was not kept here; the mailbox still has it.",
            style="bold",
        )
    table = Table(box=None, pad_edge=False)
    for heading in ("No.", "Received (UTC)", "What", "Subscriber", "Says"):
        table.add_column(heading, justify="right" if heading == "No." else "left")
    for row in found.rows:
        table.add_row(
            str(row.key),
            f"{row.received_at.astimezone(UTC):%Y-%m-%d %H:%M}",
            escape(", ".join([row.kind.value, *row.topics])),
            escape(row.subscriber_name or "nobody knows whose"),
            escape(_first_words(row)),
        )
    console.print(table)
    if found.total > len(found.rows):
        console.print(f"and {found.total - len(found.rows):,} more: --limit shows them")
    if found.rows:
        console.print(f"\nNext: tocsin reply show {found.rows[0].key}")


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="Its number in the list.")],
    *,
    as_json: _Json = False,
) -> None:
    """Show one message, without what it quoted."""
    with open_database(read_settings()) as engine, reading(engine) as connection:
        view = read_mail_reply(connection, key=MailReplyId(number))
    if as_json:
        print(json.dumps(dataclasses.asdict(view), default=str, indent=2))
        return
    whose = view.subscriber_name or "nobody knows whose"
    print(
        f"From:       {view.sender or 'nobody'}{'' if view.is_from_contact else ' (not the address we wrote to)'}"
    )
    print(f"Received:   {view.received_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    print(f"Subscriber: {whose}{f', contact {view.contact}' if view.contact else ''}")
    print(f"What:       {', '.join([view.kind.value, *view.topics])}")
    answered = view.answered_with or "not answered by us"
    print(f"Answer:     {answered}")
    for one in view.attachments:
        print(f"Attached:   {one.name or '(no name)'}, {one.kind}, {one.size:,} bytes")
    print(f"Subject:    {view.subject}\n\n{view.text}")
    if view.is_cut:
        print("\n[There is more of it in the mailbox.]")


def _first_words(view: MailReplyView) -> str:
    words = " ".join((view.text or view.subject).split())
    return words if len(words) <= _WIDTH else f"{words[: _WIDTH - 1]}…"
