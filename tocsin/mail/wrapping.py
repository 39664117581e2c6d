"""Lines of plain text: how wide they are, and where they may end, in any script."""

import re
import unicodedata
from collections.abc import Iterator

WIDTH = 72
"""Columns of a line of plain text; the standard asks for 78 at most (RFC 5322, 2.1.1)."""

_WIDE = frozenset("WF")
# Nothing of the first may begin a line, nothing of the second end one (JIS X 4051).
_CLOSING = frozenset("，。、；：？！）」』】》〉…％·,.;:?!)]}%\u201d\u2019")  # noqa: RUF001
_OPENING = frozenset("（「『【《〈([{\u201c\u2018")  # noqa: RUF001

_AFTER_A_SPACE = re.compile("(?<= )(?=[^ ])")


def columns(text: str) -> int:
    """Return how wide a text stands on a terminal: two columns for a Chinese sign."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(sign)
        else 1 + (unicodedata.east_asian_width(sign) in _WIDE)
        for sign in text
    )


def wrap(text: str, width: int = WIDTH) -> str:
    """Break a text into lines; a word that is too long stays whole."""
    lines, line, room = [], "", width
    for piece in _pieces(text):
        wide = columns(piece.rstrip())
        if line and wide > room:
            lines.append(line.rstrip())
            line, room = "", width
        line += piece
        room -= columns(piece)
    return "\n".join([*lines, line.rstrip()])


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where a line may end: after a space, or between Chinese signs."""
    if text.isascii():
        yield from filter(None, _AFTER_A_SPACE.split(text))
        return
    piece = ""
    for sign in text:
        if piece and sign != " " and _may_end(piece[-1], sign):
            yield piece
            piece = ""
        piece += sign
    if piece:
        yield piece


def _may_end(before: str, after: str) -> bool:
    if before == " ":
        return True
    if after in _CLOSING or before in _OPENING:
        return False
    return any(unicodedata.east_asian_width(sign) in _WIDE for sign in (before, after))
