"""Hands messages to the relay, several at once, and says of each what became of it."""

import asyncio
import queue
import ssl
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiosmtplib import SMTP, SMTPException

from tocsin.log import redact
from tocsin.mail.conversation import CLOSING, Line, Lost, clean
from tocsin.mail.messages import Mailer, OutgoingMessage, SendKind, SendOutcome
from tocsin.settings import Tls

__all__ = ["Mailer", "OutgoingMessage", "SendKind", "SendOutcome", "SmtpMailer"]

log = structlog.get_logger()

_CONNECT_WITHIN = 15.0
_CYCLES_TO_CLOSE = 4
"""Turns of the event loop until an aborted connection under TLS is closed."""


class SmtpMailer:
    """
    Sends through a relay over several connections at once.

    Args:
        host: The relay.
        port: Its port.
        tls: How the connection is protected; a certificate is always verified.
        username: For the login; None: no login.
        password: For the login.
        connections: At once, at most.
        per_connection: Messages on one connection: servers end longer ones.
        timeout_seconds: For each answer of the relay.
        local_hostname: How we introduce ourselves.
        tls_context: None: the system's trusted roots.

    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: Tls,
        username: str | None = None,
        password: str | None = None,
        connections: int = 4,
        per_connection: int = 100,
        timeout_seconds: float = 60,
        local_hostname: str = "localhost",
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._username = username
        self._password = password
        self._connections = connections
        self._per_connection = per_connection
        self._timeout = timeout_seconds
        self._local_hostname = local_hostname
        # One for all connections: making one costs 60 ms.
        self._context = tls_context
        if tls is not Tls.NONE and tls_context is None:
            self._context = ssl.create_default_context()

    def send(self, messages: Iterable[OutgoingMessage]) -> Iterator[SendOutcome]:
        """Send; yield exactly one outcome for each message, in any order."""
        todo = list(messages)
        if not todo:
            return
        ended: queue.SimpleQueue[SendOutcome | BaseException | None] = (
            queue.SimpleQueue()
        )
        batch = _Batch(
            todo,
            dial=self._dial,
            lines=min(self._connections, len(todo)),
            per_line=self._per_connection,
            tell=ended.put,
        )

        def run() -> None:
            # In a thread of its own: the caller may be inside an event loop.
            try:
                asyncio.run(batch.run())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller
                ended.put(error)
            else:
                ended.put(None)

        thread = threading.Thread(target=run, name="mailer", daemon=True)
        thread.start()
        try:
            while (outcome := ended.get()) is not None:
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
        finally:
            batch.stop()
            thread.join()

    async def _dial(self) -> Line:
        """
        Connect, protect, log in.

        Raises:
            Lost: It cannot be done now.

        """
        line = Line(
            SMTP(
                hostname=self._host,
                port=self._port,
                local_hostname=self._local_hostname,
                timeout=self._timeout,
                use_tls=self._tls is Tls.IMPLICIT,
                # Never left to what the server offers: that could be taken away on
                # the way.
                start_tls=False,
                tls_context=self._context,
            ),
            timeout=self._timeout,
        )
        try:
            await line.open(
                within=min(_CONNECT_WITHIN, self._timeout),
                starts_tls=self._tls is Tls.STARTTLS,
            )
            if self._username is not None:
                await line.log_in(self._username, self._password or "")
        except (SMTPException, OSError) as error:
            line.abort()
            code = getattr(error, "code", None)
            raise Lost(f"{type(error).__name__}: {error}", code) from error
        return line


@dataclass(slots=True, kw_only=True)
class _Item:
    message: OutgoingMessage
    losses: int = 0


class _Batch:
    """Messages that several connections take from, each when it is free."""

    def __init__(
        self,
        messages: Sequence[OutgoingMessage],
        *,
        dial: Callable[[], Awaitable[Line]],
        lines: int,
        per_line: int,
        tell: Callable[[SendOutcome], None],
    ) -> None:
        self._todo = deque(_Item(message=message) for message in messages)
        self._dial = dial
        self._lines = lines
        self._per_line = per_line
        self._tell = tell
        self._doubts = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._why = Lost("the relay cannot be reached")

    async def run(self) -> None:
        """Send everything; what no connection could take is told as not sent."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lines):
                group.create_task(self._work())
        if self._todo:
            log.warning(
                "The relay cannot be reached",
                messages=len(self._todo),
                error=redact(str(self._why)),
            )
        while self._todo:
            self._tell_lost(self._todo.popleft(), self._why)
        for _ in range(_CYCLES_TO_CLOSE):
            await asyncio.sleep(0)

    def stop(self) -> None:
        """End early: the caller does not want the rest. Harmless when all is done."""
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _work(self) -> None:
        line: Line | None = None
        try:
            while self._todo:
                line = await self._renewed(line)
                if self._todo:
                    line = await self._send_next(line)
            if line is not None:
                await line.leave()
        except Lost as error:
            # The other connections go on; what is left in the end was not sent.
            self._why = error
        finally:
            if line is not None:
                line.abort()

    async def _renewed(self, line: Line | None) -> Line:
        """Return the connection, or a new one where there is none or it is worn out."""
        if self._doubts > self._lines:
            # Each further one might become a message that somebody gets twice.
            raise Lost("the relay takes messages and does not say so")
        if line is not None and line.messages >= self._per_line:
            await line.leave()
            line = None
        return line or await self._dial()

    async def _send_next(self, line: Line) -> Line | None:
        """Send one message; return the connection if it can be used again."""
        item = self._todo.popleft()
        try:
            outcome, is_usable = await line.send(item.message)
        except Lost as error:
            line.abort()
            if not item.losses:
                # A server may end a connection at any time: no fault of the message.
                self._again(item)
                return None
            self._tell_lost(item, error)
            if line.messages == 1:
                raise  # lost twice, and on a new connection: it is the relay
            return None
        if outcome.smtp_code == CLOSING and not item.losses:
            self._again(item)
        else:
            self._tell(outcome)
        self._doubts += outcome.kind is SendKind.IN_DOUBT
        if is_usable and await line.is_ready():
            return line
        line.abort()
        return None

    def _again(self, item: _Item) -> None:
        item.losses += 1
        self._todo.appendleft(item)

    def _tell_lost(self, item: _Item, why: Lost) -> None:
        self._tell(
            SendOutcome(
                notice_id=item.message.notice_id,
                kind=SendKind.NOT_SENT,
                smtp_code=why.code,
                detail=clean(str(why)),
            )
        )
