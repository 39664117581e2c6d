"""The ladder as data: what is read, what is refused, when its steps fall."""

from datetime import timedelta
from pathlib import Path

import pytest
from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from models.terms import ContactRole, EscalationTarget, NoticeKind
from tocsin.errors import BadInput
from tocsin.policy.facts import IncidentFacts
from tocsin.policy.ladder import (
    Condition,
    check_ladder,
    new_ladder,
    parse_ladder,
    shipped_ladder,
    subscriber_timetable,
    timetable,
)
from tocsin.policy.rehearsal import rehearse
from tocsin.reports.charts import write_svg
from tocsin.reports.ladder_chart import ladder_chart

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

    told = [
        role
        for due in subscriber_timetable(ladder, INCIDENT)
        if due.step.when is Condition.CSR_MISSING and not due.repetition
        for role in due.step.roles
    ]

    assert told == [ContactRole.OPERATIONS_MANAGER, ContactRole.COMPLIANCE_LEAD]
    assert ladder.roles == set(ContactRole) - {ContactRole.SUBSCRIBER}


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
    assert all(incident.launched_at <= i < DEADLINE for i in instants)
    of_contacts = [due.due_at for due in steps if due.step.notice]
    assert all(i <= REVOCATION for i in of_contacts)


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


# What came later.


def a_ladder(*steps: str, top: str = "") -> str:
    return top + FIRST + "".join(steps)


STAFF = """
[[step]]
name = "Managers"
after_launch = "24h"
when = "csr-missing"
tell = ["account-manager"]
"""


def test_ladder_frozen_by_an_earlier_version_still_reads() -> None:
    frozen = a_ladder(
        """
[[step]]
name = "Everybody"
share = 0.5
when = "always"
tell = ["account-manager"]
""",
        top='colour = "red"\n',
    )

    ladder = parse_ladder(frozen)

    assert [step.repeat_every for step in ladder.steps] == [None, None]
    assert ladder.acknowledged_for == 4 * HOUR
    assert set(ladder.missed) == {
        EscalationTarget.OPERATIONS_MANAGER,
        EscalationTarget.COMPLIANCE_LEAD,
    }


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (a_ladder(STAFF, top='colour = "red"\n'), "colour"),
        (a_ladder(STAFF, STAFF), "step 3, name"),
        (a_ladder(STAFF.replace("csr-missing", "always")), "step 2, when"),
        (a_ladder(), "nobody would hear"),
    ],
)
def test_new_ladder_is_refused_when_it_cannot_mean_what_it_says(
    text: str, where: str
) -> None:
    assert parse_ladder(text).text == text

    with pytest.raises(BadInput, match=where):
        new_ladder(text, file="mine.toml")


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ('repeat_every = "5m"', "repeat_every"),
        ('repeat_every = "often"', "repeat_every"),
        ('before_deadline = "2h"', "instant"),
    ],
)
def test_repetition_is_refused_when_nobody_could_act_in_between(
    step: str, where: str
) -> None:
    with pytest.raises(BadInput, match=where):
        parse_ladder(a_ladder(STAFF + step))


def test_repetition_is_refused_when_nothing_would_end_it() -> None:
    with pytest.raises(BadInput, match="nothing would end it"):
        parse_ladder(a_ladder(FIRST.replace("First", "Next") + 'repeat_every = "8h"'))


@pytest.mark.parametrize("target", ["all-contacts", "call-sheet"])
def test_late_forecast_tells_nobody_but_the_ca(target: str) -> None:
    notice = 'notice = "final"' if target == "all-contacts" else ""

    with pytest.raises(BadInput, match="step 2, tell"):
        parse_ladder(
            a_ladder(
                STAFF.replace("csr-missing", "forecast-late").replace(
                    "account-manager", target
                )
                + notice
            )
        )


