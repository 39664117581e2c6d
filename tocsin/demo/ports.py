"""Ports on this machine that nobody listens on; a demo must not collide with its owner's work."""

import contextlib
import socket

from tocsin.errors import Unavailable

_HOST = "127.0.0.1"


def free_port(preferred: int | None = None) -> int:
    """
    Return a port nobody listens on; the preferred one where it is free.

    Raises:
        Unavailable: There is none.

    """
    for port in (preferred or 0, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            return int(probe.getsockname()[1])
    raise Unavailable("no port is free on this machine")
