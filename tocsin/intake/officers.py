"""The officers' list; without it anybody could say that they are one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from models.terms import OfficeRole
from tocsin.errors import BadInput
from tocsin.intake.contacts import parse_address
from tocsin.intake.sources import Source, find_sources
from tocsin.intake.tables import Columns, Row, read_table
from tocsin.policy.entries import SetAside, without_controls
from tocsin.policy.office import Officer, Officers

_COLUMNS = Columns(
    aliases={
        "name": ("name", "full name"),
        "email": ("email", "e mail", "email address", "mail"),
        "role": ("role",),
    },
    required=(("name",), ("email",), ("role",)),
)
_LONGEST_NAME = 100


def read_officers(path: Path) -> Officers:
    """
    Read a CSV with one row for each person: name, email, role.

    A row that cannot be used lets nobody in and keeps nobody out who stands in another
    one; a file that cannot be read lets nobody in.
    """
    people: dict[str, Officer] = {}
    problems: list[str] = []
    for found in _rows(path):
        if isinstance(found, SetAside):
            problems.append(_problem(found))
            continue
        try:
            officer = _officer(found)
            _check_is_new(officer, people)
        except BadInput as error:
            problems.append(
                str(
                    BadInput(
                        error.message,
                        file=path.name,
                        row=found.number,
                        field=error.field,
                    )
                )
            )
            continue
        people[officer.key] = officer
    if not people and not problems:
        problems.append(f"{path.name}: a header and no rows.")
    return Officers(people=tuple(people.values()), problems=tuple(problems))


def _rows(path: Path) -> Iterator[Row | SetAside]:
    for found in find_sources([path]):
        if isinstance(found, SetAside):
            yield found
        if not isinstance(found, Source):
            continue
        try:
            for item in read_table(found, _COLUMNS):
                if isinstance(item, Row | SetAside):
                    yield item
        except BadInput as error:
            yield SetAside(
                file=found.label,
                row=error.row or 0,
                field=error.field,
                finding=error.message,
            )
        except OSError as error:
            yield SetAside(
                file=found.label,
                row=0,
                field=None,
                finding=f"cannot be read: {error.strerror}.",
            )


def _officer(row: Row) -> Officer:
    name = " ".join(without_controls(row.text("name")).split())
    if not name or len(name) > _LONGEST_NAME:
        raise BadInput(
            f"a name of 1 to {_LONGEST_NAME} characters: it stands in the record beside"
            " everything this person does.",
            field="name",
        )
    role = row.text("role").casefold()
    try:
        known = OfficeRole(role)
    except ValueError:
        raise BadInput(
            f"'{without_controls(role)[:40]}' is no role: write officer (may launch) or"
            " manager (may not).",
            field="role",
        ) from None
    return Officer(name=name, email=parse_address(row.text("email")), role=known)


def _check_is_new(officer: Officer, people: Mapping[str, Officer]) -> None:
    if officer.key in people:
        raise BadInput(
            "this address stands in an earlier row: the first one counts.",
            field="email",
        )
    if officer.name.casefold() in {one.name.casefold() for one in people.values()}:
        raise BadInput(
            "this name stands in an earlier row. The record names people by it: tell "
            "them apart.",
            field="name",
        )


def _problem(aside: SetAside) -> str:
    return str(
        BadInput(
            aside.finding,
            file=Path(aside.file).name,
            row=aside.row or None,
            field=aside.field,
        )
    )
