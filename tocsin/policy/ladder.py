"""The ladder: what follows when nothing follows, read from TOML and frozen at launch."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib import resources
from typing import Any, TypeVar

from models.terms import EscalationTarget, NoticeKind
from tocsin.errors import BadInput
from tocsin.policy.rungs import (
    SEQUENCES,
    Condition,
    DueStep,
    Ladder,
    Step,
    Target,
    subscriber_timetable,
    timetable,
)

__all__ = [
    "CheckedLadder",
    "Condition",
    "DueStep",
    "Ladder",
    "Step",
    "Target",
    "check_ladder",
    "new_ladder",
    "parse_ladder",
    "shipped_ladder",
    "subscriber_timetable",
    "timetable",
]

_Word = TypeVar("_Word", bound=StrEnum)

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_INSTANTS = ("after_launch", "before_revocation", "before_deadline", "share")
_FIELDS = {"name", "when", "tell", "notice", "repeat_every", *_INSTANTS}
_TOP = {"name", "unreachable", "missed", "asked", "acknowledged_for", "step"}
_DAY = timedelta(days=1)
_SHORTEST_REPEAT = timedelta(minutes=15)
_LONGEST_NAME = 80
_ACKNOWLEDGED_FOR = timedelta(hours=4)
_MISSED = (EscalationTarget.COMPLIANCE_LEAD, EscalationTarget.OPERATIONS_MANAGER)
_LAUNCH = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedLadder:
    """
    What became of a text.

    Args:
        ladder: None where it cannot be used.
        problems: Why it cannot be used; each names file, step and field.
        oddities: What an incident under way would live with, and no new one should.

    """

    ladder: Ladder | None
    problems: tuple[BadInput, ...]
    oddities: tuple[BadInput, ...]


def parse_ladder(text: str, *, file: str | None = None) -> Ladder:
    """
    Read a ladder from TOML, as it was frozen.

    Raises:
        BadInput: Names the file, the step and the field.

    """
    checked = check_ladder(text, file=file)
    if checked.ladder is None:
        raise checked.problems[0]
    return checked.ladder


def new_ladder(text: str, *, file: str | None = None) -> Ladder:
    """
    Read a ladder that no incident was launched with yet: oddities are refused, too.

    Raises:
        BadInput: Names the file, the step and the field.

    """
    checked = check_ladder(text, file=file)
    for problem in (*checked.problems, *checked.oddities):
        raise problem
    return parse_ladder(text, file=file)


def check_ladder(text: str, *, file: str | None = None) -> CheckedLadder:
    """Read a ladder and say everything that is wrong with it, not only the first."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = BadInput(f"not TOML: {error}", file=file)
        return CheckedLadder(ladder=None, problems=(problem,), oddities=())
    top = _Top(data, file)
    entries = data.get("step")
    if not isinstance(entries, list) or not entries:
        top.wrong("a ladder needs at least one [[step]]")
        entries = []
    read = [
        _Entry(entry if isinstance(entry, dict) else {}, file, level)
        for level, entry in enumerate(entries, start=1)
    ]
    steps = tuple(entry.step() for entry in read)
    unreachable = top.words("unreachable", EscalationTarget, default=())
    missed = top.words("missed", EscalationTarget, default=_MISSED)
    ladder = Ladder(
        name=str(data.get("name", "Ladder")),
        steps=steps,
        unreachable=unreachable,
        missed=missed,
        # Whoever asks for a person is never left to nobody, whatever a ladder says.
        asked=top.words("asked", EscalationTarget, default=())
        or unreachable
        or missed
        or _MISSED,
        acknowledged_for=top.duration("acknowledged_for") or _ACKNOWLEDGED_FOR,
        text=text,
    )
    problems = [problem for entry in read for problem in entry.problems]
    if steps and not problems and not any(_tells_everybody(step) for step in steps):
        top.wrong(
            'one step must tell everybody at once: after_launch = "0h", when = "always"'
        )
    problems += top.problems
    return CheckedLadder(
        ladder=None if problems else ladder,
        problems=tuple(problems),
        oddities=() if problems else tuple(_oddities(ladder, data, file)),
    )


def shipped_ladder(within: timedelta) -> Ladder:
    """Return the ladder that comes with Tocsin for a deadline of this length."""
    name = "one-day.toml" if within <= _DAY else "five-days.toml"
    source = resources.files("tocsin.policy") / "ladders" / name
    return parse_ladder(source.read_text("utf-8"), file=name)


def _tells_everybody(step: Step) -> bool:
    return step.after_launch == _LAUNCH and step.when is Condition.ALWAYS


