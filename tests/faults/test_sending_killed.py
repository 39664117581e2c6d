"""A process that sends is killed at each boundary: no notice is lost, none leaves uncounted."""

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import fakes.mortal_sender
import pytest
from factories import LAUNCH
from fakes.planned import Planned, addresses, plan_notices
from fakes.scripted_relay import ScriptedRelay
from sqlalchemy import Engine

from tocsin.clock import SteppedClock
from tocsin.steps.send import LEASE_WITHIN

pytestmark = pytest.mark.faults

SCRIPT = Path(fakes.mortal_sender.__file__)
COUNT = 50
BATCH = 20


@pytest.fixture
def planned(engine: Engine, clock: SteppedClock) -> Planned:
    return plan_notices(engine, clock, *addresses(COUNT))


def start(
    planned: Planned, relay: ScriptedRelay, now: datetime, **options: object
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", str(SCRIPT)]
    named: dict[str, object] = {
        "url": planned.engine.url.render_as_string(hide_password=False),
        "port": relay.port,
        "now": now.isoformat(),
        "batch": BATCH,
    } | options
    for name, value in named.items():
        command += [f"--{name}", str(value)]
    paths = os.pathsep.join([str(SCRIPT.parents[1]), str(SCRIPT.parents[2])])
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths})


def run(
    planned: Planned, relay: ScriptedRelay, now: datetime, **options: object
) -> int:
    return start(planned, relay, now, **options).wait(timeout=120)


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


@pytest.mark.parametrize(
    ("dies", "taken_at_least", "taken_at_most", "repeated_at_most"),
    [
        # The intent is on record, nothing of the batch has left.
        ("claimed", BATCH, BATCH, 0),
        # Seven have left and been answered; others were on their way.
        ("sending", BATCH + 7, 2 * BATCH, BATCH),
        # All of the batch have left, nothing of it is on record.
        ("sent", 2 * BATCH, 2 * BATCH, BATCH),
    ],
)
def test_i4_no_notice_is_lost_when_the_process_is_killed(
    planned: Planned,
    dies: str,
    taken_at_least: int,
    taken_at_most: int,
    repeated_at_most: int,
) -> None:
    with ScriptedRelay() as relay:
        killed = run(planned, relay, LAUNCH, dies=dies, after=7)
        taken = len(relay.taken)

        assert killed == -signal.SIGKILL
        assert taken_at_least <= taken <= taken_at_most
        assert planned.states() == {
            "sent": BATCH,
            "sending": BATCH,
            "planned": COUNT - 2 * BATCH,
        }

        # What was not claimed does not wait for the dead one.
        assert run(planned, relay, LAUNCH + timedelta(minutes=1)) == 0
        assert planned.states() == {"sent": COUNT - BATCH, "sending": BATCH}

        assert run(planned, relay, LAUNCH + LEASE_WITHIN) == 0

    repeated = assert_each_left(planned, relay)
    assert repeated.total() <= repeated_at_most
    assert sum(row.possibly_repeated for row in planned.notices()) == BATCH
    doubtful = [one for one in planned.attempts() if one.outcome == "in-doubt"]
    assert len(doubtful) == BATCH


def test_i4_no_notice_is_lost_when_killed_again_and_again(planned: Planned) -> None:
    now = LAUNCH
    with ScriptedRelay() as relay:
        for dies in ("claimed", "sending", "sent"):
            assert run(planned, relay, now, dies=dies, after=3, batch=8) == (
                -signal.SIGKILL
            )
            now += LEASE_WITHIN

        assert run(planned, relay, now) == 0

    repeated = assert_each_left(planned, relay)
    assert repeated.total() <= 3 * 8


def test_i4_two_processes_at_once_send_nothing_twice(planned: Planned) -> None:
    with ScriptedRelay() as relay:
        both = [start(planned, relay, LAUNCH, batch=5) for _ in range(2)]
        codes = [process.wait(timeout=120) for process in both]

    assert codes == [0, 0]
    assert assert_each_left(planned, relay) == Counter()
    assert len(relay.taken) == COUNT
