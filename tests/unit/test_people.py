from collections import Counter
from datetime import datetime

from tocsin.demo import record
from tocsin.demo.people import Deed, plan_answers
from tocsin.demo.population import Cohort, invent_organisations

ORGANISATIONS = {one.number: one for one in invent_organisations()}
ANSWERS = plan_answers(list(ORGANISATIONS.values()))


def _certificates(*deeds: Deed, until: datetime) -> int:
    return sum(
        ORGANISATIONS[one.organisation].certificates
        for one in ANSWERS
        if one.deed in deeds and one.at <= until
    )


def test_csrs_reach_the_record_when_its_statuses_were_published() -> None:
    april, may_3, may_10 = (status.at for status in record.STATUSES[2:5])

    assert _certificates(Deed.HAND_IN, until=april) == record.CSRS_BY_APRIL_26
    assert _certificates(Deed.HAND_IN, until=may_3) == record.CSRS_BY_MAY_3
    assert _certificates(Deed.NOT_REQUIRED, until=may_3) == record.NO_LONGER_REQUIRED
    assert (
        _certificates(Deed.HAND_IN, Deed.NOT_REQUIRED, until=may_10)
        == record.CERTIFICATES - record.STILL_WAITING_ON_MAY_10
    )


def test_six_certificates_are_confirmed_when_the_deadline_comes() -> None:
    assert _certificates(Deed.REPLACED, until=record.DEADLINE) == 6


def test_nobody_answers_when_they_cannot_have_read_a_notice() -> None:
    assert all(one.at > record.LAUNCHED_AT for one in ANSWERS)
    assert all(
        ORGANISATIONS[one.organisation].cohort is not Cohort.LOST for one in ANSWERS
    )


def test_answers_are_told_apart_when_journaled() -> None:
    keys = Counter(one.key for one in ANSWERS)

    assert max(keys.values()) == 1
    assert [one.at for one in ANSWERS] == sorted(one.at for one in ANSWERS)


def test_some_answer_in_time_and_most_late_when_nobody_makes_them() -> None:
    in_time = _certificates(Deed.HAND_IN, until=record.DEADLINE)

    assert 0.15 < in_time / record.CERTIFICATES < 0.45


def test_the_same_people_answer_alike_when_asked_again() -> None:
    assert plan_answers(list(ORGANISATIONS.values())) == ANSWERS
