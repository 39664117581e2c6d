"""Who is written to and who is told, for one subscriber at one instant."""

from dataclasses import replace
from datetime import datetime, timedelta

from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from models.terms import (
    ContactId,
    ContactState,
    EscalationCause,
    EscalationState,
    EscalationTarget,
    NoticeKind,
    SubscriberId,
)
from tocsin.policy.effects import (
    Effect,
    EndEscalation,
    MoveOn,
    RaiseEscalation,
    SendNotice,
)
from tocsin.policy.facts import (
    ContactFacts,
    EscalationFacts,
    IncidentFacts,
    NoticeFacts,
    SubscriberFacts,
)
from tocsin.policy.ladder import parse_ladder, shipped_ladder
from tocsin.policy.outreach import due_outreach

INCIDENT = IncidentFacts(
    launched_at=LAUNCH, revocation_starts_at=REVOCATION, deadline=DEADLINE
)
LADDER = parse_ladder("""
unreachable = ["account-manager"]
[[step]]
name = "First notice"
after_launch = "0h"
when = "always"
tell = ["next-contact"]
notice = "initial"
[[step]]
name = "Next contact"
after_launch = "8h"
when = "not-acknowledged"
tell = ["next-contact"]
notice = "initial"
[[step]]
name = "Reminder"
after_launch = "24h"
when = "csr-missing"
tell = ["told-contacts"]
notice = "reminder"
[[step]]
name = "Managers"
after_launch = "48h"
when = "csr-missing"
tell = ["account-manager", "all-contacts"]
notice = "reminder"
[[step]]
name = "Last notice"
before_revocation = "12h"
when = "open"
tell = ["all-contacts"]
notice = "final"
""")


def a_contact(
    key: int,
    *,
    rank: int | None = None,
    state: ContactState = ContactState.ACTIVE,
    named: bool = False,
    notices: tuple[tuple[NoticeKind, int], ...] = (),
    reached: bool | None = None,
    came_back: bool = False,
    disowns: bool = False,
) -> ContactFacts:
    return ContactFacts(
        contact=ContactId(key),
        rank=rank or key,
        state=state,
        named_by_reply=named,
        notices=frozenset(NoticeFacts(kind=k, sequence=s) for k, s in notices),
        came_back=came_back,
        disowns=disowns,
        was_reached=bool(notices) if reached is None else reached,
    )


def known(
    cause: EscalationCause,
    level: int,
    *,
    state: EscalationState = EscalationState.TOLD,
    raised_at: datetime = LAUNCH,
    acknowledged_at: datetime | None = None,
) -> EscalationFacts:
    return EscalationFacts(
        cause=cause,
        level=level,
        state=state,
        raised_at=raised_at,
        acknowledged_at=acknowledged_at,
    )


def a_subscriber(
    *contacts: ContactFacts,
    position: int = 0,
    acknowledged: bool = False,
    certificates: int = 3,
    missing: int = 3,
    revoked: int = 0,
    escalations: tuple[EscalationFacts, ...] = (),
    answered_at: datetime | None = None,
    refused: bool = False,
) -> SubscriberFacts:
    return SubscriberFacts(
        subscriber=SubscriberId(1),
        position=position,
        has_acknowledged=acknowledged,
        last_answer_at=answered_at,
        unsettled_certificates=certificates + revoked,
        open_certificates=certificates,
        missing_csrs=missing,
        uninstalled_certificates=0,
        has_refused_csr=refused,
        contacts=contacts,
        escalations=escalations,
    )


def decide(subscriber: SubscriberFacts, now: datetime) -> list[Effect]:
    return list(due_outreach(subscriber, ladder=LADDER, incident=INCIDENT, now=now))


def notices(effects: list[Effect]) -> list[tuple[int, str, int]]:
    return [
        (e.contact, e.kind.value, e.sequence)
        for e in effects
        if isinstance(e, SendNotice)
    ]


TOLD = ((NoticeKind.INITIAL, 0),)


def test_primary_contact_gets_the_first_notice_when_the_incident_is_launched() -> None:
    effects = decide(a_subscriber(a_contact(1), a_contact(2)), LAUNCH)

    assert notices(effects) == [(1, "initial", 0)]
    assert effects[-1] == MoveOn(
        subscriber=SubscriberId(1), position=1, look_at=LAUNCH + 8 * HOUR
    )


def test_secondary_contact_gets_the_first_notice_when_nobody_answered() -> None:
    subscriber = a_subscriber(a_contact(1, notices=TOLD), a_contact(2), position=1)

    assert notices(decide(subscriber, LAUNCH + 8 * HOUR)) == [(2, "initial", 0)]


def test_secondary_contact_is_left_alone_when_somebody_answered() -> None:
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD), a_contact(2), position=1, acknowledged=True
    )

    assert notices(decide(subscriber, LAUNCH + 8 * HOUR)) == []


