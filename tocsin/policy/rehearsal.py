"""What a ladder would do, told before it is needed: in an incident that is made up."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from models.terms import ContactId, ContactState, NoticeKind, SubscriberId
from tocsin.policy.effects import MoveOn, SendNotice
from tocsin.policy.facts import (
    ContactFacts,
    IncidentFacts,
    NoticeFacts,
    SubscriberFacts,
)
from tocsin.policy.ladder import DueStep, Ladder, Step, timetable
from tocsin.policy.outreach import due_outreach
from tocsin.policy.revocation import plan_revocation

_MADE_AWARE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_COUNT = 1_000
_RATE_PER_SECOND = 10.0
_PUBLICATION_DELAY = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedStep:
    """
    One step in the made-up incident.

    Args:
        due: Its first instant.
        repetitions: How often it comes again at most.
        after_launch: Its first instant, counted from the launch.
        before_revocation: And back from the start of revocation; negative: after it.

    """

    due: DueStep
    repetitions: int
    after_launch: timedelta
    before_revocation: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """
    What a ladder does between launch and deadline.

    Args:
        incident: The made-up incident's instants.
        made_aware_at: When its clock started, UTC.
        steps: In the order of their first instants.
        lost: Steps that have no moment in so short a time.
        notices: What each contact of a subscriber gets who never answers, by rank.
        most_in_a_day: The most notices that one of them gets within 24 hours.

    """

    incident: IncidentFacts
    made_aware_at: datetime
    steps: tuple[RehearsedStep, ...]
    lost: tuple[Step, ...]
    notices: tuple[tuple[NoticeKind, ...], ...]
    most_in_a_day: int


def rehearse(ladder: Ladder, *, within: timedelta) -> Rehearsal:
    """
    Go through an incident of 1,000 certificates, launched after a fortieth of its time.

    Args:
        ladder: Which.
        within: From the made-aware time to the deadline.

    """
    incident = sample_incident(within)
    dues = sorted(timetable(ladder, incident), key=lambda due: due.step.level)
    steps = tuple(
        _step(list(group), incident)
        for _, group in groupby(dues, key=lambda due: due.step.level)
    )
    sent = list(_silent(ladder, incident))
    kept = {one.due.step.level for one in steps}
    return Rehearsal(
        incident=incident,
        made_aware_at=_MADE_AWARE,
        steps=tuple(
            sorted(steps, key=lambda one: (one.due.due_at, one.due.step.level))
        ),
        lost=tuple(step for step in ladder.steps if step.level not in kept),
        notices=tuple(
            tuple(effect.kind for _, effect in sent if effect.contact == contact)
            for contact in _CONTACTS
        ),
        most_in_a_day=_most_in_a_day(sent),
    )


def sample_incident(within: timedelta) -> IncidentFacts:
    """Make up the instants of an incident with so much time."""
    launched_at = _MADE_AWARE + within / 40
    plan = plan_revocation(
        made_aware_at=_MADE_AWARE,
        deadline=_MADE_AWARE + within,
        count=_COUNT,
        rate_per_second=_RATE_PER_SECOND,
        publication_delay=_PUBLICATION_DELAY,
        launched_at=launched_at,
    )
    return IncidentFacts(
        launched_at=launched_at,
        revocation_starts_at=plan.starts_at,
        deadline=plan.deadline,
    )


_CONTACTS = (ContactId(1), ContactId(2))


def _step(dues: list[DueStep], incident: IncidentFacts) -> RehearsedStep:
    first = dues[0]
    return RehearsedStep(
        due=first,
        repetitions=len(dues) - 1,
        after_launch=first.due_at - incident.launched_at,
        before_revocation=incident.revocation_starts_at - first.due_at,
    )


def _silent(
    ladder: Ladder, incident: IncidentFacts
) -> Iterator[tuple[datetime, SendNotice]]:
    """Yield what the two contacts of a subscriber get who never answers."""
    subscriber = SubscriberFacts(
        subscriber=SubscriberId(1),
        position=0,
        has_acknowledged=False,
        last_answer_at=None,
        unsettled_certificates=1,
        open_certificates=1,
        missing_csrs=1,
        uninstalled_certificates=0,
        has_refused_csr=False,
        contacts=tuple(
            ContactFacts(
                contact=contact,
                rank=contact,
                state=ContactState.ACTIVE,
                named_by_reply=False,
                notices=frozenset(),
                was_reached=False,
            )
            for contact in _CONTACTS
        ),
        escalations=(),
    )
    following: datetime | None = incident.launched_at
    while (now := following) is not None and now < incident.revocation_starts_at:
        for effect in due_outreach(
            subscriber, ladder=ladder, incident=incident, now=now
        ):
            if isinstance(effect, SendNotice):
                yield now, effect
                subscriber = _told(subscriber, effect)
            elif isinstance(effect, MoveOn):
                subscriber = replace(subscriber, position=effect.position)
                following = effect.look_at


def _told(subscriber: SubscriberFacts, effect: SendNotice) -> SubscriberFacts:
    notice = NoticeFacts(kind=effect.kind, sequence=effect.sequence)
    return replace(
        subscriber,
        contacts=tuple(
            replace(contact, notices=contact.notices | {notice}, was_reached=True)
            if contact.contact == effect.contact
            else contact
            for contact in subscriber.contacts
        ),
    )


def _most_in_a_day(sent: list[tuple[datetime, SendNotice]]) -> int:
    counts: Counter[tuple[datetime, ContactId]] = Counter()
    for begins in {at for at, _ in sent}:
        for at, effect in sent:
            if begins <= at < begins + _DAY:
                counts[begins, effect.contact] += 1
    return max(counts.values(), default=0)
