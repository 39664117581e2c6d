"""Channels beside mail, by Apprise: chat, push, pager; whatever its addresses reach."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tocsin.errors import BadInput

_KEY = 16  # hex digits


class Channels:
    """
    What the CA's own people are reached by beside mail.

    Their addresses hold passwords: outside of here a channel is known by a hash.

    Args:
        urls: Apprise URLs by the place they stand in, for errors.

    Raises:
        BadInput: Apprise cannot read one; names its place, never the address.

    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        # Slow to import, and few processes have channels.
        import apprise  # noqa: PLC0415

        # It logs addresses of servers, and what they answered.
        logging.getLogger("apprise").disabled = True
        self._warning = apprise.NotifyType.WARNING
        self._plugins: dict[str, Any] = {}
        for place, url in urls.items():
            plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
            if not plugin:
                raise BadInput(
                    "not an address that Apprise knows; see its list of services",
                    field=place,
                )
            key = hashlib.sha256(url.encode()).hexdigest()[:_KEY]
            self._plugins[key] = plugin

    @property
    def keys(self) -> tuple[str, ...]:
        """The channels, by hashes of their addresses."""
        return tuple(self._plugins)

    def tell(self, key: str, *, title: str, body: str) -> bool:
        """
        Send one alarm to one channel, within seconds; return whether it was taken.

        A channel that does not answer may have taken it all the same.
        """
        plugin = self._plugins[key]
        return bool(plugin.notify(title=title, body=body, notify_type=self._warning))


def read_channels(file: Path) -> Channels:
    """
    Read Apprise URLs, one a line; lines that begin with # are for people.

    Raises:
        BadInput: A line cannot be used; names file and line.

    """
    lines = file.read_text("utf-8").splitlines()
    return Channels(
        {
            f"{file.name}, line {number}": line.strip()
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("#")
        }
    )
