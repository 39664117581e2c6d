"""Processes of ours that are started and killed by the dozen, without importing anew."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess

_IMPORTED = (
    "fakes.lives",
    "fakes.due_at",
    "fakes.real_cas",
    "fakes.mortal_sender",
    "fakes.mortal_revoker",
    "fakes.warmed",
)


@cache
def forks() -> ForkServerContext:
    """Return what starts processes quickly: everything is imported once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    before = os.environ.get("PYTHONPATH")
    # Until Python 3.13 what it imports beforehand is looked for nowhere else.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def start_fork(
    main: Callable[[Sequence[str]], None], options: dict[str, object]
) -> ForkServerProcess:
    """Start a program of ours with these options, as its command line has them."""
    process = forks().Process(target=main, args=(as_words(options),), daemon=True)
    process.start()
    return process


def as_words(options: Mapping[str, object]) -> list[str]:
    """Return options as a command line has them."""
    return [
        word
        for name, value in options.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def ended(process: ForkServerProcess, within: float = 120.0) -> int:
    """Wait for a process; return how it ended, a signal as a negative number."""
    process.join(within)
    code = process.exitcode
    if code is None:
        process.kill()
        raise TimeoutError("it does not end")
    return code
