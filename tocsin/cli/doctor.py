"""`tocsin doctor`: what is configured, what is reachable, what is missing."""

import json
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from tocsin.ca.factory import EMBEDDED, open_ca
from tocsin.cli.processes import answers, asking
from tocsin.clock import SystemClock
from tocsin.errors import Broken, TocsinError
from tocsin.intake.officers import read_officers
from tocsin.mail.checks import check_templates
from tocsin.policy.pauses import pause_sentence
from tocsin.policy.progress import spell_duration
from tocsin.settings import Settings
from tocsin.steps.collaborators import current_templates
from tocsin.steps.launch import read_rulebook
from tocsin.store.held import backlog
from tocsin.store.pauses import live_pause
from tocsin.store.session import (
    newest_revision,
    open_engine,
    reading,
    schema_revision,
)

_PACKAGES = ("flows", "models", "templates", "tocsin")
_PATIENCE = 5.0
_EXAMPLE = ".example"
_CYCLES_WITHIN = timedelta(minutes=3)


class State(StrEnum):
    """What was found."""

    OK = "ok"
    NOTE = "note"  # works; somebody should know
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One line of the table.

    Args:
        name: What was looked at.
        state: What was found.
        detail: In words.
        advice: What to do; empty when nothing.

    """

    name: str
    state: State
    detail: str
    advice: str = ""


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say what is configured, reachable and missing; exit code 1 if something is."""
    findings = list(examine(Settings(), now=SystemClock().now()))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print_findings(findings)
    if any(finding.state is State.MISSING for finding in findings):
        raise typer.Exit(1)


def check_packages() -> Path:
    """
    Return the folder that all of our packages come from.

    Raises:
        Broken: They come from different folders: something shadows one of them.

    """
    folders: dict[str, Path] = {}
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise Broken(f"the package {name} is not installed")
        folders[name] = Path(next(iter(spec.submodule_search_locations))).parent
    if len(set(folders.values())) > 1:
        places = "; ".join(f"{name} from {place}" for name, place in folders.items())
        raise Broken(
            f"our packages come from different folders: {places}. Run it from another "
            "directory, or in an environment of its own."
        )
    return folders["tocsin"]