def test_every_problem_is_said_not_only_the_first() -> None:
    checked = check_ladder(
        """
unreachable = ["everybody"]
[[step]]
when = "sometimes"
tell = ["nobody"]
share = 7
repeat = "8h"
[[step]]
name = "Fine"
after_launch = "2 days"
before_revocation = "1h"
when = "open"
tell = ["all-contacts"]
notice = "escalation"
""",
        file="mine.toml",
    )

    assert checked.ladder is None
    said = [str(problem) for problem in checked.problems]
    assert len(said) == 9
    for field in (
        "step 1, name", "step 1, when", "step 1, tell", "step 1, share",
        "step 1, repeat", "step 2, after_launch", "step 2, instant",
        "step 2, notice", "unreachable",
    ):  # fmt: skip
        assert any(field in line and "mine.toml" in line for line in said), field


def test_step_repeats_until_revocation_starts() -> None:
    ladder = parse_ladder(a_ladder(STAFF + 'repeat_every = "24h"'))

    dues = [due for due in timetable(ladder, INCIDENT) if due.step.level == 2]

    assert [due.repetition for due in dues] == [0, 1, 2, 3]
    assert [due.due_at for due in dues] == [
        LAUNCH + hours * HOUR for hours in (24, 48, 72, 96)
    ]
    assert dues[2].name == "Managers (again, 2)"
    assert [due.is_moment for due in dues] == [True, False, False, False]


def test_staff_are_told_until_the_deadline_when_a_step_counts_back_from_it() -> None:
    step = STAFF.replace('after_launch = "24h"', 'before_deadline = "2h"')
    ladder = parse_ladder(a_ladder(step + 'repeat_every = "1h"'))

    dues = [due for due in timetable(ladder, INCIDENT) if due.step.level == 2]

    assert [due.due_at for due in dues] == [DEADLINE - 2 * HOUR, DEADLINE - HOUR]


def test_call_sheet_is_a_target_that_no_mail_goes_to() -> None:
    ladder = parse_ladder(a_ladder(STAFF.replace("account-manager", "call-sheet")))

    assert ladder.steps[1].targets == (EscalationTarget.CALL_SHEET,)
    assert ladder.steps[1].roles == ()


@pytest.mark.parametrize(("hours", "name"), [(120, "five-days"), (24, "one-day")])
def test_shipped_ladder_is_one_that_a_new_incident_takes(hours: int, name: str) -> None:
    ladder = shipped_ladder(timedelta(hours=hours))

    assert new_ladder(ladder.text, file=name) == ladder


# Rehearsed.


@pytest.mark.parametrize(("hours", "most"), [(120, 2), (24, 5)])
def test_rehearsal_tells_what_a_silent_subscriber_gets(hours: int, most: int) -> None:
    within = timedelta(hours=hours)

    rehearsal = rehearse(shipped_ladder(within), within=within)

    assert rehearsal.lost == ()
    first, second = rehearsal.notices
    assert first[0] is NoticeKind.INITIAL
    assert first[-2:] == (NoticeKind.FINAL, NoticeKind.FINAL)
    assert second[0] is NoticeKind.INITIAL
    assert rehearsal.most_in_a_day == most


def test_rehearsal_names_the_steps_that_have_no_moment_in_a_short_time() -> None:
    ladder = parse_ladder(a_ladder(STAFF.replace("24h", "2d")))

    rehearsal = rehearse(ladder, within=timedelta(hours=24))

    assert [step.name for step in rehearsal.lost] == ["Managers"]


@pytest.mark.parametrize("hours", [24, 120])
def test_picture_of_a_ladder_shows_each_step_once_and_is_the_same_each_time(
    hours: int, tmp_path: Path
) -> None:
    within = timedelta(hours=hours)
    ladder = shipped_ladder(within)
    rehearsal = rehearse(ladder, within=within)

    for name in ("one.svg", "two.svg"):
        write_svg(ladder_chart(ladder, rehearsal), tmp_path / name)

    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two
    written = [text.get_text() for text in ladder_chart(ladder, rehearsal).texts]
    for step in ladder.steps:
        assert sum(text.startswith(step.name) for text in written) == 1, step.name
