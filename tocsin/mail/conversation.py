"""One SMTP connection, phase by phase; only so can it be known what has left."""

import asyncio
import re
from contextlib import suppress

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponse

from tocsin.log import redact
from tocsin.mail.messages import OutgoingMessage, SendKind, SendOutcome

CLOSING = 421

_LEAVE_WITHIN = 2.0
_LONGEST_DETAIL = 300

_START_CONTENT = 354
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# RFC 5321 4.2.2: the command or its order was wrong, or a login is missing.
_ABOUT_US = frozenset({500, 501, 502, 503, 504, 530, 534, 535, 538, 555})


class Lost(Exception):  # noqa: N818
    """The connection is of no more use; nothing of the content has left."""

    def __init__(self, detail: str, code: int | None = None) -> None:
        super().__init__(detail)
        self.code = code if code is not None and code > 0 else None


class Line:
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
            Lost: Before any of the content had left.

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
        except Lost:
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
            raise Lost(
                f"{type(error).__name__}: {error}", getattr(error, "code", None)
            ) from error
        if reply.code == CLOSING:
            raise Lost(reply.message, reply.code)
        return reply

    async def _content(self, message: OutgoingMessage) -> tuple[SendOutcome, bool]:
        protocol = self._client.protocol
        if protocol is None or not protocol.is_connected:
            raise Lost("the relay closed the connection")
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
        detail=clean(reply.message),
    )
    return outcome, is_usable and reply.code != CLOSING


def clean(detail: str) -> str:
    """Return what a server said on one line, without addresses."""
    return redact(" ".join(detail.split()))[:_LONGEST_DETAIL]


def _stuffed(content: bytes) -> bytes:
    """Return the content as it goes over the wire (RFC 5321 4.5.2), with its end."""
    content = _BARE_LINE_END.sub(b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    return _LEADING_DOT.sub(b"..", content) + b".\r\n"
