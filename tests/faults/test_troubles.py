"""Short forms of ``faults.revocation`` and ``faults.troubles``, with the same real CAs."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from faults.revocation import campaign
from faults.troubles import (
    Outcome,
    ca_down_for_the_last_hour,
    half_the_workers_die,
    one_call_in_five_fails,
    the_clock_is_set_back,
    the_clock_is_set_forward,
)
from sqlalchemy import Engine

pytestmark = [
    pytest.mark.faults,
    pytest.mark.server,
    pytest.mark.skipif(not shutil.which("cfssl"), reason="needs golang-cfssl"),
]

COUNT = 60
Trouble = Callable[[Engine, Path, int], Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "ca"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", ["openbao", "cfssl", "openssl"])
def test_i4_a_real_ca_is_asked_once_when_engine_and_guard_are_killed_at_random(
    sqlite_engine: Engine, folder: Path, name: str
) -> None:
    figures = campaign(
        sqlite_engine,
        name,
        folder=folder,
        certificates=COUNT,
        kills=6,
        batch=15,
        stalled=1.0,
    )

    assert figures.kills == 6
    assert figures.of_engine + figures.of_guard == 6
    assert figures.certificates >= COUNT  # and more, so that there was always work
    assert (figures.revoked, figures.missed) == (figures.certificates, 0)
    assert (figures.twice, figures.changed, figures.otherwise) == (0, 0, 0)
    assert figures.unpublished == 0
    assert figures.is_flawless


def test_everything_is_published_when_the_ca_is_back_a_minute_before_the_deadline(
    sqlite_engine: Engine, folder: Path
) -> None:
    found = ca_down_for_the_last_hour(sqlite_engine, folder, COUNT)

    assert found.published == COUNT
    assert timedelta(seconds=5) < found.done_before < timedelta(minutes=1)
    # And somebody heard long before.
    assert found.alarm_before is not None
    assert found.alarm_before > timedelta(minutes=20)
    assert found.twice == 0


@pytest.mark.parametrize("trouble", [one_call_in_five_fails, half_the_workers_die])
def test_everything_is_published_long_before_the_deadline_in_other_troubles(
    sqlite_engine: Engine, folder: Path, trouble: Trouble
) -> None:
    found = trouble(sqlite_engine, folder, COUNT)

    assert found.published == COUNT
    assert found.done_before > timedelta(minutes=10)
    assert found.twice == 0


def test_i4_nothing_is_asked_for_twice_when_the_clock_is_set_forward_in_mid_revocation(
    sqlite_engine: Engine, folder: Path
) -> None:
    found = the_clock_is_set_forward(sqlite_engine, folder, COUNT)

    assert (found.published, found.twice) == (COUNT, 0)


def test_somebody_hears_before_the_deadline_is_missed_when_the_clock_is_set_back(
    sqlite_engine: Engine, folder: Path
) -> None:
    found = the_clock_is_set_back(sqlite_engine, folder, COUNT)

    assert found.alarm_before is not None
    assert found.alarm_before > timedelta(minutes=25)
    assert found.published == COUNT  # since somebody set it right
