"""Hands messages to the relay, several at once, and says of each what became of it."""

import asyncio
import queue
import re
import ssl
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog
from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponse

from models.terms import NoticeId
from tocsin.log import redact
from tocsin.settings import Tls

log = structlog.get_logger()

_CONNECT_WITHIN = 15.0
_LEAVE_WITHIN = 2.0
_LONGEST_DETAIL = 300
_CYCLES_TO_CLOSE = 4
"""Turns of the event loop until an aborted connection under TLS is closed."""

_CLOSING = 421
_START_CONTENT = 354
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# RFC 5321 4.2.2: the command or its order was wrong, or a login is missing.
_ABOUT_US = frozenset({500, 501, 502, 503, 504, 530, 534, 535, 538, 555})


class SendKind(StrEnum):
    """What became of one message."""

    SENT = "sent"  # the relay took it
    RETRY = "retry"  # refused for now
    FAILED = "failed"  # the address was refused for good
    IN_DOUBT = "in-doubt"  # the content was on its way and no answer came
    NOT_SENT = "not-sent"  # the relay could not be talked to; nothing has left


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """
    One message to one recipient.

    Args:
        notice_id: What it is about.
        sender: The return path, where bounces go.
        recipient: The address.
        content: Headers and body, lines ended by CRLF.

    """

    notice_id: NoticeId
    sender: str
    recipient: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """
    How one message ended.

    Args:
        notice_id: Which.
        kind: How.
        smtp_code: The relay's last word; None where it gave none.
        detail: Its words, without addresses.

    """

    notice_id: NoticeId
    kind: SendKind
    smtp_code: int | None = None
    detail: str = ""