def examine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Look at everything, changing nothing."""
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("packages", _packages),
        ("database", lambda: _database(settings)),
        ("CA", lambda: _ca(settings)),
        ("rules and ladder", lambda: _rules(settings)),
        ("templates", lambda: _templates(settings)),
        ("link secret", lambda: _secret(settings)),
        ("sender", lambda: _sender(settings)),
        ("relay", lambda: _relay(settings)),
        ("sending", lambda: _sending(settings, now)),
        ("portal", lambda: _portal(settings)),
        ("officers", lambda: _officers(settings)),
        ("Prefect", lambda: _prefect(settings, now)),
        ("guard", lambda: _guard(settings, now)),
    ]
    for name, look in looks:
        try:
            yield look()
        except (TocsinError, OSError) as error:
            yield Finding(name=name, state=State.MISSING, detail=str(error))


def _packages() -> Finding:
    return _ok("packages", str(check_packages()))


def _database(settings: Settings) -> Finding:
    url = make_url(settings.database)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return _missing("database", f"{shown}: not there yet", "`tocsin up` makes it")
    engine = open_engine(settings.database)
    try:
        current = schema_revision(engine)
    except SQLAlchemyError as error:
        return _missing("database", f"{shown}: {error}", "see TOCSIN_DATABASE_URL")
    finally:
        engine.dispose()
    head = newest_revision()
    if current != head:
        return _missing(
            "database",
            f"{shown}: schema {current}, wanted {head}",
            "any command that uses it brings it up to date",
        )
    return _ok("database", f"{shown}, schema {current}")


def _ca(settings: Settings) -> Finding:
    ca = open_ca(settings, clock=SystemClock())
    issuers = ca.list_issuers()
    if not issuers and settings.ca_backend == EMBEDDED:
        return _missing(
            "CA",
            f"the embedded CA in {settings.embedded_ca} has no issuer",
            "`tocsin ca create` or `tocsin ca add`",
        )
    able = ca.backend.capabilities
    delay = spell_duration(able.publication_delay)
    detail = (
        f"{able.name}, {_number(len(issuers), 'issuer')}; plans with "
        f"{able.rate_per_second:,.6g} revocations a second, published within {delay}"
    )
    if settings.ca_backend == EMBEDDED:
        return _ok("CA", detail)
    return Finding(
        name="CA",
        state=State.OK,
        detail=f"{detail}; not called",
        advice="`tocsin backend check` calls it",
    )


def _rules(settings: Settings) -> Finding:
    book = read_rulebook(settings)
    ladder = settings.ladder_file or "the shipped ladder that fits the deadline"
    return _ok("rules and ladder", f"{book.pack.name}; {ladder}")


def _templates(settings: Settings) -> Finding:
    templates = current_templates(settings)
    if broken := check_templates(templates):
        return _missing("templates", "; ".join(broken[:3]), "`tocsin templates check`")
    own = (
        f", {settings.template_directory} first" if settings.template_directory else ""
    )
    return _ok("templates", f"{', '.join(templates.languages())}{own}")


def _secret(settings: Settings) -> Finding:
    if not settings.link_secrets.exists():
        return _missing(
            "link secret", f"no file {settings.link_secrets}", "`tocsin up` makes it"
        )
    count = len(settings.link_secrets.read_text("ascii").split())
    if not count:
        return _missing("link secret", f"{settings.link_secrets} is empty", "remove it")
    return _ok("link secret", f"{_number(count, 'secret')} in {settings.link_secrets}")


def _sender(settings: Settings) -> Finding:
    names = [settings.mail_from, settings.bounce_domain, settings.ca_site]
    if not any(name.endswith(_EXAMPLE) for name in names):
        return _ok("sender", f"{settings.mail_from}, returned to {names[1]}")
    detail = (
        f"{settings.mail_from}, returned to {settings.bounce_domain}: the example's"
    )
    advice = "set TOCSIN_MAIL_FROM, TOCSIN_BOUNCE_DOMAIN, TOCSIN_CA_NAME, _PHONE, _SITE"
    if settings.uses_embedded_relay:
        return Finding(name="sender", state=State.NOTE, detail=detail, advice=advice)
    return _missing("sender", detail, advice)


def _relay(settings: Settings) -> Finding:
    host, port = settings.relay
    try:
        with smtplib.SMTP(timeout=_PATIENCE) as smtp:
            code, _ = smtp.connect(host, port)
    except (OSError, smtplib.SMTPException) as error:
        return _missing("relay", f"{host}:{port}: {error}", _start(settings))
    kind = "embedded, delivers nothing" if settings.uses_embedded_relay else "the CA's"
    return _ok("relay", f"{host}:{port} answers {code} ({kind})")


def _sending(settings: Settings, now: datetime) -> Finding:
    engine = open_engine(settings.database)
    try:
        with reading(engine) as connection:
            pause = live_pause(connection)
            waiting = backlog(connection, now=now)
    except SQLAlchemyError:
        return _missing("sending", "no database to ask", "see database above")
    finally:
        engine.dispose()
    if pause is not None:
        age = spell_duration(now - pause.paused_at)
        return _missing(
            "sending",
            f"pauses since {age}: {pause_sentence(pause.cause)}",
            "`tocsin notice waiting`; it goes on by itself when a message is taken",
        )
    if waiting.held:
        return Finding(
            name="sending",
            state=State.NOTE,
            detail=f"{_number(waiting.held, 'notice')} held for an officer",
            advice="`tocsin notice held`",
        )
    return _ok("sending", f"{_number(waiting.due, 'notice')} due, none held")


def _portal(settings: Settings) -> Finding:
    here = f"http://{settings.portal_host}:{settings.portal_port}/healthz"
    if not answers(here):
        return _missing("portal", f"{here} does not answer", "`tocsin up`")
    return _ok("portal", f"subscribers reach it as {settings.public_portal}")


def _officers(settings: Settings) -> Finding:
    if not settings.officers.is_file():
        return Finding(
            name="officers",
            state=State.NOTE,
            detail=f"no file {settings.officers}: nobody can sign in at the desk",
            advice="make it: name,email,role; see docs/officer.md",
        )
    officers = read_officers(settings.officers)
    who_launch = sum(one.may_launch for one in officers.people)
    detail = f"{_people(len(officers.people))}, {who_launch} may launch"
    if settings.launch_needs_second_officer and who_launch < 2:  # noqa: PLR2004
        return _missing("officers", f"{detail}, and a launch takes two", "add one")
    if officers.problems:
        return _missing(
            "officers",
            f"{detail}; {_number(len(officers.problems), 'row')} cannot be used",
            "`tocsin officer check` names them",
        )
    return _ok("officers", detail)


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"


def _prefect(settings: Settings, now: datetime) -> Finding:
    base = settings.prefect_url
    if not answers(f"{base}/api/health"):
        return _missing("Prefect", f"{base} does not answer", "`tocsin up`")
    api = f"{base}/api"
    answer = asking().get(f"{api}/deployments/name/Cycle/cycle")
    if not answer.is_success:
        return _missing("Prefect", f"{base} knows no cycle", "`tocsin up`")
    cycle = answer.json()
    ended = asking().post(
        f"{api}/flow_runs/filter",
        json={
            "deployments": {"id": {"any_": [cycle["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
            "sort": "END_TIME_DESC",
            "limit": 1,
        },
    )
    done = ended.json()
    if cycle["paused"]:
        return _missing("Prefect", f"{base}: the cycle is paused", "resume it there")
    if not done:
        return _missing(
            "Prefect",
            f"{base}: no cycle was completed yet",
            "wait a minute, look again",
        )
    age = now - datetime.fromisoformat(done[0]["end_time"])
    if age > _CYCLES_WITHIN:
        return _missing(
            "Prefect",
            f"{base}: the last completed cycle is {spell_duration(age)} old",
            "see its runs there, and logs/runner.log",
        )
    return _ok("Prefect", f"{base}, last cycle {spell_duration(age)} ago")


def _guard(settings: Settings, now: datetime) -> Finding:
    try:
        beat = json.loads(settings.heartbeat.read_text("utf-8"))
        age = now - datetime.fromisoformat(beat["at"])
    except FileNotFoundError:
        return _missing("guard", f"no heartbeat in {settings.heartbeat}", "`tocsin up`")
    except (ValueError, KeyError):
        return _missing("guard", f"{settings.heartbeat} is no heartbeat", "remove it")
    limit = timedelta(seconds=3 * settings.guard_every_seconds + 30)
    if age > limit:
        return _missing(
            "guard",
            f"the last heartbeat is {spell_duration(age)} old",
            "it is dead, or revocations are overdue: see logs/guard.log",
        )
    return _ok("guard", f"heartbeat {spell_duration(age)} ago")


def _start(settings: Settings) -> str:
    return "`tocsin up`" if settings.uses_embedded_relay else "see TOCSIN_SMTP_HOST"


def _ok(name: str, detail: str) -> Finding:
    return Finding(name=name, state=State.OK, detail=detail)


def _missing(name: str, detail: str, advice: str) -> Finding:
    return Finding(name=name, state=State.MISSING, detail=detail, advice=advice)


def _number(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def print_findings(findings: list[Finding]) -> None:
    """Print what was found as a table, and how much of it is well."""
    colours = {State.OK: "green", State.NOTE: "yellow", State.MISSING: "bold red"}
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        colour = colours[finding.state]
        console.print(
            f"[{colour}]{finding.state:<8}[/] {finding.name:<17} {escape(finding.detail)}"
        )
        if finding.advice:
            console.print(f"{'':<26} → {escape(finding.advice)}")
    counts = {
        state: sum(finding.state is state for finding in findings) for state in State
    }
    console.print(
        f"\n{len(findings)} looked at: "
        + ", ".join(f"{count} {state}" for state, count in counts.items())
    )
