"""Which mail is answered, and with what: a person's, rarely, and never a robot's."""

from datetime import timedelta

import pytest
from factories import HOUR, LAUNCH
from hypothesis import given
from hypothesis import strategies as st

from models.terms import MailKind, MailTopic, NoticeKind
from tocsin.policy.answers import (
    ANSWER_AGAIN_AFTER,
    MOST_ANSWERS,
    EarlierAnswer,
    MailFacts,
    due_answer,
)

ACKNOWLEDGEMENT, NO_EXTENSION = NoticeKind.ACKNOWLEDGEMENT, NoticeKind.NO_EXTENSION


def mail(
    *answers: EarlierAnswer,
    kind: MailKind = MailKind.PERSON,
    topics: frozenset[MailTopic] = frozenset(),
    is_known: bool = True,
) -> MailFacts:
    return MailFacts(kind=kind, topics=topics, is_known=is_known, answers=answers)


def answered(kind: NoticeKind, ago: timedelta) -> EarlierAnswer:
    return EarlierAnswer(kind=kind, planned_at=LAUNCH - ago)


def test_person_is_answered_with_the_link() -> None:
    assert due_answer(mail(), now=LAUNCH) is ACKNOWLEDGEMENT


def test_request_for_more_time_is_answered_with_the_reason() -> None:
    asked = mail(topics=frozenset({MailTopic.EXTENSION}))

    assert due_answer(asked, now=LAUNCH) is NO_EXTENSION


@pytest.mark.parametrize(
    "kind", [kind for kind in MailKind if kind is not MailKind.PERSON]
)
def test_whatever_is_no_person_is_never_answered(kind: MailKind) -> None:
    assert due_answer(mail(kind=kind), now=LAUNCH) is None


def test_nobody_is_answered_whom_nobody_knows() -> None:
    assert due_answer(mail(is_known=False), now=LAUNCH) is None


def test_same_answer_is_given_again_only_after_a_day() -> None:
    given_before = answered(ACKNOWLEDGEMENT, ANSWER_AGAIN_AFTER - HOUR)

    assert due_answer(mail(given_before), now=LAUNCH) is None
    assert due_answer(mail(given_before), now=LAUNCH + HOUR) is ACKNOWLEDGEMENT


def test_request_for_more_time_is_answered_after_an_acknowledgement() -> None:
    asked = mail(
        answered(ACKNOWLEDGEMENT, HOUR), topics=frozenset({MailTopic.EXTENSION})
    )

    assert due_answer(asked, now=LAUNCH) is NO_EXTENSION


@given(st.lists(st.integers(0, 240), max_size=60))
def test_nobody_gets_more_answers_than_the_most_however_often_they_write(
    hours: list[int],
) -> None:
    given_before: list[EarlierAnswer] = []
    for hour in sorted(hours):
        now = LAUNCH + hour * HOUR
        kind = due_answer(mail(*given_before), now=now)
        if kind is not None:
            given_before.append(EarlierAnswer(kind=kind, planned_at=now))

    assert len(given_before) <= MOST_ANSWERS
