"""Work that one process at a time may do."""

from datetime import timedelta

import pytest
from factories import HOUR, LAUNCH
from sqlalchemy import Engine

from tocsin.store.leases import drop_lease, drop_leases_of, take_lease
from tocsin.store.session import writing

MINUTE = timedelta(minutes=1)


def take(engine: Engine, owner: str, *, after: timedelta = timedelta()) -> bool:
    with writing(engine) as connection:
        return take_lease(
            connection, name="cycle", owner=owner, now=LAUNCH + after, within=MINUTE
        )


def test_lease_is_refused_while_another_process_holds_it(engine: Engine) -> None:
    assert take(engine, "a")
    assert not take(engine, "b")


def test_lease_can_be_kept_by_its_holder(engine: Engine) -> None:
    assert take(engine, "a")
    assert take(engine, "a", after=MINUTE / 2)
    assert not take(engine, "b", after=MINUTE)


def test_lease_passes_on_when_its_holder_died_and_it_ran_out(engine: Engine) -> None:
    assert take(engine, "a")
    assert take(engine, "b", after=MINUTE)
    assert not take(engine, "a", after=MINUTE)


@pytest.mark.parametrize("drop", [drop_lease, drop_leases_of])
def test_lease_is_free_when_it_was_given_back(engine: Engine, drop: object) -> None:
    assert take(engine, "a")

    with writing(engine) as connection:
        if drop is drop_lease:
            drop_lease(connection, name="cycle", owner="a")
        else:
            drop_leases_of(connection, owner="a")

    assert take(engine, "b")


def test_nobody_gives_back_what_another_holds(engine: Engine) -> None:
    assert take(engine, "a")

    with writing(engine) as connection:
        drop_lease(connection, name="cycle", owner="b")
        drop_leases_of(connection, owner="b")

    assert not take(engine, "b", after=timedelta(seconds=1))
    assert take(engine, "b", after=HOUR)
