from datetime import UTC, datetime, timedelta

import pytest

from tocsin.clock import SteadyWatch

START = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Machine:
    """A clock that anybody can set, and a timer that nobody can."""

    def __init__(self) -> None:
        self.at = START
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.at

    def timer(self) -> float:
        return self.seconds

    def run(self, span: timedelta) -> None:
        self.at += span
        self.seconds += span.total_seconds()


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_clock_that_runs_is_not_set_back(machine: Machine) -> None:
    watch = SteadyWatch(machine, timer=machine.timer)
    machine.run(timedelta(days=5))

    assert watch.set_back() == timedelta()


def test_a_clock_that_was_set_back_is_noticed_until_it_is_right_again(
    machine: Machine,
) -> None:
    watch = SteadyWatch(machine, timer=machine.timer)
    machine.run(HOUR)
    machine.at -= HOUR
    machine.run(HOUR)

    assert watch.set_back() == HOUR
    machine.at += HOUR
    assert watch.set_back() == timedelta()


def test_what_a_time_server_corrects_is_no_setting_back(machine: Machine) -> None:
    watch = SteadyWatch(machine, timer=machine.timer)
    machine.at -= timedelta(seconds=30)
    assert watch.set_back() == timedelta()
    machine.at -= timedelta(seconds=1)
    assert watch.set_back() == timedelta(seconds=31)


def test_a_clock_that_was_set_forward_is_believed_and_its_return_noticed(
    machine: Machine,
) -> None:
    watch = SteadyWatch(machine, timer=machine.timer)
    machine.at += HOUR
    forward = watch.set_back()
    machine.at -= HOUR

    assert (forward, watch.set_back()) == (timedelta(), HOUR)


def test_a_process_that_starts_after_it_was_set_back_knows_by_what_was_shown_before(
    machine: Machine,
) -> None:
    assert (
        SteadyWatch(machine, known=START + HOUR, timer=machine.timer).set_back() == HOUR
    )
    assert (
        SteadyWatch(machine, known=START - HOUR, timer=machine.timer).set_back()
        == timedelta()
    )
