"""`tocsin officer`: who may come in at the officers' desk, and a way in without mail."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.intake.officers import read_officers
from tocsin.links import Links, read_secrets
from tocsin.policy.office import Officers, address_key
from tocsin.settings import Settings, read_settings
from tocsin.steps.collaborators import open_database
from tocsin.steps.sign_in import print_link, show_out_everywhere

app = typer.Typer(
    help="The officers' desk: who may come in, and how without mail.",
    no_args_is_help=True,
)

_Address = Annotated[str, typer.Argument(help="The person's address on the list.")]


@app.command("list")
def list_(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List who may come in, and as what."""
    settings = read_settings()
    officers = _officers(settings)
    if as_json:
        print(
            json.dumps(
                [
                    {"name": one.name, "email": one.email, "role": one.role}
                    for one in officers.people
                ]
            )
        )
        return
    table = Table("Name", "Address", "Role")
    for one in officers.people:
        table.add_row(one.name, one.email, one.role.value)
    Console().print(table)
    if officers.problems:
        Console(stderr=True).print(
            f"{len(officers.problems)} rows cannot be used: tocsin officer check"
        )


@app.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="A list to check. Default: the one that is set."),
    ] = None,
) -> None:
    """Say what of the officers' list cannot be used, with row and field."""
    settings = read_settings()
    officers = read_officers(_existing(file)) if file else _officers(settings)
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for problem in officers.problems:
        errors.print(problem)
    who_launch = sum(one.may_launch for one in officers.people)
    print(
        f"{len(officers.people)} may come in: {who_launch} as officer, "
        f"{len(officers.people) - who_launch} as manager; "
        f"{len(officers.problems)} rows cannot be used"
    )
    if settings.launch_needs_second_officer and who_launch < 2:  # noqa: PLR2004
        errors.print(
            "TOCSIN_LAUNCH_NEEDS_SECOND_OFFICER is set, and there are no two officers: "
            "nothing could be launched"
        )
        raise typer.Exit(1)
    if officers.problems or not who_launch:
        raise typer.Exit(1)


@app.command("link")
def link(email: _Address) -> None:
    """
    Print a way in for somebody on the list, for when mail does not work (yet).

    It works once, in any browser. Whoever can run this can do anything anyway.
    """
    settings, clock = read_settings(), SystemClock()
    officer = _officers(settings).find(address_key(email))
    if officer is None:
        raise BadInput(
            f"nobody with the address {email} is on {settings.officers}: "
            "`tocsin officer list` shows who is",
            field="email",
        )
    valid = timedelta(minutes=settings.officer_link_minutes)
    with open_database(settings) as engine:
        path = print_link(
            engine,
            Links(read_secrets(settings.link_secrets)),
            officer,
            clock=clock,
            valid=valid,
        )
    print(f"{settings.public_portal}{path}")
    Console(stderr=True).print(
        f"Lets {officer.name} in as {officer.role}, once, within "
        f"{settings.officer_link_minutes} minutes. It is a key: paste it into a browser "
        "and nowhere else."
    )


@app.command("sign-out")
def sign_out(email: _Address) -> None:
    """Show somebody out wherever they are in, and let their links die."""
    settings = read_settings()
    with open_database(settings) as engine:
        ended = show_out_everywhere(engine, email, clock=SystemClock())
    print(
        f"{ended} sessions ended. While the address is on {settings.officers}, a new "
        "link can be asked for."
    )


def _officers(settings: Settings) -> Officers:
    return read_officers(_existing(settings.officers))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadInput(
            "there is no such list, so nobody can come in at the officers' desk. Make "
            "a CSV there, or set TOCSIN_OFFICERS_FILE:\n"
            f"  printf 'name,email,role\\nYour Name,you@example.org,officer\\n' > {path}",
            file=str(path),
        )
    return path
