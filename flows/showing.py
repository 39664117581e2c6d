"""Puts how incidents stand where managers look: pages, timetable and events in Prefect."""

from collections.abc import Sequence

from prefect.client.orchestration import get_client

from flows.artifacts import show_pages
from flows.collaborators import Equipment
from flows.events import tell_changes
from flows.milestones import ensure_milestones
from models.terms import IncidentId
from tocsin.steps.board import read_board
from tocsin.steps.launch import milestones


def show_incidents(at_hand: Equipment, incidents: Sequence[IncidentId]) -> None:
    """Bring what managers see of these incidents up to date, as of one instant each."""
    c, settings = at_hand.collaborators, at_hand.settings
    with get_client(sync_client=True) as client:
        for incident in incidents:
            board = read_board(
                c.engine,
                incident=incident,
                now=c.clock.now(),
                portal=settings.public_portal,
            )
            show_pages(client, board, base=settings.prefect_url)
            ensure_milestones(
                client, incident, milestones(c.engine, incident=incident), board=board
            )
            tell_changes(client, board, at_hand.told)
