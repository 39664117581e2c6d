"""Writes files so that no reader sees half of one, and secrets so that nobody else reads them."""

import os
from pathlib import Path


def write_atomically(file: Path, content: bytes) -> None:
    """Replace a file so that a reader sees the old one or the new one, whole."""
    written = file.with_name(f"{file.name}.{os.getpid()}.new")
    with written.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    written.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_secret(file: Path, content: bytes) -> None:
    """Replace a file in the same way, readable by its owner only."""
    written = file.with_name(f"{file.name}.{os.getpid()}.new")
    written.unlink(missing_ok=True)
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    written.replace(file)
