"""Reads a maildir that another program delivers to; without it a message could be read by halves."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tocsin.mail.incoming import Delivered


class MaildirReader:
    """
    New messages of a maildir, in the order of their arrival.

    Args:
        directory: It need not exist yet: then nothing has arrived.

    """

    name = "maildir"

    def __init__(self, directory: Path) -> None:
        self._new = directory / "new"
        self._current = directory / "cur"

    def keys(self) -> list[str]:
        """Return the names of what is new, the oldest first."""
        try:
            with os.scandir(self._new) as entries:
                found = [
                    (entry.stat().st_mtime_ns, entry.name)
                    for entry in entries
                    if entry.is_file() and not entry.name.startswith(".")
                ]
        except FileNotFoundError:
            return []
        return [name for _, name in sorted(found)]

    def read(self, keys: Iterable[str]) -> Iterator[Delivered]:
        """Yield those messages that are still there."""
        for key in keys:
            try:
                yield Delivered(key=key, content=(self._new / key).read_bytes())
            except FileNotFoundError:
                continue  # another process was faster

    def done(self, keys: Iterable[str]) -> None:
        """Move messages to those that were read; harmless when moved already."""
        self._current.mkdir(exist_ok=True)
        for key in keys:
            try:
                # ":2,S" is the maildir's own way to say "seen".
                (self._new / key).replace(
                    self._current / f"{key.partition(':')[0]}:2,S"
                )
            except FileNotFoundError:
                continue
