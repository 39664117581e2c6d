"""Runs a CA's own program to its end, and says why it could not."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tocsin.ca.transport.pacing import Trouble, TroubleKind

_SHOWN = 300  # characters of a complaint that people get to see


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended, and what it wrote."""

    code: int
    out: str
    err: str

    def trouble(self, who: str) -> Trouble:
        """Return that it failed, with its last words."""
        complaints = [line for line in self.err.splitlines() if line.strip()]
        said = complaints[-1] if complaints else "and said nothing"
        return Trouble(
            f"{who} ended with {self.code}: {said[:_SHOWN]}", kind=TroubleKind.FAILED
        )


def run_program(
    command: Sequence[str],
    *,
    timeout: float,
    given: str = "",
    folder: Path | None = None,
    keeps: Sequence[int] = (),
) -> Ended:
    """
    Run a program; one that takes too long is killed, and what it wrote still counts.

    Args:
        command: The program and its arguments; no shell.
        timeout: Seconds.
        given: What it reads on stdin.
        folder: Where it runs.
        keeps: Open files that it inherits, and holds for as long as it runs.

    Raises:
        Trouble: It cannot be run.

    """
    try:
        with subprocess.Popen(  # noqa: S603 - the operator's program
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
            pass_fds=keeps,
        ) as process:
            try:
                out, err = process.communicate(given, timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                err += f"\nnot ended within {timeout:g} s"
    except OSError as error:
        message = f"{command[0]} cannot be run: {error.strerror}"
        raise Trouble(message, kind=TroubleKind.BARRED) from error
    return Ended(code=process.returncode, out=out, err=err)
