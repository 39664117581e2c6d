"""Which notices and escalations are due for one subscriber at one instant."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from models.terms import ContactId, EscalationCause, NoticeKind
from tocsin.policy.effects import Effect, MoveOn, RaiseEscalation, SendNotice
from tocsin.policy.escalations import (
    asked_news_at,
    comes_back_at,
    due_escalations,
    ended_escalations,
    lasts,
)
from tocsin.policy.facts import (
    ContactFacts,
    IncidentFacts,
    NoticeFacts,
    SubscriberFacts,
)
from tocsin.policy.ladder import (
    Condition,
    DueStep,
    Ladder,
    Step,
    Target,
    subscriber_timetable,
)

_FIRST = 0
"""The sequence of a contact's first notice, whichever step it came from."""

_LOOK_AGAIN_WITHIN = timedelta(hours=1)


def due_outreach(
    subscriber: SubscriberFacts,
    *,
    ladder: Ladder,
    incident: IncidentFacts,
    now: datetime,
) -> Iterator[Effect]:
    """
    Decide what is due for one subscriber.

    Steps that came due together are taken together: each contact gets one notice, of
    the latest of them. Asking twice at one instant decides the same.
    """
    steps = subscriber_timetable(ladder, incident)
    due = [entry for entry in steps[subscriber.position :] if entry.due_at <= now]
    position = subscriber.position + len(due)
    concerned = [entry for entry in due if _concerns(entry.step.when, subscriber)]
    if subscriber.unsettled_certificates:
        taken = [entry.step for entry in steps[:position]]
        yield from _due_notices(subscriber, concerned, taken)
    raised = list(due_escalations(subscriber, concerned, ladder, steps, now))
    yield from raised
    yield from ended_escalations(subscriber)
    yield MoveOn(
        subscriber=subscriber.subscriber,
        position=position,
        look_at=_look_at(
            subscriber,
            raised,
            ahead=steps[position:],
            ladder=ladder,
            incident=incident,
            now=now,
        ),
    )


def _concerns(condition: Condition, subscriber: SubscriberFacts) -> bool:
    if condition.cause is None:
        # Who learns of it only after the revocation still has to learn of it.
        return subscriber.unsettled_certificates > 0
    return subscriber.open_certificates > 0 and lasts(condition.cause, subscriber)


def _due_notices(
    subscriber: SubscriberFacts, concerned: Sequence[DueStep], taken: Sequence[Step]
) -> Iterator[SendNotice]:
    """Yield one notice at most for each contact."""
    contacts = sorted(subscriber.contacts, key=lambda contact: contact.rank)
    active = [contact for contact in contacts if contact.is_active]
    chosen: dict[ContactId, tuple[NoticeKind, int]] = {}
    told = {contact.contact for contact in active if contact.was_told}
    for entry in concerned:
        if entry.step.notice is None:
            continue
        for contact in _addressed(entry.step, active, told):
            chosen[contact.contact] = (entry.step.notice, entry.sequence)
            told.add(contact.contact)
    if taken:
        # Named by the subscriber during the incident: told at once, whatever the step.
        newly = [contact for contact in active if contact.named_by_reply]
        # Mail to everybody told so far came back, or they say that it is not theirs: the
        # next one is told at once. Who may get the next one after all, such as a full
        # mailbox, stays among those told.
        if not any(
            c.contact in told and not c.came_back and not c.disowns for c in active
        ):
            newly += [c for c in active if c.contact not in told][:1]
        for contact in newly:
            if not contact.was_told or (contact.named_by_reply and contact.came_back):
                chosen.setdefault(contact.contact, (NoticeKind.INITIAL, _FIRST))
    # After the revocation there is nothing final to say: the first notice says it all.
    had_final = subscriber.open_certificates > 0 and any(
        step.notice is NoticeKind.FINAL for step in taken
    )
    by_key = {contact.contact: contact for contact in active}
    for key, (kind, sequence) in chosen.items():
        contact = by_key[key]
        notice = _worded(contact, kind, sequence, had_final=had_final)
        if notice not in contact.notices:
            yield SendNotice(contact=key, kind=notice.kind, sequence=notice.sequence)


def _worded(
    contact: ContactFacts, kind: NoticeKind, sequence: int, *, had_final: bool
) -> NoticeFacts:
    """A contact's first notice explains; it is no reminder of what they never got."""
    if contact.may_have_heard:
        # The first notice is not repeated: who was told and is told again is reminded.
        kind = NoticeKind.REMINDER if kind is NoticeKind.INITIAL else kind
        return NoticeFacts(kind=kind, sequence=sequence)
    if kind is NoticeKind.FINAL or had_final:
        return NoticeFacts(kind=NoticeKind.FINAL, sequence=sequence)
    first = NoticeFacts(kind=NoticeKind.INITIAL, sequence=_FIRST)
    # One that was planned and never left gives way to this one.
    if first in contact.notices:
        return NoticeFacts(kind=NoticeKind.INITIAL, sequence=sequence)
    return first


def _addressed(
    step: Step, active: Sequence[ContactFacts], told: set[ContactId]
) -> Iterable[ContactFacts]:
    if Target.ALL_CONTACTS in step.tell:
        return active
    if Target.TOLD_CONTACTS in step.tell:
        # Nobody was told, or nobody who was told can be reached: then the next one.
        return [c for c in active if c.contact in told] or active[:1]
    if Target.NEXT_CONTACT in step.tell:
        return [c for c in active if c.contact not in told][:1]
    return ()


def _look_at(
    subscriber: SubscriberFacts,
    raised: Sequence[RaiseEscalation],
    *,
    ahead: Sequence[DueStep],
    ladder: Ladder,
    incident: IncidentFacts,
    now: datetime,
) -> datetime | None:
    """Return when something may be due that no event announces."""
    if not subscriber.open_certificates:
        return ahead[0].due_at if ahead else None
    again_at = [
        comes_back_at(known, subscriber.last_answer_at, ladder)
        for known in subscriber.escalations
        if known.cause not in {effect.cause for effect in raised}
    ]
    instants = [instant for instant in again_at if instant and instant > now]
    if ahead:
        instants.append(ahead[0].due_at)
    else:
        # Revocation tells nobody (I2): look whether it happened, to end what is live.
        instants.append(max(incident.deadline, now + _LOOK_AGAIN_WITHIN))
    known_by_cause = {known.cause: known for known in subscriber.escalations}
    for cause, asked_at in subscriber.asked_at.items():
        news_at = asked_news_at(known_by_cause.get(cause), asked_at)
        if news_at is not None and news_at > now:
            instants.append(news_at)
    live = {known.cause for known in subscriber.escalations}
    live.update(effect.cause for effect in raised)
    if EscalationCause.NOT_DELIVERED in live:
        # Nor does the relay, when it takes something at last.
        instants.append(now + _LOOK_AGAIN_WITHIN)
    return min(instants)
