"""Which notices and escalations are due for one subscriber at one instant."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from models.terms import ContactId, ContactRole, EscalationCause, NoticeKind
from tocsin.policy.effects import (
    Effect,
    EndEscalation,
    MoveOn,
    RaiseEscalation,
    SendNotice,
)
from tocsin.policy.facts import (
    ContactFacts,
    IncidentFacts,
    NoticeFacts,
    SubscriberFacts,
)
from tocsin.policy.ladder import Condition, DueStep, Ladder, Step, Target, timetable

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
    steps = timetable(ladder, incident)
    due = [entry.step for entry in steps[subscriber.position :] if entry.due_at <= now]
    position = subscriber.position + len(due)
    concerned = [step for step in due if _concerns(step.when, subscriber)]
    if subscriber.unsettled_certificates:
        taken = [entry.step for entry in steps[:position]]
        yield from _due_notices(subscriber, concerned, taken)
    if subscriber.open_certificates:
        yield from _due_escalations(subscriber, concerned, ladder)
    yield from _ended_escalations(subscriber)
    yield MoveOn(
        subscriber=subscriber.subscriber,
        position=position,
        look_at=_look_at(subscriber, steps[position:], incident, now),
    )


def _concerns(condition: Condition, subscriber: SubscriberFacts) -> bool:
    match condition:
        case Condition.ALWAYS:
            # Who learns of it only after the revocation still has to learn of it.
            return subscriber.unsettled_certificates > 0
        case Condition.OPEN:
            return subscriber.open_certificates > 0
        case Condition.CSR_MISSING:
            return subscriber.missing_csrs > 0
        case Condition.NOT_ACKNOWLEDGED:
            return subscriber.open_certificates > 0 and not subscriber.has_acknowledged


def _due_notices(
    subscriber: SubscriberFacts, concerned: Sequence[Step], taken: Sequence[Step]
) -> Iterator[SendNotice]:
    """Yield one notice at most for each contact."""
    contacts = sorted(subscriber.contacts, key=lambda contact: contact.rank)
    active = [contact for contact in contacts if contact.is_active]
    chosen: dict[ContactId, tuple[NoticeKind, int]] = {}
    told = {contact.contact for contact in active if contact.was_told}
    for step in concerned:
        if step.notice is None:
            continue
        for contact in _addressed(step, active, told):
            chosen[contact.contact] = (step.notice, step.level)
            told.add(contact.contact)
    if taken:
        # Named by the subscriber during the incident: told at once, whatever the step.
        newly = [contact for contact in active if contact.named_by_reply]
        # Mail to everybody told so far came back: the next one is told at once. Who may
        # get the next one after all, such as a full mailbox, stays among those told.
        if not any(c.contact in told and not c.came_back for c in active):
            newly += [c for c in active if c.contact not in told][:1]
        for contact in newly:
            if not contact.was_told or (contact.named_by_reply and contact.came_back):
                chosen.setdefault(contact.contact, (NoticeKind.INITIAL, _FIRST))
    # After the revocation there is nothing final to say: the first notice says it all.
    had_final = subscriber.open_certificates > 0 and any(
        step.notice is NoticeKind.FINAL for step in taken
    )
    by_key = {contact.contact: contact for contact in active}
    for key, (kind, level) in chosen.items():
        contact = by_key[key]
        notice = _worded(contact, kind, level, had_final=had_final)
        if notice not in contact.notices:
            yield SendNotice(contact=key, kind=notice.kind, sequence=notice.sequence)


def _worded(
    contact: ContactFacts, kind: NoticeKind, level: int, *, had_final: bool
) -> NoticeFacts:
    """A contact's first notice explains; it is no reminder of what they never got."""
    if contact.was_told:
        # The first notice is not repeated: who was told and is told again is reminded.
        kind = NoticeKind.REMINDER if kind is NoticeKind.INITIAL else kind
        return NoticeFacts(kind=kind, sequence=level)
    if kind is NoticeKind.FINAL or had_final:
        return NoticeFacts(kind=NoticeKind.FINAL, sequence=level)
    return NoticeFacts(kind=NoticeKind.INITIAL, sequence=_FIRST)


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


def _due_escalations(
    subscriber: SubscriberFacts, concerned: Sequence[Step], ladder: Ladder
) -> Iterator[RaiseEscalation]:
    """Yield the highest step of each cause that is not on record yet."""
    highest: dict[EscalationCause, Step] = {}
    for step in concerned:
        cause = _cause(step.when)
        if cause is not None and step.roles:
            highest[cause] = step
    live = {(known.cause, known.level) for known in subscriber.escalations}
    for cause, step in highest.items():
        if (cause, step.level) not in live:
            yield _escalation(subscriber, cause, step.level, step.name, step.roles)
    is_known = any(cause is EscalationCause.UNREACHABLE for cause, _ in live)
    if _is_unreachable(subscriber) and not is_known and ladder.unreachable:
        yield _escalation(
            subscriber,
            EscalationCause.UNREACHABLE,
            0,
            "Nobody can be reached by mail",
            ladder.unreachable,
        )


def _ended_escalations(subscriber: SubscriberFacts) -> Iterator[EndEscalation]:
    for cause in sorted({known.cause for known in subscriber.escalations}):
        if not (subscriber.open_certificates and _lasts(cause, subscriber)):
            yield EndEscalation(subscriber=subscriber.subscriber, cause=cause)


def _lasts(cause: EscalationCause, subscriber: SubscriberFacts) -> bool:
    match cause:
        case EscalationCause.CSR_MISSING:
            return subscriber.missing_csrs > 0
        case EscalationCause.NOT_ACKNOWLEDGED:
            return not subscriber.has_acknowledged
        case EscalationCause.UNREACHABLE:
            return _is_unreachable(subscriber)


def _is_unreachable(subscriber: SubscriberFacts) -> bool:
    return not any(c.is_active and not c.came_back for c in subscriber.contacts)


def _cause(condition: Condition) -> EscalationCause | None:
    match condition:
        case Condition.CSR_MISSING | Condition.OPEN:
            return EscalationCause.CSR_MISSING
        case Condition.NOT_ACKNOWLEDGED:
            return EscalationCause.NOT_ACKNOWLEDGED
        case Condition.ALWAYS:
            return None


def _escalation(
    subscriber: SubscriberFacts,
    cause: EscalationCause,
    level: int,
    step: str,
    targets: tuple[ContactRole, ...],
) -> RaiseEscalation:
    return RaiseEscalation(
        subscriber=subscriber.subscriber,
        cause=cause,
        level=level,
        step=step,
        targets=targets,
    )


def _look_at(
    subscriber: SubscriberFacts,
    ahead: Sequence[DueStep],
    incident: IncidentFacts,
    now: datetime,
) -> datetime | None:
    """Return when something may be due that no event announces."""
    if ahead:
        return ahead[0].due_at
    if not subscriber.open_certificates:
        return None
    # Revocation tells nobody (I2): look whether it happened, to end what is live.
    return max(incident.deadline, now + _LOOK_AGAIN_WITHIN)
