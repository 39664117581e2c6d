"""When a notice may leave, and when nothing does: the rules alone."""

from collections import defaultdict
from datetime import datetime, timedelta

import pytest
from factories import HOUR, LAUNCH, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from models.terms import InDoubt, NoticeId, NoticeKind, PauseCause
from tocsin.policy.pauses import AttemptFacts, alarm_is_due, due_pause
from tocsin.policy.sending import (
    DAY,
    UNCAPPED,
    SendingRules,
    WaitingNotice,
    after_doubt,
    is_overtaken,
    is_past_use,
    postponed,
)

RULES = SendingRules()
MINUTE = timedelta(minutes=1)


def waiting(
    number: int,
    kind: NoticeKind = NoticeKind.REMINDER,
    address: str = "chan@clinic.example",
) -> WaitingNotice:
    return WaitingNotice(notice=NoticeId(number), kind=kind, address=address)


# What one address gets in a day.


def test_third_mail_of_a_day_waits_until_the_first_is_a_day_old() -> None:
    left = {"chan@clinic.example": [LAUNCH, LAUNCH + HOUR]}

    later = postponed([waiting(1)], left, per_address=2, now=LAUNCH + 2 * HOUR)

    assert later == {1: LAUNCH + DAY}


def test_nothing_waits_when_other_addresses_had_their_share() -> None:
    left = {"other@clinic.example": [LAUNCH] * 5}

    assert postponed([waiting(1)], left, per_address=1, now=LAUNCH) == {}


def test_nothing_waits_when_there_is_no_limit() -> None:
    left = {"chan@clinic.example": [LAUNCH] * 5}

    assert postponed([waiting(1)], left, per_address=0, now=LAUNCH) == {}


@pytest.mark.parametrize("kind", sorted(UNCAPPED))
def test_last_word_leaves_whatever_the_address_had(kind: NoticeKind) -> None:
    left = {"chan@clinic.example": [LAUNCH] * 5}

    assert postponed([waiting(1, kind)], left, per_address=1, now=LAUNCH) == {}


def test_reminder_waits_when_a_first_notice_takes_the_last_place() -> None:
    due = [waiting(1), waiting(2, NoticeKind.INITIAL)]

    assert postponed(due, {}, per_address=1, now=LAUNCH) == {1: LAUNCH + DAY}


_ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 80).map(lambda hours: LAUNCH + hours * HOUR),
        st.sampled_from(sorted(NoticeKind)),
        st.sampled_from(["a@x.example", "b@x.example"]),
    ),
    max_size=40,
)


@given(arrivals=_ARRIVALS, per_address=st.integers(1, 5))
def test_no_address_gets_more_in_any_day_and_none_waits_for_ever(
    arrivals: list[tuple[datetime, NoticeKind, str]], per_address: int
) -> None:
    """Walk through time as the engine does: ask at each instant at which one is due."""
    due_at = {number: at for number, (at, _, _) in enumerate(arrivals)}
    left: dict[str, list[tuple[datetime, NoticeKind]]] = defaultdict(list)
    asked = 0
    while due_at:
        now = min(due_at.values())
        due = sorted(number for number, at in due_at.items() if at <= now)
        later = postponed(
            [waiting(n, arrivals[n][1], arrivals[n][2]) for n in due],
            {address: [at for at, _ in mails] for address, mails in left.items()},
            per_address=per_address,
            now=now,
        )
        for number in due:
            if NoticeId(number) in later:
                assert arrivals[number][1] not in UNCAPPED
                assert later[NoticeId(number)] > now
                due_at[number] = later[NoticeId(number)]
            else:
                del due_at[number]
                left[arrivals[number][2]].append((now, arrivals[number][1]))
        asked += 1
        assert asked < 500

    for mails in left.values():
        for index, (at, kind) in enumerate(mails):
            before = [one for one, _ in mails[:index] if at - DAY < one]
            assert kind in UNCAPPED or len(before) < per_address


# What follows a doubt; what has lost its moment.


def test_doubt_is_held_when_it_was_set_so_but_never_for_our_own_people() -> None:
    rules = SendingRules(in_doubt=InDoubt.HOLD)

    assert after_doubt(NoticeKind.INITIAL, RULES) is InDoubt.RESEND
    assert after_doubt(NoticeKind.INITIAL, rules) is InDoubt.HOLD
    assert after_doubt(NoticeKind.ESCALATION, rules) is InDoubt.RESEND


