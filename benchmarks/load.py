"""
Many clients at once, in a process of their own: `python load.py HOST PORT SECONDS`.

Reads on stdin, as JSON, what each client does again and again, or once where SECONDS is 0;
writes what came of it.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import Any
from urllib.parse import urlencode

_WITHIN = 60.0
"""How long a client waits for an answer, seconds."""


@dataclass(slots=True)
class Taken:
    """What came of the requests of one kind."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0


class Client:
    """One connection, kept; one request after another, as a browser does."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request, and return the status and the content."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, limit=1 << 20
            )
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        if method == "POST":
            head += (
                "Content-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\n"
            )
        self._writer.write(head.encode() + b"\r\n" + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        length = int(lower[at : lower.index(b"\r", at)])
        content = await self._reader.readexactly(length)
        if b"\r\nconnection: close" in lower:
            self.close()
        return int(answer[9:12]), content

    def close(self) -> None:
        """Hang up; the next request calls again."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _found(content: bytes, name: bytes) -> list[str]:
    """Return the values of a page's hidden fields of that name."""
    begin = b'name="%b" value="' % name
    values = []
    at = content.find(begin)
    while at >= 0:
        at += len(begin)
        values.append(content[at : content.index(b'"', at)].decode())
        at = content.find(begin, at)
    return values


async def _act(client: Client, one: dict[str, Any]) -> int:
    """Fill in a form, check it, press the button; return the worst status."""
    path = one["path"]
    fields = [(name, value) for name, value in one["fields"].items()]
    status, page = await client.ask("POST", f"{path}/check", urlencode(fields).encode())
    if status != 200:  # noqa: PLR2004
        return status
    carried = _found(page, b"csr")
    sent = [("csr", csr) for csr in carried] or fields
    sent.append(("nonce", _found(page, b"nonce")[0]))
    status, _ = await client.ask("POST", path, urlencode(sent).encode())
    return status


async def _live(
    client: Client,
    steps: Iterator[dict[str, Any]],
    taken: dict[str, Taken],
    until: float,
) -> None:
    for one in steps:
        if perf_counter() >= until:
            break
        kind = taken.setdefault(one["kind"], Taken())
        begun = perf_counter()
        try:
            async with asyncio.timeout(_WITHIN):
                if "fields" in one:
                    status = await _act(client, one)
                else:
                    status, _ = await client.ask("GET", one["path"])
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status = 0
            client.close()
        if status not in (200, 303):
            kind.errors += 1
            continue
        kind.seconds.append(perf_counter() - begun)
    client.close()


async def main() -> None:
    """Let all clients live for a while, and say what came of it."""
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    scripts = json.load(sys.stdin)
    taken: dict[str, Taken] = {}
    begun = perf_counter()
    until = begun + (seconds or _WITHIN)
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(
        *(
            _live(
                Client(host, port),
                cycle(script) if seconds else iter(script),
                taken,
                until,
            )
            for script in scripts
        )
    )
    took = perf_counter() - begun
    end = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": took,
                "cpu": end.ru_utime + end.ru_stime - cpu.ru_utime - cpu.ru_stime,
                "kinds": {
                    name: {"seconds": one.seconds, "errors": one.errors}
                    for name, one in taken.items()
                },
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
