"""What Prefect starts when the cycle does not run as it should: a wake-up, and a mail."""

from enum import StrEnum
from typing import Any

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from flows.collaborators import equipped
from flows.milestones import CYCLE, CYCLE_FLOW
from tocsin.steps.advance import advance
from tocsin.steps.standstill import Standstill, Told, tell_standstill

ALARM_FLOW = "Alarm"
ALARM = "alarm"


class Trouble(StrEnum):
    """What an automation noticed about the cycle."""

    SILENT = "No cycle has ended well for minutes"
    FAILED = "Cycles crash or fail"
    LATE = "Cycles start late"
    RUNNER_GONE = "The runner asks for no work"

    @property
    def key(self) -> str:
        """The trouble in a word, for keys."""
        return self.name.lower().replace("_", "-")


_WHAT_TO_DO = {
    Trouble.SILENT: "See that the runner runs (tocsin doctor), and why the last cycles "
    "failed.",
    Trouble.FAILED: "Open the failed runs of the cycle in Prefect: the name of their "
    "state says which part failed, the runner's log says why.",
    Trouble.LATE: "See that the runner runs, and whether its machine is short of "
    "processors.",
    Trouble.RUNNER_GONE: "Start the runner again (tocsin up, or the unit "
    "tocsin-runner).",
}


@flow(
    name=ALARM_FLOW,
    flow_run_name="ALARM: {trouble}",
    retries=0,
    persist_result=False,
)
def alarm(trouble: Trouble) -> State[Any]:
    """
    Do what is due in the cycle's stead, and tell the operations managers.

    Started by Prefect's automations, which come with the deployments. It is a second
    alarm: the guard and its heartbeat need no Prefect.

    Args:
        trouble: What was noticed.

    """
    told = do_and_tell(trouble)
    if told.is_repetition:
        return Completed(name="Told within the hour", data=told)
    if not told.people:
        return Completed(name="Nobody to tell: nothing is running", data=told)
    if not told.sent:
        return Failed(
            name=f"None of {told.people:,} operations managers told",
            message="The relay took no mail. Telephone them.",
        )
    return Completed(
        name=f"{told.sent:,} of {told.people:,} operations managers told", data=told
    )


@task(name="Do and tell", cache_policy=NO_CACHE, retries=0, persist_result=False)
def do_and_tell(trouble: Trouble) -> Told:
    """Wake the engine, whatever is wrong with the cycle; then mail."""
    with equipped() as at_hand:
        c = at_hand.collaborators
        advance(c)
        is_paused = cycle_is_paused()
        return tell_standstill(
            c.engine,
            c.mailer,
            c.sender,
            c.clock,
            standstill=Standstill(
                key="paused" if is_paused else trouble.key,
                what="The cycle is paused" if is_paused else trouble,
                what_to_do="Somebody paused it in Prefect: open the deployment "
                f"“{CYCLE}” and switch its schedule on again."
                if is_paused
                else _WHAT_TO_DO[trouble],
            ),
            owner=c.owner,
        )


def cycle_is_paused() -> bool:
    """Whether somebody switched the cycle's schedule off."""
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"{CYCLE_FLOW}/{CYCLE}")
        except ObjectNotFound:
            return False
    return deployment.paused or not any(each.active for each in deployment.schedules)
