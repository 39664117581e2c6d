"""Tells Prefect what happened in an incident, each fact once, as events of ours."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.client.orchestration import SyncPrefectClient
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventIDFilter

from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.changes import Change, changes

PREFIX = "tocsin."
CYCLE_ENDED = "tocsin.cycle.ended"
_TOLD_WITHIN = timedelta(days=3)
"""Older facts are not told any more: Prefect forgets events after seven days, and would
have them told again."""


def tell_changes(client: SyncPrefectClient, board: Board, told: set[UUID]) -> int:
    """
    Emit what happened and was not told yet; return how much.

    An event's identifier is derived from the fact, and Prefect is asked which of them
    it has: nothing of ours remembers what was told, and a second run tells nothing.

    Args:
        client: Prefect's.
        board: The incident at one instant.
        told: What this process knows to have been told; it is added to.

    """
    incident = board.figures.summary.incident
    oldest = board.figures.as_of - _TOLD_WITHIN
    found = {
        uuid5(NAMESPACE_URL, f"tocsin:{incident}:{change.key}"): change
        for change in changes(board)
        if change.at >= oldest
    }
    fresh = found.keys() - told
    if not fresh:
        return 0
    fresh -= _known(client, fresh)
    for identifier, change in found.items():
        if identifier in fresh:
            _emit(identifier, change, board)
    told |= found.keys()
    return len(fresh)


def tell_cycle_ended() -> None:
    """
    Say that a cycle did all that was due: its silence is an alarm.

    Prefect's own event of the run would not do: it waits for the event it follows, and
    runs that were scheduled less than five minutes ahead have none. Then automations
    see it a quarter of an hour later.
    """
    emit_event(
        event=CYCLE_ENDED,
        resource={
            "prefect.resource.id": "tocsin.cycle",
            "prefect.resource.name": "Cycle",
        },
    )


def _known(client: SyncPrefectClient, identifiers: Iterable[UUID]) -> set[UUID]:
    wanted = list(identifiers)
    page = client.read_events(
        filter=EventFilter(id=EventIDFilter(id=wanted)), limit=len(wanted)
    )
    return {event.id for event in page.events}


def _emit(identifier: UUID, change: Change, board: Board) -> None:
    summary = board.figures.summary
    emit_event(
        event=f"{PREFIX}{change.name}",
        id=identifier,
        resource={
            "prefect.resource.id": f"tocsin.incident.{summary.incident}",
            "prefect.resource.name": summary.title,
        },
        payload={
            "at": change.at.isoformat(),
            "sentence": change.sentence,
            "is_drill": summary.is_drill,
        },
    )
