"""Opens a connection to the relay: greeted, protected as was asked for, logged in."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from aiosmtplib import SMTP, SMTPException, SMTPHeloError

from tocsin.mail.conversation import Lost
from tocsin.settings import Tls

_CONNECT_WITHIN = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """
    The relay, and how it is talked to.

    Args:
        host: Where it is.
        port: Its port.
        tls: How the connection is protected.
        context: For TLS; one for all connections, since making one costs 60 ms.
        username: For the login; None: no login.
        password: For the login.
        local_hostname: How we introduce ourselves.
        timeout: For each answer, seconds.

    """

    host: str
    port: int
    tls: Tls
    context: ssl.SSLContext | None
    username: str | None
    password: str | None
    local_hostname: str
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """
    A connection that is ready for mail.

    Args:
        transport: To talk over; its protocol has yet to be set.
        pipelines: The relay offers PIPELINING (RFC 2920).
        takes_utf8: The relay offers SMTPUTF8 (RFC 6531).

    """

    transport: asyncio.Transport
    pipelines: bool
    takes_utf8: bool


def default_context(
    tls: Tls, *, is_verified: bool = True, ca_file: Path | None = None
) -> ssl.SSLContext | None:
    """
    Return what TLS is made with; None where there is none.

    Args:
        tls: How the connection is protected; one that is required is verified always.
        is_verified: Whether an opportunistic one is.
        ca_file: Trusted roots, PEM; None: the system's.

    """
    if tls is Tls.NONE:
        return None
    context = ssl.create_default_context(cafile=ca_file)
    if tls is Tls.OPPORTUNISTIC and not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def dial(relay: Relay) -> Opened:
    """
    Connect, protect, introduce ourselves, log in.

    Raises:
        Lost: It cannot be done now.

    """
    client = SMTP(
        hostname=relay.host,
        port=relay.port,
        local_hostname=relay.local_hostname,
        timeout=min(_CONNECT_WITHIN, relay.timeout),
        use_tls=relay.tls is Tls.IMPLICIT,
        # Never left to the library: it would take what the server happens to offer.
        start_tls=False,
        tls_context=relay.context,
    )
    seen: list[asyncio.Transport] = []
    try:
        await client.connect()
        _see(client, seen)
        await _prepare(client, relay, seen)
    except BaseException as error:
        # The client forgets its transport before that is closed, above all under TLS.
        for transport in seen:
            transport.abort()
        client.close()
        if isinstance(error, SMTPException | OSError):
            code = getattr(error, "code", None)
            raise Lost(f"{type(error).__name__}: {error}", code) from error
        raise
    return Opened(
        transport=seen[-1],
        pipelines=client.supports_extension("pipelining"),
        takes_utf8=client.supports_extension("smtputf8"),
    )


async def _prepare(client: SMTP, relay: Relay, seen: list[asyncio.Transport]) -> None:
    await _introduce(client)
    is_protected = relay.tls is Tls.IMPLICIT
    if relay.tls is Tls.STARTTLS or (
        relay.tls is Tls.OPPORTUNISTIC and client.supports_extension("starttls")
    ):
        await client.starttls()
        _see(client, seen)
        await _introduce(client)
        is_protected = True
    if relay.username is not None:
        if not is_protected and relay.tls is not Tls.NONE:
            raise Lost("no TLS is offered: the password is kept to ourselves")
        await client.login(relay.username, relay.password or "")
    if not client.is_connected:
        raise Lost("the relay closed the connection")


def _see(client: SMTP, seen: list[asyncio.Transport]) -> None:
    if isinstance(client.transport, asyncio.Transport):
        seen.append(client.transport)


async def _introduce(client: SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError:
        await client.helo()
