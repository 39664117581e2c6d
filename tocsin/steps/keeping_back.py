"""Decides before each batch how much of it may leave: all, one as a probe, or nothing."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine

from models.terms import IncidentId, NoticeId
from tocsin.clock import Clock
from tocsin.errors import BadInput
from tocsin.policy.pauses import LivePause, alarm_is_due, due_pause
from tocsin.policy.sending import SendingRules
from tocsin.store import audit, held, incidents, pauses
from tocsin.store.outcomes import NoticeOutcome, OutcomeKind
from tocsin.store.session import writing
from tocsin.store.sifting import Sifted, sift_due

log = structlog.get_logger()

_SAYS_NOTHING = frozenset({OutcomeKind.SENT, OutcomeKind.SUPERSEDED})


def keep_back(
    connection: Connection,
    outcomes: Sequence[NoticeOutcome],
    *,
    rules: SendingRules,
    now: datetime,
    limit: int,
) -> int:
    """
    Keep back what must not leave, and say how many may be claimed.

    Args:
        connection: The transaction that records the outcomes and claims.
        outcomes: Of the batch before; recorded already.
        rules: What an operator set.
        now: The present instant, UTC.
        limit: How many are wanted.

    """
    limit = _allowed(connection, outcomes, rules=rules, now=now, limit=limit)
    _put_on_record(
        connection, sift_due(connection, rules=rules, now=now, limit=limit), now=now
    )
    return limit


def resume_sending(engine: Engine, *, actor: str, reason: str, clock: Clock) -> None:
    """
    Let sending go on although no probe has succeeded.

    Raises:
        BadInput: It does not pause, or there is no reason.

    """
    _check_reason(reason)
    with writing(engine) as connection:
        pause = pauses.live_pause(connection)
        if pause is None:
            raise BadInput("sending does not pause: there is nothing to resume")
        _resume(connection, pause, by=actor, reason=reason, now=clock.now())


def release_held(
    engine: Engine,
    *,
    notices: Sequence[NoticeId],
    actor: str,
    reason: str,
    clock: Clock,
) -> int:
    """
    Let notices that are held leave again; each counts as possibly repeated.

    Raises:
        BadInput: One of them is not held, or there is no reason; none was changed.

    """
    return _decide(
        engine,
        notices,
        held.release,
        action="notices-released",
        actor=actor,
        reason=reason,
        clock=clock,
    )


def give_up_held(
    engine: Engine,
    *,
    notices: Sequence[NoticeId],
    actor: str,
    reason: str,
    clock: Clock,
) -> int:
    """
    Decide that notices that are held are not repeated; their contacts may have them.

    Raises:
        BadInput: One of them is not held, or there is no reason; none was changed.

    """
    return _decide(
        engine,
        notices,
        held.give_up,
        action="notices-given-up",
        actor=actor,
        reason=reason,
        clock=clock,
    )


def _decide(
    engine: Engine,
    notices: Sequence[NoticeId],
    change: held.Change,
    *,
    action: str,
    actor: str,
    reason: str,
    clock: Clock,
) -> int:
    _check_reason(reason)
    now, wanted = clock.now(), sorted(set(notices))
    with writing(engine) as connection:
        changed = change(connection, wanted, now=now)
        done = {key for keys in changed.values() for key in keys}
        if missing := [str(key) for key in wanted if key not in done]:
            raise BadInput(
                f"not held: {', '.join(missing)}. `tocsin notice held` lists those "
                "that are. Nothing was changed.",
                field="notice",
            )
        for incident, keys in sorted(changed.items()):
            audit.append(
                connection,
                incident=incident,
                at=now,
                actor=actor,
                action=action,
                detail={"notices": keys, "reason": reason},
            )
    return len(done)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise BadInput("a decision on record needs a reason", field="reason")


def _allowed(
    connection: Connection,
    outcomes: Sequence[NoticeOutcome],
    *,
    rules: SendingRules,
    now: datetime,
    limit: int,
) -> int:
    pause = pauses.live_pause(connection)
    kinds = {outcome.kind for outcome in outcomes}
    if pause is not None and pause.probes and OutcomeKind.SENT in kinds:
        _resume(connection, pause, by="engine", reason="a probe was taken", now=now)
        pause = None
    elif pause is None and kinds - _SAYS_NOTHING:
        due = due_pause(pauses.latest_attempts(connection), rules=rules, now=now)
        if due is not None:
            pauses.begin_pause(
                connection, due, probe_at=now + rules.probe_every, now=now
            )
            pause = pauses.live_pause(connection)
    if pause is None:
        return limit
    _alarm(connection, pause, rules=rules, now=now)
    if limit <= 0 or now < pause.probe_at:
        return 0
    is_ours = pauses.note_probe(connection, pause, next_at=now + rules.probe_every)
    return 1 if is_ours else 0


def _alarm(
    connection: Connection,
    pause: LivePause,
    *,
    rules: SendingRules,
    now: datetime,
) -> None:
    if not alarm_is_due(pause.cause, paused_at=pause.paused_at, rules=rules, now=now):
        return
    if pauses.note_alarm(connection, pause, now=now):
        log.error("Sending pauses", cause=pause.cause.value, **pause.counts)
        _tell_running(
            connection,
            actor="engine",
            action="sending-paused",
            detail={
                "cause": pause.cause.value,
                "since": pause.paused_at.isoformat(),
                "counts": pause.counts,
            },
            now=now,
        )


def _resume(
    connection: Connection,
    pause: LivePause,
    *,
    by: str,
    reason: str,
    now: datetime,
) -> None:
    if not pauses.end_pause(connection, pause, by=by, reason=reason, now=now):
        return
    log.info("Sending goes on", cause=pause.cause.value, by=by)
    if pause.alarmed_at is not None or by != "engine":
        _tell_running(
            connection,
            actor=by,
            action="sending-resumed",
            detail={"cause": pause.cause.value, "reason": reason},
            now=now,
        )


def _tell_running(
    connection: Connection,
    *,
    actor: str,
    action: str,
    detail: dict[str, object],
    now: datetime,
) -> None:
    """Put it on every running incident's record: sending is the same for all."""
    for incident in sorted(incidents.running_incidents(connection)):
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=actor,
            action=action,
            detail=detail,
        )


def _put_on_record(connection: Connection, sifted: Sifted, *, now: datetime) -> None:
    named = {
        "held": sifted.held,
        "superseded": sifted.superseded,
        "postponed": sifted.postponed,
    }
    concerned: set[IncidentId] = {key for found in named.values() for key in found}
    for incident in sorted(concerned):
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor="engine",
            action="notices-kept-back",
            detail={
                name: found[incident]
                for name, found in named.items()
                if incident in found
            },
        )
