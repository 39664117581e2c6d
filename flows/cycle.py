"""The wake-ups: every minute for all incidents, and each incident's named moments."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from flows.collaborators import equipped
from flows.events import tell_cycle_ended
from flows.milestones import (
    CYCLE_FLOW,
    CYCLE_NAME,
    MILESTONE_FLOW,
    mark_lost_runs,
    name_upcoming_cycles,
)
from flows.showing import show_incidents
from models.terms import IncidentId
from tocsin.steps.advance import Advanced, advance
from tocsin.store.incidents import running_incidents
from tocsin.store.session import reading

SERVED_SINCE = "TOCSIN_FLOWS_SERVED_SINCE"
"""Set by the runner for its runs: when it started, ISO 8601 with zone."""


@flow(name=CYCLE_FLOW, flow_run_name=CYCLE_NAME, retries=0, persist_result=False)
def cycle() -> State[Any]:
    """
    Do everything that is due, for all incidents; runs every minute.

    The name of its state says what it did. A run that comes late, or twice, finds less
    or nothing to do: what is due stands in Tocsin's own database.
    """
    with equipped():
        running = _running()
        done = do_what_is_due()
        show_managers(sorted({*running, *_running()}))
    if not done.problems:
        tell_cycle_ended()
    return _state(done)


@flow(name=MILESTONE_FLOW, retries=0, persist_result=False)
def milestone(incident: str, key: str) -> State[Any]:
    """
    Wake up at a moment of an incident's timetable, and do what is due.

    Its name is what the moment is about, the name of its state what was done. The
    moment itself needs no such run: the next cycle does the same.

    Args:
        incident: The incident's key.
        key: Which of its moments.

    """
    del key  # it is in the run's name, for people; what is due decides itself
    with equipped():
        done = do_what_is_due()
        show_managers([IncidentId(incident)])
    return _state(done)


@task(name="Do what is due", cache_policy=NO_CACHE, retries=0, persist_result=False)
def do_what_is_due() -> Advanced:
    """Send, raise, revoke and prove whatever is due, until nothing is."""
    with equipped() as at_hand:
        return advance(at_hand.collaborators)


@task(name="Show how it stands", cache_policy=NO_CACHE, retries=0, persist_result=False)
def show_managers(incidents: Sequence[IncidentId]) -> None:
    """Bring pages and timetables of these incidents up to date, and tell what changed."""
    with equipped() as at_hand:
        show_incidents(at_hand, incidents)
        if since := os.environ.get(SERVED_SINCE):
            name_upcoming_cycles()
            mark_lost_runs(
                served_since=datetime.fromisoformat(since),
                now=at_hand.collaborators.clock.now(),
            )


def _running() -> list[IncidentId]:
    with (
        equipped() as at_hand,
        reading(at_hand.collaborators.engine) as connection,
    ):
        return running_incidents(connection)


def _state(done: Advanced) -> State[Any]:
    sentence = done.sentence()
    if done.problems:
        return Failed(name=sentence, message=f"{sentence}. The log says why.")
    if done.busy:
        return Completed(
            name="Busy elsewhere", message="Another run was at it.", data=done
        )
    if done.did_nothing:
        return Completed(name="Nothing was due", message=sentence, data=done)
    return Completed(name=sentence, message=sentence, data=done)
