"""The command that starts the watchdog."""

import os
import sys
from typing import Annotated

import typer


def watchdog(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="One look, now, then end.")
    ] = False,
) -> None:
    """Say so when a step that was due was not taken, whatever the engine thinks."""
    command = [sys.executable, "-P", "-m", "tocsin.watchdog", *(["--once"] * once)]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter and module
