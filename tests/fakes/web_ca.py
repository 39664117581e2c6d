"""A local HTTP server that is some CA, and the store behind it."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from fakes.authority import PEM
from fakes.option_files import write_options
from fakes.requests import request_for

from models.terms import Reason
from tocsin.ca.backend import AnswerKind, RevocationAnswer, StatusKind
from tocsin.ca.embedded import EmbeddedCa
from tocsin.ca.issuers import add_issued, all_issuers, create_issuer, crl_file
from tocsin.clock import SystemClock


@dataclass(frozen=True)
class Asked:
    """One request that a server was sent."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    """What a server answers; a dict or list is sent as JSON."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class WebCa:
    """
    The store behind a CA's API: serials that were issued, and what was revoked.

    Args:
        folder: Holds the CA, its CRL, and options files.
        issuer_key: Its one issuer.

    """

    folder: Path
    issuer_key: str
    serials: Iterator[int] = field(default_factory=lambda: count(0xAB01))
    asked: list[Asked] = field(default_factory=list)
    instead: list[Said] = field(default_factory=list)

    @property
    def ca(self) -> EmbeddedCa:
        return EmbeddedCa(self.folder, clock=SystemClock())

    def new_serial(self) -> int:
        serial = next(self.serials)
        add_issued(self.folder, issuer_key=self.issuer_key, serials=[serial])
        return serial

    def revoke(self, serial: int, reason: Reason) -> RevocationAnswer:
        """Revoke, and publish at once."""
        (answer,) = self.ca.revoke(
            [request_for(self.issuer_key, serial, reason=reason)]
        )
        if answer.kind is AnswerKind.DONE:
            self.ca.publish(self.issuer_key)
        return answer

    def status(self, serial: int) -> tuple[StatusKind, Any, Reason | None]:
        (found,) = self.ca.look_up([request_for(self.issuer_key, serial)])
        return found.kind, found.revoked_at, found.reason

    def options(self, url: str, **ca: Any) -> Path:
        """Write an options file, with a secret beside it."""
        (issuer,) = all_issuers(self.folder)
        (self.folder / "issuer.pem").write_bytes(issuer.certificate.public_bytes(PEM))
        (self.folder / "secret").write_text("open sesame\n")
        return write_options(
            self.folder / "ca.toml",
            {
                "certificate": "issuer.pem",
                "crl": crl_file(self.folder, self.issuer_key),
            },
            ca={"url": url} | ca,
        )


def web_ca(folder: Path) -> WebCa:
    """Make a store with one issuer and a first CRL."""
    key = create_issuer(
        folder, name="Web CA", organisation="Example", now=SystemClock().now()
    )
    add_issued(folder, issuer_key=key, serials=[])
    made = WebCa(folder=folder, issuer_key=key)
    made.ca.publish(key)
    return made


@contextmanager
def serve(ca: WebCa, answer: Callable[[Asked], Said]) -> Iterator[str]:
    """Answer as told; entries of ``ca.instead`` come first. Gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked = Asked(
                self.command, self.path, self.headers, self.rfile.read(length)
            )
            ca.asked.append(asked)
            said = ca.instead.pop(0) if ca.instead else answer(asked)
            content = said.content
            if content is None:
                body = b""
            elif isinstance(content, bytes):
                body = content
            elif isinstance(content, str):
                body = content.encode()
            else:
                body = json.dumps(content).encode()
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - as the base class calls them

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