def test_secondary_contact_gets_the_notice_when_the_first_address_bounces() -> None:
    gone = a_contact(1, state=ContactState.UNREACHABLE, notices=TOLD)
    subscriber = a_subscriber(gone, a_contact(2), position=1)

    effects = decide(subscriber, LAUNCH + HOUR)

    assert notices(effects) == [(2, "initial", 0)]
    assert not any(isinstance(e, RaiseEscalation) for e in effects)


def test_first_notice_is_sent_even_when_everything_was_revoked_before_it() -> None:
    subscriber = a_subscriber(a_contact(1), certificates=0, missing=0, revoked=3)

    effects = decide(subscriber, REVOCATION)

    assert notices(effects) == [(1, "initial", 0)]
    assert not any(isinstance(e, RaiseEscalation) for e in effects)


def test_account_manager_is_told_once_when_no_contact_is_left() -> None:
    gone = a_contact(1, state=ContactState.UNREACHABLE, notices=TOLD)
    live = known(EscalationCause.UNREACHABLE, 0)

    first = decide(a_subscriber(gone, position=1), LAUNCH + HOUR)
    again = decide(a_subscriber(gone, position=1, escalations=(live,)), LAUNCH + HOUR)

    assert [e for e in first if isinstance(e, RaiseEscalation)] == [
        RaiseEscalation(
            subscriber=SubscriberId(1),
            cause=EscalationCause.UNREACHABLE,
            level=0,
            step="Nobody can be reached by mail",
            targets=(EscalationTarget.ACCOUNT_MANAGER,),
        )
    ]
    assert not any(isinstance(e, RaiseEscalation) for e in again)


def test_contact_named_by_the_subscriber_is_told_at_once() -> None:
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD),
        a_contact(9, named=True),
        position=1,
        acknowledged=True,
    )

    assert notices(decide(subscriber, LAUNCH + HOUR)) == [(9, "initial", 0)]


def test_only_the_latest_notice_is_sent_when_the_engine_was_down_across_two_steps() -> (
    None
):
    subscriber = a_subscriber(a_contact(1, notices=TOLD), position=1, acknowledged=True)

    effects = decide(subscriber, LAUNCH + 49 * HOUR)

    assert notices(effects) == [(1, "reminder", 4)]


def test_first_notice_explains_when_a_contact_was_never_told() -> None:
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD), a_contact(2), position=3, acknowledged=True
    )

    effects = decide(subscriber, LAUNCH + 48 * HOUR)

    assert notices(effects) == [(1, "reminder", 4), (2, "initial", 0)]


def test_final_notice_is_the_first_when_a_contact_appears_after_it() -> None:
    gone = a_contact(1, state=ContactState.UNREACHABLE, notices=TOLD)
    subscriber = a_subscriber(gone, a_contact(2), position=5)

    assert notices(decide(subscriber, REVOCATION - HOUR)) == [(2, "final", 0)]


def test_nothing_is_sent_when_every_certificate_is_replaced() -> None:
    live = known(EscalationCause.CSR_MISSING, 4)
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD),
        position=4,
        certificates=0,
        missing=0,
        escalations=(live,),
    )

    effects = decide(subscriber, REVOCATION - 12 * HOUR)

    assert effects == [
        EndEscalation(subscriber=SubscriberId(1), cause=EscalationCause.CSR_MISSING),
        MoveOn(subscriber=SubscriberId(1), position=5, look_at=None),
    ]


def test_escalation_on_missing_csrs_ends_when_the_last_csr_is_in() -> None:
    live = known(EscalationCause.CSR_MISSING, 4)
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD),
        position=4,
        missing=0,
        acknowledged=True,
        escalations=(live,),
    )

    effects = decide(subscriber, LAUNCH + 50 * HOUR)

    assert effects[0] == EndEscalation(
        subscriber=SubscriberId(1), cause=EscalationCause.CSR_MISSING
    )


def test_subscriber_is_looked_at_again_after_the_deadline_when_nothing_is_ahead() -> (
    None
):
    subscriber = a_subscriber(a_contact(1, notices=TOLD), position=5)

    (move,) = decide(subscriber, REVOCATION)

    assert move == MoveOn(subscriber=SubscriberId(1), position=5, look_at=DEADLINE)


contacts = st.lists(
    st.builds(
        lambda key, state, named, told: a_contact(
            key, state=state, named=named, notices=TOLD if told else ()
        ),
        st.integers(1, 50),
        st.sampled_from(ContactState),
        st.booleans(),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda contact: contact.contact,
)
subscribers = st.builds(
    lambda people, position, acknowledged, certificates, missing, revoked: a_subscriber(
        *people,
        revoked=revoked,
        position=position,
        acknowledged=acknowledged,
        certificates=certificates,
        missing=min(missing, certificates),
    ),
    contacts,
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2),
)
instants = st.integers(0, 200).map(lambda hours: LAUNCH + hours * HOUR)


