"""The command that starts the guard."""

from typing import Annotated

import typer

from tocsin.guard import guard_from_settings


def guard(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="One pass, now, then end.")
    ] = False,
) -> None:
    """Revoke on time from the database alone, whatever else is down."""
    if not guard_from_settings(once=once):
        typer.echo("Something that was due is not done; the log says what.", err=True)
        raise typer.Exit(3)
