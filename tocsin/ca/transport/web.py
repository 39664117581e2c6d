"""Speaks HTTP to a CA, and tells a reply from the lack of one."""

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError

from tocsin.ca.transport.pacing import Trouble, TroubleKind
from tocsin.errors import BadInput

_SHOWN = 300  # characters of a reply that people get to see


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: it is for the backend to say what it means."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """
        Return the body as JSON.

        Raises:
            Trouble: It is none: something else than the CA has answered.

        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            message = f"HTTP {self.status}, and no JSON: {self.text}"
            raise Trouble(message, kind=TroubleKind.FAILED) from error

    @property
    def text(self) -> str:
        """The body's beginning, for people."""
        return " ".join(self.body[:_SHOWN].decode("utf-8", "replace").split())

    @property
    def retry_after(self) -> timedelta | None:
        """How long the server asks to wait; None where it does not say."""
        value = self.headers.get("Retry-After", "")
        if value.isdecimal():
            return timedelta(seconds=int(value))
        try:
            # By the server's own clock, whatever ours says.
            wait = parsedate_to_datetime(value) - parsedate_to_datetime(
                self.headers.get("Date", "")
            )
        except (ValueError, TypeError):
            return None
        return max(wait, timedelta())

    def trouble(self, detail: str = "") -> Trouble:
        """Return what a reply means that says nothing about the certificate."""
        match self.status:
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                kind = TroubleKind.BARRED
            case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
                kind = TroubleKind.BUSY
            case _:
                kind = TroubleKind.FAILED
        return Trouble(
            f"HTTP {self.status}: {detail or self.text}",
            kind=kind,
            retry_after=self.retry_after,
        )


class Web:
    """
    Connections to one server, kept open; safe to use from several threads.

    Args:
        url: The server, and the path that all paths are appended to.
        timeout: Seconds for connecting, and for each wait for data.
        connections: How many at once.
        tls: Whom to trust and who we are; None: the system's authorities, nobody.
        headers: Returns what each request carries; asked each time, so that a secret
            that was changed counts at once.

    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        connections: int = 1,
        tls: ssl.SSLContext | None = None,
        headers: Callable[[], dict[str, str]] = dict,
    ) -> None:
        parsed = urllib3.util.parse_url(url)
        self._path = (parsed.path or "").rstrip("/")
        self._query = f"?{parsed.query}" if parsed.query else ""
        self._headers = headers
        limit = urllib3.Timeout(connect=timeout, read=timeout)
        host = parsed.host or ""
        self._pool: urllib3.HTTPConnectionPool
        if parsed.scheme == "https":
            self._pool = urllib3.HTTPSConnectionPool(
                host,
                parsed.port,
                timeout=limit,
                maxsize=connections,
                retries=False,
                ssl_context=tls or tls_context(),
            )
        else:
            self._pool = urllib3.HTTPConnectionPool(
                host, parsed.port, timeout=limit, maxsize=connections, retries=False
            )

    def ask(
        self,
        method: str,
        path: str = "",
        *,
        data: Any = None,
        form: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """
        Send one request, once, and return the reply, whatever it says.

        Args:
            method: GET, POST or PUT.
            path: Below the URL, with its query.
            data: Sent as JSON.
            form: Sent as a form.
            body: Sent as it is.
            headers: In addition.

        Raises:
            Trouble: No reply.

        """
        sent = self._headers() | dict(headers or {})
        if data is not None:
            body = json.dumps(data).encode()
            sent["Content-Type"] = "application/json"
        elif form is not None:
            body = urlencode(form).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            reply = self._pool.urlopen(
                method,
                f"{self._path}{path}{self._query}" or "/",
                body=body,
                headers=sent,
                redirect=False,
            )
        except ReadTimeoutError as error:
            message = f"{self._pool.host} is too slow: {_said(error)}"
            raise Trouble(message, kind=TroubleKind.BUSY) from error
        except SSLError as error:
            message = f"no TLS with {self._pool.host}: {_said(error)}"
            raise Trouble(message, kind=TroubleKind.BARRED) from error
        except HTTPError as error:
            message = f"{self._pool.host} is out of reach: {_said(error)}"
            raise Trouble(message, kind=TroubleKind.AWAY) from error
        return Reply(status=reply.status, headers=reply.headers, body=reply.data)


def tls_context(
    *,
    trust: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> ssl.SSLContext:
    """
    Return whom we trust and who we are.

    Raises:
        BadInput: A file cannot be read, or certificate and key are no pair.

    """
    try:
        context = ssl.create_default_context(cafile=trust)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        names = ", ".join(str(file) for file in (trust, certificate, key) if file)
        raise BadInput(f"cannot be used for TLS: {error}", file=names) from error
    return context


def _said(error: HTTPError) -> str:
    # What urllib3 says begins with the connection's place in memory.
    return str(error).rpartition(": ")[2]
