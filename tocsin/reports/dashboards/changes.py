"""What has happened in an incident, in sentences: each fact with a key, told once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from models.terms import IncidentState
from tocsin.policy.pauses import pause_sentence
from tocsin.policy.progress import incident_forecast
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import certs, long, plural, subscribers
from tocsin.reports.status import headline


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    Something that managers, or machines of theirs, may want to hear of.

    Args:
        name: What kind of thing: "revocation.started".
        key: Which one within its incident; the same fact has the same key for ever.
        at: When it happened, UTC.
        sentence: The same for people.

    """

    name: str
    key: str
    at: datetime
    sentence: str


def changes(board: Board) -> Iterator[Change]:
    """Yield everything that has happened up to the board's instant, oldest first."""
    found = [
        *_milestones(board),
        *_escalations(board),
        *_pauses(board),
        *_dangers(board),
    ]
    yield from sorted(found, key=lambda change: (change.at, change.key))


def _milestones(board: Board) -> Iterator[Change]:
    figures, summary = board.figures, board.figures.summary
    if summary.launched_at is not None:
        yield Change(
            name="incident.launched",
            key="launched",
            at=summary.launched_at,
            sentence=f"{certs(figures.certificates)} of "
            f"{subscribers(figures.subscribers)}, deadline "
            f"{long(summary.deadline, board)}.",
        )
    starts_at = summary.revocation_starts_at
    if starts_at is not None and starts_at <= figures.as_of:
        yield Change(
            name="revocation.started",
            key="revocation-started",
            at=starts_at,
            sentence="Whatever is not revoked yet is revoked from now on.",
        )
    if figures.certificates and not figures.unpublished and figures.last_published_at:
        yield Change(
            name="publication.completed",
            key="all-published",
            at=figures.last_published_at,
            sentence=headline(figures),
        )
    if summary.state is IncidentState.CLOSED and summary.closed_at is not None:
        yield Change(
            name="incident.closed",
            key="closed",
            at=summary.closed_at,
            sentence="Nothing is due any more.",
        )


def _escalations(board: Board) -> Iterator[Change]:
    """Yield a change for each step that raised some, not for each subscriber."""
    for entry in board.timetable:
        if entry.escalations:
            yield Change(
                name="escalations.raised",
                key=f"escalations-{entry.at.isoformat()}",
                at=entry.at,
                sentence=f"{entry.name}: {plural(entry.escalations, 'escalation')}.",
            )


def _pauses(board: Board) -> Iterator[Change]:
    if board.pause is not None:
        yield Change(
            name="relay.paused",
            key=f"pause-{board.pause.pause_id}",
            at=board.pause.paused_at,
            sentence=f"No notice leaves: {pause_sentence(board.pause.cause)}.",
        )


def _dangers(board: Board) -> Iterator[Change]:
    """Yield what is wrong now; it has no instant of its own, so once an hour."""
    figures = board.figures
    now = figures.as_of
    hour = f"{now:%Y-%m-%dT%H}"
    outlook = incident_forecast(figures)
    if outlook is not None and (outlook.at_risk or figures.overdue):
        yield Change(
            name="forecast.late",
            key=f"late-{hour}",
            at=now,
            sentence=headline(figures),
        )
    if nobody := board.unreachable.nobody_left:
        yield Change(
            name="subscribers.unreachable",
            key=f"unreachable-{nobody}",
            at=now,
            sentence=f"Mail reaches nobody at {subscribers(nobody)}.",
        )
