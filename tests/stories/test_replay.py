"""The founding case on the real engine: 1,111 certificates, 240 subscribers, five days."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from browsing import chromium
from fakes.demo import WITHIN, Demo, is_alive, start_demo, stopped_at
from fakes.direct_driver import DirectDriver
from fakes.manager import MOMENTS, read_dashboards
from fakes.stack import wait_until
from playwright.sync_api import Browser

from tocsin.demo import record
from tocsin.demo.folder import Folder
from tocsin.demo.machine import run_replay
from tocsin.demo.replay import Moment
from tocsin.demo.summary import DemoSummary

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not Path("/proc/self/task").is_dir(), reason="needs /proc to find processes"
    ),
]

_DIFFERENT_EACH_RUN = {
    "incident",
    "acts_on_record",
    "wall_seconds",
    "prefect_seconds",
    "peak_rss_bytes",
}


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
@pytest.mark.faults
def test_i4_the_same_figures_result_when_it_alone_and_then_every_process_is_killed(
    summary: DemoSummary, tmp_path: Path
) -> None:
    """And wherever it stands, a manager reads on the dashboards how it stands."""
    folder, told = Folder(tmp_path / "demo"), tmp_path / "summary.json"
    first, second, third = MOMENTS

    with chromium() as browser:
        _stop_read_and_kill_it_alone(folder, told, browser, first)
        _read_and_kill_all_as_it_revokes(folder, told, browser, second)
        _read_and_let_it_end(folder, told, browser, third)

    again = json.loads(told.read_text("utf-8"))
    expected = json.loads(json.dumps(summary.as_json()))
    assert _figures(again) == _figures(expected)


def _stop_read_and_kill_it_alone(
    folder: Folder, told: Path, browser: Browser, moment: str
) -> None:
    """Read how it stands where it stopped; its Prefect and its engine end with it."""
    with stopped_at(folder.root, told, moment) as demo:
        assert folder.progress().now == _instant(moment)
        read_dashboards(browser, demo.prefect, moment)
        children = demo.children()
        assert len(children) == 2
        demo.process.kill()
        wait_until(
            lambda: not any(is_alive(pid) for pid in children),
            within=WITHIN,
            what="the demo's processes ended with it",
        )


def _read_and_kill_all_as_it_revokes(
    folder: Folder, told: Path, browser: Browser, moment: str
) -> None:
    """Read how it stands at a moment at which it does not stop; kill it in its work."""
    with _brought_to(folder, told, _instant(moment)) as demo:
        with demo.frozen():
            read_dashboards(browser, demo.prefect, moment)
        revokes_at = record.DEADLINE - timedelta(hours=3)
        demo.wait_for(lambda: _has_come_to(folder, revokes_at))


def _read_and_let_it_end(
    folder: Folder, told: Path, browser: Browser, moment: str
) -> None:
    with _brought_to(folder, told, _instant(moment)) as demo:
        with demo.frozen():
            read_dashboards(browser, demo.prefect, moment)
        assert demo.process.wait(WITHIN) == 0


@contextmanager
def _brought_to(folder: Folder, told: Path, instant: datetime) -> Iterator[Demo]:
    """Let it go on until it has come so far; what runs in the end is killed."""
    demo = start_demo(folder.root, told)
    try:
        demo.wait_for(lambda: _has_come_to(folder, instant))
        yield demo
    finally:
        demo.kill()


def _instant(moment: str) -> datetime:
    local = datetime.strptime(moment, "%Y-%m-%d %H:%M")  # noqa: DTZ007 - of the record's
    return local.replace(tzinfo=ZoneInfo(record.ZONE))


def _has_come_to(folder: Folder, instant: datetime) -> bool:
    now = folder.progress().now
    return now is not None and now >= instant
