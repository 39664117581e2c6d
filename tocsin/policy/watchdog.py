"""Whether everything that was due was done: the plan held against what is on record."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin.policy.facts import IncidentFacts
from tocsin.policy.ladder import Ladder, subscriber_timetable


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFacts:
    """
    What is on record of one incident that ought to be further on.

    Args:
        positions: Subscribers by how many steps of the timetable were taken for them;
            those who are where they ought to be are left out.
        unsent: Notices that were planned, and that nobody has tried to send.
        unapplied: Replies whose grace period is over and that have had no effect.
        overdue: Certificates past their revocation time that the CA has not revoked.
        unpublished: Revoked ones that ought to be visible and were not seen.
        restrained: Past their revocation time, and kept from the CA by a court order:
            nobody's failure, and overdue all the same.

    """

    positions: Mapping[int, int]
    unsent: int
    unapplied: int
    overdue: int
    unpublished: int
    restrained: int = 0

    def is_order_overdue(self, deadline: datetime, now: datetime) -> bool:
        """Whether court orders keep certificates beyond the deadline."""
        return self.restrained > 0 and now > deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """
    Something that was due and was not done.

    Args:
        what: In words, without its count.
        count: How many subscribers, notices, replies or certificates.
        due_at: Since when, UTC; None where each has an instant of its own.

    """

    what: str
    count: int
    due_at: datetime | None = None

    @property
    def sentence(self) -> str:
        """The same for people."""
        since = f", due {self.due_at:%Y-%m-%d %H:%M} UTC" if self.due_at else ""
        return f"{self.what}: {self.count:,}{since}"


def steps_due(
    ladder: Ladder, incident: IncidentFacts, *, now: datetime, grace: timedelta
) -> int:
    """Return how many steps of the timetable ought to have been taken by now."""
    return sum(
        due.due_at <= now - grace for due in subscriber_timetable(ladder, incident)
    )


def missed(
    facts: WatchFacts,
    *,
    ladder: Ladder,
    incident: IncidentFacts,
    now: datetime,
    grace: timedelta,
    set_back: timedelta = timedelta(),
) -> Iterator[Missed]:
    """
    Yield what was due and was not done, the gravest first.

    Args:
        facts: What is on record.
        ladder: The incident's.
        incident: Its instants.
        now: The present instant, UTC.
        grace: How long anything may take after it was due.
        set_back: How far the machine's clock was set back.

    """
    if set_back:
        # Whatever is due comes so much later; nothing else on record shows it.
        yield Missed(
            what="This machine's clock was set back; seconds",
            count=int(set_back.total_seconds()),
        )
    for what, count in (
        ("Certificates not revoked in time", facts.overdue),
        ("Revoked certificates not seen as published", facts.unpublished),
    ):
        if count:
            yield Missed(what=what, count=count)
    expected = steps_due(ladder, incident, now=now, grace=grace)
    for index, due in enumerate(subscriber_timetable(ladder, incident)[:expected]):
        behind = sum(
            count for position, count in facts.positions.items() if position <= index
        )
        if behind:
            yield Missed(
                what=f"Step “{due.name}” not taken for subscribers",
                count=behind,
                due_at=due.due_at,
            )
    for what, count in (
        ("Notices planned and not sent", facts.unsent),
        ("Replies that have not taken effect", facts.unapplied),
    ):
        if count:
            yield Missed(what=what, count=count)
