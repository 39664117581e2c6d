"""Ports on this machine that nobody listens on; a demo must not collide with its owner's work."""

import contextlib
import secrets
import socket

from tocsin.errors import Unavailable

_HOST = "127.0.0.1"

_RANGE = range(15_000, 32_000)
"""
Below the ports that systems hand out by themselves (RFC 6335, 6: from 49152; Linux: from
32768). Some servers take ten seconds to listen, and meanwhile nobody is given theirs.
"""

_TRIES = 50


def free_port(preferred: int | None = None) -> int:
    """
    Return a port nobody listens on; the preferred one where it is free.

    Raises:
        Unavailable: There is none.

    """
    drawn = (secrets.choice(_RANGE) for _ in range(_TRIES))
    for port in (*([preferred] if preferred else []), *drawn):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            return port
    raise Unavailable("no port is free on this machine")
