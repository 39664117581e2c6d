"""The ladder: what follows when nothing follows, read from TOML and frozen at launch."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib import resources
from typing import Any

from models.terms import ContactRole, NoticeKind
from tocsin.errors import BadInput
from tocsin.policy.facts import IncidentFacts

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_INSTANTS = ("after_launch", "before_revocation", "share")
_DAY = timedelta(days=1)


class Condition(StrEnum):
    """Whom a step concerns."""

    ALWAYS = "always"
    OPEN = "open"  # a certificate is neither revoked nor replaced nor given up
    CSR_MISSING = "csr-missing"
    NOT_ACKNOWLEDGED = "not-acknowledged"


class Target(StrEnum):
    """Whom a step tells."""

    NEXT_CONTACT = "next-contact"  # the first by rank who was not told yet
    TOLD_CONTACTS = "told-contacts"
    ALL_CONTACTS = "all-contacts"
    ACCOUNT_MANAGER = "account-manager"
    OPERATIONS_MANAGER = "operations-manager"
    COMPLIANCE_LEAD = "compliance-lead"

    @property
    def role(self) -> ContactRole | None:
        """The CA's own role it names; None for a subscriber's contacts."""
        match self:
            case Target.NEXT_CONTACT | Target.TOLD_CONTACTS | Target.ALL_CONTACTS:
                return None
            case Target.ACCOUNT_MANAGER:
                return ContactRole.ACCOUNT_MANAGER
            case Target.OPERATIONS_MANAGER:
                return ContactRole.OPERATIONS_MANAGER
            case Target.COMPLIANCE_LEAD:
                return ContactRole.COMPLIANCE_LEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One rung.

    Args:
        level: Its place in the file, from 1; part of the key of what it sends.
        name: What managers read.
        after_launch: Its instant counts from the launch; or
        before_revocation: back from the start of revocation; or
        share: as a share, 0 to 1, of the time between the two.
        when: Whom it concerns.
        tell: Whom it tells.
        notice: What a contact gets; None where it tells staff only.

    """

    level: int
    name: str
    after_launch: timedelta | None
    before_revocation: timedelta | None
    share: float | None
    when: Condition
    tell: frozenset[Target]
    notice: NoticeKind | None

    def due_at(self, incident: IncidentFacts) -> datetime:
        """Return its instant, never before the launch."""
        start, end = incident.launched_at, incident.revocation_starts_at
        if self.after_launch is not None:
            instant = start + self.after_launch
        elif self.before_revocation is not None:
            instant = end - self.before_revocation
        else:
            instant = start + (end - start) * (self.share or 0.0)
        return max(start, instant)

    @property
    def roles(self) -> tuple[ContactRole, ...]:
        """The CA's own roles it tells."""
        return tuple(sorted(target.role for target in self.tell if target.role))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """
    The steps in the order of the file, and the text they were read from.

    Args:
        name: For people.
        steps: At least one.
        unreachable: Whom to tell at once when no contact is left.
        text: To freeze (I7).

    """

    name: str
    steps: tuple[Step, ...]
    unreachable: tuple[ContactRole, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueStep:
    """A step and its instant in one incident, UTC."""

    due_at: datetime
    step: Step


def timetable(ladder: Ladder, incident: IncidentFacts) -> tuple[DueStep, ...]:
    """
    Order the steps by their instants in this incident.

    A step that would fall on or after the start of revocation has lost its moment,
    unless it belongs to the launch itself.
    """
    steps = (DueStep(due_at=step.due_at(incident), step=step) for step in ladder.steps)
    return tuple(
        sorted(
            (
                due
                for due in steps
                if due.due_at < incident.revocation_starts_at
                or due.step.after_launch == timedelta(0)
            ),
            key=lambda due: (due.due_at, due.step.level),
        )
    )


def parse_ladder(text: str, *, file: str | None = None) -> Ladder:
    """
    Read a ladder from TOML.

    Raises:
        BadInput: Names the file, the step and the field.

    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"not TOML: {error}", file=file) from error
    entries = data.get("step")
    if not isinstance(entries, list) or not entries:
        raise BadInput("a ladder needs at least one [[step]]", file=file)
    steps = tuple(
        _parse_step(entry, level=level, file=file)
        for level, entry in enumerate(entries, start=1)
    )
    if not any(
        step.after_launch == timedelta(0) and step.when is Condition.ALWAYS
        for step in steps
    ):
        raise BadInput(
            'one step must tell everybody at once: after_launch = "0h", '
            'when = "always"',
            file=file,
        )
    return Ladder(
        name=str(data.get("name", "Ladder")),
        steps=steps,
        unreachable=_roles(data.get("unreachable", []), file=file),
        text=text,
    )


def shipped_ladder(within: timedelta) -> Ladder:
    """Return the ladder that comes with Tocsin for a deadline of this length."""
    name = "one-day.toml" if within <= _DAY else "five-days.toml"
    source = resources.files("tocsin.policy") / "ladders" / name
    return parse_ladder(source.read_text("utf-8"), file=name)


class _Entry:
    """One [[step]] table, and errors that name it."""

    def __init__(self, data: Mapping[str, Any], level: int, file: str | None) -> None:
        self.data, self.level, self.file = data, level, file

    def bad(self, message: str, field: str) -> BadInput:
        return BadInput(message, file=self.file, field=f"step {self.level}, {field}")

    def name(self) -> str:
        name = str(self.data.get("name", "")).strip()
        if not name:
            raise self.bad("every step has a name that managers read", "name")
        return name

    def share(self) -> float | None:
        share = self.data.get("share")
        if share is None:
            return None
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise self.bad("a share is a number from 0 to 1", "share")
        return float(share)

    def duration(self, field: str) -> timedelta | None:
        value = self.data.get(field)
        if value is None:
            return None
        parts = re.fullmatch(r"(\d+)([mhd])", str(value).strip())
        if parts is None:
            raise self.bad('a duration such as "90m", "8h" or "2d"', field)
        return timedelta(**{_UNITS[parts[2]]: int(parts[1])})

    def when(self) -> Condition:
        try:
            return Condition(self.data.get("when", ""))
        except ValueError:
            raise self.bad(f"one of: {', '.join(Condition)}", "when") from None

    def tell(self) -> frozenset[Target]:
        try:
            targets = frozenset(Target(name) for name in self.data.get("tell", []))
        except (TypeError, ValueError):
            raise self.bad(f"a list of: {', '.join(Target)}", "tell") from None
        if not targets:
            raise self.bad("a step that tells nobody does nothing", "tell")
        return targets

    def notice(self) -> NoticeKind | None:
        kinds = [kind for kind in NoticeKind if kind is not NoticeKind.ESCALATION]
        notice = self.data.get("notice")
        if notice is not None and notice not in kinds:
            raise self.bad(f"one of: {', '.join(kinds)}", "notice")
        return None if notice is None else NoticeKind(notice)


def _parse_step(data: Mapping[str, Any], *, level: int, file: str | None) -> Step:
    entry = _Entry(data, level, file)
    known = {"name", "when", "tell", "notice", *_INSTANTS}
    for field in data.keys() - known:
        raise entry.bad(f"unknown; one of: {', '.join(sorted(known))}", field)
    if sum(field in data for field in _INSTANTS) != 1:
        raise entry.bad(f"give exactly one of {', '.join(_INSTANTS)}", "instant")
    step = Step(
        level=level,
        name=entry.name(),
        after_launch=entry.duration("after_launch"),
        before_revocation=entry.duration("before_revocation"),
        share=entry.share(),
        when=entry.when(),
        tell=entry.tell(),
        notice=entry.notice(),
    )
    tells_contacts = any(target.role is None for target in step.tell)
    if tells_contacts != (step.notice is not None):
        raise entry.bad("contacts need a notice, and only contacts get one", "notice")
    return step


def _roles(names: Sequence[str], *, file: str | None) -> tuple[ContactRole, ...]:
    roles = {role.value: role for role in ContactRole}
    del roles[ContactRole.SUBSCRIBER.value]
    for name in names:
        if name not in roles:
            raise BadInput(
                f"unknown role {name!r}; one of: {', '.join(roles)}",
                file=file,
                field="unreachable",
            )
    return tuple(roles[name] for name in names)
