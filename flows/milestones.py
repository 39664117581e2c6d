"""Puts an incident's moments into Prefect's list of upcoming runs, each exactly once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, Scheduled

from models.terms import IncidentId
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import subscribers
from tocsin.steps.launch import Milestone

MILESTONE_FLOW = "Milestone"
MILESTONE = "milestone"
CYCLE_FLOW = "Cycle"
CYCLE = "cycle"
CYCLE_NAME = "Whatever is due"

_LOST_AFTER = timedelta(minutes=30)
"""A run whose runner was replaced may still be at work for that long."""


def ensure_milestones(
    client: SyncPrefectClient,
    incident: IncidentId,
    milestones: Sequence[Milestone],
    *,
    board: Board,
) -> int:
    """
    Schedule a run for each moment that lies ahead and has none; return how many.

    A run's name says whom the moment concerns as things stand, and is kept up to date:
    the list of upcoming runs is the incident's timetable. Only announcements hang on
    it: what is due is done by the cycle, whether these runs exist or not.
    """
    now = board.figures.as_of
    ahead = {_key(incident, moment): moment for moment in milestones if moment.at > now}
    if not ahead:
        return 0
    deployment = find_deployment(client, MILESTONE_FLOW, MILESTONE)
    if deployment is None:
        return 0
    known = {
        run.idempotency_key: run
        for run in client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                idempotency_key=FlowRunFilterIdempotencyKey(any_=list(ahead))
            )
        )
    }
    for key, moment in ahead.items():
        name = run_name(moment, board)
        run = known.get(key)
        if run is None:
            client.create_flow_run_from_deployment(
                deployment,
                name=name,
                parameters={"incident": incident, "key": moment.key},
                state=Scheduled(scheduled_time=moment.at),
                tags=[incident, "timetable"],
                idempotency_key=key,
            )
        elif run.name != name and run.state is not None and run.state.is_scheduled():
            client.update_flow_run(run.id, name=name)
    return len(ahead.keys() - known.keys())


def run_name(moment: Milestone, board: Board) -> str:
    """Name a moment as managers read it: when, what, and whom it concerns so far."""
    local = moment.at.astimezone(ZoneInfo(board.figures.summary.zone))
    concerned = next(
        (
            entry.subscribers
            for entry in board.timetable
            if (entry.at, entry.name) == (moment.at, moment.name)
        ),
        None,
    )
    whom = "" if concerned is None else f": {subscribers(concerned)}"
    return f"{local:%a %d %b %H:%M} {moment.name}{whom}"


def name_upcoming_cycles() -> None:
    """Name the cycles to come, which Prefect calls after animals until they start."""
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[CYCLE_FLOW])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(
                    type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])
                )
            ),
        ):
            if run.name != CYCLE_NAME:
                client.update_flow_run(run.id, name=CYCLE_NAME)


def mark_lost_runs(*, served_since: datetime, now: datetime) -> int:
    """
    Call runs crashed that an earlier runner left unfinished; return how many.

    Args:
        served_since: When the present runner started, UTC.
        now: The present instant, UTC.

    """
    before = min(served_since, now - _LOST_AFTER)
    with get_client(sync_client=True) as client:
        ours = [
            deployment
            for deployment in (
                find_deployment(client, CYCLE_FLOW, CYCLE),
                find_deployment(client, MILESTONE_FLOW, MILESTONE),
            )
            if deployment is not None
        ]
        if not ours:
            return 0
        lost = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                deployment_id=FlowRunFilterDeploymentId(any_=ours),
                state=FlowRunFilterState(
                    type=FlowRunFilterStateType(
                        any_=[StateType.PENDING, StateType.RUNNING]
                    )
                ),
                expected_start_time=FlowRunFilterExpectedStartTime(before_=before),
            )
        )
        for run in lost:
            client.set_flow_run_state(
                run.id,
                Crashed(
                    message="Its process is gone. What it had to do was done by "
                    "later runs, or stays due."
                ),
                force=True,
            )
    return len(lost)


def _key(incident: IncidentId, moment: Milestone) -> str:
    return f"{incident}-{moment.key}"


def find_deployment(client: SyncPrefectClient, flow: str, name: str) -> UUID | None:
    """Find a deployment; None where nobody has served it yet."""
    try:
        return client.read_deployment_by_name(f"{flow}/{name}").id
    except ObjectNotFound:
        return None
