"""The replay in figures that sum; without it nobody could tell how it went."""

import json
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from models.terms import ContactState, NoticeState
from tocsin.demo import record
from tocsin.policy.figures import IncidentFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    """
    What a replay did.

    Args:
        figures: Everything counted of the incident, checked to sum (I3).
        acts: Lines in the record of acts, whose chain was found whole (I5).
        late_answers: Answers that came when everything was revoked: they changed
            nothing.
        wall_seconds: How long it took, all its runs together.
        prefect_seconds: Of these, what Prefect took.
        peak_rss_bytes: The most memory each process held.

    """

    figures: IncidentFigures
    acts: int
    late_answers: int
    wall_seconds: float
    prefect_seconds: float
    peak_rss_bytes: Mapping[str, int]

    def as_json(self) -> dict[str, object]:
        """Return the figures as JSON values."""
        counted = self.figures
        return {
            "incident": counted.summary.incident,
            "log_entries": counted.entries,
            "precertificates": (
                counted.entries - counted.set_aside - counted.certificates
            ),
            "set_aside": counted.set_aside,
            "certificates": counted.certificates,
            "subscribers": counted.subscribers,
            "contacts_unreachable": counted.contacts[ContactState.UNREACHABLE],
            "notices_sent": counted.notices_sent,
            "bounced": counted.notices_in(NoticeState.BOUNCED),
            "replies": sum(counted.replies.values()),
            "replies_by_kind": {
                kind.value: number for kind, number in counted.replies.items()
            },
            "acts_on_record": self.acts,
            "late_answers": self.late_answers,
            "csrs_received": counted.csrs,
            "escalations": sum(counted.escalations.values()),
            "published": counted.published,
            "published_before_deadline": counted.published_before_deadline,
            "published_late": counted.published_late,
            "made_aware_at": _written(counted.summary.made_aware_at),
            "deadline": _written(counted.summary.deadline),
            "revocation_starts_at": _written(counted.summary.revocation_starts_at),
            "first_revoked_at": _written(counted.first_revoked_at),
            "last_published_at": _written(counted.last_published_at),
            "wall_seconds": round(self.wall_seconds, 1),
            "prefect_seconds": round(self.prefect_seconds, 1),
            "peak_rss_bytes": dict(self.peak_rss_bytes),
        }

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False)
        path.write_text(f"{text}\n", "utf-8")


def _written(at: datetime | None) -> str | None:
    """Write an instant in the record's zone, with its offset."""
    return at.astimezone(ZoneInfo(record.ZONE)).isoformat() if at else None


def own_peak_rss_bytes() -> int:
    """Return the most memory this process itself held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def peak_rss_bytes(pid: int) -> int:
    """
    Return the most memory that a process and its children held, in bytes.

    0 where the system does not tell (it needs Linux's /proc).
    """
    total = 0
    for process in (pid, *children_of(pid)):
        try:
            status = Path(f"/proc/{process}/status").read_text("utf-8")
        except OSError:
            continue
        for line in status.splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                total += int(value.split()[0]) * 1024
    return total


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = [int(one) for one in path.read_text("ascii").split()]
        except OSError:
            continue
        for child in direct:
            found += [child, *children_of(child)]
    return found
