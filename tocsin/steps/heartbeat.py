"""Shows others that all is well; a process that cannot say so shows nothing."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import structlog

log = structlog.get_logger()

_ANSWERS_WITHIN = 5.0  # seconds
_WEB = ("http://", "https://")


def show_life(
    said: Mapping[str, object], *, file: Path | None = None, url: str | None = None
) -> None:
    """
    Write the heartbeat file and fetch the URL; who looks at either learns of silence.

    Args:
        said: What the file holds; ``at``, an instant, among it.
        file: Where; None: there is none.
        url: It is a secret; None: none is fetched.

    """
    if file is not None:
        # Whole or not at all: whoever watches must never read half a heartbeat.
        written = file.with_name(f"{file.name}.{os.getpid()}.new")
        written.write_text(json.dumps(dict(said)) + "\n", "utf-8")
        written.replace(file)
    if url is not None:
        try:
            if not url.startswith(_WEB):
                message = "neither HTTP nor HTTPS"
                raise ValueError(message)  # noqa: TRY301 - told like every other failure
            request = Request(url, headers={"User-Agent": "tocsin"})  # noqa: S310 - see above
            with urlopen(request, timeout=_ANSWERS_WITHIN):  # noqa: S310 - see above
                pass
        except (OSError, ValueError, HTTPException) as error:
            # Its address is a secret, and the error may quote it.
            log.warning("The heartbeat was not taken", error=type(error).__name__)


def last_life(file: Path) -> datetime | None:
    """Return the instant in a heartbeat file, UTC; None where there is none to read."""
    try:
        return datetime.fromisoformat(json.loads(file.read_text("utf-8"))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
