"""The automations that raise an alarm about the cycle; they come with the deployments."""

from datetime import timedelta
from uuid import UUID

from prefect.automations import (
    Automation,
    AutomationCore,
    EventTrigger,
    Posture,
    RunDeployment,
)
from prefect.client.orchestration import SyncPrefectClient

from flows.alarm import Trouble
from flows.events import CYCLE_ENDED

SILENT_WITHIN = timedelta(minutes=5)
"""Five cycles have to be missed: one takes longer when thousands of mails leave."""
_LATE_WITHIN = timedelta(minutes=10)
_LATE_RUNS = 3
_FAILED_WITHIN = timedelta(minutes=10)
_FAILED_RUNS = 2
"""One cycle that fails is mended by the next."""

_ENDED_BADLY = ["FAILED", "CRASHED"]


def automations(
    *, cycle: UUID, alarm: UUID, silent_within: timedelta = SILENT_WITHIN
) -> list[AutomationCore]:
    """
    Return the automations.

    States have names of ours ("214 notices sent"), and events are named for states: so
    what matters is matched by the type of the state.

    Args:
        cycle: The deployment that is watched.
        alarm: The deployment that is run.
        silent_within: How long no cycle may end before that is an alarm.

    """
    runs_of_cycle = {
        "prefect.resource.id": f"prefect.deployment.{cycle}",
        "prefect.resource.role": "deployment",
    }
    triggers = {
        Trouble.SILENT: EventTrigger(
            expect={CYCLE_ENDED},
            posture=Posture.Proactive,
            threshold=1,
            within=silent_within,
        ),
        Trouble.FAILED: EventTrigger(
            expect={"prefect.flow-run.*"},
            match={"prefect.state-type": _ENDED_BADLY},
            match_related=runs_of_cycle,
            posture=Posture.Reactive,
            threshold=_FAILED_RUNS,
            within=_FAILED_WITHIN,
        ),
        Trouble.LATE: EventTrigger(
            expect={"prefect.flow-run.Late"},
            match_related=runs_of_cycle,
            posture=Posture.Reactive,
            threshold=_LATE_RUNS,
            within=_LATE_WITHIN,
        ),
        Trouble.RUNNER_GONE: EventTrigger(
            expect={"prefect.deployment.not-ready"},
            match={"prefect.resource.id": f"prefect.deployment.{cycle}"},
            posture=Posture.Reactive,
            threshold=1,
        ),
    }
    return [
        AutomationCore(
            name=f"Tocsin: {trouble.key.replace('-', ' ')}",
            description=f"{trouble}: tells the operations managers. Made by Tocsin.",
            trigger=trigger,
            actions=[
                RunDeployment(
                    source="selected",
                    deployment_id=alarm,
                    parameters={"trouble": trouble.value},
                )
            ],
        )
        for trouble, trigger in triggers.items()
    ]


def ensure_automations(
    client: SyncPrefectClient, wanted: list[AutomationCore]
) -> list[Automation]:
    """
    Create what is missing, and bring up to date what is there, by name.

    Whether somebody switched one off is left as it is.
    """
    made = []
    for automation in wanted:
        known = client.read_automations_by_name(name=automation.name)
        if known:
            identifier = known[0].id
            kept = automation.model_copy(update={"enabled": known[0].enabled})
            client.update_automation(identifier, kept)
        else:
            identifier = client.create_automation(automation)
        made.append(Automation(id=identifier, **automation.model_dump()))
    return made
