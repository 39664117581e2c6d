"""The subscribers' mail, as the relay keeps it; without it nobody would find the link."""

import os
import re
from email import message_from_bytes
from pathlib import Path

from tocsin.mail.parts import decoded_text

_DELIVERED_TO = re.compile(rb"^Delivered-To: (\S+)\r?$", re.MULTILINE)
_LINK = re.compile(r"https?://[^\s<>\"]+/s/[A-Za-z0-9._~-]+")
_HEAD = 2_000
"""Bytes in which the relay's own headers stand."""


class MaildirMailbox:
    """
    Everybody's mail in the relay's maildir.

    Args:
        maildir: The relay's; read again for what is new each time.

    """

    def __init__(self, maildir: Path) -> None:
        self._new = maildir / "new"
        self._seen: set[str] = set()
        self._newest: dict[str, tuple[int, Path]] = {}

    def latest_link(self, address: str) -> str | None:
        """Return the link in the text of the newest notice to an address."""
        self._look()
        found = self._newest.get(address.casefold())
        if found is None:
            return None
        for part in message_from_bytes(found[1].read_bytes()).walk():
            if part.get_content_type() == "text/plain":
                link = _LINK.search(decoded_text(part))
                return link[0] if link else None
        return None

    def _look(self) -> None:
        """Take notice of what has arrived since the last look."""
        for entry in os.scandir(self._new):
            if entry.name in self._seen:
                continue
            self._seen.add(entry.name)
            path = Path(entry)
            with path.open("rb") as file:
                head = file.read(_HEAD)
            to = _DELIVERED_TO.search(head)
            if to is None:
                continue
            address = to[1].decode("ascii", "replace").casefold()
            arrived = (path.stat().st_mtime_ns, path)
            self._newest[address] = max(
                arrived, self._newest.get(address, arrived), key=lambda one: one[0]
            )
