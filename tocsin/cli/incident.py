"""`tocsin incident`: open one, see them, report on one, take out its CSRs."""

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.terms import Circumstance, IncidentId
from tocsin.ca.factory import open_ca
from tocsin.cli.report import report
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.policy.progress import incident_forecast
from tocsin.reports.preview import preview_markdown
from tocsin.settings import read_settings
from tocsin.steps.collaborators import current_templates, open_database
from tocsin.steps.launch import (
    LaunchRequest,
    draft_incident,
    launch_incident,
    read_rulebook,
)
from tocsin.steps.preview import preview_incident
from tocsin.steps.replacements import record_replacements
from tocsin.store.csrs import csrs_to_issue
from tocsin.store.figures import incident_figures
from tocsin.store.session import reading
from tocsin.store.summaries import list_incidents

_PROBLEMS_SHOWN = 20

app = typer.Typer(
    help="Open an incident, watch it, report on it.", no_args_is_help=True
)
app.command("report")(report)

_CIRCUMSTANCES = ", ".join(Circumstance)


@app.command("open")
def open_(
    certificates: Annotated[
        list[Path],
        typer.Argument(
            help="Affected certificates: any mix of PEM, DER, directories, zip, crt.sh "
            "JSON, and CSV with issuer and serial.",
            show_default=False,
        ),
    ],
    *,
    title: Annotated[
        str, typer.Option(help="What people will read in mails and reports.")
    ],
    circumstance: Annotated[
        str,
        typer.Option(
            help="Why: an item of TLS BR 4.9.1.1, by number, name or part of its text. "
            "`tocsin incident circumstances` lists them."
        ),
    ],
    made_aware: Annotated[
        str,
        typer.Option(help="When the clock started, as 2024-03-18T21:01+08:00."),
    ],
    directory: Annotated[
        Path | None,
        typer.Option(help="CSV of subscribers and contacts, a row for each contact."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(help="Zone of subscribers of whom the directory says none."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the preview and stop.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Launch without asking; for scripts.")
    ] = False,
) -> None:
    """
    Import a list, show what would happen, and launch once you agree.

    From the launch on, every certificate is revoked on schedule, whoever answers.
    """
    settings, clock, console = read_settings(), SystemClock(), Console()
    rulebook = read_rulebook(settings)
    request = LaunchRequest(
        title=title,
        circumstance=_circumstance(circumstance),
        made_aware_at=_instant(made_aware),
        certificates=certificates,
        directory=directory,
        zone=zone or settings.zone,
    )
    backend = open_ca(settings, clock=clock).backend
    templates = current_templates(settings)
    with open_database(settings) as engine:
        with _counting("Reading certificates") as count:
            incident, imported = draft_incident(
                engine, request, rulebook=rulebook, clock=clock, progress=count
            )
        preview = preview_incident(
            engine,
            incident=incident,
            imported=imported,
            backend=backend,
            templates=templates,
            settings=settings,
            now=clock.now(),
        )
        console.print(Markdown(preview_markdown(preview)))
        if dry_run:
            console.print("\nDry run: nothing was launched, nobody was written to.")
            return
        if not yes and not _agreed(preview.certificates):
            console.print("\nNot launched. The draft stays without effect.")
            raise typer.Exit(1)
        launched = launch_incident(
            engine,
            incident=incident,
            backend=backend,
            templates=templates.sources(),
            actor="officer",
            clock=clock,
            needs_second=settings.launch_needs_second_officer,
        )
    console.print(
        f"\nLaunched [bold]{launched.incident}[/]: {launched.certificates:,} "
        f"certificates of {launched.subscribers:,} subscribers.\n"
        f"Revocation starts {_shown(launched.plan.starts_at, request.zone)}; deadline "
        f"{_shown(launched.deadline, request.zone)}.\n"
        f"Next: [bold]tocsin up[/] if it does not run yet, and "
        f"[bold]tocsin incident show {launched.incident}[/]",
        highlight=False,
    )


@app.command("circumstances")
def circumstances() -> None:
    """List the circumstances, with deadline and reason."""
    table = Table("No.", "Name", "Text", "Deadline", "Reason in the CRL")
    table.columns[1].no_wrap = True  # it is there to be pasted
    for number, rule in enumerate(read_rulebook(read_settings()).pack.rules, start=1):
        table.add_row(
            str(number),
            rule.circumstance.value,
            rule.text,
            f"{rule.within.total_seconds() / 3600:.0f} h",
            rule.reason.label,
        )
    Console().print(table)


@app.command("list")
def list_(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List incidents, the latest deadline first."""
    with open_database(read_settings()) as engine, reading(engine) as connection:
        listed = list_incidents(connection)
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "incident": item.summary.incident,
                        "title": item.summary.title,
                        "state": item.summary.state,
                        "deadline": item.summary.deadline.isoformat(),
                        "certificates": item.certificates,
                        "published": item.published,
                    }
                    for item in listed
                ]
            )
        )
        return
    table = Table("Incident", "Title", "State", "Deadline", "Certificates", "Published")
    table.columns[0].no_wrap = True  # it is there to be pasted
    for item in listed:
        table.add_row(
            item.summary.incident,
            item.summary.title,
            item.summary.state.value,
            _shown(item.summary.deadline, item.summary.zone),
            f"{item.certificates:,}",
            f"{item.published:,}",
        )
    Console().print(table if listed else "No incident yet: `tocsin incident open`")


@app.command("show")
def show(
    incident: Annotated[str, typer.Argument(help="The incident's key.")],
) -> None:
    """Show where an incident stands, in figures that sum."""
    now = SystemClock().now()
    with open_database(read_settings()) as engine, reading(engine) as connection:
        figures = incident_figures(connection, incident=IncidentId(incident), now=now)
    summary = figures.summary
    console = Console()
    console.print(f"[bold]{summary.title}[/] ({summary.incident}, {summary.state})")
    outlook = incident_forecast(figures)
    if outlook is not None:
        console.print(outlook.sentence)
    table = Table(
        "What", "Count", title=f"Deadline {_shown(summary.deadline, summary.zone)}"
    )
    table.columns[1].justify = "right"
    for state, count in figures.revocation.items():
        table.add_row(state.value, f"{count:,}")
    table.add_row("certificates", f"{figures.certificates:,}", style="bold")
    table.add_section()
    for progress, count in figures.replacement.items():
        table.add_row(progress.value.replace("-", " "), f"{count:,}")
    table.add_section()
    table.add_row("subscribers", f"{figures.subscribers:,}")
    table.add_row("of those have answered", f"{figures.subscribers_acknowledged:,}")
    for answer, count in figures.problems.items():
        table.add_row(f"CA says: {answer}", f"{count:,}", style="red")
    console.print(table)
    console.print(f"Next: tocsin incident report {incident} --out report/")


@app.command("csrs")
def csrs(
    incident: Annotated[str, typer.Argument(help="The incident's key.")],
    out: Annotated[Path, typer.Option(help="Directory to write to.")],
) -> None:
    """Write the latest CSR of each certificate, and an index, for the issuing desk."""
    out.mkdir(parents=True, exist_ok=True)
    written = 0
    with (
        open_database(read_settings()) as engine,
        reading(engine) as connection,
        (out / "index.csv").open("w", encoding="utf-8", newline="") as file,
    ):
        index = csv.writer(file)
        index.writerow(["file", "serial", "subject", "subscriber", "csr sha256"])
        for csr in csrs_to_issue(connection, incident=IncidentId(incident)):
            name = f"{csr.serial}.csr.pem"
            (out / name).write_text(csr.pem, "ascii")
            index.writerow([name, csr.serial, csr.subject, csr.subscriber, csr.sha256])
            written += 1
    print(f"{written:,} CSRs in {out}")


@app.command("replacements")
def replacements(
    incident: Annotated[str, typer.Argument(help="The incident's key.")],
    certificates: Annotated[
        list[Path],
        typer.Argument(
            help="What was issued: PEM, DER, directories, zips, in any mix."
        ),
    ],
    *,
    chain: Annotated[
        Path | None,
        typer.Option(help="The issuers' certificates, PEM, which servers send along."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Match only, record nothing.")
    ] = False,
) -> None:
    """
    Record newly issued certificates, so that their subscribers can fetch them.

    They are matched by the key of a CSR that was handed in, else by exactly the same
    names. No revocation moves by it: the old certificate may still be in use.
    """
    with open_database(read_settings()) as engine:
        found = record_replacements(
            engine,
            incident=IncidentId(incident),
            certificates=certificates,
            chain=chain,
            actor="officer",
            clock=SystemClock(),
            is_rehearsal=dry_run,
        )
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for problem in found.problems[:_PROBLEMS_SHOWN]:
        place = f"{problem.file}, row {problem.row}" if problem.row else problem.file
        errors.print(f"set aside: {place}: {problem.finding}")
    if found.set_aside > _PROBLEMS_SHOWN:
        errors.print(f"and {found.set_aside - _PROBLEMS_SHOWN:,} more")
    print(
        f"{found.entries:,} certificates = {found.recorded:,} "
        f"{'would be recorded' if dry_run else 'recorded'}, for "
        f"{found.superseded:,} affected certificates + {found.known:,} known before + "
        f"{found.set_aside:,} set aside"
    )
    if found.set_aside:
        raise typer.Exit(3 if found.recorded + found.known else 1)


def _circumstance(text: str) -> Circumstance:
    """Find the one circumstance that a number, a name or words mean."""
    rules = read_rulebook(read_settings()).pack.rules
    wanted = text.strip().casefold()
    if wanted.isdigit() and 1 <= int(wanted) <= len(rules):
        return rules[int(wanted) - 1].circumstance
    exact = [
        rule for rule in rules if wanted in (rule.circumstance, rule.text.casefold())
    ]
    found = exact or [
        rule for rule in rules if wanted and wanted in rule.text.casefold()
    ]
    if len(found) != 1:
        raise BadInput(
            f"{text!r} names {len(found) or 'no'} circumstances; give the number or "
            f"name of one: {_CIRCUMSTANCES}",
            field="circumstance",
        )
    return found[0].circumstance


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"not an instant: {text!r}. Write it as 2024-03-18T21:01+08:00.",
            field="made-aware",
        ) from None


def _shown(instant: datetime, zone: str) -> str:
    return f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"


def _agreed(certificates: int) -> bool:
    """Ask for the number of certificates: nobody types that by habit."""
    if not sys.stdin.isatty():
        raise BadInput("not a terminal, so nobody can agree: give --yes or --dry-run")
    answer = typer.prompt(
        f"To launch, type the number of certificates ({certificates})", default=""
    )
    return str(answer).strip().replace(",", "") == str(certificates)


@contextmanager
def _counting(what: str) -> Iterator["_Counter"]:
    """Show on stderr how far a long reading is; silent when it is no terminal."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}: {task.completed:,}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        yield _Counter(progress, what)


class _Counter:
    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def __call__(self, completed: int) -> None:
        self._progress.update(self._task, completed=completed)
