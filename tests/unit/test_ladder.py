"""The ladder as data: what is read, what is refused, when its steps fall."""

from datetime import timedelta

import pytest
from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from models.terms import ContactRole
from tocsin.errors import BadInput
from tocsin.policy.facts import IncidentFacts
from tocsin.policy.ladder import parse_ladder, shipped_ladder, timetable

INCIDENT = IncidentFacts(
    launched_at=LAUNCH, revocation_starts_at=REVOCATION, deadline=DEADLINE
)
FIRST = """
[[step]]
name = "First notice"
after_launch = "0h"
when = "always"
tell = ["next-contact"]
notice = "initial"
"""


def a_step(**fields: str) -> str:
    return FIRST + "[[step]]\n" + "\n".join(f"{k} = {v}" for k, v in fields.items())


@pytest.mark.parametrize("hours", [24, 120])
def test_shipped_ladder_escalates_missing_csrs_to_the_top_before_revocation(
    hours: int,
) -> None:
    ladder = shipped_ladder(timedelta(hours=hours))

    told = [role for due in timetable(ladder, INCIDENT) for role in due.step.roles]

    assert told[-1] is ContactRole.COMPLIANCE_LEAD
    assert set(told) == set(ContactRole) - {ContactRole.SUBSCRIBER}


@given(st.integers(min_value=0, max_value=200))
def test_steps_fall_between_launch_and_revocation_however_late_the_launch(
    hours: int,
) -> None:
    incident = IncidentFacts(
        launched_at=REVOCATION - hours * HOUR,
        revocation_starts_at=REVOCATION,
        deadline=DEADLINE,
    )

    steps = timetable(shipped_ladder(timedelta(days=5)), incident)

    assert steps[0].step.name == "First notice"
    instants = [due.due_at for due in steps]
    assert instants == sorted(instants)
    assert all(incident.launched_at <= i <= REVOCATION for i in instants)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[[step", "not TOML"),
        ("name = 'x'", "at least one"),
        (
            a_step(
                name="'x'", when="'always'", tell="['all-contacts']", notice="'final'"
            ),
            "instant",
        ),
        (
            a_step(
                name="'x'",
                share="2",
                when="'open'",
                tell="['all-contacts']",
                notice="'final'",
            ),
            "share",
        ),
        (
            a_step(
                name="'x'",
                share="0.5",
                when="'never'",
                tell="['all-contacts']",
                notice="'final'",
            ),
            "when",
        ),
        (
            a_step(
                name="'x'",
                share="0.5",
                when="'open'",
                tell="['everybody']",
                notice="'final'",
            ),
            "tell",
        ),
        (
            a_step(name="'x'", share="0.5", when="'open'", tell="[]", notice="'final'"),
            "tell",
        ),
        (
            a_step(name="'x'", share="0.5", when="'open'", tell="['all-contacts']"),
            "notice",
        ),
        (
            a_step(
                name="'x'",
                share="0.5",
                when="'open'",
                tell="['compliance-lead']",
                notice="'final'",
            ),
            "notice",
        ),
        (
            a_step(
                name="'x'",
                share="0.5",
                when="'open'",
                tell="['all-contacts']",
                notice="'escalation'",
            ),
            "notice",
        ),
        (
            a_step(
                name="'x'",
                after_launch="'soon'",
                when="'open'",
                tell="['all-contacts']",
                notice="'final'",
            ),
            "after_launch",
        ),
        (
            a_step(
                name="''",
                share="0.5",
                when="'open'",
                tell="['all-contacts']",
                notice="'final'",
            ),
            "name",
        ),
        (
            a_step(
                name="'x'",
                share="0.5",
                when="'open'",
                tell="['all-contacts']",
                notice="'final'",
                hold="true",
            ),
            "hold",
        ),
        ("unreachable = ['subscriber']\n" + FIRST, "unreachable"),
        (FIRST.replace("always", "open"), "at once"),
    ],
)
def test_ladder_is_refused_with_file_and_field_when_a_step_is_wrong(
    text: str, field: str
) -> None:
    with pytest.raises(BadInput, match=field) as caught:
        parse_ladder(text, file="ladder.toml")
    assert "ladder.toml" in str(caught.value)
