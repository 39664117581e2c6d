"""Puts an incident's moments into Prefect's list of upcoming runs, each exactly once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
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
from tocsin.steps.launch import Milestone

MILESTONE_FLOW = "Milestone"
MILESTONE = "milestone"
CYCLE_FLOW = "Cycle"
CYCLE = "cycle"

_LOST_AFTER = timedelta(minutes=30)
"""A run whose runner was replaced may still be at work for that long."""


def ensure_milestones(
    incident: IncidentId, milestones: Sequence[Milestone], *, now: datetime
) -> int:
    """
    Schedule a run for each moment that lies ahead and has none; return how many.

    Only announcements hang on it: what is due is done by the cycle, whether these runs
    exist or not.
    """
    ahead = {_key(incident, moment): moment for moment in milestones if moment.at > now}
    if not ahead:
        return 0
    with get_client(sync_client=True) as client:
        deployment = _deployment(client, MILESTONE_FLOW, MILESTONE)
        if deployment is None:
            return 0
        known = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                idempotency_key=FlowRunFilterIdempotencyKey(any_=list(ahead))
            )
        )
        missing = ahead.keys() - {run.idempotency_key for run in known}
        for key in sorted(missing):
            moment = ahead[key]
            client.create_flow_run_from_deployment(
                deployment,
                name=moment.name,
                parameters={"incident": incident, "key": moment.key},
                state=Scheduled(scheduled_time=moment.at),
                tags=[incident],
                idempotency_key=key,
            )
    return len(missing)


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
                _deployment(client, CYCLE_FLOW, CYCLE),
                _deployment(client, MILESTONE_FLOW, MILESTONE),
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


def _deployment(client: SyncPrefectClient, flow: str, name: str) -> UUID | None:
    try:
        return client.read_deployment_by_name(f"{flow}/{name}").id
    except ObjectNotFound:
        return None
