"""Which certificate a host presents now: one TLS handshake with a checked address."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from models.terms import WireFinding
from tocsin.policy.wire import AddressRules, may_all_be_looked_at

Resolve = Callable[[str, int], Sequence[str]]
"""From a host and a port to addresses; raises OSError where there are none."""

_MOST_OCTETS: Final = 1 << 16
"""Of a handshake: a chain with everything is a tenth of it."""

_AT_ONCE: Final = 32
"""Hosts, and threads: what a resolver holds up for long counts as long as it lasts."""

_LOOKS_AT_ONCE: Final = 8
"""People who wait for a look; who comes then is told so, and waits for nobody."""

_MOST_ADDRESSES: Final = 2
_READ: Final = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """
    What a host presents.

    Args:
        host: Which.
        der: The certificate; None where there is none.
        problem: Why there is none; None where there is one.

    """

    host: str
    der: bytes | None = None
    problem: WireFinding | None = None


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Wire:
    """
    Looks at hosts, within a time and from this process alone.

    The name is resolved once, every address is checked, and the connection goes to a
    checked address: a second answer of the resolver leads nowhere. Nothing is sent
    beyond the handshake, and nothing is followed.

    Args:
        rules: Which addresses may be looked at.
        port: Where TLS is spoken.
        seconds: How long it may take altogether, whatever the hosts do.
        resolver: Finds addresses.

    """

    def __init__(
        self,
        rules: AddressRules,
        *,
        port: int = 443,
        seconds: float = 4.0,
        resolver: Resolve = resolve,
    ) -> None:
        self._rules = rules
        self._port = port
        self._seconds = seconds
        self._resolve = resolver
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._looks = threading.BoundedSemaphore(_LOOKS_AT_ONCE)

    def look(self, hosts: Sequence[str]) -> dict[str, Presented]:
        """
        Return what each host presents; what takes too long is left behind.

        Threads of their own, daemons: a resolver cannot be told to stop.
        """
        if not self._looks.acquire(blocking=False):
            return {
                host: Presented(host=host, problem=WireFinding.BUSY) for host in hosts
            }
        try:
            return self._look_at_all(hosts)
        finally:
            self._looks.release()

    def _look_at_all(self, hosts: Sequence[str]) -> dict[str, Presented]:
        until = time.monotonic() + self._seconds
        found: dict[str, Presented] = {}
        lock = threading.Lock()
        threads = []

        def look(host: str) -> None:
            try:
                presented = self._look(host, until)
            finally:
                self._free.release()
            with lock:
                found[host] = presented

        for host in dict.fromkeys(hosts):
            left = max(0.0, until - time.monotonic())
            if not self._free.acquire(timeout=left):
                break
            thread = threading.Thread(target=look, args=(host,), daemon=True)
            threads.append(thread)
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        with lock:
            return {
                host: found.get(
                    host, Presented(host=host, problem=WireFinding.NO_ANSWER)
                )
                for host in hosts
            }

    def _look(self, host: str, until: float) -> Presented:
        try:
            addresses = self._resolve(host, self._port)
        except (OSError, UnicodeError):
            return Presented(host=host, problem=WireFinding.NO_ADDRESS)
        if not addresses:
            return Presented(host=host, problem=WireFinding.NO_ADDRESS)
        if not may_all_be_looked_at(addresses, self._rules):
            return Presented(host=host, problem=WireFinding.NOT_PUBLIC)
        problem = WireFinding.NO_ANSWER
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                der = _certificate_at(address, self._port, host, until)
            except ssl.SSLError:
                problem = WireFinding.NO_TLS
            except OSError:
                continue
            else:
                if der:
                    return Presented(host=host, der=der)
                problem = WireFinding.NO_TLS
        return Presented(host=host, problem=problem)


def _certificate_at(address: str, port: int, host: str, until: float) -> bytes | None:
    """
    Shake hands, and return the certificate whether anybody would trust it or not.

    The octets go through our hands, so that a host that sends one a second, or does
    not stop, is left all the same.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _context().wrap_bio(incoming, outgoing, server_hostname=host)
    with socket.create_connection((address, port), timeout=_left(until)) as peer:
        read = 0
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                peer.settimeout(_left(until))
                peer.sendall(outgoing.read())
                peer.settimeout(_left(until))
                octets = peer.recv(_READ)
                read += len(octets)
                if not octets or read > _MOST_OCTETS:
                    raise ssl.SSLError("no handshake") from None
                incoming.write(octets)
            else:
                return tls.getpeercert(binary_form=True)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is looked at, not trusted: an expired, revoked or home-made one is an answer.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # old appliances answer, too
    return context
