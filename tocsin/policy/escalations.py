"""Who of the CA's own people is told, told again, or told that it is over."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from models.terms import (
    EscalationCause,
    EscalationState,
    EscalationTarget,
    SubscriberId,
)
from tocsin.policy.effects import EndEscalation, RaiseEscalation
from tocsin.policy.facts import EscalationFacts, IncidentFacts, SubscriberFacts
from tocsin.policy.ladder import Condition, DueStep, Ladder, timetable

IN_WORDS: Mapping[EscalationCause, str] = {
    EscalationCause.CSR_MISSING: "CSR missing",
    EscalationCause.NOT_ACKNOWLEDGED: "not acknowledged",
    EscalationCause.UNREACHABLE: "no contact can be reached",
    EscalationCause.NOT_DELIVERED: "our mail does not get through",
    EscalationCause.CSR_REFUSED: "their CSR cannot be used, and no good one came",
    EscalationCause.NOT_INSTALLED: "replacement issued, not reported as installed",
    EscalationCause.NOT_REPLACED: "certificates not replaced",
    EscalationCause.NOT_THEIRS: "they say that it is somebody else's",
    EscalationCause.HELP_WANTED: "they ask for help: call them",
    EscalationCause.FORECAST_LATE: "not everything will be published by the deadline",
    EscalationCause.STEP_MISSED: "something due was not done: look at the engine",
    EscalationCause.ORDER_OVERDUE: "a court order keeps certificates past the deadline:"
    " disclose it",
}
"""What people read: why somebody is needed."""

_NO_STEP = 0
"""The level of an escalation that no step of the ladder raised."""

_UNREACHABLE = "Nobody can be reached by mail"
_NOT_THEIRS = "They say that it is somebody else's"
_HELP_WANTED = "They ask for help"
_MISSED = "Something due was not done"
_OVERDUE = "Overdue under a court order"

ASKED_AGAIN_AFTER = timedelta(minutes=15)
"""A margin of ours: who presses a button again and again is told of once."""


def due_escalations(
    subscriber: SubscriberFacts,
    concerned: Sequence[DueStep],
    ladder: Ladder,
    steps: Sequence[DueStep],
    now: datetime,
) -> Iterator[RaiseEscalation]:
    """
    Decide which escalations of one subscriber are raised, at most one for each cause.

    Args:
        subscriber: Whom it is about.
        concerned: Steps that came due since they were looked at, and concern them.
        ladder: The incident's.
        steps: All of its instants, which tell a higher step from a lower one.
        now: The present instant, UTC.

    """
    if not subscriber.open_certificates:
        return
    live = {known.cause: known for known in subscriber.escalations}
    rank = _ranks(steps)
    raised: set[EscalationCause] = set()
    for cause, entry in _highest(concerned, rank).items():
        if _is_news(entry, live.get(cause), rank):
            raised.add(cause)
            yield _of_step(subscriber.subscriber, cause, entry)
    unreachable = EscalationCause.UNREACHABLE
    is_news = unreachable not in live and lasts(unreachable, subscriber)
    if ladder.unreachable and is_news:
        yield _of_ladder(subscriber.subscriber, ladder, unreachable)
    for cause, asked_at in subscriber.asked_at.items():
        news_at = asked_news_at(live.get(cause), asked_at)
        if news_at is not None and news_at <= now:
            raised.add(cause)
            yield _asked(subscriber.subscriber, cause, live.get(cause), ladder)
    for cause, known in live.items():
        is_back = _is_back(known, subscriber.last_answer_at, ladder, now)
        if cause not in raised and is_back and lasts(cause, subscriber):
            yield _again(subscriber.subscriber, known, ladder)


def ended_escalations(subscriber: SubscriberFacts) -> Iterator[EndEscalation]:
    """Yield the causes that are gone: answered, or everything revoked."""
    for cause in sorted({known.cause for known in subscriber.escalations}):
        if not (subscriber.open_certificates and lasts(cause, subscriber)):
            yield EndEscalation(subscriber=subscriber.subscriber, cause=cause)


def lasts(cause: EscalationCause, subscriber: SubscriberFacts) -> bool:
    """Whether a cause is still there, for a subscriber with open certificates."""
    return _LASTS[cause](subscriber)


_LASTS: Mapping[EscalationCause, Callable[[SubscriberFacts], bool]] = {
    EscalationCause.CSR_MISSING: lambda s: s.missing_csrs > 0,
    EscalationCause.NOT_ACKNOWLEDGED: lambda s: not s.has_acknowledged,
    EscalationCause.UNREACHABLE: lambda s: not s.can_be_reached,
    EscalationCause.NOT_DELIVERED: lambda s: s.is_undelivered,
    EscalationCause.CSR_REFUSED: lambda s: s.missing_csrs > 0 and s.has_refused_csr,
    EscalationCause.NOT_INSTALLED: lambda s: s.uninstalled_certificates > 0,
    EscalationCause.NOT_REPLACED: lambda s: s.open_certificates > 0,
    EscalationCause.NOT_THEIRS: lambda s: s.disowned_at is not None,
    EscalationCause.HELP_WANTED: lambda s: s.help_asked_at is not None,
    # Of incidents, not of subscribers.
    EscalationCause.FORECAST_LATE: lambda _: False,
    EscalationCause.STEP_MISSED: lambda _: False,
    EscalationCause.ORDER_OVERDUE: lambda _: False,
}


def due_incident_escalations(
    live: Collection[EscalationFacts],
    *,
    ladder: Ladder,
    incident: IncidentFacts,
    is_late: bool,
    now: datetime,
) -> Iterator[RaiseEscalation | EndEscalation]:
    """
    Decide what is said of the whole incident because of its forecast.

    Args:
        live: Escalations of the incident itself that have not ended.
        ladder: The incident's.
        incident: Its instants.
        is_late: Not everything will be published by the deadline, as things stand.
        now: The present instant, UTC.

    """
    cause = EscalationCause.FORECAST_LATE
    known = _known(live, cause)
    if not is_late:
        if known is not None:
            yield EndEscalation(subscriber=None, cause=cause)
        return
    steps = timetable(ladder, incident)
    # These steps have no position: whether one was taken is seen by what is live.
    due = [
        entry
        for entry in steps
        if entry.step.when is Condition.FORECAST_LATE and entry.due_at <= now
    ]
    if known is not None:
        due = [entry for entry in due if entry.due_at > known.raised_at]
    rank = _ranks(steps)
    entry = _highest(due, rank).get(cause)
    if entry is not None and _is_news(entry, known, rank):
        yield _of_step(None, cause, entry)
    elif known is not None and _is_back(known, None, ladder, now):
        yield _again(None, known, ladder)


def due_watch_escalation(
    live: Collection[EscalationFacts],
    cause: EscalationCause,
    *,
    ladder: Ladder,
    is_there: bool,
    now: datetime,
) -> Iterator[RaiseEscalation | EndEscalation]:
    """
    Decide what is said of what the watchdog finds, by itself a cause.

    Args:
        live: Escalations of the incident itself that have not ended.
        cause: Something due was not done, or a court order keeps it past the deadline.
        ladder: The incident's.
        is_there: Whether the cause is.
        now: The present instant, UTC.

    """
    known = _known(live, cause)
    if known is None:
        if is_there:
            yield _of_ladder(None, ladder, cause)
    elif not is_there:
        yield EndEscalation(subscriber=None, cause=cause)
    elif _is_back(known, None, ladder, now):
        yield _again(None, known, ladder)


def comes_back_at(
    known: EscalationFacts, last_answer_at: datetime | None, ladder: Ladder
) -> datetime | None:
    """
    Return when an escalation is raised again although somebody is on it.

    Acknowledging does not stop the clock: it comes back when nothing followed for as
    long as the ladder says. What follows is an answer of the subscriber.
    """
    if known.state is not EscalationState.ACKNOWLEDGED or known.acknowledged_at is None:
        return None
    since = max(known.acknowledged_at, last_answer_at or known.acknowledged_at)
    return since + ladder.acknowledged_for


def asked_news_at(known: EscalationFacts | None, asked_at: datetime) -> datetime | None:
    """
    Return when a subscriber's asking for a person is to be raised; None: it is known.

    Asking again is news, whoever is on it, but not every few seconds.
    """
    if known is None:
        return asked_at
    if known.state is EscalationState.RAISED or asked_at <= known.raised_at:
        return None
    return max(asked_at, known.raised_at + ASKED_AGAIN_AFTER)


def _is_back(
    known: EscalationFacts,
    last_answer_at: datetime | None,
    ladder: Ladder,
    now: datetime,
) -> bool:
    back_at = comes_back_at(known, last_answer_at, ladder)
    return back_at is not None and back_at <= now


def _ranks(steps: Sequence[DueStep]) -> dict[int, int]:
    """Order the levels by their first instants: what comes later is higher."""
    first = [entry.step.level for entry in steps if not entry.repetition]
    return {level: rank for rank, level in enumerate(first)}


def _highest(
    due: Sequence[DueStep], rank: dict[int, int]
) -> dict[EscalationCause, DueStep]:
    """Return the highest step of each cause; of its repetitions the latest."""
    highest: dict[EscalationCause, DueStep] = {}
    for entry in sorted(due, key=lambda one: (rank[one.step.level], one.due_at)):
        cause = entry.step.when.cause
        if cause is not None and entry.step.targets:
            highest[cause] = entry
    return highest


def _is_news(
    entry: DueStep, known: EscalationFacts | None, rank: dict[int, int]
) -> bool:
    """Whether a step that came due says more than what is live of its cause."""
    if known is None:
        return True
    if known.level != entry.step.level:
        # A repetition of a lower step takes nothing back from a higher one.
        return rank.get(known.level, -1) < rank[entry.step.level]
    # Told again, unless nobody has heard yet, or somebody is on it.
    return entry.repetition > 0 and known.state is EscalationState.TOLD


def _known(
    live: Collection[EscalationFacts], cause: EscalationCause
) -> EscalationFacts | None:
    return next((known for known in live if known.cause is cause), None)


def _again(
    subscriber: SubscriberId | None, known: EscalationFacts, ladder: Ladder
) -> RaiseEscalation:
    """Raise what is live once more, at the same step."""
    if known.level == _NO_STEP:
        return _of_ladder(subscriber, ladder, known.cause)
    step = ladder.steps[known.level - 1]
    return _raised(subscriber, known.cause, step.level, step.name, step.targets)


def _asked(
    subscriber: SubscriberId,
    cause: EscalationCause,
    known: EscalationFacts | None,
    ladder: Ladder,
) -> RaiseEscalation:
    if known is None:
        return _of_ladder(subscriber, ladder, cause)
    return _again(subscriber, known, ladder)


def _of_step(
    subscriber: SubscriberId | None, cause: EscalationCause, entry: DueStep
) -> RaiseEscalation:
    step = entry.step
    return _raised(subscriber, cause, step.level, step.name, step.targets)


def _of_ladder(
    subscriber: SubscriberId | None, ladder: Ladder, cause: EscalationCause
) -> RaiseEscalation:
    """Raise what needs no step: nobody is reached, they ask, or the watchdog finds it."""
    if cause is EscalationCause.UNREACHABLE:
        return _raised(subscriber, cause, _NO_STEP, _UNREACHABLE, ladder.unreachable)
    if cause is EscalationCause.NOT_THEIRS:
        return _raised(subscriber, cause, _NO_STEP, _NOT_THEIRS, ladder.asked)
    if cause is EscalationCause.HELP_WANTED:
        return _raised(subscriber, cause, _NO_STEP, _HELP_WANTED, ladder.asked)
    step = _OVERDUE if cause is EscalationCause.ORDER_OVERDUE else _MISSED
    return _raised(subscriber, cause, _NO_STEP, step, ladder.missed)


def _raised(
    subscriber: SubscriberId | None,
    cause: EscalationCause,
    level: int,
    step: str,
    targets: tuple[EscalationTarget, ...],
) -> RaiseEscalation:
    return RaiseEscalation(
        subscriber=subscriber, cause=cause, level=level, step=step, targets=targets
    )