@given(subscribers, instants)
def test_i4_nothing_is_decided_twice_when_the_decision_was_carried_out(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    first = decide(subscriber, now)
    after = _carried_out(subscriber, first)

    again = decide(after, now)

    assert [e for e in again if isinstance(e, SendNotice | RaiseEscalation)] == []


def test_next_contact_is_told_at_once_when_mail_came_back_for_now() -> None:
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD, came_back=True), a_contact(2), position=1
    )

    assert notices(decide(subscriber, LAUNCH + HOUR)) == [(2, "initial", 0)]


def test_nobody_else_is_told_when_mail_got_through_to_another_contact() -> None:
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD, came_back=True),
        a_contact(2, notices=TOLD),
        a_contact(3),
        position=1,
    )

    assert notices(decide(subscriber, LAUNCH + HOUR)) == []


def test_subscriber_is_unreachable_when_all_that_was_sent_came_back() -> None:
    subscriber = a_subscriber(a_contact(1, notices=TOLD, came_back=True), position=1)

    raised = [
        effect.cause
        for effect in decide(subscriber, LAUNCH + HOUR)
        if isinstance(effect, RaiseEscalation)
    ]

    assert raised == [EscalationCause.UNREACHABLE]


def test_contact_is_written_to_again_when_a_call_says_that_the_address_is_good() -> (
    None
):
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD, came_back=True, named=True), position=1
    )

    assert notices(decide(subscriber, LAUNCH + HOUR)) == [(1, "reminder", 0)]


@given(subscribers, instants)
def test_no_contact_gets_two_notices_at_once_and_no_unreachable_one_gets_any(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    sent = notices(decide(subscriber, now))

    active = {c.contact for c in subscriber.contacts if c.is_active}
    assert len({contact for contact, _, _ in sent}) == len(sent)
    assert {contact for contact, _, _ in sent} <= active


@given(subscribers, instants)
def test_position_never_goes_back_and_the_next_look_lies_ahead(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    move = decide(subscriber, now)[-1]

    assert isinstance(move, MoveOn)
    assert move.position >= subscriber.position
    assert move.look_at is None or move.look_at > now


def _carried_out(subscriber: SubscriberFacts, effects: list[Effect]) -> SubscriberFacts:
    planned: dict[int, set[NoticeFacts]] = {}
    escalations = {known.cause: known for known in subscriber.escalations}
    position = subscriber.position
    for effect in effects:
        match effect:
            case SendNotice():
                planned.setdefault(effect.contact, set()).add(
                    NoticeFacts(kind=effect.kind, sequence=effect.sequence)
                )
            case RaiseEscalation():
                escalations[effect.cause] = known(effect.cause, effect.level)
            case EndEscalation():
                del escalations[effect.cause]
            case MoveOn():
                position = effect.position
    return replace(
        subscriber,
        position=position,
        contacts=tuple(
            replace(
                c,
                notices=c.notices | planned.get(c.contact, set()),
                was_reached=c.was_reached or c.contact in planned,
            )
            for c in subscriber.contacts
        ),
        escalations=tuple(escalations.values()),
    )


def test_shipped_five_day_ladder_takes_every_step_when_nobody_ever_answers() -> None:
    ladder = shipped_ladder(timedelta(days=5))
    subscriber = a_subscriber(a_contact(1), a_contact(2))
    sent: list[tuple[int, str, int]] = []
    told: list[EscalationTarget] = []
    now: datetime | None = LAUNCH

    while now is not None and now < REVOCATION:
        effects = list(
            due_outreach(subscriber, ladder=ladder, incident=INCIDENT, now=now)
        )
        sent += notices(effects)
        for effect in effects:
            if isinstance(effect, RaiseEscalation):
                told += effect.targets
        subscriber = _carried_out(subscriber, effects)
        move = effects[-1]
        assert isinstance(move, MoveOn)
        now = move.look_at

    assert [kind for contact, kind, _ in sent if contact == 1] == [
        "initial", "reminder", "reminder", "reminder", "final", "final",
    ]  # fmt: skip
    assert told == [
        EscalationTarget.ACCOUNT_MANAGER,
        EscalationTarget.ACCOUNT_MANAGER,
        EscalationTarget.CALL_SHEET,
        EscalationTarget.OPERATIONS_MANAGER,
        EscalationTarget.OPERATIONS_MANAGER,  # a day later: still no CSR
        EscalationTarget.CALL_SHEET,
        EscalationTarget.COMPLIANCE_LEAD,
    ]


def test_next_contact_is_told_at_once_when_those_told_say_it_is_not_theirs() -> None:
    subscriber = a_subscriber(
        a_contact(1, notices=TOLD, disowns=True), a_contact(2), position=1
    )

    assert notices(decide(subscriber, LAUNCH + HOUR)) == [(2, "initial", 0)]


def test_contact_is_still_reminded_when_they_say_it_is_not_theirs() -> None:
    subscriber = a_subscriber(a_contact(1, notices=TOLD, disowns=True), position=1)

    assert notices(decide(subscriber, LAUNCH + 24 * HOUR)) == [(1, "reminder", 3)]
