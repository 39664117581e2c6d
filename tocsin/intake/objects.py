"""JSON read object by object; an export of a whole CA does not fit in memory."""

import json
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 1 << 18
_LARGEST = 1 << 20
_BETWEEN = " \t\r\n,\x1e\ufeff"


def read_objects(text: TextIO) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """
    Yield the objects of a JSON array, or of lines of JSON, with their number from 1.

    What is no object is yielded as a sentence that says why; after text that is not
    JSON nothing more is read.
    """
    window = _Window(text)
    is_array = window.next_mark() == "["
    if is_array:
        window.at += 1
    number = 0
    while True:
        mark = window.next_mark()
        if mark == "]" and is_array:
            return
        if not mark:
            if is_array:
                yield number + 1, _broken(number, "cut short")
            return
        value = window.next_value()
        number += 1
        if isinstance(value, _Broken):
            how = "cut short" if window.ended else "not JSON"
            yield number, _broken(number - 1, how)
            return
        yield number, value if isinstance(value, dict) else _NO_OBJECT


_NO_OBJECT = "not an object with issuer and serial."


class _Broken:
    """Stands for a value that is none."""


class _Window:
    """The part of the text that is being looked at."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self.at = 0
        self.ended = False

    def next_mark(self) -> str:
        """Pass over what stands between values; return what comes, '' at the end."""
        while True:
            while self.at < len(self._buffer) and self._buffer[self.at] in _BETWEEN:
                self.at += 1
            if self.at < len(self._buffer):
                return self._buffer[self.at]
            if self.ended:
                return ""
            self._more()

    def next_value(self) -> Any:
        """Return the value that begins here, reading on while it is incomplete."""
        while True:
            try:
                value, self.at = self._decoder.raw_decode(self._buffer, self.at)
            except (json.JSONDecodeError, RecursionError):
                if self.ended or len(self._buffer) - self.at > _LARGEST:
                    return _Broken()
                self._more()
            else:
                return value

    def _more(self) -> None:
        chunk = self._text.read(_CHUNK)
        self.ended = not chunk
        self._buffer = self._buffer[self.at :] + chunk
        self.at = 0


def _broken(number: int, how: str) -> str:
    return f"{how} after {number} entries; what follows was not read. Export it again."
