"""Wakes the engine without Prefect, for replays that are about the engine."""

from fakes.launching import draft_and_launch

from models.terms import IncidentId
from tocsin.demo.machine import Machine
from tocsin.steps.advance import advance


class DirectDriver:
    """A driver that calls the steps themselves."""

    prefect_seconds = 0.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def launch(self) -> IncidentId:
        machine = self._machine
        return draft_and_launch(
            machine.collaborators, machine.settings, machine.request
        )

    def advance(self, incident: IncidentId) -> None:
        done = advance(self._machine.collaborators)
        assert not done.busy, incident
        assert done.problems == []
