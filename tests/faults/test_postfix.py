"""A real relay misbehaves and the sender is killed: each contact has each notice."""

from pathlib import Path

import pytest
from fakes.postfix import needs_postfix
from faults.campaign import CONNECTIONS, campaign
from sqlalchemy import Engine

from models.terms import InDoubt

pytestmark = [pytest.mark.faults, pytest.mark.server, needs_postfix]

NOTICES = 240
KILLS = 4
BATCH = 20


def test_i4_each_contact_has_each_notice_when_the_relay_fails_and_the_sender_is_killed(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    seen, planned = campaign(
        sqlite_engine,
        log=tmp_path / "senders.log",
        notices=NOTICES,
        kills=KILLS,
        batch=BATCH,
    )

    assert (seen.lost, seen.stray, seen.uncounted) == (0, 0, 0)
    assert seen.arrived == NOTICES - seen.unknown
    assert seen.kills == KILLS
    # The window: what the killed processes had on open connections.
    assert seen.in_doubt_by_kill <= KILLS * CONNECTIONS
    assert seen.repeated <= seen.in_doubt_by_kill + seen.cut_after_dot
    assert seen.minutes_down == 60
    assert min(seen.greylisted, seen.closed, seen.unknown) > 0
    assert planned.states() == {"sent": seen.arrived, "failed": seen.unknown}
    assert planned.acts()  # I5: the chain is whole


def test_i4_nothing_is_repeated_or_lost_when_what_is_in_doubt_is_held(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    seen, planned = campaign(
        sqlite_engine,
        log=tmp_path / "senders.log",
        notices=NOTICES // 2,
        kills=KILLS // 2,
        batch=BATCH,
        minutes_down=10,
        in_doubt=InDoubt.HOLD,
    )

    assert (seen.lost, seen.stray, seen.repeated) == (0, 0, 0)
    assert seen.held > 0
    states = planned.states()
    assert states.keys() <= {"sent", "given-up", "failed"}
    assert states["sent"] + states.get("given-up", 0) == seen.arrived
