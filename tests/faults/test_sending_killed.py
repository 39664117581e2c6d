"""A process that sends is killed at each boundary: no notice is lost, none leaves uncounted."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

import pytest
from factories import LAUNCH
from fakes.forks import ended, start_fork
from fakes.mortal_sender import main
from fakes.planned import Planned, addresses, plan_notices
from fakes.scripted_relay import ScriptedRelay
from sqlalchemy import Engine
from ways import EVERY_WAY, dealt

from tocsin.clock import SteppedClock
from tocsin.steps.send import LEASE_WITHIN

pytestmark = pytest.mark.faults

COUNT = 50
BATCH = 20
CONNECTIONS = 4


@pytest.fixture
def planned(engine: Engine, clock: SteppedClock) -> Planned:
    return plan_notices(engine, clock, *addresses(COUNT))


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    return tmp_path / "sending"


def start(
    planned: Planned, relay: ScriptedRelay, now: datetime, **options: object
) -> ForkServerProcess:
    named: dict[str, object] = {
        "url": planned.engine.url.render_as_string(hide_password=False),
        "port": relay.port,
        "now": now.isoformat(),
        "batch": BATCH,
        "connections": CONNECTIONS,
    }
    return start_fork(main, named | options)


def run(
    planned: Planned, relay: ScriptedRelay, now: datetime, **options: object
) -> int:
    return ended(start(planned, relay, now, **options))


def assert_each_left(planned: Planned, relay: ScriptedRelay) -> Counter[str]:
    """Assert that all left; return how often each message was taken beyond once."""
    notices = planned.notices()
    assert planned.states() == {"sent": COUNT}
    taken = Counter(
        str(message_from_bytes(one.content)["Message-ID"]) for one in relay.taken
    )
    assert set(taken) == {row.message_id for row in notices}
    # I4: whatever was taken twice is counted as a possible repetition.
    counted = {row.message_id: row.possibly_repeated for row in notices}
    repeated = Counter({key: times - 1 for key, times in taken.items() if times > 1})
    assert all(times <= counted[key] for key, times in repeated.items())
    # What a reader sees of a repetition is the same mail.
    by_id: dict[str, set[tuple[str, str, str]]] = {}
    for one in relay.taken:
        mail = message_from_bytes(one.content)
        by_id.setdefault(str(mail["Message-ID"]), set()).add(
            (one.sender, str(mail["Date"]), str(mail["Subject"]))
        )
    assert all(len(forms) == 1 for forms in by_id.values())
    # I5: the chain is intact although the process died.
    assert planned.acts()
    return repeated


@pytest.fixture(
    params=["one-by-one", "pipelined"] if EVERY_WAY else ["by-turns"],
)
def relay(request: pytest.FixtureRequest, engine: Engine) -> Iterator[ScriptedRelay]:
    """Start a relay; what is tried on one database pipelined is not on the other."""
    pipelines = request.param == "pipelined"
    if request.param == "by-turns":
        test = request.node.name.replace(engine.dialect.name, "")
        pipelines = dealt(test) is (engine.dialect.name == "postgresql")
    with ScriptedRelay(pipelines=pipelines) as started:
        yield started


@pytest.mark.parametrize(
    ("dies", "after"),
    [
        ("taken", 1),  # claimed, nothing has left
        ("taken", BATCH + 1),
        ("started", 1),  # noted, the content has not left
        ("started", 13),
        ("ended", 1),  # the relay has it, the database does not know
        ("ended", BATCH + 9),
    ],
)
def test_i4_no_more_is_in_doubt_than_there_are_connections_when_the_process_is_killed(
    planned: Planned, relay: ScriptedRelay, journals: Path, dies: str, after: int
) -> None:
    killed = run(planned, relay, LAUNCH, dies=dies, after=after, journals=journals)
    assert killed == -signal.SIGKILL
    assert len(list(journals.iterdir())) == 1

    # Nobody waits for the dead one's lease.
    assert run(planned, relay, LAUNCH, journals=journals) == 0
    doubtful = [one for one in planned.attempts() if one.outcome == "in-doubt"]
    assert len(doubtful) <= CONNECTIONS
    assert planned.states().get("sent", 0) == COUNT - len(doubtful)
    assert run(planned, relay, LAUNCH + timedelta(minutes=1), journals=journals) == 0

    repeated = assert_each_left(planned, relay)
    assert repeated.total() <= len(doubtful)
    assert sum(row.possibly_repeated for row in planned.notices()) == len(doubtful)
    assert list(journals.iterdir()) == []


def test_i4_no_notice_is_lost_when_killed_again_and_again(
    planned: Planned, relay: ScriptedRelay, journals: Path
) -> None:
    now, kills = LAUNCH, 0
    chance = Random(7)  # noqa: S311 - to be repeatable
    for _ in range(12):
        dies = chance.choice(["taken", "started", "ended"])
        code = run(
            planned,
            relay,
            now,
            dies=dies,
            after=chance.randint(1, 9),
            batch=8,
            journals=journals,
        )
        kills += code == -signal.SIGKILL
        now += timedelta(hours=1)

    assert run(planned, relay, now, journals=journals) == 0
    # What the last of them left in doubt.
    now += timedelta(hours=1)
    assert run(planned, relay, now, journals=journals) == 0

    repeated = assert_each_left(planned, relay)
    assert kills > 3
    assert repeated.total() <= kills * CONNECTIONS
    assert list(journals.iterdir()) == []


def test_i4_no_notice_is_lost_when_the_process_is_killed_from_outside(
    planned: Planned, relay: ScriptedRelay, journals: Path
) -> None:
    process = start(planned, relay, LAUNCH, journals=journals)
    until = time.monotonic() + 60
    while len(relay.taken) < 15 and time.monotonic() < until:
        process.join(0.001)
    process.kill()
    process.join()

    assert run(planned, relay, LAUNCH, journals=journals) == 0
    assert run(planned, relay, LAUNCH + timedelta(minutes=1), journals=journals) == 0

    repeated = assert_each_left(planned, relay)
    assert repeated.total() <= CONNECTIONS


def test_i4_all_that_was_claimed_is_in_doubt_when_the_journal_is_gone(
    planned: Planned, relay: ScriptedRelay
) -> None:
    killed = run(planned, relay, LAUNCH, dies="ended", after=7)

    assert killed == -signal.SIGKILL
    # What was not claimed does not wait for the dead one.
    assert run(planned, relay, LAUNCH + timedelta(minutes=1)) == 0
    held = planned.states()["sending"]
    assert planned.states().get("sent", 0) == COUNT - held
    assert run(planned, relay, LAUNCH + LEASE_WITHIN) == 0

    assert_each_left(planned, relay)
    assert sum(row.possibly_repeated for row in planned.notices()) == held


def test_i4_two_processes_at_once_send_nothing_twice(
    planned: Planned, relay: ScriptedRelay, journals: Path
) -> None:
    both = [start(planned, relay, LAUNCH, batch=5, journals=journals) for _ in range(2)]
    codes = [ended(process) for process in both]

    assert codes == [0, 0]
    assert assert_each_left(planned, relay) == Counter()
    assert len(relay.taken) == COUNT