def _oddities(
    ladder: Ladder, data: Mapping[str, Any], file: str | None
) -> Iterator[BadInput]:
    """Yield what works, and does something else than its author can have meant."""
    for field in sorted(data.keys() - _TOP):
        yield BadInput(
            f"unknown; one of: {', '.join(sorted(_TOP))}", file=file, field=field
        )
    if len(ladder.steps) >= SEQUENCES:
        yield BadInput(f"more than {SEQUENCES - 1} steps", file=file, field="step")
    names: dict[str, int] = {}
    for step in ladder.steps:
        where = f"step {step.level}"
        if (first := names.setdefault(step.name, step.level)) != step.level:
            yield BadInput(
                f"the name of step {first}, too: a timetable could not tell them apart",
                file=file,
                field=f"{where}, name",
            )
        if len(step.name) > _LONGEST_NAME:
            yield BadInput(
                f"longer than {_LONGEST_NAME} characters",
                file=file,
                field=f"{where}, name",
            )
        if step.targets and step.when is Condition.ALWAYS:
            yield BadInput(
                'nobody of the CA is told of everybody: give "open" or a condition',
                file=file,
                field=f"{where}, when",
            )
    if not any(step.targets for step in ladder.steps):
        yield BadInput(
            "no step tells anybody of the CA: nobody would hear of those who never "
            "answer",
            file=file,
            field="tell",
        )


class _Table:
    """One TOML table, and what is wrong with it."""

    def __init__(self, data: Mapping[str, Any], file: str | None) -> None:
        self.data, self.file = data, file
        self.problems: list[BadInput] = []

    def where(self, field: str) -> str:
        return field

    def wrong(self, message: str, field: str | None = None) -> None:
        self.problems.append(
            BadInput(message, file=self.file, field=field and self.where(field))
        )

    def duration(self, field: str) -> timedelta | None:
        value = self.data.get(field)
        if value is None:
            return None
        parts = re.fullmatch(r"(\d{1,6})([mhd])", str(value).strip())
        if parts is None:
            self.wrong('a duration such as "90m", "8h" or "2d"', field)
            return None
        return timedelta(**{_UNITS[parts[2]]: int(parts[1])})

    def words(
        self, field: str, of: type[_Word], *, default: tuple[_Word, ...]
    ) -> tuple[_Word, ...]:
        names = self.data.get(field)
        if names is None:
            return default
        known = {word.value: word for word in of}
        if not isinstance(names, list) or not known.keys() >= {*map(str, names)}:
            self.wrong(f"a list of: {', '.join(known)}", field)
            return default
        return tuple(known[str(name)] for name in names)


class _Top(_Table):
    """What stands above the steps."""


class _Entry(_Table):
    """One [[step]] table."""

    def __init__(self, data: Mapping[str, Any], file: str | None, level: int) -> None:
        super().__init__(data, file)
        self.level = level

    def where(self, field: str) -> str:
        return f"step {self.level}, {field}"

    def step(self) -> Step:
        """Read the step; what cannot be read is a problem, and a stand-in here."""
        for field in sorted(self.data.keys() - _FIELDS):
            self.wrong(f"unknown; one of: {', '.join(sorted(_FIELDS))}", field)
        if sum(field in self.data for field in _INSTANTS) != 1:
            self.wrong(f"give exactly one of {', '.join(_INSTANTS)}", "instant")
        step = Step(
            level=self.level,
            name=self._name(),
            after_launch=self.duration("after_launch"),
            before_revocation=self.duration("before_revocation"),
            before_deadline=self.duration("before_deadline"),
            share=self._share(),
            when=self._when(),
            tell=frozenset(self.words("tell", Target, default=())),
            notice=self._notice(),
            repeat_every=self.duration("repeat_every"),
        )
        if not self.problems:
            self._agree(step)
        return step

    def _agree(self, step: Step) -> None:
        """Say what is wrong with the fields together."""
        if not step.tell:
            self.wrong("a step that tells nobody does nothing", "tell")
        tells_contacts = any(target.staff is None for target in step.tell)
        if tells_contacts != (step.notice is not None):
            self.wrong("contacts need a notice, and only contacts get one", "notice")
        if step.when is Condition.FORECAST_LATE and (
            tells_contacts or Target.CALL_SHEET in step.tell
        ):
            self.wrong(
                "the forecast is about the incident: it tells the CA's own people only",
                "tell",
            )
        if step.repeat_every is not None:
            if step.repeat_every < _SHORTEST_REPEAT:
                self.wrong(
                    "15m at least: people have to act in between", "repeat_every"
                )
            if step.when is Condition.ALWAYS:
                self.wrong(
                    "nothing would end it: give a condition that an answer ends",
                    "repeat_every",
                )

    def _name(self) -> str:
        name = str(self.data.get("name", "")).strip()
        if not name:
            self.wrong("every step has a name that managers read", "name")
        return name

    def _share(self) -> float | None:
        share = self.data.get("share")
        if share is None:
            return None
        is_number = isinstance(share, int | float) and not isinstance(share, bool)
        if not is_number or not 0 <= share <= 1:
            self.wrong("a share is a number from 0 to 1", "share")
            return None
        return float(share)

    def _when(self) -> Condition:
        try:
            return Condition(self.data.get("when", ""))
        except ValueError:
            self.wrong(f"one of: {', '.join(Condition)}", "when")
            return Condition.ALWAYS

    def _notice(self) -> NoticeKind | None:
        notice = self.data.get("notice")
        if notice is None:
            return None
        if notice not in (NoticeKind.INITIAL, NoticeKind.REMINDER, NoticeKind.FINAL):
            self.wrong("one of: initial, reminder, final", "notice")
            return None
        return NoticeKind(notice)
