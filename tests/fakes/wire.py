"""A wire to a CA's HTTP API that counts what passes, breaks, and answers in the CA's place."""

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_KEPT = ("content-type", "x-vault-token", "authorization")
_HANDED_ON = ("content-type", "date", "retry-after")
_INTERNAL_ERROR: tuple[int, dict[str, str], bytes] = (
    500,
    {},
    b'{"errors":["internal error"]}',
)


@dataclass
class Wire:
    """
    What is between Tocsin and the CA.

    Args:
        upstream: The CA.
        serial_of: Returns which serial a request revokes; None: it revokes none.
        is_down: Nobody gets through; connections end without a word.
        share_failing: So many calls of one are answered with 500.
        chance: Decides which, and whether the CA has done it all the same.
        url: Where it listens.
        revocations: How often the CA was asked to revoke each serial.
        failed: Calls answered with 500: before the CA was asked, and after.

    """

    upstream: str
    serial_of: Callable[[str, bytes], int | None]
    is_down: bool = False
    share_failing: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311
    url: str = ""
    revocations: Counter[int] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def calls(self) -> int:
        """How often the CA was asked to revoke."""
        with self.lock:
            return self.revocations.total()

    def fails(self) -> str:
        """Return when this call fails: before, after, or not at all."""
        with self.lock:
            if self.chance.random() >= self.share_failing:
                return ""
            when = self.chance.choice(["before", "after"])
            self.failed[when] += 1
            return when

    def passes(self, path: str, body: bytes) -> None:
        serial = self.serial_of(path, body)
        if serial is not None:
            with self.lock:
                self.revocations[serial] += 1


class _Handler(BaseHTTPRequestHandler):
    """Hands one client's calls on, over a connection of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    wire: Wire

    def setup(self) -> None:
        super().setup()
        target = urlsplit(self.wire.upstream)
        self.beyond = HTTPConnection(target.hostname or "", target.port, timeout=30)

    def finish(self) -> None:
        self.beyond.close()
        with contextlib.suppress(OSError):
            super().finish()

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.wire.is_down:
            self.close_connection = True
            return
        failing = self.wire.fails()
        if failing == "before":
            self._answer(*_INTERNAL_ERROR)
            return
        self.wire.passes(self.path, body)
        try:
            self.beyond.request(self.command, self.path, body, self._kept())
            reply = self.beyond.getresponse()
            content = reply.read()
        except (OSError, HTTPException):
            self.beyond.close()
            self.close_connection = True
            return
        if failing:
            self._answer(*_INTERNAL_ERROR)
            return
        headers = {n: v for n, v in reply.getheaders() if n.lower() in _HANDED_ON}
        self._answer(reply.status, headers, content)

    def _kept(self) -> dict[str, str]:
        return {n: v for n, v in self.headers.items() if n.lower() in _KEPT}

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        # Whoever asked may have been killed meanwhile.
        with contextlib.suppress(OSError):
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

    do_GET = do_POST = do_PUT = _hand_on  # noqa: N815 - as the base class calls them

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that were killed."""


@contextmanager
def wire(
    upstream: str, serial_of: Callable[[str, bytes], int | None], **more: Any
) -> Iterator[Wire]:
    """Hand everything on to the CA, and back."""
    made = Wire(upstream=upstream, serial_of=serial_of, **more)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"wire": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
