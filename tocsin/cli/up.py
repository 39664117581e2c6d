"""`tocsin up`: everything that is needed, on one machine, until Ctrl-C."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
from rich.console import Console
from sqlalchemy import make_url

from tocsin.ca.issuers import summarise
from tocsin.cli.doctor import check_packages
from tocsin.cli.processes import Processes, Service, answers, asking, listens
from tocsin.clock import SystemClock
from tocsin.errors import Refused, Unavailable
from tocsin.links import read_secrets
from tocsin.settings import Settings, read_settings
from tocsin.steps.collaborators import open_database

_CYCLE = "/deployments/name/Cycle/cycle"
_OPEN = "/deployments/name/Open%20an%20incident/open-incident"


def up() -> None:
    """
    Start Prefect, the runner, the portal and the guard here; Ctrl-C ends them.

    Where no relay is set (TOCSIN_SMTP_HOST), the embedded one takes the mail and
    delivers none. What ends by itself is started again.
    """
    check_packages()
    settings = read_settings()
    console = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with _held(settings), Processes(tell=errors.print) as processes:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: processes.stop.set())
        _check_ports(settings)
        # Before anybody else, so that no two processes make them at once.
        with open_database(settings):
            read_secrets(settings.link_secrets)
        services = services_of(settings)
        console.print("Starting. The first time takes half a minute.")
        processes.start([one for one in services if one.name != RUNNER])
        if not processes.stop.is_set():
            processes.start([one for one in services if one.name == RUNNER])
        if not processes.stop.is_set():
            _tell(console, settings)
        processes.keep_running()
        console.print("Ending.")
    console.print("Ended.")


RUNNER = "runner"


def services_of(settings: Settings) -> list[Service]:
    """List what is needed, in the order of starting; it ends the other way round."""
    environment = child_environment(settings)
    logs = settings.data_directory.resolve() / "logs"
    started_at = SystemClock().now()

    def service(name: str, *command: str, **health: object) -> Service:
        return Service(
            name=name,
            command=command,
            log=logs / f"{name}.log",
            environment=environment,
            directory=settings.data_directory.resolve(),
            **health,  # type: ignore[arg-type]
        )

    services = []
    if settings.uses_embedded_relay:
        host, port = settings.relay
        services.append(
            service(
                "relay",
                "tocsin.demo.relay",
                "--directory",
                str(settings.mailbox.resolve()),
                "--host",
                host,
                "--port",
                str(port),
                is_healthy=lambda: listens(host, port),
            )
        )
    return [
        *services,
        service(
            "prefect",
            "prefect",
            "server",
            "start",
            "--host",
            settings.prefect_host,
            "--port",
            str(settings.prefect_port),
            is_healthy=lambda: answers(f"{settings.prefect_url}/api/health"),
        ),
        service(
            "portal",
            "tocsin.portal.app",
            is_healthy=lambda: answers(
                f"http://{settings.portal_host}:{settings.portal_port}/healthz"
            ),
        ),
        # While revocations are overdue it withholds its heartbeat, and is at work.
        service("guard", "tocsin.guard", is_healthy=lambda: True),
        service("watchdog", "tocsin.watchdog", is_healthy=lambda: True),
        service(
            RUNNER,
            "flows.serve",
            is_healthy=lambda: _is_served(settings, since=started_at),
        ),
    ]


def child_environment(settings: Settings) -> dict[str, str]:
    """
    Return the environment of the processes.

    They run in the data directory: a stray folder ``models`` where we were called must
    not be imported. So every path they are given is absolute. Prefect keeps to this
    machine; what the operator has set for it otherwise comes before our defaults.
    """
    home = settings.data_directory.resolve() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": (
            f"sqlite+aiosqlite:///{home / 'prefect.db'}"
        ),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The newer UI asks a server on the internet for the settings of its analytics,
        # wanted or not; this one asks nobody.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        # Measured: 35 task runs a second without these, 150 to 200 with them.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # Upcoming runs are the timetable: a hundred cycles would hide it. But what is
        # scheduled less than five minutes ahead reaches automations late.
        "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "8",
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": "7",
        # The cycle leaves 1,440 runs a day; Prefect's record is nobody's evidence.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(14 * 86_400),
        "PREFECT_RUNNER_POLL_FREQUENCY": "5",
    }
    paths = {
        f"TOCSIN_{name.upper()}": str(value.resolve())
        for name, value in settings
        if isinstance(value, Path)
    }
    api = f"{settings.prefect_url}/api"
    return {
        **defaults,
        **os.environ,
        **paths,
        "TOCSIN_DATABASE_URL": _absolute(settings.database),
        "PREFECT_API_URL": api,
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
        "NO_PROXY": ",".join(
            filter(None, [os.environ.get("NO_PROXY"), settings.prefect_host])
        ),
    }


def _absolute(database: str) -> str:
    url = make_url(database)
    if url.get_backend_name() != "sqlite" or not url.database:
        return database
    path = str(Path(url.database).resolve())
    return url.set(database=path).render_as_string(hide_password=False)


def _is_served(settings: Settings, *, since: datetime) -> bool:
    """Whether a runner asks for runs, and Prefect schedules cycles for it."""
    api = f"{settings.prefect_url}/api"
    try:
        cycle = asking().get(f"{api}{_CYCLE}")
        polled = cycle.json().get("last_polled") if cycle.is_success else None
        if polled is None or datetime.fromisoformat(polled) < since:
            return False
        upcoming = asking().post(
            f"{api}/flow_runs/count",
            json={
                "deployments": {"id": {"any_": [cycle.json()["id"]]}},
                "flow_runs": {"expected_start_time": {"after_": f"{since:%FT%TZ}"}},
            },
        )
        return bool(upcoming.json())
    except (httpx.HTTPError, ValueError):
        return False


def _check_ports(settings: Settings) -> None:
    ports = {
        "TOCSIN_PREFECT_PORT": (settings.prefect_host, settings.prefect_port),
        "TOCSIN_PORTAL_PORT": (settings.portal_host, settings.portal_port),
    }
    if settings.uses_embedded_relay:
        ports["TOCSIN_SMTP_PORT"] = settings.relay
    for name, (host, port) in ports.items():
        if listens(host, port):
            raise Unavailable(
                f"something else listens on {host}:{port}. End it, or set {name}."
            )


@contextmanager
def _held(settings: Settings) -> Iterator[None]:
    """Hold the data directory for one `tocsin up`; ends with it, however it ends."""
    with (settings.data_directory / "up.lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"`tocsin up` already runs for {settings.data_directory}",
                source="one for each data directory",
            ) from None
        yield


def _tell(console: Console, settings: Settings) -> None:
    base = settings.prefect_url
    form = asking().get(f"{base}/api{_OPEN}", timeout=10.0).json()["id"]
    lines = [
        ("Open an incident", f"{base}/deployments/deployment/{form}/run"),
        ("Dashboards", f"{base}/artifacts"),
        ("Timetable and runs", f"{base}/runs"),
        ("Portal", settings.public_portal),
        ("Officers' desk", f"{settings.public_portal}/desk"),
    ]
    if settings.uses_embedded_relay:
        lines.append(
            ("Mail", f"{settings.mailbox.resolve() / 'outbox'} (delivered to nobody)")
        )
    lines.append(("Logs", str(settings.data_directory.resolve() / "logs")))
    console.print("\n[bold]Tocsin is up.[/] Ctrl-C ends it.\n")
    for name, where in lines:
        console.print(f"  {name:<19} {where}")
    if not summarise(settings.embedded_ca):
        console.print(
            "\nThe embedded CA has no issuer yet: `tocsin ca create` or `tocsin ca add`."
        )
    console.print()
