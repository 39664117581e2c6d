"""Who of the CA is told, told again, and told that it is over."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from hypothesis import assume, given
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
    EndEscalation,
    MoveOn,
    RaiseEscalation,
    SendNotice,
)
from tocsin.policy.escalations import (
    ASKED_AGAIN_AFTER,
    IN_WORDS,
    due_incident_escalations,
    due_watch_escalation,
    lasts,
)
from tocsin.policy.facts import (
    ContactFacts,
    EscalationFacts,
    IncidentFacts,
    NoticeFacts,
    SubscriberFacts,
)
from tocsin.policy.ladder import Condition, parse_ladder, subscriber_timetable
from tocsin.policy.outreach import due_outreach

INCIDENT = IncidentFacts(
    launched_at=LAUNCH, revocation_starts_at=REVOCATION, deadline=DEADLINE
)
LADDER = parse_ladder("""
unreachable = ["account-manager", "call-sheet"]
acknowledged_for = "4h"
[[step]]
name = "First notice"
after_launch = "0h"
when = "always"
tell = ["next-contact"]
notice = "initial"
[[step]]
name = "Managers ask for CSRs"
after_launch = "24h"
when = "csr-missing"
tell = ["account-manager"]
repeat_every = "8h"
[[step]]
name = "Reminder"
after_launch = "30h"
when = "csr-missing"
tell = ["all-contacts"]
notice = "reminder"
repeat_every = "12h"
[[step]]
name = "Call the silent"
after_launch = "36h"
when = "not-acknowledged"
tell = ["call-sheet"]
[[step]]
name = "Operations take over"
after_launch = "60h"
when = "csr-missing"
tell = ["operations-manager"]
[[step]]
name = "Mail does not get through"
after_launch = "4h"
when = "not-delivered"
tell = ["account-manager"]
[[step]]
name = "CSR cannot be used"
after_launch = "6h"
when = "csr-refused"
tell = ["account-manager"]
repeat_every = "6h"
[[step]]
name = "Not installed"
before_revocation = "10h"
when = "not-installed"
tell = ["account-manager"]
[[step]]
name = "Late"
after_launch = "1h"
when = "forecast-late"
tell = ["operations-manager"]
repeat_every = "6h"
[[step]]
name = "Later"
before_deadline = "2h"
when = "forecast-late"
tell = ["compliance-lead"]
repeat_every = "30m"
""")

TOLD = frozenset({NoticeFacts(kind=NoticeKind.INITIAL, sequence=0)})


def a_contact(key: int = 1, **changes: object) -> ContactFacts:
    facts = ContactFacts(
        contact=ContactId(key),
        rank=key,
        state=ContactState.ACTIVE,
        named_by_reply=False,
        notices=TOLD,
        was_reached=True,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def a_subscriber(**changes: object) -> SubscriberFacts:
    facts = SubscriberFacts(
        subscriber=SubscriberId(1),
        position=0,
        has_acknowledged=True,
        last_answer_at=None,
        unsettled_certificates=3,
        open_certificates=3,
        missing_csrs=3,
        uninstalled_certificates=0,
        has_refused_csr=False,
        contacts=(a_contact(),),
        escalations=(),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def known(
    cause: EscalationCause = EscalationCause.CSR_MISSING,
    level: int = 2,
    state: EscalationState = EscalationState.TOLD,
    *,
    raised_at: datetime = LAUNCH + 24 * HOUR,
    acknowledged_at: datetime | None = None,
) -> EscalationFacts:
    return EscalationFacts(
        cause=cause,
        level=level,
        state=state,
        raised_at=raised_at,
        acknowledged_at=acknowledged_at,
    )


def taken_by(now: datetime) -> int:
    return sum(due.due_at < now for due in subscriber_timetable(LADDER, INCIDENT))


def raised(subscriber: SubscriberFacts, now: datetime) -> list[tuple[str, int]]:
    """Return cause and level of what is raised of somebody who is up to date."""
    subscriber = replace(subscriber, position=taken_by(now))
    return [
        (effect.cause.value, effect.level)
        for effect in due_outreach(
            subscriber, ladder=LADDER, incident=INCIDENT, now=now
        )
        if isinstance(effect, RaiseEscalation)
    ]


# Repetitions.


def test_escalation_is_raised_again_when_its_step_comes_again() -> None:
    assert raised(a_subscriber(), LAUNCH + 24 * HOUR) == [("csr-missing", 2)]

    again = a_subscriber(escalations=(known(),))

    assert raised(again, LAUNCH + 32 * HOUR) == [("csr-missing", 2)]


def test_escalation_is_not_raised_again_when_nobody_was_told_of_it_yet() -> None:
    waiting = a_subscriber(escalations=(known(state=EscalationState.RAISED),))

    assert raised(waiting, LAUNCH + 32 * HOUR) == []


def test_lower_step_takes_nothing_back_when_it_comes_again() -> None:
    higher = a_subscriber(escalations=(known(level=5),))

    assert raised(higher, LAUNCH + 64 * HOUR) == []


def test_higher_step_takes_over_when_somebody_is_on_the_lower_one() -> None:
    taken = known(
        state=EscalationState.ACKNOWLEDGED, acknowledged_at=LAUNCH + 59 * HOUR
    )

    assert raised(a_subscriber(escalations=(taken,)), LAUNCH + 60 * HOUR) == [
        ("csr-missing", 5)
    ]


def test_contact_is_reminded_again_under_a_number_of_its_own() -> None:
    subscriber = a_subscriber(position=taken_by(LAUNCH + 42 * HOUR))

    sent = [
        (effect.kind, effect.sequence)
        for effect in due_outreach(
            subscriber, ladder=LADDER, incident=INCIDENT, now=LAUNCH + 42 * HOUR
        )
        if isinstance(effect, SendNotice)
    ]

    assert sent == [(NoticeKind.REMINDER, 1003)]


# Acknowledging does not stop the clock.


@pytest.mark.parametrize(
    ("hours_later", "expected"), [(3, []), (4, [("csr-missing", 2)])]
)
def test_acknowledged_escalation_comes_back_when_nothing_followed(
    hours_later: int, expected: list[tuple[str, int]]
) -> None:
    at = LAUNCH + 25 * HOUR
    taken = known(state=EscalationState.ACKNOWLEDGED, acknowledged_at=at)

    found = raised(a_subscriber(escalations=(taken,)), at + hours_later * HOUR)

    assert found == expected


def test_escalation_is_raised_once_when_it_comes_back_as_a_higher_step_comes_due() -> (
    None
):
    at = LAUNCH + 56 * HOUR
    taken = known(state=EscalationState.ACKNOWLEDGED, acknowledged_at=at)

    found = raised(a_subscriber(escalations=(taken,)), at + 4 * HOUR)

    assert found == [("csr-missing", 5)]


def test_acknowledged_escalation_waits_when_the_subscriber_answered_since() -> None:
    at = LAUNCH + 25 * HOUR
    taken = known(state=EscalationState.ACKNOWLEDGED, acknowledged_at=at)
    answered = a_subscriber(escalations=(taken,), last_answer_at=at + 3 * HOUR)

    assert raised(answered, at + 4 * HOUR) == []
    assert raised(answered, at + 7 * HOUR) == [("csr-missing", 2)]


def test_repetition_is_skipped_when_somebody_is_on_it() -> None:
    taken = known(
        state=EscalationState.ACKNOWLEDGED, acknowledged_at=LAUNCH + 31 * HOUR
    )

    assert raised(a_subscriber(escalations=(taken,)), LAUNCH + 32 * HOUR) == []


def test_subscriber_is_looked_at_when_an_acknowledged_escalation_would_come_back() -> (
    None
):
    now = LAUNCH + 25 * HOUR
    taken = known(state=EscalationState.ACKNOWLEDGED, acknowledged_at=now)
    subscriber = a_subscriber(escalations=(taken,), position=taken_by(now))

    (move,) = due_outreach(subscriber, ladder=LADDER, incident=INCIDENT, now=now)

    assert isinstance(move, MoveOn)
    assert move.look_at == now + 4 * HOUR


def test_subscriber_is_looked_at_within_the_hour_while_mail_does_not_get_through() -> (
    None
):
    now = LAUNCH + 5 * HOUR + timedelta(minutes=1)
    live = known(EscalationCause.NOT_DELIVERED, 6)
    subscriber = a_subscriber(
        contacts=(a_contact(was_reached=False),),
        escalations=(live,),
        position=taken_by(REVOCATION),
    )

    effects = list(due_outreach(subscriber, ladder=LADDER, incident=INCIDENT, now=now))

    # The relay tells nobody when it takes something at last.
    assert isinstance(effects[-1], MoveOn)
    assert effects[-1].look_at == now + HOUR


# Conditions.


@pytest.mark.parametrize(
    ("facts", "now", "expected"),
    [
        (
            {"contacts": (a_contact(was_reached=False),)},
            LAUNCH + 4 * HOUR,
            ("not-delivered", 6),
        ),
        ({"has_refused_csr": True}, LAUNCH + 6 * HOUR, ("csr-refused", 7)),
        # Refused after the step: it comes again.
        ({"has_refused_csr": True}, LAUNCH + 12 * HOUR, ("csr-refused", 7)),
        ({"uninstalled_certificates": 1}, REVOCATION - 10 * HOUR, ("not-installed", 8)),
        ({"has_acknowledged": False}, LAUNCH + 36 * HOUR, ("not-acknowledged", 4)),
        (
            {"contacts": (a_contact(state=ContactState.UNREACHABLE),)},
            LAUNCH + 5 * HOUR,
            ("unreachable", 0),
        ),
    ],
)
def test_step_concerns_whom_its_condition_names(
    facts: dict[str, object], now: datetime, expected: tuple[str, int]
) -> None:
    assert expected in raised(a_subscriber(**facts), now)
    assert expected not in raised(a_subscriber(missing_csrs=3), now)


def test_mail_counts_as_undelivered_only_when_there_is_somebody_to_write_to() -> None:
    gone = a_contact(state=ContactState.UNREACHABLE, was_reached=False)

    found = raised(a_subscriber(contacts=(gone,)), LAUNCH + 4 * HOUR)

    assert found == [("unreachable", 0)]


def test_mail_counts_as_undelivered_when_it_reached_only_somebody_who_is_gone() -> None:
    gone = a_contact(1, state=ContactState.UNREACHABLE)
    there = a_contact(2, was_reached=False)

    found = raised(a_subscriber(contacts=(gone, there)), LAUNCH + 4 * HOUR)

    assert found == [("not-delivered", 6)]


# Somebody asks for a person.

ASKED = {"disowned_at": "not-theirs", "help_asked_at": "help-wanted"}


@pytest.mark.parametrize(("asked", "cause"), ASKED.items())
def test_officers_are_told_at_once_when_a_subscriber_asks_for_a_person(
    asked: str, cause: str
) -> None:
    now = LAUNCH + HOUR

    assert raised(a_subscriber(**{asked: now}), now) == [(cause, 0)]


@pytest.mark.parametrize(("asked", "cause"), ASKED.items())
def test_officers_are_told_once_when_nothing_was_asked_since(
    asked: str, cause: str
) -> None:
    live = known(EscalationCause(cause), 0, raised_at=LAUNCH + HOUR)
    subscriber = a_subscriber(**{asked: LAUNCH + HOUR}, escalations=(live,))

    assert raised(subscriber, LAUNCH + 3 * HOUR) == []


@pytest.mark.parametrize("state", [EscalationState.TOLD, EscalationState.ACKNOWLEDGED])
def test_asking_again_is_raised_again_but_not_every_few_seconds(
    state: EscalationState,
) -> None:
    told_at = LAUNCH + HOUR
    live = known(
        EscalationCause.HELP_WANTED,
        0,
        state,
        raised_at=told_at,
        acknowledged_at=told_at,
    )
    again = a_subscriber(
        help_asked_at=told_at + timedelta(minutes=1), escalations=(live,)
    )
    soon = told_at + timedelta(minutes=2)

    assert raised(again, soon) == []
    *_, move = due_outreach(
        replace(again, position=taken_by(soon)),
        ladder=LADDER,
        incident=INCIDENT,
        now=soon,
    )
    assert isinstance(move, MoveOn)
    assert move.look_at == told_at + ASKED_AGAIN_AFTER
    assert raised(again, told_at + ASKED_AGAIN_AFTER) == [("help-wanted", 0)]


@pytest.mark.parametrize(("asked", "cause"), ASKED.items())
def test_asking_ends_when_it_was_seen_to(asked: str, cause: str) -> None:
    live = known(EscalationCause(cause), 0)
    subscriber = a_subscriber(**{asked: None}, escalations=(live,))

    effects = list(
        due_outreach(subscriber, ladder=LADDER, incident=INCIDENT, now=LAUNCH + HOUR)
    )

    assert (
        EndEscalation(subscriber=SubscriberId(1), cause=EscalationCause(cause))
        in effects
    )


def test_somebody_is_told_of_askings_when_a_ladder_names_nobody() -> None:
    ladder = parse_ladder(LADDER.text.replace("unreachable = ", "# "))
    now = LAUNCH + HOUR

    (effect,) = (
        effect
        for effect in due_outreach(
            a_subscriber(help_asked_at=now, position=taken_by(now)),
            ladder=ladder,
            incident=INCIDENT,
            now=now,
        )
        if isinstance(effect, RaiseEscalation)
    )

    assert effect.targets == ladder.missed
    assert effect.targets


def test_every_cause_has_its_words_and_its_end() -> None:
    assert set(IN_WORDS) == set(EscalationCause)
    for cause in EscalationCause:
        assert not lasts(
            cause,
            a_subscriber(open_certificates=0, missing_csrs=0, unsettled_certificates=0),
        )
    assert {Condition(one).cause for one in Condition} == {
        None,
        *EscalationCause,
    } - {
        EscalationCause.UNREACHABLE,
        EscalationCause.STEP_MISSED,
        EscalationCause.ORDER_OVERDUE,
        # Raised by what somebody asks, and by no step of a ladder.
        EscalationCause.NOT_THEIRS,
        EscalationCause.HELP_WANTED,
    }


# The whole incident.


def forecast(
    *live: EscalationFacts, now: datetime, is_late: bool = True
) -> list[RaiseEscalation | EndEscalation]:
    return list(
        due_incident_escalations(
            live, ladder=LADDER, incident=INCIDENT, is_late=is_late, now=now
        )
    )


def late(level: int, raised_at: datetime, **changes: object) -> EscalationFacts:
    facts = known(EscalationCause.FORECAST_LATE, level, raised_at=raised_at)
    return replace(facts, **changes)  # type: ignore[arg-type]


def test_operations_hear_of_a_late_forecast_from_its_step_on() -> None:
    assert forecast(now=LAUNCH) == []

    (effect,) = forecast(now=LAUNCH + 2 * HOUR)

    assert isinstance(effect, RaiseEscalation)
    assert (effect.subscriber, effect.level) == (None, 9)
    assert effect.targets == (EscalationTarget.OPERATIONS_MANAGER,)


def test_late_forecast_is_told_again_and_then_higher_until_it_is_over() -> None:
    first = late(9, LAUNCH + 2 * HOUR)
    assert forecast(first, now=LAUNCH + 6 * HOUR) == []
    assert len(forecast(first, now=LAUNCH + 7 * HOUR)) == 1

    (higher,) = forecast(first, now=DEADLINE - 2 * HOUR)
    assert isinstance(higher, RaiseEscalation)
    assert higher.level == 10

    assert forecast(first, now=DEADLINE - HOUR, is_late=False) == [
        EndEscalation(subscriber=None, cause=EscalationCause.FORECAST_LATE)
    ]


def test_late_forecast_comes_back_when_somebody_was_on_it_and_it_stays_late() -> None:
    at = LAUNCH + 2 * HOUR
    taken = late(9, at, state=EscalationState.ACKNOWLEDGED, acknowledged_at=at)

    assert forecast(taken, now=at + 3 * HOUR) == []
    assert [e.level for e in forecast(taken, now=at + 5 * HOUR)] == [9]  # type: ignore[union-attr]


def test_missed_step_is_one_escalation_until_nothing_is_missed() -> None:
    def decide(*live: EscalationFacts, is_missed: bool) -> list[object]:
        return list(
            due_watch_escalation(
                live,
                EscalationCause.STEP_MISSED,
                ladder=LADDER,
                is_there=is_missed,
                now=LAUNCH,
            )
        )

    (effect,) = decide(is_missed=True)
    assert isinstance(effect, RaiseEscalation)
    assert set(effect.targets) == {
        EscalationTarget.OPERATIONS_MANAGER,
        EscalationTarget.COMPLIANCE_LEAD,
    }
    live = known(EscalationCause.STEP_MISSED, 0)
    assert decide(live, is_missed=True) == []
    assert len(decide(live, is_missed=False)) == 1


# Properties.

_STATES = st.sampled_from(
    [EscalationState.RAISED, EscalationState.TOLD, EscalationState.ACKNOWLEDGED]
)
_CONTACTS = st.lists(
    st.builds(
        lambda key, state, named, told, reached: a_contact(
            key,
            state=state,
            named_by_reply=named,
            notices=TOLD if told else frozenset(),
            was_reached=told and reached,
        ),
        st.integers(1, 9),
        st.sampled_from(ContactState),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda contact: contact.contact,
)
_INSTANTS = st.integers(0, 125 * 4).map(lambda q: LAUNCH + q * timedelta(minutes=15))


@st.composite
def _subscribers(draw: st.DrawFn) -> SubscriberFacts:
    open_certificates = draw(st.integers(0, 3))
    return SubscriberFacts(
        subscriber=SubscriberId(1),
        position=draw(st.integers(0, 20)),
        has_acknowledged=draw(st.booleans()),
        last_answer_at=draw(st.none() | _INSTANTS),
        unsettled_certificates=open_certificates + draw(st.integers(0, 2)),
        open_certificates=open_certificates,
        missing_csrs=draw(st.integers(0, open_certificates)),
        uninstalled_certificates=draw(st.integers(0, open_certificates)),
        has_refused_csr=draw(st.booleans()),
        disowned_at=draw(st.none() | _INSTANTS),
        help_asked_at=draw(st.none() | _INSTANTS),
        contacts=tuple(draw(_CONTACTS)),
        escalations=tuple(
            known(
                cause,
                draw(st.integers(0, 8)),
                state := draw(_STATES),
                acknowledged_at=draw(_INSTANTS)
                if state is EscalationState.ACKNOWLEDGED
                else None,
            )
            for cause in draw(
                st.sets(
                    st.sampled_from(
                        sorted(
                            {*EscalationCause}
                            - {
                                EscalationCause.FORECAST_LATE,
                                EscalationCause.STEP_MISSED,
                            }
                        )
                    )
                )
            )
        ),
    )


def _live_after(
    subscriber: SubscriberFacts, effects: list[object], now: datetime
) -> list[EscalationFacts]:
    live = list(subscriber.escalations)
    for effect in effects:
        match effect:
            case RaiseEscalation(cause=cause, level=level):
                live = [one for one in live if one.cause is not cause]
                live.append(known(cause, level, EscalationState.RAISED, raised_at=now))
            case EndEscalation(cause=cause):
                live = [one for one in live if one.cause is not cause]
            case _:
                pass  # neither raises nor ends one
    return live


@given(_subscribers(), _INSTANTS)
def test_no_contact_gets_two_notices_in_one_pass(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    sent = [
        effect.contact
        for effect in due_outreach(
            subscriber, ladder=LADDER, incident=INCIDENT, now=now
        )
        if isinstance(effect, SendNotice)
    ]

    assert len(sent) == len(set(sent))


@given(_subscribers(), _INSTANTS)
def test_each_cause_has_one_live_escalation_at_most_and_none_without_its_cause(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    effects = list(due_outreach(subscriber, ladder=LADDER, incident=INCIDENT, now=now))

    raised_causes = [e.cause for e in effects if isinstance(e, RaiseEscalation)]
    assert len(raised_causes) == len(set(raised_causes))
    live = _live_after(subscriber, [*effects], now)
    assert len({one.cause for one in live}) == len(live)
    for one in live:
        assert subscriber.open_certificates
        assert lasts(one.cause, subscriber)


@given(_subscribers(), _INSTANTS)
def test_no_pass_goes_down_the_ladder(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    steps = subscriber_timetable(LADDER, INCIDENT)
    first = [due.step.level for due in steps if not due.repetition]
    before = {one.cause: one.level for one in subscriber.escalations}

    for effect in due_outreach(subscriber, ladder=LADDER, incident=INCIDENT, now=now):
        if isinstance(effect, RaiseEscalation) and before.get(effect.cause):
            assert first.index(effect.level) >= first.index(before[effect.cause])


@given(_subscribers(), _INSTANTS)
def test_nothing_is_repeated_when_it_was_answered_or_everything_is_revoked(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    over = replace(subscriber, open_certificates=0, missing_csrs=0)
    answered = replace(subscriber, missing_csrs=0, has_acknowledged=True)
    assume(now >= LAUNCH + 24 * HOUR)

    for effect in due_outreach(over, ladder=LADDER, incident=INCIDENT, now=now):
        assert not isinstance(effect, RaiseEscalation)
    for effect in due_outreach(answered, ladder=LADDER, incident=INCIDENT, now=now):
        if isinstance(effect, RaiseEscalation):
            assert effect.cause not in (
                EscalationCause.CSR_MISSING,
                EscalationCause.NOT_ACKNOWLEDGED,
            )
        # Its own reminder comes no more; only who was never told still is.
        if isinstance(effect, SendNotice):
            assert effect.kind is NoticeKind.INITIAL


@given(_subscribers(), _INSTANTS)
def test_i4_asking_twice_at_one_instant_decides_nothing_new(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    effects = list(due_outreach(subscriber, ladder=LADDER, incident=INCIDENT, now=now))
    move = effects[-1]
    assert isinstance(move, MoveOn)
    sent: dict[ContactId, set[NoticeFacts]] = {}
    for effect in effects:
        if isinstance(effect, SendNotice):
            sent.setdefault(effect.contact, set()).add(
                NoticeFacts(kind=effect.kind, sequence=effect.sequence)
            )
    after = replace(
        subscriber,
        position=move.position,
        contacts=tuple(
            replace(one, notices=one.notices | sent.get(one.contact, set()))
            for one in subscriber.contacts
        ),
        escalations=tuple(_live_after(subscriber, [*effects], now)),
    )

    again = list(due_outreach(after, ladder=LADDER, incident=INCIDENT, now=now))

    assert [*map(type, again)] == [MoveOn]


@given(_subscribers(), _INSTANTS)
def test_asking_for_a_person_sends_fewer_notices_to_nobody(
    subscriber: SubscriberFacts, now: datetime
) -> None:
    silent = replace(
        subscriber,
        disowned_at=None,
        help_asked_at=None,
        contacts=tuple(replace(one, disowns=False) for one in subscriber.contacts),
    )

    def told(facts: SubscriberFacts) -> set[ContactId]:
        return {
            effect.contact
            for effect in due_outreach(facts, ladder=LADDER, incident=INCIDENT, now=now)
            if isinstance(effect, SendNotice)
        }

    assert told(subscriber) >= told(silent)
