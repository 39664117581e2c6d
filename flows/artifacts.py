"""Keeps an incident's pages in Prefect's UI, each at an address that stays, with its history."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from httpx import HTTPStatusError, codes
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
)
from prefect.client.schemas.objects import ArtifactCollection

from models.terms import IncidentId
from tocsin.reports.dashboards.board import Board, Page
from tocsin.reports.dashboards.page import RenderedPage, render_page
from tocsin.reports.dashboards.words import long

KEPT_EVERY = timedelta(hours=1)
"""How often a copy of a page is kept; what was true a minute ago is of no use."""
KEPT_AT_MOST_EVERY = timedelta(minutes=10)
"""A verdict that changes is kept at once, one that flutters no more often."""

_NEVER = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """
    A page that is in Prefect's UI.

    Args:
        artifact: The one that is overwritten; its address stays.
        kept_at: When a copy of it was last kept, UTC.
        verdict: What its first sentence began with then.

    """

    artifact: UUID
    kept_at: datetime
    verdict: str


def find_pages(client: SyncPrefectClient, incident: IncidentId) -> dict[Page, Shown]:
    """Find the pages there are."""
    keys = {_key(incident, page): page for page in Page}
    found = client.read_latest_artifacts(
        artifact_filter=ArtifactCollectionFilter(
            key=ArtifactCollectionFilterKey(any_=list(keys))
        )
    )
    return {keys[one.key]: _shown(one) for one in found if one.key}


def show_pages(client: SyncPrefectClient, board: Board, *, base: str) -> None:
    """
    Bring an incident's pages up to date.

    Each is overwritten where it is. Once an hour, and when its verdict changes, a copy
    is kept under the same key: the key's own page lists them, newest first.

    Args:
        client: Prefect's.
        board: What is known.
        base: The address of Prefect's UI.

    """
    shown = find_pages(client, board.figures.summary.incident)
    for page in Page:
        if page not in shown:
            shown[page] = _add(client, page, board)
    links = {page: artifact_address(shown[page].artifact, base=base) for page in Page}
    linked = replace(board, links=links)
    for page in Page:
        rendered = render_page(page, linked)
        if not _overwrite(client, page, shown[page].artifact, rendered):
            _add(client, page, linked)
        elif is_worth_keeping(shown[page], rendered.verdict, now=board.figures.as_of):
            _keep(client, page, linked, rendered, living=shown[page].artifact)


def is_worth_keeping(before: Shown, verdict: str, *, now: datetime) -> bool:
    """Whether a copy of a page joins its history."""
    age = now - before.kept_at
    return age >= KEPT_EVERY or (
        verdict != before.verdict and age >= KEPT_AT_MOST_EVERY
    )


def page_address(incident: IncidentId, page: Page, *, base: str) -> str:
    """Return where a page of an incident is read; the UI's front page if nowhere."""
    with get_client(sync_client=True) as client:
        found = find_pages(client, incident).get(page)
    return artifact_address(found.artifact, base=base) if found else base


def artifact_address(artifact: UUID, *, base: str) -> str:
    """Return where an artifact is read."""
    return f"{base}/artifacts/artifact/{artifact}"


def add_page(
    client: SyncPrefectClient,
    *,
    key: str,
    markdown: str,
    description: str,
    metadata: Mapping[str, str] | None = None,
) -> UUID:
    """
    Add a page to the present run, and return its identifier.

    It hangs on the run, not on the task that made it: Prefect records tasks later than
    runs, and shows an empty page until it has.
    """
    return client.create_artifact(
        ArtifactCreate(
            type="markdown",
            key=key,
            data=markdown,
            description=description,
            metadata_=dict(metadata or {}),
            flow_run_id=runtime.flow_run.id,
        )
    ).id


def _overwrite(
    client: SyncPrefectClient, page: Page, artifact: UUID, rendered: RenderedPage
) -> bool:
    """
    Overwrite a page; False where somebody deleted it.

    Not by the client's own ``update_artifact``: that emits an event with the whole page
    in it, and an event for each page and minute is what fills Prefect's database.
    """
    update = ArtifactUpdate(
        data=rendered.markdown, description=_described(page, rendered)
    )
    try:
        client.request(
            "PATCH",
            "/artifacts/{id}",
            path_params={"id": artifact},
            json=update.model_dump(mode="json", exclude_unset=True),
        )
    except HTTPStatusError as error:
        if error.response.status_code == codes.NOT_FOUND:
            return False
        raise
    return True


def _add(client: SyncPrefectClient, page: Page, board: Board) -> Shown:
    rendered = render_page(page, board)
    artifact = add_page(
        client,
        key=_key(board.figures.summary.incident, page),
        markdown=rendered.markdown,
        description=_described(page, rendered),
        metadata=_note(board, rendered),
    )
    return Shown(
        artifact=artifact, kept_at=board.figures.as_of, verdict=rendered.verdict
    )


def _keep(
    client: SyncPrefectClient,
    page: Page,
    board: Board,
    rendered: RenderedPage,
    *,
    living: UUID,
) -> None:
    now = long(board.figures.as_of, board)
    address = board.links.get(page)
    as_it_is = f" [How it stands now]({address})" if address else ""
    add_page(
        client,
        key=_key(board.figures.summary.incident, page),
        markdown=f"*How it stood on {now}.*{as_it_is}\n\n{rendered.markdown}",
        description=f"{_described(page, rendered)} {now}.",
        metadata={**_note(board, rendered), "living": str(living)},
    )


def _described(page: Page, rendered: RenderedPage) -> str:
    """Say it in a line that lists cut short: the verdict comes first."""
    return f"{rendered.verdict}. {page.question}"


def _note(board: Board, rendered: RenderedPage) -> dict[str, str]:
    return {"kept_at": board.figures.as_of.isoformat(), "verdict": rendered.verdict}


def _shown(latest: ArtifactCollection) -> Shown:
    """Read the note on a key's latest artifact: the page itself, or a copy of it."""
    note: dict[str, Any] = latest.metadata_ or {}
    return Shown(
        artifact=UUID(note["living"]) if "living" in note else latest.latest_id,
        # An older Tocsin's page has no note: a copy of it is due.
        kept_at=datetime.fromisoformat(note.get("kept_at", _NEVER)),
        verdict=note.get("verdict", ""),
    )


def _key(incident: IncidentId, page: Page) -> str:
    return f"incident-{incident}-{page}"
