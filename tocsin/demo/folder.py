"""Where the demo keeps what; without it a killed run could not be told from a finished one."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from models.terms import IncidentId
from tocsin.ca.files import write_atomically
from tocsin.errors import BadInput, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    How far a replay is; kept in a file, so that a killed one can go on.

    Args:
        now: The replay's instant, UTC; None before the launch.
        incident: The incident it opened; None before the launch.
        is_finished: Nothing is left to do.
        wall_seconds: Spent so far, in all its runs.
        prefect_seconds: Of these, what Prefect took.

    """

    now: datetime | None = None
    incident: IncidentId | None = None
    is_finished: bool = False
    wall_seconds: float = 0.0
    prefect_seconds: float = 0.0

    def as_json(self) -> str:
        """Return the text that is kept."""
        return json.dumps(
            {
                "now": self.now.astimezone(UTC).isoformat() if self.now else None,
                "incident": self.incident,
                "is_finished": self.is_finished,
                "wall_seconds": round(self.wall_seconds, 3),
                "prefect_seconds": round(self.prefect_seconds, 3),
            }
        )

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Read the text that was kept."""
        kept: dict[str, Any] = json.loads(text)
        now = kept.pop("now")
        return cls(now=datetime.fromisoformat(now) if now else None, **kept)


class Folder:
    """
    The demo's directory.

    Args:
        root: Made when absent.

    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.input = self.root / "input"
        self.data = self.root / "data"
        self.reports = self.root / "reports"
        self.prefect = self.root / "prefect"
        self.logs = self.root / "logs"
        self.journal = self.root / "answers.jsonl"
        self._progress = self.root / "progress.json"
        self._mark = self.root / "TOCSIN-DEMO"

    @property
    def directory_csv(self) -> Path:
        """The subscriber and contact directory."""
        return self.input / "directory.csv"

    @property
    def log_entries(self) -> tuple[Path, ...]:
        """The list of certificate-transparency entries: a bundle, a folder, a zip."""
        return tuple(sorted(self.input.glob("log-*")))

    def open(self) -> None:
        """
        Make the directory, or take over the one of a killed run.

        A finished run's is emptied, so that a second run gives the same figures.

        Raises:
            BadInput: The directory holds something that is not ours.

        """
        held = self.root.iterdir() if self.root.exists() else iter(())
        foreign = any(path.suffix != ".lock" for path in held)
        if foreign and not self._mark.exists():
            raise BadInput(
                f"{self.root} holds other files. Name an empty or a new directory.",
                field="--directory",
            )
        self.root.mkdir(parents=True, exist_ok=True)
        self._mark.write_text("Made by `tocsin demo`, which may empty it.\n", "utf-8")
        if self.progress().is_finished:
            self.start_over()
        for path in (self.input, self.data, self.reports, self.prefect, self.logs):
            path.mkdir(exist_ok=True)

    def start_over(self) -> None:
        """Remove what earlier runs made; the mark and the locks stay."""
        self.clear_incident()
        _empty(self.reports, self.prefect, self.logs)

    def clear_incident(self) -> None:
        """Remove the incident; Prefect's own files stay, its server may be running."""
        self._progress.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)
        _empty(self.input, self.data)

    def progress(self) -> Progress:
        """Return how far the replay in it is."""
        try:
            return Progress.of_json(self._progress.read_text("utf-8"))
        except FileNotFoundError:
            return Progress()

    def keep(self, progress: Progress) -> None:
        """Keep how far the replay is; a reader sees the old or the new, whole."""
        write_atomically(self._progress, progress.as_json().encode("utf-8"))

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """
        Hold the directory for one process of a kind; ends with it, however it ends.

        Raises:
            Refused: Another process holds it.

        """
        with (self.root / f"{name}.lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    f"another demo runs in {self.root}", source="one run a directory"
                ) from None
            yield


def _empty(*directories: Path) -> None:
    for path in directories:
        if path.exists():
            shutil.rmtree(path)
        path.mkdir()
