"""Import of a list and a directory into a draft; everything that follows stands on its figures."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import structlog
from sqlalchemy import Engine

from models.terms import IncidentId
from tocsin.errors import Broken
from tocsin.intake.certificates import read_certificates
from tocsin.intake.contacts import read_directory
from tocsin.policy.entries import FileNote, ParsedContact, ParsedEntry, SetAside
from tocsin.store.directory import record_directory
from tocsin.store.entries import record_entries, record_set_aside
from tocsin.store.imports import clear_draft, draft_figures
from tocsin.store.matching import match_page, newest_subscriber
from tocsin.store.session import reading, writing

_BATCH = 2_000
_PROBLEMS_KEPT = 200
_NOTES_KEPT = 200

_T = TypeVar("_T")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """
    What an import did.

    Args:
        entries: accepted + duplicates + set_aside (I3).
        accepted: Entries that contributed something new.
        duplicates: Entries that added nothing.
        set_aside: Entries that could not be used; each is on record with its reason.
        conflicts: Entries that contradict an earlier one; each has a finding.
        certificates: Distinct by issuer and serial.
        of_nobody: Certificates that name nobody and match nobody.
        subscribers: Subscribers with at least one certificate.
        directory_rows: contacts + contacts_duplicate + contacts_set_aside +
            without_address (I3).
        contacts: Contacts that were added, the CA's own staff included.
        contacts_duplicate: Rows whose address the subscriber already had.
        contacts_set_aside: Rows that could not be used.
        without_address: Rows of a subscriber without an address.
        notes: What was detected about files, and warnings.
        problems: The first of what was set aside, list and directory.
        seconds: How long it took.

    """

    entries: int
    accepted: int
    duplicates: int
    set_aside: int
    conflicts: int
    certificates: int
    of_nobody: int
    subscribers: int
    directory_rows: int
    contacts: int
    contacts_duplicate: int
    contacts_set_aside: int
    without_address: int
    notes: tuple[str, ...]
    problems: tuple[SetAside, ...]
    seconds: float

    def as_record(self) -> dict[str, object]:
        """Return it as it is kept with the draft."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Imported":
        """Read it from what was kept."""
        lists = {
            "notes": tuple(record["notes"]),
            "problems": tuple(SetAside(**one) for one in record["problems"]),
        }
        return cls(**{**record, **lists})


@dataclass(slots=True)
class _Tally:
    """Figures that grow while the import runs, and who is told."""

    progress: Callable[[int], None] | None
    figures: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    problems: list[SetAside] = field(default_factory=list)

    def note(self, file: str, text: str) -> None:
        self.figures["notes"] += 1
        if len(self.notes) < _NOTES_KEPT:
            self.notes.append(f"{file}: {text}")

    def all_notes(self) -> tuple[str, ...]:
        left_out = self.figures["notes"] - len(self.notes)
        if not left_out:
            return tuple(self.notes)
        return (*self.notes, f"{left_out} further remarks are not listed.")

    def problem(self, item: SetAside) -> None:
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(item)


def import_incident(
    engine: Engine,
    *,
    incident: IncidentId,
    certificates: Sequence[Path],
    directory: Path | None,
    default_zone: str,
    now: datetime,
    progress: Callable[[int], None] | None = None,
    below: Path | None = None,
) -> Imported:
    """
    Import a list and a directory for a draft.

    In batches, each a transaction of its own. Killed half-way it is simply run again:
    it begins by taking back what is there.

    Args:
        engine: The database.
        incident: The draft; its row exists.
        certificates: Files, folders and zips in any mix.
        directory: The directory of subscribers and contacts, where there is one.
        default_zone: The zone of subscribers for whom the directory says none.
        now: The present instant.
        progress: Told the number of entries done, after each batch.
        below: Files are named from this folder on; None: as they were given.

    Raises:
        Refused: The incident is no draft any more.

    """
    started = perf_counter()
    is_left = True
    while is_left:
        with writing(engine) as connection:
            is_left = clear_draft(connection, incident=incident)
    tally = _Tally(progress)
    if directory is not None:
        _import_directory(engine, incident, directory, default_zone, tally, below=below)
    _import_list(engine, incident, certificates, default_zone, tally, below=below)
    _match(engine, incident, default_zone, tally)
    with reading(engine) as connection:
        on_record = draft_figures(connection, incident=incident, now=now)

    figures = tally.figures
    imported = Imported(
        entries=figures["entries"],
        accepted=figures["accepted"],
        duplicates=figures["duplicates"],
        set_aside=figures["set_aside"],
        conflicts=figures["conflicts"],
        certificates=figures["certificates"],
        of_nobody=figures["of_nobody"],
        subscribers=on_record.subscribers,
        directory_rows=figures["directory_rows"],
        contacts=figures["contacts"],
        contacts_duplicate=figures["contacts_duplicate"],
        contacts_set_aside=figures["contacts_set_aside"],
        without_address=figures["without_address"],
        notes=tally.all_notes(),
        problems=tuple(tally.problems),
        seconds=perf_counter() - started,
    )
    # I3: what was counted on the way in is what the database has.
    counted = (
        imported.accepted + imported.duplicates + imported.set_aside,
        imported.entries,
        imported.certificates,
        imported.contacts,
    )
    recorded = (
        on_record.entries,
        on_record.entries,
        on_record.certificates,
        on_record.contacts + on_record.staff,
    )
    if counted != recorded:
        raise Broken(f"import does not add up: {counted} counted, {recorded} recorded")
    _log.info(
        "List imported",
        incident=incident,
        entries=imported.entries,
        certificates=imported.certificates,
        set_aside=imported.set_aside,
        contacts=imported.contacts,
    )
    return imported