@pytest.mark.parametrize(
    ("kind", "latest", "overtaken"),
    [
        (NoticeKind.INITIAL, LAUNCH + HOUR, True),
        (NoticeKind.REMINDER, LAUNCH, False),
        (NoticeKind.ESCALATION, LAUNCH + HOUR, False),
    ],
)
def test_notice_is_overtaken_when_a_later_step_has_spoken(
    kind: NoticeKind, latest: datetime, *, overtaken: bool
) -> None:
    assert is_overtaken(kind, LAUNCH, latest) is overtaken


@pytest.mark.parametrize(
    ("kind", "now", "is_revoked", "past"),
    [
        (NoticeKind.REMINDER, REVOCATION - MINUTE, False, False),
        (NoticeKind.REMINDER, REVOCATION, False, True),
        (NoticeKind.FINAL, REVOCATION, False, True),
        (NoticeKind.FINAL, REVOCATION - HOUR, True, True),
        (NoticeKind.INITIAL, REVOCATION + HOUR, True, False),
    ],
)
def test_notice_is_past_its_use_when_its_certificates_are_being_revoked(
    kind: NoticeKind, now: datetime, *, is_revoked: bool, past: bool
) -> None:
    assert (
        is_past_use(kind, revocation_time=REVOCATION, is_revoked=is_revoked, now=now)
        is past
    )


# When nothing leaves.


def attempts(
    *outcomes: tuple[str, int | None, str], times: int = 1
) -> list[AttemptFacts]:
    """Newest first, all a minute old."""
    return [
        AttemptFacts(ended_at=LAUNCH - MINUTE, outcome=o, smtp_code=c, detail=d)
        for o, c, d in outcomes
        for _ in range(times)
    ]


TAKEN = ("sent", 250, "2.0.0 queued")
UNKNOWN = ("failed", 550, "5.1.1 unknown")


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        (UNKNOWN, PauseCause.ADDRESSES_REFUSED),
        (("retry", 554, "5.7.1 relay access denied"), PauseCause.RELAY_REFUSES),
        (("retry", 452, "4.3.1 insufficient storage"), PauseCause.RELAY_REFUSES),
        (("retry", 450, "4.7.1 greylisted"), None),
        (("retry", 452, "4.2.2 mailbox full"), None),
        (("failed", 450, "4.7.1 put off for hours"), None),
        (("in-doubt", None, "no answer"), None),
        (("not-rendered", None, "broken"), None),
    ],
)
def test_sending_pauses_when_half_of_the_attempts_meet_the_same_trouble(
    trouble: tuple[str, int | None, str], cause: PauseCause | None
) -> None:
    due = due_pause(attempts(trouble, TAKEN, times=10), rules=RULES, now=LAUNCH)

    assert (due and due.cause) == cause


def test_sending_goes_on_when_there_are_too_few_attempts_to_tell() -> None:
    assert due_pause(attempts(UNKNOWN, times=19), rules=RULES, now=LAUNCH) is None


def test_sending_goes_on_when_the_trouble_was_long_ago() -> None:
    later = LAUNCH + RULES.pause_within

    assert due_pause(attempts(UNKNOWN, times=50), rules=RULES, now=later) is None


def test_sending_pauses_at_once_when_the_relay_cannot_be_talked_to() -> None:
    due = due_pause(
        attempts(("not-sent", None, "refused"), TAKEN), rules=RULES, now=LAUNCH
    )

    assert due is not None
    assert due.cause is PauseCause.RELAY_UNREACHABLE
    assert due.counts == {"unreachable": 1, "taken": 1, "attempts": 2}


@pytest.mark.parametrize("cause", list(PauseCause))
def test_people_are_told_at_once_unless_the_relay_may_only_be_restarting(
    cause: PauseCause,
) -> None:
    def told(after: timedelta) -> bool:
        return alarm_is_due(cause, paused_at=LAUNCH, rules=RULES, now=LAUNCH + after)

    assert told(timedelta(0)) is (cause is not PauseCause.RELAY_UNREACHABLE)
    assert told(RULES.alarm_after)
