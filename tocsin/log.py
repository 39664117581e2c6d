"""Logging set-up; without it an address or a token could reach a log file."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_ADDRESS = re.compile(r"[^\s<>@\"']+@[^\s<>@\"']+\.[^\s<>@\"',;)]+")
_LINK = re.compile(r"(/s/|/e/|/desk/in/)[A-Za-z0-9._~-]+")
# What we sign begins like a list of texts, whatever it stands behind.
_SIGNED = re.compile(r"\bWy[A-Za-z0-9_-]{18,}(?:\.[A-Za-z0-9_-]*)?")


def redact(text: str) -> str:
    """Take addresses and link tokens out of a text."""
    # To look for the one sign takes a fiftieth of looking for an address.
    return redact_links(_ADDRESS.sub("[address]", text) if "@" in text else text)


def redact_links(text: str) -> str:
    """Take link tokens out of a text that may keep its addresses."""
    if "/" in text:
        text = _LINK.sub(r"\1[link]", text)
    return _SIGNED.sub("[link]", text) if "Wy" in text else text


def _redacted(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Redact every text of a log line; a second net, since none should be there."""
    return {
        key: redact(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


_FORMATTER = logging.Formatter()


class _RedactingFilter(logging.Filter):
    """The same for what libraries log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info:
            # Said once, and kept: what formats the line takes it as it is.
            record.exc_text = redact(_FORMATTER.formatException(record.exc_info))
        return True


def _to_stderr(*_: object) -> structlog.PrintLogger:
    """Write to stderr as it is now; whoever redirects it gets the lines."""
    return structlog.PrintLogger(sys.stderr)


def configure_logging(*, minimum: int = logging.INFO) -> None:
    """
    Send log lines to stderr, redacted; once per process.

    Args:
        minimum: Our own lines below this level are left out.

    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RedactingFilter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redacted,
            structlog.processors.KeyValueRenderer(
                key_order=["timestamp", "level", "event"]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )
