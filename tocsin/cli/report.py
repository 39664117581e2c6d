"""What an auditor asks for: the report of an incident, and whether its record is whole."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from models.terms import IncidentId
from tocsin.clock import SystemClock
from tocsin.policy.figures import IncidentFigures
from tocsin.settings import read_settings
from tocsin.steps.collaborators import open_database
from tocsin.store.reconciliation import verify as verify_record
from tocsin.store.session import reading
from tocsin.store.summaries import incident_summary

audit_app = typer.Typer(
    help="The record of acts: who did what, when and why.", no_args_is_help=True
)

_Incident = Annotated[str, typer.Argument(help="The incident's key.", metavar="ID")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def report(
    incident: _Incident,
    out: Annotated[
        Path, typer.Option("--out", help="Directory to write to.", file_okay=False)
    ] = Path("tocsin-report"),
    *,
    as_json: _Json = False,
) -> None:
    """Write the list of certificates, the status update and the chart of an incident."""
    # Drawing takes half a second to import, and no other command draws.
    from tocsin.reports.status import certificate_lines, headline  # noqa: PLC0415
    from tocsin.steps.report import write_report  # noqa: PLC0415

    with open_database(read_settings()) as engine:
        written = write_report(
            engine, incident=IncidentId(incident), directory=out, clock=SystemClock()
        )
    if as_json:
        files = [str(path) for path in written.files]
        print(_as_json({"files": files, "figures": written.figures}))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(escape(headline(written.figures)), style="bold")
    for line in certificate_lines(written.figures):
        console.print(f"{line.count:>12}  {line.share:>5} %  {escape(line.name)}")
    console.print(f"{written.figures.certificates:>12,}         Affected certificates")
    console.print()
    for path in written.files:
        console.print(escape(str(path)))
    console.print()
    console.print(f"Next: tocsin audit verify {escape(incident)}")


@audit_app.command()
def verify(incident: _Incident, *, as_json: _Json = False) -> None:
    """Prove that an incident's record is complete, unaltered, and what happened."""
    with open_database(read_settings()) as engine, reading(engine) as connection:
        # Fails by name where there is no such incident.
        incident_summary(connection, incident=IncidentId(incident))
        verdict = verify_record(connection, incident=IncidentId(incident))
    if as_json:
        print(_as_json({"intact": verdict.is_intact, **dataclasses.asdict(verdict)}))
    else:
        console = Console(highlight=False, soft_wrap=True)
        if verdict.is_intact:
            console.print(
                f"Intact: {verdict.acts:,} acts, none missing, none altered, and the "
                "incident's state agrees with them."
            )
        else:
            console.print(f"NOT INTACT: {verdict.acts:,} acts were read.", style="bold")
            for problem in verdict.problems:
                console.print(f"  {escape(problem)}")
        console.print(f"Head of the record: {verdict.head}")
    if not verdict.is_intact:
        raise typer.Exit(1)


def _as_json(answer: dict[str, object]) -> str:
    return json.dumps(answer, default=_plain, indent=2)


def _plain(value: object) -> object:
    """Turn what JSON does not know into what scripts expect."""
    if isinstance(value, IncidentFigures):
        return dataclasses.asdict(value) | {
            "published": value.published,
            "notices_sent": value.notices_sent,
        }
    return str(value)
