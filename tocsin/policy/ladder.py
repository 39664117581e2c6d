"""The ladder: what follows when nothing follows, read from TOML and frozen at launch."""

import re
import tomllib
from collections.abc import Mapping
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
    first = min(steps, key=lambda step: (step.after_launch is None, step.level))
    if first.after_launch != timedelta(0) or first.when is not Condition.ALWAYS:
        raise BadInput(
            'one step must tell everybody at once: after_launch = "0h", '
            'when = "always"',
            file=file,
        )
    roles = {role.value: role for role in ContactRole} | {}
    roles.pop(ContactRole.SUBSCRIBER.value)
    unreachable = data.get("unreachable", [])
    for name in unreachable:
        if name not in roles:
            raise BadInput(
                f"unknown role {name!r}; one of: {', '.join(roles)}",
                file=file,
                field="unreachable",
            )
    return Ladder(
        name=str(data.get("name", "Ladder")),
        steps=steps,
        unreachable=tuple(roles[name] for name in unreachable),
        text=text,
    )


def shipped_ladder(within: timedelta) -> Ladder:
    """Return the ladder that comes with Tocsin for a deadline of this length."""
    name = "one-day.toml" if within <= _DAY else "five-days.toml"
    source = resources.files("tocsin.policy") / "ladders" / name
    return parse_ladder(source.read_text("utf-8"), file=name)


def _parse_step(entry: Mapping[str, Any], *, level: int, file: str | None) -> Step:
    where = f"step {level}"

    def bad(message: str, field: str) -> BadInput:
        return BadInput(message, file=file, field=f"{where}, {field}")

    known = {"name", "when", "tell", "notice", *_INSTANTS}
    for field in entry.keys() - known:
        raise bad(f"unknown; one of: {', '.join(sorted(known))}", field)
    if not str(entry.get("name", "")).strip():
        raise bad("every step has a name that managers read", "name")
    given = [field for field in _INSTANTS if field in entry]
    if len(given) != 1:
        raise bad(f"give exactly one of {', '.join(_INSTANTS)}", "instant")
    share = entry.get("share")
    if share is not None and not (isinstance(share, int | float) and 0 <= share <= 1):
        raise bad("a share is a number from 0 to 1", "share")
    try:
        when = Condition(entry.get("when", ""))
    except ValueError:
        raise bad(f"one of: {', '.join(Condition)}", "when") from None
    tell = entry.get("tell", [])
    try:
        targets = frozenset(Target(name) for name in tell)
    except (TypeError, ValueError):
        raise bad(f"a list of: {', '.join(Target)}", "tell") from None
    if not targets:
        raise bad("a step that tells nobody does nothing", "tell")
    notice = entry.get("notice")
    kinds = [kind for kind in NoticeKind if kind is not NoticeKind.ESCALATION]
    if notice is not None and notice not in kinds:
        raise bad(f"one of: {', '.join(kinds)}", "notice")
    tells_contacts = any(target.role is None for target in targets)
    if tells_contacts != (notice is not None):
        raise bad("contacts need a notice, and only contacts get one", "notice")
    return Step(
        level=level,
        name=str(entry["name"]).strip(),
        after_launch=_duration(entry, "after_launch", bad),
        before_revocation=_duration(entry, "before_revocation", bad),
        share=None if share is None else float(share),
        when=when,
        tell=targets,
        notice=None if notice is None else NoticeKind(notice),
    )


def _duration(entry: Mapping[str, Any], field: str, bad: Any) -> timedelta | None:
    value = entry.get(field)
    if value is None:
        return None
    parts = re.fullmatch(r"(\d+)([mhd])", str(value).strip())
    if parts is None:
        raise bad('a duration such as "90m", "8h" or "2d"', field)
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])})
