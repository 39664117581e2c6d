"""How texts are written in parts of a message: as they are where nothing would change them."""

import re
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

BOUNDARY = "=_tocsin_"
"""How the lines begin that part a message; no body that is left as it is has such."""

LINE = 76
"""Characters of a line that nobody breaks (RFC 2045, 6.8)."""

_LONGEST_LINE = 998
"""RFC 5322 2.1.1, without its end."""

_CUT_AT_ONCE = 100
"""Lines."""

_HARMLESS_IN_LINE = bytes(range(0x20, 0x7F))
_HARMLESS = b"\n" + _HARMLESS_IN_LINE
# What some servers change on its way, and what ends a part.
_UNSAFE = ("From ", f"--{BOUNDARY}")
_UNSAFE_FIRST = frozenset(start[0] for start in _UNSAFE)
_UNSAFE_START = re.compile(
    "\n(?:{})".format("|".join(map(re.escape, _UNSAFE))).encode()
)


class Body(NamedTuple):
    """A text as it is written in a part, and whether it was left as it is."""

    content: bytes
    is_plain: bool


def body_of(text: str) -> Body:
    """Return a text as it is written in a part."""
    body = f"\n{text}\n".encode()
    if (
        not body.translate(None, _HARMLESS)
        and not _has_long_line(body)
        and not _UNSAFE_START.search(body)
    ):
        return Body(body[1:].replace(b"\n", b"\r\n"), is_plain=True)
    return Body(base64_lines(text.encode("utf-8")), is_plain=False)


def base64_lines(content: bytes) -> bytes:
    """Return Base64 in lines of 76, each ended by CRLF."""
    encoded = b2a_base64(content, newline=False)
    if len(encoded) > _CUT_AT_ONCE * LINE:
        lines = [encoded[at : at + LINE] for at in range(0, len(encoded), LINE)]
        return b"\r\n".join((*lines, b""))
    return b"\r\n".join((*_cutter(len(encoded)).unpack(encoded), b""))


@lru_cache(maxsize=1024)
def _cutter(length: int) -> Struct:
    """Return what cuts so many characters into lines, in half the time of a loop."""
    whole, rest = divmod(length, LINE)
    return Struct(f"{LINE}s" * whole + (f"{rest}s" if rest or not whole else ""))


class BodyForm:
    """
    A text with blanks, looked through beforehand: then its values need it alone.

    Args:
        fixed: What stands around the blanks.

    """

    def __init__(self, fixed: Sequence[str]) -> None:
        # A sign that no unsafe start holds stands for the blanks.
        self._is_plain = body_of("?".join(fixed)).is_plain
        self._longest_value = min(
            (
                (_LONGEST_LINE - len(line) + blanks) // blanks
                for line in "\0".join(fixed).split("\n")
                if (blanks := line.count("\0"))
            ),
            default=_LONGEST_LINE,
        )
        # Blanks that decide how a line begins, and what that line holds before them.
        self._begins = [
            (at, begun)
            for at, before in enumerate(fixed[:-1])
            if _may_be_unsafe(begun := before.rpartition("\n")[2])
        ]
        self._pieces = [""] * (2 * len(fixed) - 1)
        self._pieces[::2] = [text.replace("\n", "\r\n") for text in fixed]

    def filled(self, values: Sequence[str], text: str) -> Body:
        """
        Return what ``body_of`` returns for the text, in a third of the time.

        Args:
            values: For the blanks; none is empty.
            text: With them in it.

        """
        if not self._is_plain:
            # What is fixed needs it, whatever the values are.
            return Body(base64_lines(text.encode("utf-8")), is_plain=False)
        if (
            "".join(values).encode().translate(None, _HARMLESS_IN_LINE)
            or any(_may_be_unsafe(begun + values[at]) for at, begun in self._begins)
            or (values and max(map(len, values)) > self._longest_value)
        ):
            return body_of(text)
        whole = self._pieces.copy()
        whole[1::2] = values
        return Body(f"{''.join(whole)}\r\n".encode("ascii"), is_plain=True)


def _may_be_unsafe(line: str) -> bool:
    """Whether a line that begins so may begin with what none must begin with."""
    return not line or (
        line[0] in _UNSAFE_FIRST
        and any(start.startswith(line[: len(start)]) for start in _UNSAFE)
    )


def _has_long_line(body: bytes) -> bool:
    """Whether a line is longer than any may be; looks at few of them."""
    start = 0
    while len(body) - start > _LONGEST_LINE:
        start = body.rfind(b"\n", start, start + _LONGEST_LINE + 1) + 1
        if not start:
            return True
    return False
