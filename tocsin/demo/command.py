"""`tocsin demo`: replays the founding case on this machine, and says what came of it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from tocsin.demo import record
from tocsin.demo.children import prefect_environment, running, wait_for
from tocsin.demo.folder import Folder
from tocsin.demo.ports import free_port
from tocsin.demo.summary import own_peak_rss_bytes, peak_rss_bytes
from tocsin.errors import TocsinError, Unavailable

_PREFECT_PORT = 4200
_SERVER_LOG = "prefect-server.log"
_ENGINE_LOG = "engine.log"


def demo(
    *,
    directory: Annotated[
        Path,
        typer.Option(
            help="Where everything is kept. Made when absent, emptied if old."
        ),
    ] = Path("tocsin-demo"),
    ends: Annotated[
        bool, typer.Option("--exit", help="End at once, without the Prefect UI.")
    ] = False,
    summary: Annotated[
        Path | None, typer.Option(help="Write the figures to this file, JSON.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port of the Prefect UI. Default: 4200, or a free one."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"],
            help="Stop at this moment of 2024, Hong Kong time, to look around: "
            '"2024-03-21 09:00". The next run goes on from there.',
        ),
    ] = None,
) -> None:
    """
    Replay the Hongkong Post incident of 2024: 1,111 certificates, five days, minutes.

    Real certificates, mail, links, CSRs, CRL and OCSP on this machine only; just the
    clock is stepped. A run that was killed goes on where it was.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    errors = Console(stderr=True, soft_wrap=True)
    try:
        _run(
            Folder(directory),
            errors=errors,
            port=port,
            summary=summary,
            until=until.replace(tzinfo=ZoneInfo(record.ZONE)) if until else None,
            stays=sys.stdout.isatty() and sys.stdin.isatty() and not ends,
        )
    except TocsinError as error:
        errors.print(f"[bold red]The demo stopped.[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as interrupt:
        errors.print("Ended. The same command goes on where it was.", highlight=False)
        raise typer.Exit(1) from interrupt


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(
    folder: Folder,
    *,
    errors: Console,
    port: int | None,
    summary: Path | None,
    until: datetime | None,
    stays: bool,
) -> None:
    """Run the replay from beginning or half-way to its end, and show it."""
    started_at = time.perf_counter()
    folder.root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(folder.held("demo"))
        folder.open()
        spent_before = folder.progress().wall_seconds
        chosen = free_port(port or _PREFECT_PORT)
        if port is not None and chosen != port:
            raise Unavailable(f"port {port} is taken: choose another with --port")
        environment = prefect_environment(folder, chosen)
        server = stack.enter_context(
            running(
                [
                    "prefect",
                    "server",
                    "start",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    f"{chosen}",
                ],
                environment=environment,
                log=folder.logs / _SERVER_LOG,
            )
        )
        engine = stack.enter_context(
            running(
                [
                    "flows.replay",
                    "--directory",
                    str(folder.root),
                    "--prefect-port",
                    f"{chosen}",
                    *(["--until", until.isoformat()] if until else []),
                    *(["--stay"] if stays else []),
                ],
                environment=environment,
                log=folder.logs / _ENGINE_LOG,
                reads=True,
            )
        )
        with _shown(errors) as screen:
            screen.say("Starting Prefect and issuing 1,111 certificates")
            wait_for(
                server,
                f"http://127.0.0.1:{chosen}/api/health",
                log=folder.logs / _SERVER_LOG,
            )
            told = _follow(engine, screen, log=folder.logs / _ENGINE_LOG, stays=stays)
        figures = told["summary"]
        figures["wall_seconds"] = round(
            spent_before + time.perf_counter() - started_at, 1
        )
        figures["peak_rss_bytes"] |= {
            "tocsin demo": own_peak_rss_bytes(),
            "prefect server": peak_rss_bytes(server.pid),
        }
        text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
        (folder.reports / "summary.json").write_text(text, "utf-8")
        if summary is not None:
            summary.write_text(text, "utf-8")
        _tell(
            folder,
            figures,
            url=told["overview"] if stays else None,
            stopped_at=told["stopped_at"],
        )
        if stays:
            _stay(server)


def _follow(
    engine: subprocess.Popen[str], screen: "_Screen", *, log: Path, stays: bool
) -> dict[str, Any]:
    """
    Show what the engine tells, line by line, and return what it came to.

    Args:
        engine: The process.
        screen: Where it is shown.
        log: Where the engine says more.
        stays: It lives on after its last line, until it is ended.

    Raises:
        Unavailable: It ended without one.

    """
    final: dict[str, Any] | None = None
    if engine.stdout is not None:
        for line in engine.stdout:
            if not line.startswith("{"):
                continue  # a library's word, not ours
            told = json.loads(line)
            if "summary" in told:
                final = told
                if stays:
                    return final
            else:
                screen.show(told)
    if engine.wait() or final is None:
        raise Unavailable(
            f"the engine ended with code {engine.returncode}: see {log}. "
            "The same command goes on where it was."
        )
    return final


@dataclass(slots=True)
class _Screen:
    """What is seen while it works."""

    progress: Progress
    task: TaskID

    def say(self, what: str) -> None:
        """Say what is being done, where there are no figures yet."""
        self.progress.update(self.task, description=what)

    def show(self, told: dict[str, Any]) -> None:
        """Show one instant of the replay."""
        at = datetime.fromisoformat(told["now"]).astimezone(ZoneInfo(record.ZONE))
        self.progress.update(
            self.task,
            description=(
                f"{at:%a %d %b %H:%M} HKT · {told['notices']:,} notices · "
                f"{told['replies']:,} replies · {told['escalations']:,} escalations"
            ),
            completed=told["published"],
            total=told["certificates"],
        )


@contextmanager
def _shown(errors: Console) -> Iterator[_Screen]:
    """Show progress on a terminal; stay silent elsewhere."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f} of 1,111 published"),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        yield _Screen(progress=progress, task=progress.add_task("", total=1_111))


def _tell(
    folder: Folder,
    figures: dict[str, Any],
    *,
    url: str | None,
    stopped_at: str | None,
) -> None:
    """Say what came of it, where things lie and what to look at next."""
    out = Console(highlight=False, soft_wrap=True)
    in_time = figures["published_before_deadline"]
    if stopped_at is not None:
        out.print(
            f"\n[bold]Stopped at {_local(stopped_at)}[/], with {in_time:,} of "
            f"{figures['certificates']:,} certificates revoked and published. "
            "The same command goes on from here.\n"
        )
    else:
        out.print(
            f"\n[bold]{in_time:,} of {figures['certificates']:,} certificates revoked "
            f"and published before the deadline[/] ({_local(figures['deadline'])}). "
            f"In 2024 it was {record.CONFIRMED_BY_DEADLINE} of "
            f"{record.CERTIFICATES:,}.\n"
        )
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for name, value, note in _lines(figures):
        table.add_row(name, value, f"[dim]{note}[/]")
    out.print(table)
    out.print("\nWhere things lie")
    for name, path in (
        ("chart", folder.reports / "published.svg"),
        ("", folder.reports / "published.png"),
        ("reports", folder.reports),
        ("mails", folder.data / "mail"),
        ("database", folder.data / "tocsin.sqlite"),
        ("CRL and CA", folder.data / "ca"),
    ):
        out.print(f"  {name:<11} {path}", soft_wrap=True)
    out.print("\nNext")
    if url is not None:
        out.print(f"  The incident in the Prefect UI: [bold]{url}[/]  (Ctrl-C ends it)")
    out.print("  Your own incident: tocsin incident open --help\n")


def _lines(figures: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the figures for people: name, value, what they are made of."""
    yield (
        "log entries",
        f"{figures['log_entries']:,}",
        (
            f"{figures['certificates']:,} certificates + "
            f"{figures['precertificates']:,} precertificates of theirs + "
            f"{figures['set_aside']:,} set aside"
        ),
    )
    yield "subscribers", f"{figures['subscribers']:,}", ""
    yield (
        "notices sent",
        f"{figures['notices_sent']:,}",
        f"of which {figures['bounced']:,} came back",
    )
    kinds = " + ".join(
        f"{number:,} {kind.replace('-', ' ')}"
        for kind, number in figures["replies_by_kind"].items()
        if number
    )
    yield "replies", f"{figures['replies']:,}", kinds
    yield (
        "late answers",
        f"{figures['late_answers']:,}",
        "came when everything was revoked, and changed nothing",
    )
    yield "CSRs received", f"{figures['csrs_received']:,}", ""
    yield "escalations", f"{figures['escalations']:,}", ""
    yield (
        "published",
        f"{figures['published']:,}",
        (
            f"{figures['published_before_deadline']:,} before the deadline + "
            f"{figures['published_late']:,} late"
        ),
    )
    yield "first revoked", _local(figures["first_revoked_at"]), ""
    yield "last published", _local(figures["last_published_at"]), ""
    yield (
        "took",
        f"{figures['wall_seconds']:,.0f} s",
        f"of which Prefect {figures['prefect_seconds']:,.0f} s",
    )


def _local(at: str | None) -> str:
    if at is None:
        return "never"
    local = datetime.fromisoformat(at).astimezone(ZoneInfo(record.ZONE))
    return f"{local:%Y-%m-%d %H:%M} UTC+8"


def _stay(server: subprocess.Popen[str]) -> None:
    """Keep the Prefect UI open until Ctrl-C, or until it ends by itself."""
    try:
        server.wait()
    except KeyboardInterrupt:
        return
