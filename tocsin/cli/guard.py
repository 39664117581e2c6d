"""The command that starts the guard."""

from typing import Annotated

import typer

from tocsin.cli.processes import become


def guard(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="One pass, now, then end.")
    ] = False,
) -> None:
    """Revoke on time from the database alone, whatever else is down."""
    become("tocsin.guard", *(["--once"] * once))
