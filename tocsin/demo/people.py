"""Who answers when, as in 2024; without it every subscriber of the replay would be a good one."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tocsin.demo import record
from tocsin.demo.population import SEED, Cohort, Organisation


class Deed(StrEnum):
    """What a simulated subscriber does on the portal."""

    ACKNOWLEDGE = "acknowledge"
    HAND_IN = "hand-in"  # a CSR for each of its certificates
    REPLACED = "replaced"  # the new certificates are installed
    NOT_REQUIRED = "not-required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    One deed that one subscriber will do.

    Args:
        organisation: Its number.
        deed: What.
        at: When; they need a notice in their mailbox by then, or cannot act.

    """

    organisation: int
    deed: Deed
    at: datetime

    @property
    def key(self) -> str:
        """Name the answer in the journal."""
        return f"{self.organisation}:{self.deed}"


# Assumption: the record is silent on CSRs before 2024-04-26. Squaring an even draw puts
# a quarter of the certificates before the deadline, and half within nine days.
_EAGERNESS = 2.0
_SOONEST = timedelta(hours=1)
# Assumption: of those whose CSR comes late, a third at least acknowledges in time.
_ACKNOWLEDGE_ONLY_SHARE = 1 / 3
_HOUR = timedelta(hours=1)


def plan_answers(
    organisations: Sequence[Organisation], *, seed: int = SEED
) -> tuple[Answer, ...]:
    """Decide who does what and when, in the order of time; the same for the same seed."""
    chance = random.Random(seed + 1)  # noqa: S311 - a story, not a secret
    answers = [
        answer
        for organisation in organisations
        for answer in _answers_of(organisation, chance)
    ]
    return tuple(sorted(answers, key=lambda one: (one.at, one.key)))


def _answers_of(organisation: Organisation, chance: random.Random) -> Iterator[Answer]:
    """Yield what one subscriber will do."""
    start, deadline = record.LAUNCHED_AT, record.DEADLINE
    april, may_3, may_10 = (status.at for status in record.STATUSES[2:5])

    def answer(deed: Deed, at: datetime) -> Answer:
        return Answer(organisation=organisation.number, deed=deed, at=_rounded(at))

    match organisation.cohort:
        case Cohort.CONFIRMED:
            handed_in_at = _between(start, start + timedelta(hours=24), chance)
            yield answer(Deed.ACKNOWLEDGE, start + (handed_in_at - start) / 3)
            yield answer(Deed.HAND_IN, handed_in_at)
            yield answer(
                Deed.REPLACED,
                _between(
                    start + timedelta(hours=30), start + timedelta(hours=48), chance
                ),
            )
        case Cohort.BY_APRIL | Cohort.NOT_REQUIRED:
            is_wanted = organisation.cohort is Cohort.BY_APRIL
            deed = Deed.HAND_IN if is_wanted else Deed.NOT_REQUIRED
            until = april if is_wanted else may_3
            at = _between(start, until, chance, eagerness=_EAGERNESS)
            if at < deadline:
                yield answer(Deed.ACKNOWLEDGE, start + (at - start) / 3)
            elif chance.random() < _ACKNOWLEDGE_ONLY_SHARE:
                yield answer(Deed.ACKNOWLEDGE, _between(start, deadline, chance))
            yield answer(deed, at)
        case Cohort.BY_MAY:
            yield answer(Deed.HAND_IN, _between(april, may_3, chance))
        case Cohort.WAITING:
            yield answer(Deed.HAND_IN, _between(may_3, may_10, chance))
        case Cohort.LOST:
            return


def _rounded(at: datetime) -> datetime:
    """
    Return the instant at which the replay looks at an answer.

    Whole hours until the deadline; after it, the statuses of the record: what
    comes then changes nothing any more.
    """
    if at <= record.DEADLINE - _HOUR:
        return at + (-(at - record.MADE_AWARE_AT) % _HOUR)
    return next(status.at for status in record.STATUSES if status.at >= at)


def _between(
    start: datetime,
    end: datetime,
    chance: random.Random,
    *,
    eagerness: float = 1.0,
) -> datetime:
    """Draw an instant, an hour after the start at the soonest; eager ones come early."""
    span = end - start - _SOONEST - _HOUR
    drawn: float = chance.random() ** eagerness
    return start + _SOONEST + span * drawn
