"""What is written of an incident agrees with its figures (I3), whole or not at all."""

import csv
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from sqlalchemy import Engine, update
from typer import Typer
from typer.testing import CliRunner

from models.base import table
from models.revocation import Revocation
from models.terms import IncidentId
from tocsin.cli.report import audit_app, report
from tocsin.clock import SteppedClock
from tocsin.demo import record
from tocsin.errors import BadInput
from tocsin.steps import report as steps_report
from tocsin.steps.report import write_report
from tocsin.store import audit
from tocsin.store.session import reading, writing

NOW = REVOCATION + 2 * HOUR
CLOCK = SteppedClock(NOW)


def insert_story(engine: Engine, *, certificates: int = 37, published: int = 23) -> str:
    """Insert an incident half of which is published."""
    with writing(engine) as connection:
        incident = insert_incident(
            connection,
            title="CPS URI\nis not http",
            plan={"rate_per_second": 10.0, "publication_delay_seconds": 60},
        )
        keys = insert_certificates(
            connection,
            incident,
            insert_subscriber(connection, incident),
            certificates - 2,
        )
        keys += insert_certificates(
            connection, incident, None, 2, first_serial=0x9000, not_after=LAUNCH
        )
        insert_revocations(connection, incident, keys)
        revocation = table(Revocation)
        connection.execute(
            update(revocation)
            .where(revocation.c.certificate_id.in_(keys[:published]))
            .values(
                state="published",
                revoked_at=REVOCATION,
                ca_revoked_at=REVOCATION,
                published_at=REVOCATION + HOUR,
                published_reason=4,
            )
        )
        audit.append(
            connection,
            incident=incident,
            at=LAUNCH,
            actor="officer",
            action="launched",
            detail={"certificates": certificates},
        )
    return incident


