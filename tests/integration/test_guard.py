import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import REVOCATION
from fakes.cas import WaywardCa, calls_by_serial
from fakes.launched import LaunchedIncident, launch
from fakes.web_ca import Said, WebCa, serve
from sqlalchemy import Engine, text

from models import outreach, subscriber
from models.base import table
from tocsin.ca.backend import AnswerKind, CaBackend, Capabilities
from tocsin.clock import SteppedClock
from tocsin.guard import Watch, is_well, pause_until_due, run_guard, watch_once
from tocsin.store.revocations import bring_forward
from tocsin.store.session import writing

pytestmark = pytest.mark.one_database

GRACE = timedelta(seconds=60)
LONG_AGO = REVOCATION - timedelta(days=3650)
PEOPLE = (
    outreach.Attempt,
    outreach.Bounce,
    outreach.Notice,
    outreach.Csr,
    outreach.Reply,
    outreach.Escalation,
    subscriber.Contact,
    subscriber.SubscriberDomain,
)
# What the guard must do without (I2): whoever imports one of these dies.
BLOCKED = """
import sys

class Blocked:
    names = {
        "prefect", "aiosmtplib", "aiosmtpd", "fastapi", "jinja2", "uvicorn", "flows",
        "typer", "httpx", "itsdangerous", "babel", "matplotlib",
    }
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names or name.startswith(
            ("tocsin.mail", "tocsin.portal", "tocsin.intake", "tocsin.reports",
             "models.outreach", "models.subscriber")
        ):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def launched(engine: Engine, tmp_path: Path, clock: SteppedClock) -> LaunchedIncident:
    made = launch(engine, tmp_path / "ca", clock)
    clock.step_to(REVOCATION)
    return made


@pytest.fixture
def heartbeat(tmp_path: Path) -> Path:
    return tmp_path / "guard.json"


def watch(
    launched: LaunchedIncident,
    heartbeat: Path,
    backend: CaBackend | None = None,
    **more: Any,
) -> Watch:
    return watch_once(
        launched.engine,
        backend or launched.ca,
        launched.publication,
        launched.clock,
        heartbeat=heartbeat,
        grace=GRACE,
        owner="guard-test",
        **more,
    )


def test_the_guard_leaves_what_is_due_to_the_engine_for_a_while(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    launched.step(seconds=59)
    before = watch(launched, heartbeat)
    launched.step(seconds=1)
    after = watch(launched, heartbeat)

    assert before.revoked.claimed == 0
    assert before.all_is_well
    assert after.revoked.revoked == 3
    assert {act.actor for act in launched.acts()} == {"guard"}


def test_i9_the_guard_proves_what_it_revoked_in_the_same_pass(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    # Nobody else may be there to do it, and the deadline may be a minute away.
    launched.step(minutes=1)

    done = watch(launched, heartbeat)

    assert (done.revoked.revoked, done.revoked.published) == (3, 3)
    assert launched.states() == {"published": 3}


def test_the_guard_proves_what_the_engine_left_unproven(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    launched.revoke(WaywardCa(launched.ca, cannot_publish=True))
    launched.step(minutes=2)

    last = watch(launched, heartbeat)

    assert (last.revoked.claimed, last.revoked.published) == (0, 3)


def test_the_heartbeat_says_when_and_what(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    launched.step(minutes=1)

    watch(launched, heartbeat)

    assert json.loads(heartbeat.read_text("utf-8")) == {
        "at": "2026-03-07T03:01:00+00:00",
        "due": 3,
        "overdue": 0,
        "unpublished": 0,
        "restrained": 0,
    }
    assert list(heartbeat.parent.glob("guard.json.*")) == []


def test_the_heartbeat_is_withheld_when_something_due_is_not_done(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    ca = WaywardCa(launched.ca, answers={0x1000: AnswerKind.REFUSED})
    launched.step(minutes=1)

    failed = watch(launched, heartbeat, ca)
    was_written = heartbeat.exists()
    ca.answers.clear()
    launched.step(minutes=3)
    done = watch(launched, heartbeat, ca)

    assert failed.outstanding.overdue == 1
    assert not was_written
    assert done.all_is_well
    assert heartbeat.exists()


def test_the_heartbeat_is_withheld_when_publication_stays_away(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    ca = WaywardCa(launched.ca, cannot_publish=True)
    launched.step(minutes=1)
    watch(launched, heartbeat, ca)
    heartbeat.unlink()
    launched.step(minutes=2)

    failed = watch(launched, heartbeat, ca)

    assert (failed.outstanding.overdue, failed.outstanding.unpublished) == (0, 3)
    assert not heartbeat.exists()


@pytest.fixture
def pings(tmp_path: Path) -> Iterator[tuple[str, WebCa]]:
    listener = WebCa(folder=tmp_path, issuer_key="")
    with serve(listener, lambda _: Said(200, "ok")) as url:
        yield f"{url}/ping/secret", listener


def test_the_url_is_fetched_while_all_is_well_and_not_otherwise(
    launched: LaunchedIncident, heartbeat: Path, pings: tuple[str, WebCa]
) -> None:
    url, listener = pings
    ca = WaywardCa(launched.ca, answers={0x1000: AnswerKind.REFUSED})
    launched.step(minutes=1)

    watch(launched, heartbeat, ca, url=url)
    withheld = len(listener.asked)
    ca.answers.clear()
    launched.step(minutes=3)
    watch(launched, heartbeat, ca, url=url)

    assert withheld == 0
    assert [(one.method, one.path) for one in listener.asked] == [
        ("GET", "/ping/secret")
    ]


def test_a_url_that_does_not_answer_stops_nothing_and_is_not_told(
    launched: LaunchedIncident,
    heartbeat: Path,
    pings: tuple[str, WebCa],
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, listener = pings
    listener.instead.append(Said(500, "no"))
    launched.step(minutes=1)

    for bad in (url, "http://127.0.0.1:1/secret", "file:///etc/secret", "secret"):
        assert watch(launched, heartbeat, url=bad).all_is_well

    said = capsys.readouterr().err
    assert said.count("The heartbeat was not taken") == 4
    assert "secret" not in said
    assert heartbeat.exists()


def test_the_heartbeat_is_withheld_when_the_clock_was_set_back(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    seen = watch(launched, heartbeat, set_back=timedelta(hours=1))

    assert seen.outstanding.is_nothing
    assert not seen.all_is_well
    assert not heartbeat.exists()


def test_the_guard_started_again_knows_from_its_heartbeat_that_the_clock_was_set_back(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    watch(launched, heartbeat)
    before = heartbeat.read_text("utf-8")
    set_back = SteppedClock(launched.clock.now() - timedelta(hours=1))
    stop = threading.Event()

    class Passes(WaywardCa):
        passes = 0

        @property
        def capabilities(self) -> Capabilities:
            self.passes += 1
            if self.passes > 5:
                stop.set()
            return self.inner.capabilities

    run_guard(
        launched.engine,
        Passes(launched.ca),
        launched.publication,
        set_back,
        heartbeat=heartbeat,
        every=timedelta(milliseconds=10),
        stop=stop,
        grace=GRACE,
    )

    assert heartbeat.read_text("utf-8") == before


def test_the_guard_looks_when_something_is_due_and_soon_while_it_is_not_done(
    engine: Engine, tmp_path: Path, clock: SteppedClock
) -> None:
    launched = launch(engine, tmp_path / "ca", clock)

    def pause() -> float:
        wait = pause_until_due(engine, clock, every=timedelta(minutes=1))
        return wait.total_seconds()

    assert pause() == 60
    clock.step_to(REVOCATION - timedelta(seconds=40))
    assert pause() == 40
    clock.step_to(REVOCATION + timedelta(minutes=5))
    assert pause() == 5
    launched.revoke()
    assert pause() == 60


def test_the_guard_tries_again_itself_when_the_ca_was_away_for_the_engine(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    # The engine comes by once a minute; the CA may be back for the last one only.
    launched.step(minutes=5)
    launched.revoke(WaywardCa(launched.ca, away_after=0))
    launched.step(seconds=5)

    done = watch(launched, heartbeat)

    assert (done.revoked.revoked, done.revoked.published) == (3, 3)


@pytest.mark.parametrize(("age", "is_fine"), [(0, True), (3, True), (4, False)])
def test_the_guard_is_well_while_its_heartbeat_is_young(
    launched: LaunchedIncident, heartbeat: Path, *, age: int, is_fine: bool
) -> None:
    watch(launched, heartbeat)
    launched.step(minutes=age)

    every = timedelta(minutes=1)
    assert is_well(heartbeat, clock=launched.clock, every=every) is is_fine
    assert not is_well(heartbeat / "gone", clock=launched.clock, every=every)


class FailsTwice(WaywardCa):
    """A backend with a bug that goes away."""

    failures = 0

    @property
    def capabilities(self) -> Capabilities:
        if self.failures < 2:
            self.failures += 1
            message = "a bug"
            raise ZeroDivisionError(message)
        return self.inner.capabilities


def test_the_guard_outlives_a_failing_pass(
    launched: LaunchedIncident, heartbeat: Path
) -> None:
    launched.step(minutes=1)
    stop = threading.Event()
    ca = FailsTwice(launched.ca)
    thread = threading.Thread(
        target=run_guard,
        args=(launched.engine, ca, launched.publication, launched.clock),
        kwargs={
            "heartbeat": heartbeat,
            "every": timedelta(milliseconds=10),
            "stop": stop,
            "grace": GRACE,
        },
    )

    thread.start()
    try:
        wait_until(heartbeat.exists)
    finally:
        stop.set()
        thread.join(30)

    assert not thread.is_alive()
    assert ca.failures == 2
    assert calls_by_serial(launched.directory) == {0x1000: 1, 0x1001: 1, 0x1002: 1}


def wait_until(condition: Callable[[], bool], within: float = 60.0) -> None:
    waited = threading.Event()
    ends = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        waited.wait(0.02)


# The process


@pytest.fixture
def environment(
    launched: LaunchedIncident, heartbeat: Path, tmp_path: Path
) -> dict[str, str]:
    """Return an environment in which Prefect, mail and portal cannot be imported."""
    with writing(launched.engine) as connection:
        # The process goes by the machine's clock, whatever that says.
        bring_forward(connection, certificates=launched.certificates, to=LONG_AGO)
    blocking = tmp_path / "blocking"
    blocking.mkdir()
    (blocking / "sitecustomize.py").write_text(BLOCKED, "utf-8")
    url = launched.engine.url.render_as_string(hide_password=False)
    return {
        # Coverage, where it is measured, follows into the process.
        **{
            name: os.environ[name] for name in os.environ if name.startswith("COVERAGE")
        },
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(blocking),
        "TOCSIN_DATA_DIRECTORY": str(tmp_path / "data"),
        "TOCSIN_DATABASE_URL": url,
        "TOCSIN_CA_DIRECTORY": str(launched.directory),
        "TOCSIN_GUARD_HEARTBEAT_FILE": str(heartbeat),
        "TOCSIN_GUARD_EVERY_SECONDS": "1",
        "TOCSIN_GUARD_GRACE_SECONDS": "0",
    }


@pytest.fixture
def without_people(launched: LaunchedIncident) -> LaunchedIncident:
    """Take every table about people away."""
    cascade = " CASCADE" if launched.engine.dialect.name == "postgresql" else ""
    with writing(launched.engine) as connection:
        for model in PEOPLE:
            connection.execute(text(f"DROP TABLE {table(model).name}{cascade}"))
        # Certificates refer to this one: it stays, unreadable for whoever tries.
        connection.execute(text("ALTER TABLE subscriber RENAME TO subscriber_gone"))
    return launched


@pytest.fixture
def guard(
    environment: dict[str, str],
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tocsin.guard", *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_i2_the_guard_revokes_when_prefect_mail_portal_and_people_are_gone(
    without_people: LaunchedIncident,
    guard: Callable[..., subprocess.Popen[str]],
    heartbeat: Path,
) -> None:
    process = guard("--once")
    _, log = process.communicate(timeout=60)

    assert process.returncode == 0, log
    assert without_people.states() == {"published": 3}
    assert calls_by_serial(without_people.directory) == dict.fromkeys(
        range(0x1000, 0x1003), 1
    )
    assert json.loads(heartbeat.read_text("utf-8"))["overdue"] == 0
    assert guard("--is-well").wait(60) == 0


def test_i2_what_the_guard_must_do_without_is_really_gone(
    environment: dict[str, str],
) -> None:
    # Else the test above could not fail.
    for module in ("prefect", "jinja2", "tocsin.mail.render", "models.outreach"):
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"import {module}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "is not here" in done.stderr


def test_the_guard_says_so_when_something_is_left_undone(
    launched: LaunchedIncident,
    guard: Callable[..., subprocess.Popen[str]],
    heartbeat: Path,
) -> None:
    (launched.directory / "ca.sqlite").unlink()

    process = guard("--once")
    _, log = process.communicate(timeout=60)

    assert process.returncode == 3
    assert "heartbeat withheld" in log
    assert not heartbeat.exists()
    assert launched.states() == {"submitted": 3}


def test_the_guard_watches_until_it_is_told_to_stop(
    launched: LaunchedIncident,
    guard: Callable[..., subprocess.Popen[str]],
    heartbeat: Path,
) -> None:
    process = guard()

    wait_until(lambda: launched.states() == {"published": 3} and heartbeat.exists())
    first = json.loads(heartbeat.read_text("utf-8"))["at"]
    wait_until(lambda: json.loads(heartbeat.read_text("utf-8"))["at"] > first)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)

    assert process.returncode == 0, log
