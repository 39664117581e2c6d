"""`tocsin escalation`: what waits for a person, and who is on it."""

import json
from dataclasses import asdict
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.terms import EscalationCause, EscalationId, EscalationState, IncidentId
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.policy.escalations import IN_WORDS
from tocsin.policy.progress import spell_duration
from tocsin.policy.worklists import LiveEscalation
from tocsin.settings import read_settings
from tocsin.steps.collaborators import open_database
from tocsin.steps.escalations import acknowledge
from tocsin.store.escalations import Seen, escalations_of
from tocsin.store.incidents import IncidentRecord, read_incident
from tocsin.store.session import reading

app = typer.Typer(
    help="What waits for a person, and who is on it.", no_args_is_help=True
)

_Incident = Annotated[str, typer.Argument(help="The incident's key.", metavar="ID")]
_NOBODY = "The whole incident"


@app.command("list")
def list_(
    incident: _Incident,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for scripts.")
    ] = False,
) -> None:
    """List what is live: why, since when, told whom, and who is on it."""
    with open_database(read_settings()) as engine, reading(engine) as connection:
        record = read_incident(connection, incident=IncidentId(incident))
        live = escalations_of(connection, incident=record.id)
    if as_json:
        print(json.dumps([asdict(one) for one in live], default=str, indent=2))
        return
    console = Console(highlight=False)
    free = [one for one in live if one.state is not EscalationState.ACKNOWLEDGED]
    if not live:
        console.print("Nothing waits for a person.")
        return
    console.print(_table(live, record))
    console.print(
        f"{len(live):,} live: {len(free):,} for nobody yet, "
        f"{len(live) - len(free):,} with somebody on them."
    )
    if free:
        console.print(
            f"Next: tocsin escalation ack {incident} {free[0].escalation} "
            '--by "your name"',
            soft_wrap=True,
        )


@app.command()
def ack(
    incident: _Incident,
    escalations: Annotated[
        list[int] | None,
        typer.Argument(help="Numbers from `tocsin escalation list`.", metavar="NUMBER"),
    ] = None,
    *,
    by: Annotated[str, typer.Option(help="Who is on it, by name.")],
    cause: Annotated[
        EscalationCause | None, typer.Option(help="All of one cause, instead.")
    ] = None,
) -> None:
    """
    Say that somebody is on it. The clock goes on.

    If the subscriber does not answer within the time that the ladder states, the
    escalation comes back; higher steps and the revocation wait for nobody.
    """
    if bool(escalations) == bool(cause):
        raise BadInput("name escalations by number, or one cause by --cause; not both")
    clock, wanted = SystemClock(), {EscalationId(key) for key in escalations or ()}
    with open_database(read_settings()) as engine:
        with reading(engine) as connection:
            record = read_incident(connection, incident=IncidentId(incident))
            live = escalations_of(connection, incident=record.id)
        if unknown := wanted - {one.escalation for one in live}:
            raise BadInput(
                f"no live escalation has the number {min(unknown)}; "
                f"`tocsin escalation list {incident}` has those that are",
                field="NUMBER",
            )
        chosen = [
            Seen(escalation=one.escalation, raised_times=one.raised_times)
            for one in live
            if one.escalation in wanted or one.cause is cause
        ]
        done = acknowledge(
            engine,
            chosen,
            incident=record.id,
            by=by,
            actor=f"officer:{' '.join(by.split())[:80]}",
            clock=clock,
        )
    print(f"{len(done.escalations):,} acknowledged by {by}.")
    if done.others:
        print(f"{done.others:,} left alone: somebody is on them already.")
    if done.escalations:
        back_at = done.back_at.astimezone(ZoneInfo(record.zone))
        print(
            f"If nothing follows within {spell_duration(done.within)}, they come back: "
            f"{back_at:%a %d %b %H:%M %Z}."
        )
    print(f"Next: tocsin escalation list {incident}")


def _table(live: list[LiveEscalation], record: IncidentRecord) -> Table:
    zone = ZoneInfo(record.zone)
    table = Table(
        title=escape(f"{record.title} (times in {record.zone})"),
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        pad_edge=False,
    )
    table.add_column("No.", justify="right", no_wrap=True)
    table.add_column("Who, and why", overflow="fold")
    table.add_column("Since", no_wrap=True)
    table.add_column("For whom, and who is on it", overflow="fold")
    for one in live:
        since = f"{one.raised_at.astimezone(zone):%a %d %b %H:%M}"
        if one.raised_times > 1:
            since += f"\n{one.raised_times} times"
        held = f" ({one.open_certificates:,} to be revoked)" if one.subscriber else ""
        targets = ", ".join(target.replace("-", " ") for target in one.targets)
        told = "" if one.told_at else ", not told yet"
        table.add_row(
            str(one.escalation),
            f"[bold]{escape(one.name or _NOBODY)}[/]{held}\n{IN_WORDS[one.cause]}",
            since,
            f"{targets}{told}\n{escape(_on_it(one, zone))}",
        )
    return table


def _on_it(one: LiveEscalation, zone: ZoneInfo) -> str:
    if one.acknowledged_at is None:
        return "nobody is on it"
    who = f"{one.acknowledged_by}, {one.acknowledged_at.astimezone(zone):%a %H:%M}"
    if one.state is EscalationState.ACKNOWLEDGED:
        return f"on it: {who}"
    return f"came back; was on it: {who}"
