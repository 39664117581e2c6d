"""A web server on this machine that keeps what it is asked and told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came in; while ``status`` is an error, nothing is taken."""

    port: int
    status: int = 200
    asked: list[str] = field(default_factory=list)  # paths of GET
    taken: list[dict[str, Any]] = field(default_factory=list)  # bodies of POST

    @property
    def alarms(self) -> str:
        """Its address as Apprise has it."""
        return f"json://127.0.0.1:{self.port}/"

    @property
    def ping(self) -> str:
        """Its address for a heartbeat."""
        return f"http://127.0.0.1:{self.port}/ping/secret"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            one.asked.append(self.path)
            self._answer()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if one.status < 300:
                one.taken.append(json.loads(body))
            self._answer()

        def _answer(self) -> None:
            self.send_response(one.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one = Receiver(port=server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
