"""What is kept of a page: a copy each hour, and one when its verdict changes."""

from datetime import timedelta
from uuid import UUID

import pytest
from factories import LAUNCH

from flows.artifacts import KEPT_AT_MOST_EVERY, KEPT_EVERY, Shown, is_worth_keeping

PAGE = Shown(artifact=UUID(int=1), kept_at=LAUNCH, verdict="On schedule")
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("verdict", "age", "is_kept"),
    [
        ("On schedule", KEPT_EVERY - SECOND, False),
        ("On schedule", KEPT_EVERY, True),
        ("AT RISK", KEPT_AT_MOST_EVERY - SECOND, False),
        ("AT RISK", KEPT_AT_MOST_EVERY, True),
        ("AT RISK", KEPT_EVERY, True),
    ],
)
def test_a_page_is_kept_when_an_hour_has_passed_or_its_verdict_changed(
    verdict: str, age: timedelta, *, is_kept: bool
) -> None:
    assert is_worth_keeping(PAGE, verdict, now=LAUNCH + age) is is_kept