class Mailer(Protocol):
    """Sends a batch."""

    def send(self, messages: Iterable[OutgoingMessage]) -> Iterator[SendOutcome]:
        """Send; yield exactly one outcome for each message, in any order."""
        ...


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

    async def _dial(self) -> "_Line":
        """
        Connect, protect, log in.

        Raises:
            _Lost: It cannot be done now.

        """
        line = _Line(
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
            raise _Lost(f"{type(error).__name__}: {error}", code) from error
        return line


class _Lost(Exception):  # noqa: N818
    """The connection is of no more use; nothing of the content has left."""

    def __init__(self, detail: str, code: int | None = None) -> None:
        super().__init__(detail)
        self.code = code if code is not None and code > 0 else None


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
        dial: Callable[[], Awaitable["_Line"]],
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
        self._why = _Lost("the relay cannot be reached")

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
        line: _Line | None = None
        try:
            while self._todo:
                line = await self._renewed(line)
                if self._todo:
                    line = await self._send_next(line)
            if line is not None:
                await line.leave()
        except _Lost as error:
            # The other connections go on; what is left in the end was not sent.
            self._why = error
        finally:
            if line is not None:
                line.abort()

    async def _renewed(self, line: "_Line | None") -> "_Line":
        """Return the connection, or a new one where there is none or it is worn out."""
        if self._doubts > self._lines:
            # Each further one might become a message that somebody gets twice.
            raise _Lost("the relay takes messages and does not say so")
        if line is not None and line.messages >= self._per_line:
            await line.leave()
            line = None
        return line or await self._dial()

    async def _send_next(self, line: "_Line") -> "_Line | None":
        """Send one message; return the connection if it can be used again."""
        item = self._todo.popleft()
        try:
            outcome, is_usable = await line.send(item.message)
        except _Lost as error:
            line.abort()
            if not item.losses:
                # A server may end a connection at any time: no fault of the message.
                self._again(item)
                return None
            self._tell_lost(item, error)
            if line.messages == 1:
                raise  # lost twice, and on a new connection: it is the relay
            return None
        if outcome.smtp_code == _CLOSING and not item.losses:
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

    def _tell_lost(self, item: _Item, why: _Lost) -> None:
        self._tell(
            SendOutcome(
                notice_id=item.message.notice_id,
                kind=SendKind.NOT_SENT,
                smtp_code=why.code,
                detail=_clean(str(why)),
            )
        )


class _Line:
    """
    One connection. Its phases are spelled out, since only we can know what has left.

    Args:
        client: Not connected yet.
        timeout: For each answer, seconds.

    """

    def __init__(self, client: SMTP, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        # The client forgets it before it is closed, above all under TLS.
        self._transport: asyncio.BaseTransport | None = None
        self._envelope_open = False
        self.messages = 0

    async def open(self, *, within: float, starts_tls: bool) -> None:
        """Connect, protect the connection, introduce ourselves."""
        await self._client.connect(timeout=within)
        self._transport = self._client.transport
        if starts_tls:
            await self._client.starttls(timeout=within)
            self._transport = self._client.transport
        try:
            await self._client.ehlo()
        except SMTPHeloError:
            await self._client.helo()

    async def log_in(self, username: str, password: str) -> None:
        """Say who we are."""
        await self._client.login(username, password)

    async def send(self, message: OutgoingMessage) -> tuple[SendOutcome, bool]:
        """
        Send one message.

        Returns:
            What became of it, and whether the connection can be used again.

        Raises:
            _Lost: Before any of the content had left.

        """
        self.messages += 1
        try:
            envelope = self._envelope(message)
        except _NoSuchAddress as error:
            return _outcome(message, SendKind.FAILED, SMTPResponse(553, str(error)))
        self._envelope_open = True
        for command, accepted in (
            (envelope[0], (250,)),
            (envelope[1], (250, 251)),
            ((b"DATA",), (_START_CONTENT,)),
        ):
            reply = await self._ask(*command)
            if reply.code not in accepted:
                is_recipient = command is envelope[1]
                return _outcome(
                    message, _refused(reply, is_recipient=is_recipient), reply
                )
        return await self._content(message)

    async def is_ready(self) -> bool:
        """Close an envelope left open by a refusal; False: the line is of no use."""
        if not self._envelope_open:
            return True
        try:
            reply = await self._ask(b"RSET")
        except _Lost:
            return False
        self._envelope_open = False
        return reply.code == 250  # noqa: PLR2004

    async def leave(self) -> None:
        """Say goodbye, but do not wait for long."""
        with suppress(SMTPException, OSError, TimeoutError):
            await self._client.quit(timeout=_LEAVE_WITHIN)
        self.abort()

    def abort(self) -> None:
        """Let go of the connection at once."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()
        self._client.close()

    async def _ask(self, *command: bytes) -> SMTPResponse:
        try:
            reply = await self._client.execute_command(*command, timeout=self._timeout)
        except (SMTPException, OSError, ValueError) as error:
            raise _Lost(
                f"{type(error).__name__}: {error}", getattr(error, "code", None)
            ) from error
        if reply.code == _CLOSING:
            raise _Lost(reply.message, reply.code)
        return reply

    async def _content(self, message: OutgoingMessage) -> tuple[SendOutcome, bool]:
        protocol = self._client.protocol
        if protocol is None or not protocol.is_connected:
            raise _Lost("the relay closed the connection")
        # From here on the relay may have it, whatever happens.
        try:
            protocol.write(_stuffed(message.content))
            reply = await protocol.read_response(timeout=self._timeout)
        except (SMTPException, OSError) as error:
            code = getattr(error, "code", None)
            reply = SMTPResponse(code or 0, f"{type(error).__name__}: {error}")
            return _outcome(message, SendKind.IN_DOUBT, reply, is_usable=False)
        self._envelope_open = False
        kind = {2: SendKind.SENT, 4: SendKind.RETRY}.get(reply.code // 100)
        if kind is None:
            # The relay's own check of the recipient may come as late as this.
            is_recipient = _status(reply)[:2] in {("5", "1"), ("5", "2")}
            kind = _refused(reply, is_recipient=is_recipient)
        return _outcome(message, kind, reply)

    def _envelope(
        self, message: OutgoingMessage
    ) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        sender, recipient = _plain(message.sender), _plain(message.recipient)
        options: tuple[bytes, ...] = ()
        if not (sender + recipient).isascii():
            if not self._client.supports_extension("smtputf8"):
                raise _NoSuchAddress("the relay takes no address beyond ASCII")
            options = (b"SMTPUTF8",)
        return (
            (b"MAIL", f"FROM:<{sender}>".encode(), *options),
            (b"RCPT", f"TO:<{recipient}>".encode()),
        )


class _NoSuchAddress(Exception):  # noqa: N818
    """The relay has no way to write to an address of this form."""


def _plain(address: str) -> str:
    """Return an address as SMTP wants it: the domain in ASCII, nothing that splits it."""
    if re.search(r"[\x00-\x20\x7f<>]", address):
        raise _NoSuchAddress("the address holds a character that none can hold")
    local, at, domain = address.rpartition("@")
    if not local or not domain:
        raise _NoSuchAddress("the address has no @, or nothing on one side of it")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            raise _NoSuchAddress("the address's domain cannot exist") from None
    return f"{local}{at}{domain}"


def _refused(reply: SMTPResponse, *, is_recipient: bool) -> SendKind:
    """
    Tell a refused address from everything else that can be refused.

    RFC 3463: x.7.z is a policy, such as "relaying denied": our set-up's fault, which
    must not make a contact unreachable. The same for a sender or a content refused.
    """
    if reply.code // 100 != 5 or not is_recipient:  # noqa: PLR2004
        return SendKind.RETRY
    if reply.code in _ABOUT_US or _status(reply)[1:2] == ("7",):
        return SendKind.RETRY
    return SendKind.FAILED


def _status(reply: SMTPResponse) -> tuple[str, ...]:
    found = _STATUS.search(reply.message)
    return found.groups() if found else ()


def _outcome(
    message: OutgoingMessage,
    kind: SendKind,
    reply: SMTPResponse,
    *,
    is_usable: bool = True,
) -> tuple[SendOutcome, bool]:
    outcome = SendOutcome(
        notice_id=message.notice_id,
        kind=kind,
        smtp_code=reply.code if reply.code > 0 else None,
        detail=_clean(reply.message),
    )
    return outcome, is_usable and reply.code != _CLOSING


def _clean(detail: str) -> str:
    return redact(" ".join(detail.split()))[:_LONGEST_DETAIL]


def _stuffed(content: bytes) -> bytes:
    """Return the content as it goes over the wire (RFC 5321 4.5.2), with its end."""
    content = _BARE_LINE_END.sub(b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    return _LEADING_DOT.sub(b"..", content) + b".\r\n"
