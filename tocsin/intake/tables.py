"""Tables as spreadsheets write them: any encoding, any delimiter, every row accounted for."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tocsin.errors import BadInput
from tocsin.intake.encodings import decide_encoding
from tocsin.intake.sources import Source
from tocsin.policy.entries import FileNote, SetAside, without_controls

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"[\s_\-.#()/:]+")
_MOST_LISTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """
    What a table may hold.

    Args:
        aliases: Our name of each column, and the headers it goes by, as ``plain``
            writes them.
        required: The columns without which a row says nothing; of each group one.

    """

    aliases: Mapping[str, Sequence[str]]
    required: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row of a table.

    Args:
        number: As the spreadsheet counts: the header is row 1.
        cells: Our column names and the text as it stands in the file.

    """

    number: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """Return a cell without blanks around it; empty where there is none."""
        return self.cells.get(column, "").strip()


@dataclass(frozen=True, slots=True)
class Header:
    """
    The columns that were found.

    Args:
        plain: Every header, as ``plain`` writes it.
        positions: Our column names and where they stand.

    """

    plain: tuple[str, ...]
    positions: dict[str, int]


def plain(header: str) -> str:
    """Write a header so that spellings compare: ``Serial #`` is ``serial``."""
    return _BETWEEN_WORDS.sub(" ", header.strip("\ufeff ").casefold()).strip()


def read_table(
    source: Source, columns: Columns
) -> Iterator[Header | Row | SetAside | FileNote]:
    """
    Read a table: a note on what was detected, the header, then its rows.

    Raises:
        BadInput: The file as a whole cannot be used.

    """
    encoding = decide_encoding(source)
    with (
        source.open() as stream,
        io.TextIOWrapper(stream, encoding=encoding.codec, newline="") as lines,
    ):
        first, skipped = _first_line(lines)
        separator = _SEPARATOR_LINE.fullmatch(first)
        if separator:  # Excel's own hint, not a row of the table
            first, more = _first_line(lines)
            skipped += more + 1
        delimiter = separator[1] if separator else _delimiter_of(first, columns)
        header = _header_of(first, delimiter, columns)
        missing = [
            group
            for group in columns.required
            if not any(name in header.positions for name in group)
        ]
        if missing:
            raise BadInput(
                _wrong_header(header, missing, columns, lines=encoding.lines),
                file=source.label,
                row=skipped + 1,
            )
        yield FileNote(
            file=source.label,
            text=f"read as {encoding.name}, columns separated by "
            f"{_DELIMITERS.get(delimiter, delimiter)}{_unused(header)}.",
        )
        yield header
        yield from _rows(lines, delimiter, header, source.label, skipped + 1)


def _first_line(lines: io.TextIOWrapper) -> tuple[str, int]:
    skipped = 0
    for line in lines:
        if line.strip("\ufeff \t\r\n,;"):
            return line.lstrip("\ufeff").rstrip("\r\n"), skipped
        skipped += 1
    return "", skipped


def _delimiter_of(line: str, columns: Columns) -> str:
    """Choose the delimiter that gives the most columns we know."""

    def known(delimiter: str) -> tuple[int, int]:
        header = _header_of(line, delimiter, columns)
        return len(header.positions), len(header.plain)

    return max(_DELIMITERS, key=known)


def _header_of(line: str, delimiter: str, columns: Columns) -> Header:
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    headers = tuple(plain(cell) for cell in cells)
    positions: dict[str, int] = {}
    for name, aliases in columns.aliases.items():
        for alias in aliases:
            if alias in headers:
                positions[name] = headers.index(alias)
                break
    return Header(headers, positions)


def _wrong_header(
    header: Header,
    missing: Sequence[Sequence[str]],
    columns: Columns,
    *,
    lines: int,
) -> str:
    wanted = ", ".join(
        " or ".join(columns.aliases[name][0] for name in group)
        for group in columns.required
    )
    lacking = ", ".join(
        " or ".join(columns.aliases[name][0] for name in group) for group in missing
    )
    found = ", ".join(
        without_controls(cell)[:40] or "(empty)" for cell in header.plain[:_MOST_LISTED]
    )
    return (
        f"wrong header, so none of its {lines} lines was read. Wanted: {wanted}; "
        f"missing: {lacking}; found: {found or 'nothing'}."
    )


def _unused(header: Header) -> str:
    used = set(header.positions.values())
    unused = [
        cell
        for position, cell in enumerate(header.plain)
        if cell and position not in used
    ]
    if not unused:
        return ""
    listed = ", ".join(without_controls(cell)[:40] for cell in unused[:_MOST_LISTED])
    return f"; columns not used: {listed}"


def _rows(
    lines: io.TextIOWrapper, delimiter: str, header: Header, label: str, number: int
) -> Iterator[Row | SetAside]:
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    positions = list(header.positions.items())
    width = len(header.plain)
    while True:
        before = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # A quotation mark that is never closed swallows lines: each is named (I3).
            for _ in range(reader.line_num - before):
                number += 1
                finding = (
                    "quotation marks do not match in or before this row: close them, "
                    "and double those inside a cell."
                )
                yield SetAside(file=label, row=number, field=None, finding=finding)
            continue
        number += 1
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > width and any(cell.strip() for cell in cells[width:]):
            finding = (
                f"{len(cells)} cells where the header has {width}: put quotation marks "
                f"around cells that hold the separator."
            )
            yield SetAside(file=label, row=number, field=None, finding=finding)
            continue
        cells += [""] * (width - len(cells))
        yield Row(number, {name: cells[position] for name, position in positions})
