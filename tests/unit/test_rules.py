"""Deadlines and reasons come from the table (TLS BR 4.9.1.1, 7.2.2)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.terms import Circumstance, Reason
from tocsin.errors import BadInput
from tocsin.policy.rules import parse_rule_pack, shipped_rule_pack

PACK = shipped_rule_pack()
WITHIN_A_DAY = {
    Circumstance.SUBSCRIBER_REQUEST,
    Circumstance.NOT_AUTHORISED,
    Circumstance.KEY_COMPROMISE,
    Circumstance.WEAK_KEY,
    Circumstance.VALIDATION_UNRELIABLE,
}


def test_hongkong_post_had_five_days_when_its_report_came_in() -> None:
    rule = PACK.rule(Circumstance.MISISSUED)

    deadline = rule.deadline(datetime(2024, 3, 18, 13, 1, tzinfo=UTC))

    assert deadline == datetime(2024, 3, 23, 13, 1, tzinfo=UTC)
    assert rule.reason is Reason.SUPERSEDED
    assert rule.source == "TLS BR 4.9.1.1 (12)"


@given(
    st.sampled_from(Circumstance),
    st.datetimes(
        timezones=st.just(UTC),
        min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis wants it naive
        max_value=datetime(2050, 1, 1),  # noqa: DTZ001
    ),
)
def test_deadline_is_24_or_120_hours_after_made_aware_for_every_circumstance(
    circumstance: Circumstance, made_aware_at: datetime
) -> None:
    hours = 24 if circumstance in WITHIN_A_DAY else 120

    deadline = PACK.rule(circumstance).deadline(made_aware_at)

    assert deadline - made_aware_at == timedelta(hours=hours)


def test_every_key_circumstance_is_published_as_key_compromise() -> None:
    reasons = {rule.circumstance: rule.reason for rule in PACK.rules}

    assert {c for c, r in reasons.items() if r is Reason.KEY_COMPROMISE} == {
        Circumstance.KEY_COMPROMISE,
        Circumstance.WEAK_KEY,
        Circumstance.KEY_GENERATION_FLAWED,
    }


def test_pack_is_refused_when_a_circumstance_is_missing() -> None:
    text = PACK.text.replace('"misissued"', '"misused"')

    with pytest.raises(BadInput, match="exactly one rule"):
        parse_rule_pack(text, file="pack.toml")


@pytest.mark.parametrize("reason", [2, 6, 10])
def test_pack_is_refused_when_a_reason_is_not_allowed(reason: int) -> None:
    text = PACK.text.replace("reason = 4", f"reason = {reason}", 1)

    with pytest.raises(BadInput, match=r"pack\.toml"):
        parse_rule_pack(text, file="pack.toml")
