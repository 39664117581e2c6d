"""`tocsin notice`: what has not left and why, and what an officer decides about it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.terms import NoticeId
from tocsin.clock import SystemClock
from tocsin.policy.pauses import pause_sentence
from tocsin.settings import read_settings
from tocsin.steps.collaborators import open_database
from tocsin.steps.keeping_back import give_up_held, release_held, resume_sending
from tocsin.store.held import backlog, held_notices
from tocsin.store.pauses import live_pause
from tocsin.store.session import reading

_ACTOR = "officer"

_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
_Notices = Annotated[
    list[int],
    typer.Argument(help="Keys of notices, as `held` lists them.", show_default=False),
]
_Reason = Annotated[str, typer.Option("--reason", help="Why; it goes on record.")]


def waiting(*, as_json: _Json = False) -> None:
    """Say what has not left and why; exit code 1 while sending pauses with an alarm."""
    now = SystemClock().now()
    with open_database(read_settings()) as engine, reading(engine) as connection:
        counted = backlog(connection, now=now)
        pause = live_pause(connection)
    is_alarm = pause is not None and pause.alarmed_at is not None
    if as_json:
        found = {"backlog": asdict(counted), "pause": pause and asdict(pause)}
        print(json.dumps(found, default=str, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        if pause is not None:
            counts = ", ".join(
                f"{count} {what}" for what, count in pause.counts.items()
            )
            console.print(
                f"Sending pauses since {pause.paused_at:%Y-%m-%d %H:%M} UTC: "
                f"{pause_sentence(pause.cause)} ({counts}).",
                style="bold red" if is_alarm else "yellow",
            )
            console.print(
                f"One message is tried at {pause.probe_at:%H:%M:%S} UTC; sending goes "
                "on when the relay takes it, or by `tocsin notice resume`. Revocation "
                "does not wait for any of this."
            )
        table = Table("Waits for", "Notices")
        table.columns[1].justify = "right"
        for what, count in (
            ("the next run", counted.due),
            ("its time: a later try, or its address's next day", counted.later),
            ("the relay's answer", counted.sending),
            ("an officer: `tocsin notice held`", counted.held),
        ):
            table.add_row(what, f"{count:,}")
        total = counted.due + counted.later + counted.sending + counted.held
        table.add_row("all together", f"{total:,}", style="bold")
        console.print(table)
    if is_alarm:
        raise typer.Exit(1)


def held(*, as_json: _Json = False) -> None:
    """List notices of which nobody knows whether they left, for an officer to decide."""
    with open_database(read_settings()) as engine, reading(engine) as connection:
        listed = held_notices(connection)
    if as_json:
        print(json.dumps([asdict(one) for one in listed], default=str, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    if not listed:
        console.print("Nothing is held.")
        return
    table = Table(
        "Notice", "Incident", "Kind", "Subscriber", "In doubt since", "Message-ID"
    )
    for one in listed:
        table.add_row(
            str(one.notice),
            escape(one.incident),
            one.kind.value,
            escape(one.subscriber) or "the CA's own people",
            f"{one.doubt_at:%Y-%m-%d %H:%M} UTC",
            escape(one.message_id),
        )
    console.print(table)
    console.print(
        f"{len(listed):,} held. Look for the Message-ID in the relay's log. Not there: "
        "`tocsin notice release NOTICE... --reason`. There: "
        "`tocsin notice give-up NOTICE... --reason`."
    )


def release(notices: _Notices, *, reason: _Reason) -> None:
    """Let held notices leave again; whoever has one already gets it twice."""
    count = _decide(release_held, notices, reason)
    print(f"{count:,} due again, each counted as possibly repeated.")


def give_up(notices: _Notices, *, reason: _Reason) -> None:
    """Decide that held notices are not repeated; their contacts may have them."""
    count = _decide(give_up_held, notices, reason)
    print(f"{count:,} given up: they may have arrived, and are not repeated.")


def resume(*, reason: _Reason) -> None:
    """Let sending go on although no message that was tried has been taken."""
    with open_database(read_settings()) as engine:
        resume_sending(engine, actor=_ACTOR, reason=reason, clock=SystemClock())
    print("Sending goes on with the next run. It pauses again if nothing has changed.")


def _decide(change: Callable[..., int], notices: list[int], reason: str) -> int:
    with open_database(read_settings()) as engine:
        return change(
            engine,
            notices=[NoticeId(key) for key in notices],
            actor=_ACTOR,
            reason=reason,
            clock=SystemClock(),
        )
