"""The chained record of acts (I5); without it nobody could prove what was done."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, insert, select, text

from models.audit import Act
from models.base import table
from models.terms import IncidentId

ACT = table(Act)

_START = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAct:
    """One line of the record."""

    number: int
    at: datetime
    actor: str
    action: str
    detail: Mapping[str, object]
    seal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """
    What a check of the record found.

    Args:
        acts: How many lines were read.
        head: The last line's seal: quote it in reports, and a later cut shows.
        problems: What is wrong, in words; empty when the record is whole.

    """

    acts: int
    head: str
    problems: tuple[str, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing was changed, cut or added behind the record's back."""
        return not self.problems


def append(
    connection: Connection,
    *,
    incident: IncidentId,
    at: datetime,
    actor: str,
    action: str,
    detail: Mapping[str, object],
) -> None:
    """
    Add one act to an incident's record.

    The last statement of the transaction that makes the change: the record of one
    incident is written by one transaction at a time.

    Args:
        connection: The transaction of the change itself.
        incident: Whose record.
        at: When, UTC.
        actor: Who: "officer", "engine", "guard", "contact:17".
        action: What, in the past tense: "notices-sent".
        detail: Identifiers and counts; no addresses, names or tokens.

    """
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtext(:incident))"),
            {"incident": incident},
        )
    last = connection.execute(
        select(ACT.c.number, ACT.c.seal)
        .where(ACT.c.incident_id == incident)
        .order_by(ACT.c.number.desc())
        .limit(1)
    ).first()
    number, previous = (last.number + 1, last.seal) if last else (1, _START)
    line = {
        "incident_id": incident,
        "number": number,
        "at": at.astimezone(UTC),
        "actor": actor,
        "action": action,
        "detail": json.dumps(detail, sort_keys=True, separators=(",", ":")),
        "previous": previous,
    }
    connection.execute(insert(ACT).values(line | {"seal": _seal(line)}))


def acts(connection: Connection, *, incident: IncidentId) -> Iterator[RecordedAct]:
    """Read the record from its beginning."""
    for row in connection.execute(
        select(ACT).where(ACT.c.incident_id == incident).order_by(ACT.c.number)
    ):
        yield RecordedAct(
            number=row.number,
            at=row.at,
            actor=row.actor,
            action=row.action,
            detail=json.loads(row.detail),
            seal=row.seal,
        )


def head(connection: Connection, *, incident: IncidentId) -> str:
    """Return the last line's seal."""
    seal = connection.execute(
        select(ACT.c.seal)
        .where(ACT.c.incident_id == incident)
        .order_by(ACT.c.number.desc())
        .limit(1)
    ).scalar()
    return seal or _START


def check_chain(connection: Connection, *, incident: IncidentId) -> AuditVerdict:
    """Read the whole record and check every seal and number."""
    problems: list[str] = []
    expected, previous = 1, _START
    for row in connection.execute(
        select(ACT).where(ACT.c.incident_id == incident).order_by(ACT.c.number)
    ):
        line = row._asdict()
        if row.number != expected:
            problems.append(f"act {expected} is missing")
        if row.previous != previous:
            problems.append(f"act {row.number} does not follow the act before it")
        if row.seal != _seal(line):
            problems.append(f"act {row.number} was altered")
        expected, previous = row.number + 1, row.seal
    count = connection.execute(
        select(func.count()).select_from(ACT).where(ACT.c.incident_id == incident)
    ).scalar_one()
    if not count:
        problems.append("there is no record at all")
    return AuditVerdict(acts=count, head=previous, problems=tuple(problems))


def _seal(line: Mapping[str, object]) -> str:
    """Hash a line together with the seal before it."""
    at = line["at"]
    sealed = [
        line["previous"],
        line["incident_id"],
        line["number"],
        at.isoformat(timespec="microseconds") if isinstance(at, datetime) else at,
        line["actor"],
        line["action"],
        line["detail"],
    ]
    return hashlib.sha256(
        json.dumps(sealed, separators=(",", ":")).encode("utf-8")
    ).hexdigest()
