"""Hands messages to the relay, over several connections, and says of each what became of it."""

import asyncio
import ssl
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tocsin.mail.dial import Relay, default_context
from tocsin.mail.messages import (
    Mailer,
    OutgoingMessage,
    SendKind,
    SendOutcome,
    Signer,
    Witness,
)
from tocsin.mail.pace import Pace
from tocsin.mail.pool import Pool
from tocsin.settings import Tls

__all__ = ["Mailer", "OutgoingMessage", "SendKind", "SendOutcome", "SmtpMailer"]


class SmtpMailer:
    """
    Sends through a relay over several connections at once.

    Messages are taken while others are on their way: the relay works on those meanwhile.

    Args:
        host: The relay.
        port: Its port.
        tls: How the connection is protected.
        username: For the login; None: no login.
        password: For the login.
        connections: At once, at most.
        per_connection: Messages on one connection: servers end longer ones.
        timeout_seconds: For each answer of the relay.
        local_hostname: How we introduce ourselves.
        tls_context: For TLS; None: the system's trusted roots.
        per_second: Messages a second at most, in all; None: as fast as it goes.
        per_domain_per_second: The same for one recipient domain.
        signer: Signs what leaves (DKIM); None: nothing is signed.

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
        per_second: float | None = None,
        per_domain_per_second: float | None = None,
        signer: Signer | None = None,
    ) -> None:
        self._relay = Relay(
            host=host,
            port=port,
            tls=tls,
            context=tls_context or default_context(tls),
            username=username,
            password=password,
            local_hostname=local_hostname,
            timeout=timeout_seconds,
        )
        self._connections = connections
        self._per_connection = per_connection
        self._per_second = per_second
        self._per_domain_per_second = per_domain_per_second
        self._signer = signer

    def send(
        self, messages: Iterable[OutgoingMessage], *, witness: Witness | None = None
    ) -> Iterator[SendOutcome]:
        """Send; yield exactly one outcome for each message taken, in any order."""
        sending = self._send(iter(messages), witness)
        # An event loop runs in no thread in which another one does.
        yield from _beside(sending) if _is_in_event_loop() else sending

    def _send(
        self, feed: Iterator[OutgoingMessage], witness: Witness | None
    ) -> Generator[SendOutcome]:
        first = next(feed, None)
        if first is None:
            return
        failure: Exception | None = None
        pool = Pool(
            self._relay,
            connections=self._connections,
            per_connection=self._per_connection,
            pace=Pace(
                per_second=self._per_second, per_domain=self._per_domain_per_second
            ),
            signer=self._signer,
            witness=witness,
        )
        with pool:
            pool.add(first)
            while (told := pool.advance()) is not None:
                yield from told
                failure = failure or _fill(pool, feed)
        yield from pool.rest()
        if failure is not None:
            raise failure


def _fill(pool: Pool, feed: Iterator[OutgoingMessage]) -> Exception | None:
    """Add what is wanted; return why no more can be had, if so."""
    try:
        while pool.wants_more:
            message = next(feed, None)
            if message is None:
                pool.close()
                return None
            pool.add(message)
    except Exception as error:  # noqa: BLE001 - raised when all on its way has ended
        pool.close()
        return error
    return None


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _beside(sending: Generator[SendOutcome]) -> Iterator[SendOutcome]:
    """Go through it step by step in a thread of its own, while the caller waits."""
    with ThreadPoolExecutor(1, thread_name_prefix="mailer") as thread:
        try:
            while (outcome := thread.submit(next, sending, None).result()) is not None:
                yield outcome
        finally:
            thread.submit(sending.close).result()
