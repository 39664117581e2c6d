"""`tocsin call`: whom mail does not reach, what to say to them, and what came of it."""

import dataclasses
import getpass
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.terms import CallOutcome, IncidentId
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.policy.calls import CallSheet
from tocsin.reports.calls import Speaker, sheet_csv, what_to_say
from tocsin.settings import Settings, read_settings
from tocsin.steps.calls import log_call, parse_new_contact
from tocsin.steps.collaborators import open_database
from tocsin.store.calls import call_sheet
from tocsin.store.session import reading

app = typer.Typer(
    help="Telephone whom mail does not reach, and record what came of it.",
    no_args_is_help=True,
)

_Incident = Annotated[str, typer.Argument(help="The incident's key.", metavar="ID")]
_SHOWN = 20
_EVERYTHING = 1_000_000


@app.command()
def sheet(
    incident: _Incident,
    *,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write the whole sheet to this file; - prints it."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for scripts.")
    ] = False,
) -> None:
    """Show whom to telephone: who, why, and what to say."""
    settings = read_settings()
    speaker = _speaker(settings)
    limit = _EVERYTHING if csv or as_json else _SHOWN
    with open_database(settings) as engine, reading(engine) as connection:
        found = call_sheet(connection, incident=IncidentId(incident), limit=limit)
    if as_json:
        print(json.dumps(_plain(found, speaker), default=str, indent=2))
        return
    if csv is not None and str(csv) == "-":
        print(sheet_csv(found, speaker).decode("utf-8-sig"), end="")
        return
    console = Console(highlight=False, soft_wrap=True)
    if csv is not None:
        csv.write_bytes(sheet_csv(found, speaker))
        console.print(f"{len(found.rows):,} subscribers in {escape(str(csv))}")
    else:
        _show(console, found, speaker)
    if found.rows:
        console.print(
            f"Next: tocsin call log {escape(incident)} {found.rows[0].subscriber} "
            "--outcome reached --note '...'"
        )


@app.command("log")
def log_one(
    incident: _Incident,
    subscriber: Annotated[
        str, typer.Argument(help="Its number on the sheet, or its name.")
    ],
    *,
    outcome: Annotated[CallOutcome, typer.Option(help="What came of it.")],
    note: Annotated[str, typer.Option(help="In words, for whoever calls next.")] = "",
    new_contact: Annotated[
        str | None,
        typer.Option(
            "--new-contact", help="Whom they named: 'Name <name@example.org>'."
        ),
    ] = None,
    phone: Annotated[str, typer.Option(help="The new contact's number.")] = "",
    by: Annotated[
        str | None, typer.Option("--by", help="Who called. Default: your login name.")
    ] = None,
) -> None:
    """Record what came of a call; a new contact is written to within a minute."""
    if phone and new_contact is None:
        raise BadInput("whose number? Give --new-contact, too.", field="--phone")
    contact = parse_new_contact(new_contact, phone=phone) if new_contact else None
    with open_database(read_settings()) as engine:
        logged = log_call(
            engine,
            incident=IncidentId(incident),
            subscriber=subscriber,
            outcome=outcome,
            note=note,
            caller=by if by is not None else getpass.getuser(),
            new_contact=contact,
            clock=SystemClock(),
        )
    told = (
        f" Contact {logged.contact} is written to in the next cycle."
        if logged.contact is not None
        else ""
    )
    print(f"Call {logged.call} is on record: {outcome}.{told}")
    print(f"Next: tocsin call sheet {incident}")


def _speaker(settings: Settings) -> Speaker:
    return Speaker(
        ca_name=settings.ca_name, ca_phone=settings.ca_phone, ca_site=settings.ca_site
    )


def _plain(sheet: CallSheet, speaker: Speaker) -> dict[str, object]:
    plain = dataclasses.asdict(sheet)
    plain["rows"] = [
        dataclasses.asdict(row)
        | {"what_to_say": what_to_say(row, speaker, deadline=sheet.deadline)}
        for row in sheet.rows
    ]
    return plain


def _show(console: Console, sheet: CallSheet, speaker: Speaker) -> None:
    console.print(
        f"{sheet.subscribers:,} subscribers to call, {sheet.reached:,} of them reached; "
        f"{sheet.certificates:,} certificates",
        style="bold",
    )
    if not sheet.rows:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("No.", "Subscriber", "Certificates", "Why", "Call", "Last call"):
        table.add_column(
            heading, justify="right" if heading in {"No.", "Certificates"} else "left"
        )
    for row in sheet.rows:
        person = row.contacts[0] if row.contacts else None
        table.add_row(
            str(row.subscriber),
            escape(row.name),
            f"{row.certificates:,}",
            escape("; ".join(row.why)),
            escape(f"{person.name} {person.phone}".strip())
            if person
            else "nobody known",
            escape(f"{row.last.outcome}, {row.last.caller}") if row.last else "",
        )
    console.print(table)
    if sheet.subscribers > len(sheet.rows):
        rest = sheet.subscribers - len(sheet.rows)
        console.print(f"and {rest:,} more: --csv FILE has them all")
    console.print()
    console.print("What to say to the first:")
    console.print(escape(what_to_say(sheet.rows[0], speaker, deadline=sheet.deadline)))
    console.print()
