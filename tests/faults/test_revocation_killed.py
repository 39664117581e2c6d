import signal
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from factories import REVOCATION
from fakes.cas import calls_by_serial
from fakes.forks import ended, start_fork
from fakes.launched import LaunchedIncident, launch
from fakes.mortal_revoker import main
from sqlalchemy import Engine

from tocsin.ca.issuers import open_database
from tocsin.clock import SteppedClock

pytestmark = pytest.mark.faults

AFTER_THE_CLAIM = REVOCATION + timedelta(minutes=2)
COUNT = 150  # of which 100 are recorded when the process dies in mid-call


@pytest.fixture
def launched(engine: Engine, tmp_path: Path, clock: SteppedClock) -> LaunchedIncident:
    return launch(engine, tmp_path / "ca", clock, count=COUNT)


def start(
    launched: LaunchedIncident, now: datetime, **options: object
) -> ForkServerProcess:
    named: dict[str, object] = {
        "url": launched.engine.url.render_as_string(hide_password=False),
        "ca": launched.directory,
        "now": now.isoformat(),
    }
    return start_fork(main, named | options)


def run(launched: LaunchedIncident, now: datetime, **options: object) -> int:
    return ended(start(launched, now, **options))


def at_the_ca(launched: LaunchedIncident) -> dict[bytes, tuple[int, int]]:
    """Return reason and time of each revocation, from the CA's own log."""
    with open_database(launched.directory) as database:
        rows = database.execute("SELECT serial, reason, revoked_at FROM revoked")
        return {serial: (reason, at) for serial, reason, at in rows}


def assert_each_once(launched: LaunchedIncident, count: int) -> None:
    assert calls_by_serial(launched.directory) == dict.fromkeys(
        range(0x1000, 0x1000 + count), 1
    )
    assert launched.states() == {"published": count}
    assert {row.published_reason for row in launched.rows()} == {4}
    named = [act.action for act in launched.acts()]  # which checks the chain, too
    assert "revocations-published" in named


@pytest.mark.parametrize(
    ("dies", "states", "revoked_at_the_ca"),
    [
        # The intent is on record, nothing was done.
        ("claimed", {"submitted": COUNT}, 0),
        # 120 are done, 100 of them recorded.
        ("calling", {"revoked": 100, "submitted": 50}, 120),
        # All are done, the last 50 not recorded.
        ("called", {"revoked": 100, "submitted": 50}, COUNT),
        # All are recorded, nothing is published.
        ("recorded", {"revoked": COUNT}, COUNT),
        # All are published, nobody has recorded that.
        ("published", {"revoked": COUNT}, COUNT),
    ],
)
def test_i4_every_revocation_happens_once_when_the_process_is_killed(
    launched: LaunchedIncident,
    dies: str,
    states: dict[str, int],
    revoked_at_the_ca: int,
) -> None:
    killed = run(launched, REVOCATION, dies=dies, after=120)
    seen = at_the_ca(launched)

    assert killed == -signal.SIGKILL
    assert launched.states() == states
    assert len(seen) == revoked_at_the_ca

    assert run(launched, REVOCATION + timedelta(seconds=1)) == 0
    assert run(launched, AFTER_THE_CLAIM) == 0

    assert_each_once(launched, COUNT)
    finally_seen = at_the_ca(launched)
    assert {serial: finally_seen[serial] for serial in seen} == seen
    times = {row.ca_revoked_at for row in launched.rows()}
    assert times <= {REVOCATION, AFTER_THE_CLAIM}


def test_i4_every_revocation_happens_once_when_killed_again_and_again(
    engine: Engine, tmp_path: Path, clock: SteppedClock
) -> None:
    launched = launch(engine, tmp_path / "ca", clock, count=60)
    now = REVOCATION
    for dies in ("claimed", "calling", "called", "recorded", "published"):
        assert run(launched, now, dies=dies, after=7, batch=20) == -signal.SIGKILL
        now += timedelta(minutes=10)

    assert run(launched, now) == 0

    assert_each_once(launched, 60)


def test_i4_engine_and_guard_at_once_revoke_nothing_twice(
    engine: Engine, tmp_path: Path, clock: SteppedClock
) -> None:
    launched = launch(engine, tmp_path / "ca", clock, count=600)

    both = [
        start(launched, REVOCATION, actor=actor, batch=20)
        for actor in ("engine", "guard")
    ]

    assert [ended(process) for process in both] == [0, 0]
    assert run(launched, AFTER_THE_CLAIM) == 0  # proofs that one left to the other
    assert_each_once(launched, 600)


def test_i4_the_guard_goes_on_when_the_engine_is_killed_beside_it(
    engine: Engine, tmp_path: Path, clock: SteppedClock
) -> None:
    launched = launch(engine, tmp_path / "ca", clock, count=300)

    dying = start(
        launched, REVOCATION, actor="engine", batch=50, dies="calling", after=30
    )
    guard = start(launched, REVOCATION, actor="guard", batch=50)

    assert ended(dying) in (-signal.SIGKILL, 0)
    assert ended(guard) == 0
    assert run(launched, AFTER_THE_CLAIM, actor="guard") == 0
    assert_each_once(launched, 300)
