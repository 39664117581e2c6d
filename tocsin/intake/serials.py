"""Serial numbers as people and programs write them; one certificate must not become two."""

import re

from tocsin.errors import BadInput

_LONGEST = 64  # hex digits: RFC 5280 allows 40, malformed certificates have more
_SCIENTIFIC = re.compile(
    r"[+-]?\d+(?:[.,]\d+)?E\+\d+|[+-]?\d+[.,]\d+E-?\d+", re.IGNORECASE
)
_AS_TEXT = re.compile(r'="(.*)"')
_BETWEEN = re.compile(r"[\s:\u00a0\u200b]+")
_HEX = re.compile(r"-?[0-9a-f]+")
# A spreadsheet keeps 15 digits of a number and makes the rest zeros.
_DIGITS_KEPT = 15
_ZEROS_THAT_TELL = 3


def serial_of_integer(number: int) -> str:
    """
    Write a serial as the database has it: lower-case hex, whole octets.

    Raises:
        BadInput: It is longer than any certificate's.

    """
    digits = f"{abs(number):x}"
    if len(digits) % 2:
        digits = "0" + digits
    if len(digits) > _LONGEST - 1:
        raise BadInput(
            f"a serial of {len(digits) // 2} octets; RFC 5280 allows 20, we take 31.",
            field="serial",
        )
    return "-" + digits if number < 0 else digits


def parse_serial(text: str, *, decimal: bool = False) -> str:
    """
    Read a serial: hex with or without colons, blanks, ``0x`` and leading zeros.

    Args:
        text: The cell.
        decimal: Whether the table's header says that serials are decimal.

    Raises:
        BadInput: It is none, or a spreadsheet has destroyed it.

    """
    cell = text.strip()
    wrapped = _AS_TEXT.fullmatch(cell)
    if wrapped:
        cell = wrapped[1].strip()
    cell = cell.lstrip("'")
    if not cell:
        raise BadInput("no serial in this row.", field="serial")
    _refuse_what_lost_digits(cell)
    if decimal:
        number = _BETWEEN.sub("", cell)
        if not number.removeprefix("-").isdecimal() or len(number) > 2 * _LONGEST:
            raise BadInput(
                f"not decimal: '{_shown(text)}', although the column's header says so. "
                f"Give decimal digits, or hex under the header 'serial'.",
                field="serial",
            )
        return serial_of_integer(int(number))
    digits = _BETWEEN.sub("", cell).lower()
    prefixed = digits.removeprefix("-").startswith("0x")
    if prefixed:
        digits = digits.replace("0x", "", 1)
    if not _HEX.fullmatch(digits):
        raise BadInput(
            f"not hexadecimal: '{_shown(text)}'. Give the serial as hex, with or "
            f"without colons; decimal ones under the header 'serial (decimal)'.",
            field="serial",
        )
    return serial_of_integer(int(digits, 16))


def is_ambiguous(text: str) -> bool:
    """Whether a serial could as well be decimal: digits only, and more than a few."""
    return text.strip().isdecimal() and len(text.strip()) > 1


def _refuse_what_lost_digits(cell: str) -> None:
    if _SCIENTIFIC.fullmatch(cell):
        raise BadInput(
            f"a spreadsheet has rounded this serial to '{_shown(cell)}'; its digits are "
            f"lost. Export again from the source as text: format the column as Text "
            f"before the data goes in, or give crt.sh's JSON or the certificates.",
            field="serial",
        )
    if (
        cell.isdecimal()
        and len(cell) >= _DIGITS_KEPT + _ZEROS_THAT_TELL
        and not cell[_DIGITS_KEPT:].strip("0")
    ):
        raise BadInput(
            f"a spreadsheet seems to have rounded this serial to '{_shown(cell)}': from "
            f"the 16th digit on there are only zeros. Export again with the column "
            f"formatted as Text; if it is right, write it with 0x.",
            field="serial",
        )


def _shown(text: str) -> str:
    kept = "".join(c if c.isprintable() else "?" for c in text.strip())
    return kept if len(kept) <= 60 else kept[:57] + "..."  # noqa: PLR2004
