"""Pauses of sending: one at a time lasts, and each stays on record with how it ended."""

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from models.base import table
from models.outreach import Attempt, SendingPause
from models.terms import PauseCause
from tocsin.policy.pauses import LOOK_BACK, AttemptFacts, DuePause, LivePause
from tocsin.store.session import rows_changed

PAUSE = table(SendingPause)
ATTEMPT = table(Attempt)


_LIVE = select(PAUSE).where(PAUSE.c.is_live)  # built once: asked for each batch


def live_pause(connection: Connection) -> LivePause | None:
    """Return the pause that lasts, if one does."""
    row = connection.execute(_LIVE).one_or_none()
    if row is None:
        return None
    return LivePause(
        pause_id=row.id,
        cause=PauseCause(row.cause),
        counts=row.detail,
        paused_at=row.paused_at,
        probe_at=row.probe_at,
        probes=row.probes,
        alarmed_at=row.alarmed_at,
    )


def latest_attempts(connection: Connection) -> list[AttemptFacts]:
    """Return the latest attempts since sending was last resumed, newest first."""
    # Limited first: this is asked between batches, however many attempts there are.
    latest = (
        select(ATTEMPT)
        .order_by(ATTEMPT.c.id.desc())
        .limit(LOOK_BACK)
        .subquery("latest")
    )
    resumed_at = connection.execute(
        select(PAUSE.c.resumed_at)
        .where(~PAUSE.c.is_live)
        .order_by(PAUSE.c.id.desc())
        .limit(1)
    ).scalar()
    query = select(latest).order_by(latest.c.id.desc())
    if resumed_at is not None:
        query = query.where(latest.c.ended_at > resumed_at)
    return [
        AttemptFacts(
            ended_at=row.ended_at,
            outcome=row.outcome,
            smtp_code=row.smtp_code,
            detail=row.detail,
        )
        for row in connection.execute(query)
    ]


def begin_pause(
    connection: Connection, due: DuePause, *, probe_at: datetime, now: datetime
) -> None:
    """Pause sending until a probe succeeds or somebody resumes it."""
    connection.execute(
        insert(PAUSE).values(
            is_live=True,
            cause=due.cause.value,
            detail=due.counts,
            paused_at=now,
            probe_at=probe_at,
            probes=0,
            resumed_by="",
            reason="",
        )
    )


def note_probe(connection: Connection, pause: LivePause, *, next_at: datetime) -> bool:
    """Write down that one message is tried now; False: another process does that."""
    return (
        rows_changed(
            connection.execute(
                update(PAUSE)
                .where(
                    PAUSE.c.id == pause.pause_id,
                    PAUSE.c.is_live,
                    PAUSE.c.probes == pause.probes,
                )
                .values(probe_at=next_at, probes=pause.probes + 1)
            )
        )
        == 1
    )


def note_alarm(connection: Connection, pause: LivePause, *, now: datetime) -> bool:
    """Write down that people are told; False: they were."""
    return (
        rows_changed(
            connection.execute(
                update(PAUSE)
                .where(PAUSE.c.id == pause.pause_id, PAUSE.c.alarmed_at.is_(None))
                .values(alarmed_at=now)
            )
        )
        == 1
    )


def end_pause(
    connection: Connection, pause: LivePause, *, by: str, reason: str, now: datetime
) -> bool:
    """Let sending go on; False: somebody was faster."""
    return (
        rows_changed(
            connection.execute(
                update(PAUSE)
                .where(PAUSE.c.id == pause.pause_id, PAUSE.c.is_live)
                .values(is_live=False, resumed_at=now, resumed_by=by, reason=reason)
            )
        )
        == 1
    )
