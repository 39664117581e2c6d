"""The demo's engine: the real flows under a real Prefect server, on a clock that steps."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Crashed

from flows.artifacts import page_address
from flows.collaborators import Equipment, holding
from flows.cycle import cycle, milestone
from flows.launch import IncidentForm, Mode, Previewed, open_incident
from models.terms import IncidentId
from tocsin.demo.folder import Folder
from tocsin.demo.machine import Machine, run_replay
from tocsin.demo.replay import Moment
from tocsin.demo.summary import DemoSummary
from tocsin.errors import Broken, Unavailable
from tocsin.log import configure_logging
from tocsin.policy.rules import shipped_rule_pack
from tocsin.reports.dashboards.board import Page
from tocsin.steps.advance import Advanced
from tocsin.steps.launch import Launched, milestones

_STARTS_WITHIN = 120.0
_LOOK_EVERY = 0.2


class PrefectDriver:
    """
    Wakes the engine with the flows that production runs.

    Args:
        machine: What they act with.

    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._equipment = Equipment(
            settings=machine.settings, collaborators=machine.collaborators
        )
        self._names: dict[IncidentId, dict[object, tuple[str, str]]] = {}
        self.prefect_seconds = 0.0
        _wait_for_prefect()
        _mark_lost_runs()

    def launch(self) -> IncidentId:
        """Fill in the form twice, as an officer does: preview, then launch."""
        request = self._machine.request
        (circumstance,) = [
            rule.text
            for rule in shipped_rule_pack().rules
            if rule.circumstance is request.circumstance
        ]
        form = IncidentForm(
            title=request.title,
            circumstance=circumstance,
            made_aware_at=request.made_aware_at,
            certificates=[str(path) for path in request.certificates],
            directory=str(request.directory or ""),
            zone=request.zone,
        )
        previewed = self._run(open_incident, "Preview", incident=form)
        if not isinstance(previewed, Previewed):
            raise Broken("the preview did not come to an end: see the Prefect UI")
        agreed = form.model_copy(
            update={"mode": Mode.LAUNCH, "draft": previewed.incident}
        )
        launched = self._run(open_incident, "Launch", incident=agreed)
        if not isinstance(launched, Launched):
            raise Broken("the launch did not come to an end: see the Prefect UI")
        return launched.incident

    def advance(self, incident: IncidentId) -> None:
        """Wake up by the name of the moment, where this is one; else by the cycle."""
        now = self._machine.clock.now()
        local = now.astimezone(ZoneInfo(self._machine.settings.zone))
        moment = self._moments(incident).pop(now, None)
        started_at = time.perf_counter()
        if moment is not None:
            key, what = moment
            done = self._run(
                milestone,
                f"{local:%a %d %b %H:%M} {what}",
                incident=incident,
                key=key,
            )
        else:
            done = self._run(cycle, f"{local:%a %d %b %H:%M} Whatever is due")
        spent = time.perf_counter() - started_at
        if isinstance(done, Advanced):
            self.prefect_seconds += spent - done.seconds

    def _moments(self, incident: IncidentId) -> dict[object, tuple[str, str]]:
        if incident not in self._names:
            engine = self._machine.collaborators.engine
            self._names[incident] = {
                moment.at: (moment.key, moment.name)
                for moment in milestones(engine, incident=incident)
            }
        return self._names[incident]

    def _run(self, flow: Flow[..., Any], name: str, **parameters: Any) -> object:
        """Run a flow to its end, and return what it came to; None where it failed."""
        with holding(self._equipment):
            named: Callable[..., Any] = flow.with_options(flow_run_name=name)
            state = named(**parameters, return_state=True)
        if not state.is_completed():
            raise Broken(f"{name}: {state.name}: {state.message}")
        found: object = state.result(raise_on_failure=False) if state.data else None
        return found


@contextmanager
def _without_heartbeat() -> Iterator[None]:
    """
    Run flows without Prefect's heartbeat.

    A flow that ends waits up to a second for its heartbeat's thread. A replay runs two
    hundred flows in one process, which nobody watches but the demo itself. Once for all
    of them: Prefect reads all its settings anew for it.
    """
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _wait_for_prefect() -> None:
    """Wait until the server answers that the demo has started beside us."""
    waiting = threading.Event()
    with get_client(sync_client=True) as client:
        for _ in range(int(_STARTS_WITHIN / _LOOK_EVERY)):
            if client.api_healthcheck() is None:
                return
            waiting.wait(_LOOK_EVERY)
    raise Unavailable(f"Prefect did not start within {_STARTS_WITHIN:.0f} s")


def _mark_lost_runs() -> None:
    """Call runs crashed that a killed replay left "running": no other runs here."""
    running = FlowRunFilter(
        state=FlowRunFilterState(
            type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
        )
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=running):
            client.set_flow_run_state(
                run.id, Crashed(message="The demo was killed here."), force=True
            )


def _tell(line: dict[str, object]) -> None:
    """Tell the process that started us, one line of JSON each."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _show(moment: Moment) -> None:
    figures = moment.figures
    _tell(
        {
            "now": moment.now.isoformat(),
            "certificates": figures.certificates,
            "published": figures.published,
            "notices": figures.notices_sent,
            "replies": sum(figures.replies.values()),
            "escalations": sum(figures.escalations.values()),
        }
    )


def main() -> None:
    """Replay the incident of a folder: `python -P -m flows.replay --directory D`."""
    parser = argparse.ArgumentParser(description="The demo's engine.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--prefect-port", type=int, default=4200)
    parser.add_argument("--until", type=datetime.fromisoformat)
    parser.add_argument("--stay", action="store_true", help="until SIGTERM")
    arguments = parser.parse_args()
    configure_logging()
    folder = Folder(arguments.directory)

    def tell(summary: DemoSummary) -> None:
        overview = page_address(
            summary.figures.summary.incident,
            Page.OVERVIEW,
            base=f"http://127.0.0.1:{arguments.prefect_port}",
        )
        stopped_at = None if folder.progress().is_finished else folder.progress().now
        _tell(
            {
                "summary": summary.as_json(),
                "overview": overview,
                "stopped_at": stopped_at and stopped_at.isoformat(),
            }
        )
        if arguments.stay:
            # The pages lead to the portal, which lives in this process.
            threading.Event().wait()

    # One client for all flows: a new one reads the certificates of all public CAs first.
    with folder.held("engine"), _without_heartbeat(), SyncClientContext.get_or_create():
        run_replay(
            folder,
            make_driver=PrefectDriver,
            show=_show,
            prefect_port=arguments.prefect_port,
            until=arguments.until,
            stay=tell,
        )


if __name__ == "__main__":
    main()
