"""The founding case on the real engine: 1,111 certificates, 240 subscribers, five days."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes.demo import WITHIN, kill_when, start_demo
from fakes.direct_driver import DirectDriver
from fakes.manager import MOMENTS, read_dashboards

from tocsin.demo import record
from tocsin.demo.folder import Folder
from tocsin.demo.machine import run_replay
from tocsin.demo.replay import Moment
from tocsin.demo.summary import DemoSummary

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

_DIFFERENT_EACH_RUN = {
    "incident",
    "acts_on_record",
    "wall_seconds",
    "prefect_seconds",
    "peak_rss_bytes",
}


LAST_HOUR = record.DEADLINE.replace(hour=20)
"""Everything is published, and the deadline has not passed."""


def _replay(folder: Folder, show: Callable[[Moment], None]) -> DemoSummary:
    return run_replay(folder, make_driver=DirectDriver, show=show)


def _figures(told: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in told.items() if name not in _DIFFERENT_EACH_RUN
    }


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("demo"))
    folder.open()
    return folder


@pytest.fixture(scope="module")
def summary(folder: Folder, moments: list[Moment]) -> DemoSummary:
    return _replay(folder, moments.append)


def test_i9_all_is_published_before_the_deadline_when_2024_is_replayed(
    summary: DemoSummary,
) -> None:
    figures = summary.figures

    assert figures.certificates == record.CERTIFICATES == 1_111
    assert figures.published_before_deadline == 1_111
    assert figures.published_late == 0
    assert figures.last_published_at is not None
    assert figures.last_published_at < record.DEADLINE
    assert figures.published_with_other_reason == 0


def test_i3_entries_are_recognised_as_certificates_when_some_are_listed_twice(
    summary: DemoSummary,
) -> None:
    told: dict[str, Any] = summary.as_json()

    assert told["log_entries"] == 1_176
    assert told["precertificates"] == 65
    assert (
        told["certificates"] + told["precertificates"] + told["set_aside"]
        == told["log_entries"]
    )
    assert told["replies"] == sum(told["replies_by_kind"].values())


def test_subscribers_are_told_and_answer_when_they_read_their_mail(
    summary: DemoSummary,
) -> None:
    told: dict[str, Any] = summary.as_json()

    assert told["subscribers"] == record.SUBSCRIBERS
    assert told["bounced"] == record.LOST_PRIMARIES
    assert told["notices_sent"] > record.SUBSCRIBERS
    assert told["replies_by_kind"]["replaced"] == 4
    assert told["csrs_received"] > 300
    assert told["escalations"] > 0


def test_i2_late_answers_change_nothing_when_everything_is_revoked(
    summary: DemoSummary, moments: list[Moment]
) -> None:
    at_deadline = next(one for one in moments if one.now > record.DEADLINE)

    assert summary.late_answers > 100
    assert summary.figures.revocation == at_deadline.figures.revocation
    assert summary.figures.last_published_at == at_deadline.figures.last_published_at


def test_i9_published_certificates_only_grow_when_time_goes_on(
    summary: DemoSummary, moments: list[Moment]
) -> None:
    published = [one.figures.published for one in moments]

    assert published == sorted(published)
    assert published[-1] == summary.figures.published


def test_reports_are_written_when_the_replay_ends(
    summary: DemoSummary, folder: Folder
) -> None:
    assert summary.acts > 0
    assert (folder.reports / "published.svg").stat().st_size > 10_000
    assert (folder.reports / "published.png").stat().st_size > 10_000
    rows = (folder.reports / "certificates.csv").read_text("utf-8").splitlines()
    assert len(rows) == 1 + record.CERTIFICATES
    assert "1,111" in (folder.reports / "status.md").read_text("utf-8")


@pytest.mark.browser
def test_i4_the_same_figures_result_when_it_stops_and_every_process_is_killed(
    summary: DemoSummary, tmp_path: Path
) -> None:
    """And wherever it stops, a manager reads on the dashboards how it stands."""
    folder, told = Folder(tmp_path / "demo"), tmp_path / "summary.json"

    def has_begun() -> bool:
        return folder.data.is_dir() and any(folder.data.glob("*.sqlite"))

    def has_replies() -> bool:
        now = folder.progress().now
        return now is not None and now > record.LAUNCHED_AT + timedelta(hours=8)

    def revokes() -> bool:
        now = folder.progress().now
        return now is not None and now > record.DEADLINE - timedelta(hours=3)

    for condition in (has_begun, has_replies):
        kill_when(start_demo(folder.root, told), condition)
    *before, last = MOMENTS
    for moment in before:
        _stop_and_read(folder, told, moment)
    kill_when(start_demo(folder.root, told), revokes)
    _stop_and_read(folder, told, last)
    assert start_demo(folder.root, told).wait(WITHIN) == 0

    again = json.loads(told.read_text("utf-8"))
    expected = json.loads(json.dumps(summary.as_json()))
    assert _figures(again) == _figures(expected)


def _stop_and_read(folder: Folder, told: Path, moment: str) -> None:
    assert start_demo(folder.root, told, "--until", moment).wait(WITHIN) == 0
    at = datetime.strptime(moment, "%Y-%m-%d %H:%M")  # noqa: DTZ007 - of the record's
    assert folder.progress().now == at.replace(tzinfo=ZoneInfo(record.ZONE))
    read_dashboards(folder, moment)
