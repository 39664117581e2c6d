"""Keeps an incident's pages in Prefect's UI, each at an address that stays."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
)
from sqlalchemy import Engine

from flows.dashboards import Page, read_board, render_page
from models.terms import IncidentId
from tocsin.store.session import reading


def show_incidents(
    engine: Engine, incidents: Sequence[IncidentId], *, now: datetime, base: str
) -> None:
    """
    Bring the pages of these incidents up to date.

    A page keeps its address and is overwritten: what was true a minute ago is of no
    use to anybody, and would be thousands of copies a day.

    Args:
        engine: The database.
        incidents: Which.
        now: The instant to show, UTC.
        base: The address of Prefect's UI.

    """
    for incident in incidents:
        with reading(engine) as connection:
            board = read_board(connection, incident=incident, now=now)
        pages = _pages(incident)
        for page in Page:
            if page not in pages:
                pages[page] = add_page(
                    key=_key(incident, page),
                    markdown=render_page(page, board, {}),
                    description=page.question,
                )
        links = {page: f"{base}/artifacts/artifact/{pages[page]}" for page in Page}
        with get_client(sync_client=True) as client:
            for page, artifact in pages.items():
                client.update_artifact(
                    artifact,
                    ArtifactUpdate(
                        data=render_page(page, board, links),
                        description=f"{page.question} {board.figures.summary.title}",
                    ),
                )


def page_address(incident: IncidentId, page: Page, *, base: str) -> str:
    """Return where a page of an incident is read; the UI's front page if nowhere."""
    found = _pages(incident).get(page)
    return f"{base}/artifacts/artifact/{found}" if found else base


def add_page(*, key: str, markdown: str, description: str) -> UUID:
    """
    Add a page to the present run, and return its identifier.

    It hangs on the run, not on the task that made it: Prefect records tasks later than
    runs, and shows an empty page until it has.
    """
    with get_client(sync_client=True) as client:
        return client.create_artifact(
            ArtifactCreate(
                type="markdown",
                key=key,
                data=markdown,
                description=description,
                flow_run_id=runtime.flow_run.id,
            )
        ).id


def _pages(incident: IncidentId) -> dict[Page, UUID]:
    """Find the pages there are."""
    keys = {_key(incident, page): page for page in Page}
    with get_client(sync_client=True) as client:
        found = client.read_latest_artifacts(
            artifact_filter=ArtifactCollectionFilter(
                key=ArtifactCollectionFilterKey(any_=list(keys))
            )
        )
    return {keys[one.key]: one.latest_id for one in found if one.key}


def _key(incident: IncidentId, page: Page) -> str:
    return f"incident-{incident}-{page}"
