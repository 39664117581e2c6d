"""The command that starts the guard."""

import os
import sys
from typing import Annotated

import typer


def guard(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="One pass, now, then end.")
    ] = False,
) -> None:
    """Revoke on time from the database alone, whatever else is down."""
    # This process becomes the guard: it needs nothing that commands bring along.
    command = [sys.executable, "-P", "-m", "tocsin.guard", *(["--once"] * once)]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter and module
