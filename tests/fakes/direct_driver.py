"""Wakes the engine without Prefect, for replays that are about the engine."""

from models.terms import IncidentId
from tocsin.demo.machine import Machine
from tocsin.steps.advance import advance
from tocsin.steps.collaborators import current_templates
from tocsin.steps.launch import draft_incident, launch_incident, read_rulebook


class DirectDriver:
    """A driver that calls the steps themselves."""

    prefect_seconds = 0.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def launch(self) -> IncidentId:
        c, settings = self._machine.collaborators, self._machine.settings
        incident, _ = draft_incident(
            c.engine,
            self._machine.request,
            rulebook=read_rulebook(settings),
            clock=c.clock,
        )
        launch_incident(
            c.engine,
            incident=incident,
            backend=c.backend,
            templates=current_templates(settings).sources(),
            actor="officer",
            clock=c.clock,
        )
        return incident

    def advance(self, incident: IncidentId) -> None:
        done = advance(self._machine.collaborators)
        assert not done.busy, incident
        assert done.problems == []
