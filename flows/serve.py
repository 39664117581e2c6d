"""Declares and serves the deployments: `python -P -m flows.serve`."""

import os
from datetime import timedelta

from prefect import serve
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from flows.alarm import ALARM, ALARM_FLOW, alarm
from flows.automations import automations, ensure_automations
from flows.cycle import SERVED_SINCE, cycle, milestone
from flows.launch import open_incident
from flows.milestones import CYCLE, CYCLE_FLOW, MILESTONE
from tocsin.clock import SystemClock
from tocsin.log import configure_logging

OPEN_INCIDENT = "open-incident"
CYCLE_EVERY = timedelta(minutes=1)

_AT_ONCE = 10
"""Runs at once: a run is a process, and after an outage many come due together."""


def deployments() -> list[RunnerDeployment]:
    """
    Return what is served.

    Entry points are module paths, so that they mean the same on every machine. There
    is no concurrency limit of Prefect's: a runner that is killed would keep its slot,
    and exclusivity is a lease in our own database.
    """
    return [
        RunnerDeployment.from_flow(
            open_incident,
            name=OPEN_INCIDENT,
            description="Start here: a preview first, and from it the launch.",
            entrypoint_type=EntrypointType.MODULE_PATH,
            paused=False,
            tags=["tocsin"],
        ),
        RunnerDeployment.from_flow(
            cycle,
            name=CYCLE,
            description="Every minute: do whatever is due, and bring the dashboards "
            "up to date. Leave it running.",
            interval=CYCLE_EVERY,
            entrypoint_type=EntrypointType.MODULE_PATH,
            paused=False,
            tags=["tocsin"],
        ),
        RunnerDeployment.from_flow(
            milestone,
            name=MILESTONE,
            description="The timetable: its upcoming runs are the moments of running "
            "incidents.",
            entrypoint_type=EntrypointType.MODULE_PATH,
            paused=False,
            tags=["tocsin"],
        ),
        RunnerDeployment.from_flow(
            alarm,
            name=ALARM,
            description="Run by automations when the cycle fails, is late or silent: "
            "tells the operations managers.",
            entrypoint_type=EntrypointType.MODULE_PATH,
            paused=False,
            tags=["tocsin"],
        ),
    ]


def main() -> None:
    """Serve until told to stop."""
    configure_logging()
    os.environ[SERVED_SINCE] = SystemClock().now().isoformat()
    declared = deployments()
    for deployment in declared:
        deployment.apply()
    with get_client(sync_client=True) as client:
        cycle_id = client.read_deployment_by_name(f"{CYCLE_FLOW}/{CYCLE}").id
        alarm_id = client.read_deployment_by_name(f"{ALARM_FLOW}/{ALARM}").id
        ensure_automations(client, automations(cycle=cycle_id, alarm=alarm_id))
    _drop_missed_cycles()
    serve(
        *declared,
        # Paused deployments would stay so if the next start failed half-way.
        pause_on_shutdown=False,
        print_starting_message=False,
        limit=_AT_ONCE,
    )


def _drop_missed_cycles() -> None:
    """
    Drop the cycles that came due while nobody served them.

    One cycle does what all of them would, and each is a process. Pausing drops them;
    milestones stay, since they were not made by a schedule.
    """
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"{CYCLE_FLOW}/{CYCLE}")
        client.pause_deployment(deployment.id)
        client.resume_deployment(deployment.id)


if __name__ == "__main__":
    main()
