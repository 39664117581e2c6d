"""A wire between a sender and its relay that breaks on cue, or is down altogether."""

import random
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Self

AFTER_DATA = "cut after DATA"
AFTER_DOT = "cut after the dot"

_END = b"\r\n.\r\n"


class BreakingLine:
    """
    Passes on what both sides say.

    Args:
        port: Of the relay.
        seed: Decides which messages meet a fault.
        share: Of messages that are cut, for each of the two places.

    """

    def __init__(self, port: int, *, seed: int, share: float) -> None:
        self._to = port
        self._random = random.Random(seed)  # noqa: S311 - to be repeatable
        self._share = share
        self._listener = _listen(0)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.recipients = 0
        self.cuts: Counter[str] = Counter()
        self._accepting = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_down()

    def go_down(self) -> None:
        """Refuse connections and end those there are."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        with self._lock:
            ends, self._open = self._open, []
        for one in ends:
            _cut(one)

    def come_back(self) -> None:
        """Take connections again, at the same port."""
        self._listener = _listen(self.port)
        self._accepting = self._start()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(
            target=self._accept, args=(self._listener,), daemon=True
        )
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                relay = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            with self._lock:
                self._open += [client, relay]
            wire = _Wire(self, client, relay)
            for pump in (wire.up, wire.down):
                threading.Thread(target=pump, daemon=True).start()

    def fate(self) -> str | None:
        """Decide what happens to the next message."""
        with self._lock:
            drawn = self._random.random()
            fate = None
            if drawn < self._share:
                fate = AFTER_DATA
            elif drawn < 2 * self._share:
                fate = AFTER_DOT
            if fate:
                self.cuts[fate] += 1
            return fate

    def count(self, recipients: int) -> None:
        """Note how many recipients were named."""
        with self._lock:
            self.recipients += recipients


class _Wire:
    """One connection, a thread for each direction."""

    def __init__(
        self, line: BreakingLine, client: socket.socket, relay: socket.socket
    ) -> None:
        self._line = line
        self._client = client
        self._relay = relay
        self._in_content = False
        self._fate: str | None = None
        self._swallows = False

    def up(self) -> None:
        """Pass on what the sender says."""
        seen = b""
        with suppress(OSError):
            while data := self._client.recv(65536):
                if not self._in_content:
                    self._line.count(data.upper().count(b"RCPT TO:"))
                    self._relay.sendall(data)
                    seen = b"\r\n"
                    continue
                if self._fate == AFTER_DATA:
                    self._relay.sendall(data[: len(data) // 2].rstrip(b"\r\n."))
                    break
                # The end may be spread over two pieces.
                joined = seen + data
                at = joined.find(_END)
                seen = joined[-len(_END) :]
                if at >= 0:
                    self._in_content = False
                    self._swallows = self._fate == AFTER_DOT
                    # The next envelope may come along (RFC 2920).
                    rest = joined[at + len(_END) :]
                    self._line.count(rest.upper().count(b"RCPT TO:"))
                self._relay.sendall(data)
        self._end()

    def down(self) -> None:
        """Pass on what the relay says, until it says what the sender must not hear."""
        with suppress(OSError):
            while data := self._relay.recv(65536):
                if self._swallows:
                    break
                if any(line.startswith(b"354") for line in data.split(b"\r\n")):
                    self._fate = self._line.fate()
                    self._in_content = True
                self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        _cut(self._client)
        _cut(self._relay)


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=50)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