def write(
    engine: Engine, directory: Path, incident: str, *, now: datetime = NOW
) -> dict[str, bytes]:
    write_report(
        engine,
        incident=IncidentId(incident),
        directory=directory,
        clock=SteppedClock(now),
    )
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_i3_the_list_and_the_figures_agree_when_read_back(
    engine: Engine, tmp_path: Path
) -> None:
    incident = insert_story(engine)

    written = write_report(
        engine, incident=IncidentId(incident), directory=tmp_path / "out", clock=CLOCK
    )

    with (tmp_path / "out" / "certificates.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    verdicts = [row["Is revoked?"] for row in rows]
    assert len(rows) == written.figures.certificates == 37
    assert verdicts.count("Yes") == written.figures.published == 23
    assert verdicts.count("N/A (expired)") == written.figures.expired == 2
    assert verdicts.count("Planned") == 12
    assert [path.name for path in written.files] == [
        "status.md",
        "certificates.csv",
        "published.svg",
        "published.png",
    ]
    assert all(path.exists() for path in written.files)


def test_i3_the_status_sums_to_the_certificates_and_to_one_hundred(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    incident = insert_story(sqlite_engine)

    status = write(sqlite_engine, tmp_path, incident)["status.md"].decode()

    tables = [table for table in status.split("\n\n") if "%" in table]
    assert len(tables) == 2
    for lines in tables:
        found = [
            (int(number.replace(",", "")), Decimal(share))
            for number, share in re.findall(r"\| ([\d,]+) \| ([\d.]+) %", lines)
        ]
        assert sum(number for number, _ in found) == 37
        assert sum(share for _, share in found) == Decimal("100.0")
        assert "| **37** | **100.0 %** |" in lines
    assert "On schedule: all 37 will be published" in status
    assert "As of 2026-03-07 05:00 UTC" in status
    assert "- Deadline: 2026-03-07 09:00 UTC, counted from 2026-03-02 09:00 UTC." in (
        status
    )
    assert "Estimate for the rest: published by 2026-03-07 05:01 UTC" in status
    assert status.startswith("# Status of revocation: CPS URI is not http\n")
    with reading(sqlite_engine) as connection:
        head = audit.head(connection, incident=IncidentId(incident))
    assert f"`{head}`" in status


def test_the_same_files_come_out_when_it_is_written_again(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    incident = insert_story(sqlite_engine)

    once = write(sqlite_engine, tmp_path / "out", incident)
    again = write(sqlite_engine, tmp_path / "out", incident)

    assert once == again
    assert len(once) == 4


def test_a_report_says_late_when_the_deadline_has_passed(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    incident = insert_story(sqlite_engine)

    files = write(sqlite_engine, tmp_path, incident, now=DEADLINE + HOUR)

    assert "LATE: the deadline passed 1 h ago, and 14 of 37 are not published." in (
        files["status.md"].decode()
    )
    assert files["certificates.csv"].count(b",Delayed,") == 12


def test_links_are_added_when_there_are_ten_thousand_certificates(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps_report, "LINKS_FROM", 37)
    incident = insert_story(sqlite_engine)

    files = write(sqlite_engine, tmp_path, incident)

    links = files["certificates.txt"].decode().splitlines()
    assert len(links) == 37
    assert links[0] == f"https://crt.sh/?sha256={0x1000:064x}"


def test_nothing_half_written_is_left_when_the_disk_fails(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = insert_story(sqlite_engine)
    before = write(sqlite_engine, tmp_path, incident)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(steps_report, "write_svg", fail)
    with pytest.raises(OSError, match="No space left"):
        write(sqlite_engine, tmp_path, incident)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_draft_has_no_report(sqlite_engine: Engine, tmp_path: Path) -> None:
    with writing(sqlite_engine) as connection:
        incident = insert_incident(
            connection, state="draft", launched_at=None, revocation_starts_at=None
        )

    with pytest.raises(BadInput, match="draft"):
        write(sqlite_engine, tmp_path, incident)


def test_the_record_of_2024_is_drawn_beside_ours_when_given(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    incident = insert_story(sqlite_engine)

    alone = write(sqlite_engine, tmp_path, incident)["published.png"]
    write_report(
        sqlite_engine,
        incident=IncidentId(incident),
        directory=tmp_path,
        clock=CLOCK,
        record=record.REVOKED_SERIES,
    )

    assert (tmp_path / "published.png").read_bytes() != alone


def cli() -> Typer:
    app = Typer()
    app.command("report")(report)
    app.add_typer(audit_app, name="audit")
    return app


@pytest.fixture
def data(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Engine]:
    """Point the settings at the engine's database; commands set logging up."""
    monkeypatch.setenv("TOCSIN_DATABASE_URL", str(sqlite_engine.url))
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(tmp_path / "data"))
    handlers = list(logging.getLogger().handlers)
    yield sqlite_engine
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def test_report_prints_figures_that_sum_and_what_to_do_next(
    data: Engine, tmp_path: Path
) -> None:
    incident = insert_story(data)

    result = CliRunner().invoke(
        cli(), ["report", incident, "--out", str(tmp_path / "out")]
    )

    assert result.exit_code == 0, result.output
    assert "37         Affected certificates" in result.output
    assert f"tocsin audit verify {incident}" in result.output


def test_report_prints_json_when_a_script_reads_it(
    data: Engine, tmp_path: Path
) -> None:
    incident = insert_story(data)

    result = CliRunner().invoke(
        cli(), ["report", incident, "--out", str(tmp_path / "out"), "--json"]
    )

    answer = json.loads(result.stdout)
    assert answer["figures"]["certificates"] == 37
    assert answer["figures"]["revocation"]["published"] == 23
    assert answer["figures"]["published"] == 23
    assert len(answer["files"]) == 4


def test_i5_verify_fails_when_the_record_has_none_of_what_the_state_shows(
    data: Engine,
) -> None:
    # The story's rows were put there behind the record's back.
    incident = insert_story(data)

    result = CliRunner().invoke(cli(), ["audit", "verify", incident])

    assert result.exit_code == 1
    assert "NOT INTACT" in result.output
