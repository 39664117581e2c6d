"""`tocsin ladder`: try a ladder before an incident needs it."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tocsin.errors import BadInput
from tocsin.policy.ladder import Ladder, check_ladder, new_ladder
from tocsin.policy.progress import spell_duration
from tocsin.policy.rehearsal import Rehearsal, RehearsedStep, rehearse

app = typer.Typer(
    help="Who is told when nothing follows: check a ladder, draw it.",
    no_args_is_help=True,
)

_SHOWN_PROBLEMS = 20
_HOURS = {24: "24 hours", 120: "5 days"}

_File = Annotated[Path, typer.Argument(help="A ladder, TOML.", metavar="FILE")]


@app.command()
def check(file: _File) -> None:
    """Say everything that is wrong with a ladder, or what it would do and when."""
    checked = check_ladder(_text(file), file=file.name)
    problems = (*checked.problems, *checked.oddities)
    if checked.ladder is None or problems:
        errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        for problem in problems[:_SHOWN_PROBLEMS]:
            errors.print(str(problem))
        if len(problems) > _SHOWN_PROBLEMS:
            errors.print(f"and {len(problems) - _SHOWN_PROBLEMS:,} more")
        errors.print(f"{len(problems):,} problems: no incident can be launched with it")
        raise typer.Exit(1)
    console = Console(highlight=False)
    for hours, name in sorted(_HOURS.items(), reverse=True):
        _show(console, checked.ladder, hours, name)
    console.print(
        f"{len(checked.ladder.steps)} steps, nothing wrong. Next: "
        f"tocsin ladder draw {escape(str(file))} --out ladder.svg",
        soft_wrap=True,
    )


@app.command()
def draw(
    file: _File,
    *,
    out: Annotated[
        Path, typer.Option("--out", help="Write the picture here: .svg or .png.")
    ],
    hours: Annotated[
        int,
        typer.Option(help="How much time the incident has, hours: 24 or 120.", min=1),
    ] = 120,
) -> None:
    """Draw a ladder as a timeline: who is told when, in an incident made up."""
    # Drawing takes half a second to import, and no other command draws.
    from tocsin.reports.charts import write_png, write_svg  # noqa: PLC0415
    from tocsin.reports.ladder_chart import ladder_chart  # noqa: PLC0415

    ladder = new_ladder(_text(file), file=file.name)
    writers = {".svg": write_svg, ".png": write_png}
    if out.suffix not in writers:
        raise BadInput("a picture is .svg or .png", field="--out")
    writers[out.suffix](
        ladder_chart(ladder, rehearse(ladder, within=timedelta(hours=hours))), out
    )
    print(f"{len(ladder.steps)} steps in {hours} hours: {out}")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise BadInput("there is no such file", file=str(file)) from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise BadInput("not a text file in UTF-8", file=str(file)) from None


def _show(console: Console, ladder: Ladder, hours: int, name: str) -> None:
    rehearsal = rehearse(ladder, within=timedelta(hours=hours))
    table = Table(
        title=f"In an incident of {name}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        pad_edge=False,
    )
    table.add_column("After launch", justify="right", no_wrap=True)
    table.add_column("Before revocation", justify="right", no_wrap=True)
    table.add_column("Step, whom it concerns: whom it tells", overflow="fold")
    for one in rehearsal.steps:
        step = one.due.step
        table.add_row(
            spell_duration(one.after_launch),
            _before(one),
            f"[bold]{escape(step.name)}[/]{_again(one)}\n{step.when}: {_tells(one)}",
        )
    for step in rehearsal.lost:
        table.add_row("never", "", f"[bold]{escape(step.name)}[/]\ntoo short a time")
    console.print(table)
    for line in _summary(ladder, rehearsal):
        console.print(line, soft_wrap=True)
    console.print()


def _before(one: RehearsedStep) -> str:
    words = spell_duration(one.before_revocation)
    return f"{words} after" if one.before_revocation < timedelta(0) else words


def _again(one: RehearsedStep) -> str:
    every = one.due.step.repeat_every
    if every is None or not one.repetitions:
        return ""
    often = "once" if one.repetitions == 1 else f"{one.repetitions} times"
    return f" (again every {spell_duration(every)}, {often} at most)"


def _tells(one: RehearsedStep) -> str:
    told = ", ".join(sorted(one.due.step.tell))
    notice = one.due.step.notice
    return told if notice is None else f"{told} ({notice})"


def _summary(ladder: Ladder, rehearsal: Rehearsal) -> list[str]:
    """Say what it comes to for somebody who never answers, and for staff."""
    lines = [
        f"Who never answers: contact {rank} gets {len(kinds)} mails "
        f"({', '.join(kinds)})."
        for rank, kinds in enumerate(rehearsal.notices, start=1)
    ]
    lines.append(f"At most {rehearsal.most_in_a_day} of them within 24 hours.")
    unreachable = ", ".join(ladder.unreachable) or "nobody"
    missed = ", ".join(ladder.missed) or "nobody"
    asked = ", ".join(ladder.asked)
    lines.append(f"Told at once where mail reaches nobody: {unreachable}.")
    lines.append(f"Told when something due was not done: {missed}.")
    lines.append(f"Told at once where somebody asks for a person: {asked}.")
    lines.append(
        "An escalation that somebody acknowledged comes back after "
        f"{spell_duration(ladder.acknowledged_for)} without an answer."
    )
    return lines
