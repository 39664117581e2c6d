"""An SMTP server over real sockets that misbehaves exactly as it is told to."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Self

CLOSE = "close"
SILENCE = "silence"
TAKE_AND_CLOSE = "take and close"

_USUAL = {
    "GREETING": "220 relay.example ESMTP",
    "EHLO": "250-relay.example\r\n250 SIZE 10000000",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on",
    "CONTENT": "250 2.0.0 Ok: queued",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass(frozen=True)
class Asked:
    """What a client says: on which connection, its how-manieth message, which verb."""

    connection: int
    message: int
    verb: str
    argument: str


@dataclass(frozen=True)
class Taken:
    connection: int
    sender: str
    recipient: str
    content: bytes


@dataclass
class _Envelope:
    """What a server knows of the mail it is about to get."""

    sender: str = ""
    recipient: str = ""

    def objection(self, verb: str) -> str:
        """Return what a server says to a command that comes too early; usually none."""
        if verb == "RCPT" and not self.sender:
            return "503 5.5.1 nested or missing MAIL"
        if verb == "DATA" and not self.recipient:
            return "503 5.5.1 no recipient"
        return ""

    def note(self, verb: str, argument: str, *, accepted: bool) -> None:
        if verb == "RSET":
            self.sender = self.recipient = ""
        if verb == "MAIL" and accepted:
            self.sender = _address(argument)
        if verb == "RCPT" and accepted:
            self.recipient = _address(argument)


Answer = Callable[[Asked], str | None]


class ScriptedRelay:
    """Answers as told, or as usual where told nothing; remembers what it has taken."""

    def __init__(
        self, answer: Answer = lambda _: None, *, pipelines: bool = False
    ) -> None:
        self._answer = answer
        self._usual = dict(_USUAL)
        if pipelines:
            self._usual["EHLO"] = "250-relay.example\r\n250 PIPELINING"
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.port = self._server.getsockname()[1]
        self.connections = 0
        self.taken: list[Taken] = []
        self.asked: list[Asked] = []

    @property
    def recipients(self) -> list[str]:
        return [one.recipient for one in self.taken]

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._accept)
        self._threads.append(thread)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            thread = threading.Thread(
                target=self._serve, args=(client, self.connections)
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, client.makefile("rb") as lines, contextlib.suppress(OSError):
            self._talk(client, lines, number)

    def _talk(self, client: socket.socket, lines: BinaryIO, number: int) -> None:
        message, envelope = 0, _Envelope()
        if not self._reply(client, Asked(number, 0, "GREETING", "")):
            return
        for line in lines:
            verb, _, argument = line.decode().strip().partition(" ")
            verb = verb.upper()
            message += verb == "MAIL"
            asked = Asked(number, message, verb, argument)
            answered = self._reply(client, asked, envelope.objection(verb))
            if not answered or verb == "QUIT":
                return
            envelope.note(verb, argument, accepted=answered.startswith("2"))
            if verb == "DATA" and answered.startswith("354"):
                content = _read_content(lines)
                if content is None:
                    return
                asked = Asked(number, message, "CONTENT", envelope.recipient)
                told = self._answer(asked) or self._usual["CONTENT"]
                if told.startswith("2") or told == TAKE_AND_CLOSE:
                    with self._lock:
                        self.taken.append(
                            Taken(number, envelope.sender, envelope.recipient, content)
                        )
                if not self._reply(client, asked):
                    return
                envelope = _Envelope()

    def _reply(self, client: socket.socket, asked: Asked, usual: str = "") -> str:
        with self._lock:
            self.asked.append(asked)
        told = self._answer(asked) or usual or self._usual[asked.verb]
        if told == SILENCE:
            self._ended.wait(60)
        if told in {SILENCE, CLOSE, TAKE_AND_CLOSE}:
            return ""
        client.sendall(told.encode() + b"\r\n")
        return told


def _address(argument: str) -> str:
    found = re.search(r"<([^>]*)>", argument)
    assert found
    return found.group(1)


def _read_content(lines: BinaryIO) -> bytes | None:
    """Return what came before the dot; None when the dot never came."""
    content = b""
    for line in lines:
        if line == b".\r\n":
            return content
        content += line[1:] if line.startswith(b".") else line
    return None
