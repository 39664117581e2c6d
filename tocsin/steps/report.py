"""Writes what the public is told of an incident, and checks it against the figures."""

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine

from models.terms import CertificateId, IncidentId
from tocsin.clock import Clock
from tocsin.errors import BadInput, Broken
from tocsin.policy.figures import IncidentFigures
from tocsin.reports.ccadb import LINKS_FROM, render_affected, render_links
from tocsin.reports.charts import published_chart, write_png, write_svg
from tocsin.reports.drawing import Series
from tocsin.reports.scope import note
from tocsin.reports.status import headline, render_status
from tocsin.store import audit, named, scope
from tocsin.store.figures import (
    certificate_rows,
    incident_figures,
    published_over_time,
)
from tocsin.store.session import reading

CERTIFICATES = "certificates.csv"
LINKS = "certificates.txt"
STATUS = "status.md"
CHART = "published"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """
    What was written.

    Args:
        files: In the order a reader wants them.
        figures: What they agree with.

    """

    files: tuple[Path, ...]
    figures: IncidentFigures


def write_report(
    engine: Engine,
    *,
    incident: IncidentId,
    directory: Path,
    clock: Clock,
    record: Series | None = None,
) -> Reported:
    """
    Write the list of certificates, the status update and the chart.

    All of it is read in one transaction, so that the files agree with each other. A
    file is there whole or not at all; the same incident at the same instant gives the
    same files.

    Args:
        engine: The database; nothing is written to it.
        incident: Which incident.
        directory: Where to; made when absent.
        clock: Asked once: the instant that everything is counted for.
        record: Another incident's revocations over time, to draw beside ours.

    Raises:
        BadInput: There is no such incident, or it is still a draft.
        Broken: The list and the figures do not agree (I3).

    """
    now = clock.now()
    directory.mkdir(parents=True, exist_ok=True)
    with reading(engine) as connection:
        figures = incident_figures(connection, incident=incident, now=now)
        summary = figures.summary
        if summary.launched_at is None:
            raise BadInput(
                f"incident {incident} is a draft: there is nothing to report before "
                "it is launched"
            )
        files = [
            _write_status(connection, figures, directory / STATUS),
            *_write_certificates(connection, figures, directory),
        ]
        ours = published_over_time(connection, incident=incident)
    chart = published_chart(
        ours=ours,
        deadline=summary.deadline,
        launched=summary.launched_at,
        record=record,
        total=figures.to_publish,
        zone=summary.zone,
        title=headline(figures),
        as_of=now,
    )
    for suffix, write in ((".svg", write_svg), (".png", write_png)):
        path = directory / f"{CHART}{suffix}"
        with _whole(path) as part:
            write(chart, part)
        files.append(path)
    _log.info(
        "Report written",
        incident=incident,
        files=len(files),
        certificates=figures.certificates,
        published=figures.published,
    )
    return Reported(files=tuple(files), figures=figures)


def _write_status(connection: Connection, figures: IncidentFigures, path: Path) -> Path:
    incident = figures.summary.incident
    seal = audit.head(connection, incident=incident)
    changes = scope.list_changes(connection, incident=incident)
    _write(path, [render_status(figures, seal=seal, changes=changes)])
    return path


def _write_certificates(
    connection: Connection, figures: IncidentFigures, directory: Path
) -> Iterator[Path]:
    """Write the table, and the links where there are that many certificates."""
    incident = figures.summary.incident
    table = directory / CERTIFICATES
    notes = _notes(connection, incident, figures)
    _write(
        table,
        render_affected(
            certificate_rows(connection, incident=incident, notes=notes),
            deadline=figures.summary.deadline,
            now=figures.as_of,
            has_notes=bool(notes),
        ),
    )
    listed = _rows(table)
    if listed != figures.certificates:
        raise Broken(f"{table} lists {listed} of {figures.certificates} certificates")
    yield table
    links = directory / LINKS
    if figures.certificates >= LINKS_FROM:
        _write(links, render_links(certificate_rows(connection, incident=incident)))
        yield links
    else:
        links.unlink(missing_ok=True)


def _notes(
    connection: Connection, incident: IncidentId, figures: IncidentFigures
) -> dict[CertificateId, str]:
    """Say of each certificate what two officers decided about it."""
    words = {
        change.change: note(change, now=figures.as_of)
        for change in scope.list_changes(connection, incident=incident)
    }
    concerned = named.notes_by_certificate(connection, incident=incident)
    return {
        certificate: " ".join(words[change] for change in changes)
        for certificate, changes in concerned.items()
    }


def _rows(path: Path) -> int:
    """Count a table's rows as a reader would, its header aside."""
    with path.open(encoding="utf-8", newline="") as stream:
        return sum(1 for _ in csv.reader(stream)) - 1


def _write(path: Path, parts: Iterable[str]) -> None:
    with (
        _whole(path) as part,
        part.open("w", encoding="utf-8", newline="") as stream,
    ):
        stream.writelines(parts)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a place to write to, and put it in the file's when that has succeeded."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
