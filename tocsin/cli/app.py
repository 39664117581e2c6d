"""The tocsin command: one noun each, errors as one sentence."""

import logging
import sys
from importlib.metadata import entry_points

import typer
from rich.console import Console

from tocsin.cli import (
    backend,
    ca,
    call,
    escalation,
    incident,
    ladder,
    mail,
    notice,
    officer,
    reply,
    report,
    scope,
    templates,
)
from tocsin.cli.acme_front import acme_front
from tocsin.cli.doctor import doctor
from tocsin.cli.guard import guard
from tocsin.cli.up import up
from tocsin.cli.watchdog import watchdog
from tocsin.errors import TocsinError
from tocsin.log import configure_logging

app = typer.Typer(
    name="tocsin",
    help="Mass revocation on schedule: from a list of affected certificates to every "
    "one revoked and published before the deadline.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(incident.app, name="incident")
app.add_typer(notice.app, name="notice")
app.add_typer(escalation.app, name="escalation")
app.add_typer(ladder.app, name="ladder")
app.add_typer(report.audit_app, name="audit")
app.add_typer(templates.app, name="templates")
app.add_typer(mail.app, name="mail")
app.add_typer(reply.app, name="reply")
app.add_typer(call.app, name="call")
app.add_typer(ca.app, name="ca")
app.add_typer(backend.app, name="backend")
app.add_typer(officer.app, name="officer")
app.add_typer(scope.app, name="scope")
app.command("up")(up)
app.command("doctor")(doctor)
app.command("guard")(guard)
app.command("acme-front")(acme_front)
app.command("watchdog")(watchdog)
# The replay stands above the command line; it registers itself, as a plug-in would.
for plugin in entry_points(group="tocsin.commands"):
    app.command(plugin.name)(plugin.load())


@app.callback()
def _root() -> None:
    """Mass revocation on schedule."""
    configure_logging(minimum=logging.WARNING)  # the command says what it did


def main() -> None:
    """Run the command; an error that says who must act ends in one sentence."""
    try:
        app()
    except TocsinError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"[bold red]Error:[/] {error}", highlight=False, markup=True
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