def _import_directory(
    engine: Engine,
    incident: IncidentId,
    directory: Path,
    default_zone: str,
    tally: _Tally,
    *,
    below: Path | None,
) -> None:
    figures = tally.figures
    batches: Iterator[list[ParsedContact | SetAside]] = _batches(
        read_directory(directory, below=below), tally
    )
    for batch in batches:
        figures["directory_rows"] += len(batch)
        contacts = [item for item in batch if isinstance(item, ParsedContact)]
        for item in batch:
            problem = item if isinstance(item, SetAside) else item.problem
            if problem is not None:
                figures["contacts_set_aside"] += 1
                tally.problem(problem)
        figures["without_address"] += sum(
            contact.email is None and contact.problem is None for contact in contacts
        )
        with writing(engine) as connection:
            recorded = record_directory(
                connection,
                incident=incident,
                contacts=contacts,
                default_zone=default_zone,
            )
        figures["contacts"] += recorded.contacts
        figures["contacts_duplicate"] += recorded.duplicates
        for file, row, domain in recorded.disputed:
            tally.note(
                file,
                f"row {row}: {domain} was given to another subscriber before; the "
                f"first keeps it.",
            )


def _import_list(
    engine: Engine,
    incident: IncidentId,
    certificates: Sequence[Path],
    default_zone: str,
    tally: _Tally,
    *,
    below: Path | None,
) -> None:
    figures = tally.figures
    for batch in _batches(read_certificates(certificates, below=below), tally):
        entries = [item for item in batch if isinstance(item, ParsedEntry)]
        set_aside = [item for item in batch if isinstance(item, SetAside)]
        with writing(engine) as connection:
            if entries:
                recorded = record_entries(
                    connection,
                    incident=incident,
                    entries=entries,
                    default_zone=default_zone,
                )
                figures["accepted"] += recorded.accepted
                figures["duplicates"] += recorded.duplicates
                figures["certificates"] += recorded.certificates
                figures["conflicts"] += recorded.conflicts
            if set_aside:
                record_set_aside(connection, incident=incident, items=set_aside)
        figures["set_aside"] += len(set_aside)
        figures["entries"] += len(batch)
        for item in set_aside:
            tally.problem(item)
        if tally.progress is not None:
            tally.progress(figures["entries"])


def _match(
    engine: Engine, incident: IncidentId, default_zone: str, tally: _Tally
) -> None:
    with reading(engine) as connection:
        newest = newest_subscriber(connection, incident=incident)
    after: int | None = None
    while True:
        with writing(engine) as connection:
            page = match_page(
                connection,
                incident=incident,
                after=after,
                limit=_BATCH,
                newest=newest,
                default_zone=default_zone,
            )
        tally.figures["of_nobody"] += page.of_nobody
        if page.last is None:
            return
        after = page.last


def _batches(items: Iterator[_T | FileNote], tally: _Tally) -> Iterator[list[_T]]:
    batch: list[_T] = []
    for item in items:
        if isinstance(item, FileNote):
            tally.note(item.file, item.text)
            continue
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
