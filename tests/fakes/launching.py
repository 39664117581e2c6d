"""Launches incidents at once, without an officer who looks at a preview."""

from datetime import datetime

from models.terms import Circumstance, IncidentId
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.collaborators import current_templates
from tocsin.steps.launch import (
    LaunchRequest,
    draft_incident,
    launch_incident,
    read_rulebook,
)


def draft_and_launch(
    c: Collaborators, settings: Settings, request: LaunchRequest
) -> IncidentId:
    """Draft an incident, and launch it."""
    incident, _ = draft_incident(
        c.engine, request, rulebook=read_rulebook(settings), clock=c.clock
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


def launch_listed(
    c: Collaborators,
    settings: Settings,
    *,
    circumstance: Circumstance,
    made_aware_at: datetime,
) -> IncidentId:
    """Launch an incident from list.pem and directory.csv of the data directory."""
    folder = settings.data_directory
    request = LaunchRequest(
        title="CPS URI",
        circumstance=circumstance,
        made_aware_at=made_aware_at,
        certificates=[folder / "list.pem"],
        directory=folder / "directory.csv",
        zone="UTC",
    )
    return draft_and_launch(c, settings, request)
