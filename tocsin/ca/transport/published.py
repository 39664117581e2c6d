"""Reads CRLs and OCSP answers where the CA publishes them, as anybody outside would."""

import base64
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha1
from http import HTTPStatus
from itertools import islice
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from tocsin.ca.ocsp import key_bits
from tocsin.ca.transport.web import Web
from tocsin.errors import Unavailable

_ENOUGH = 3
"""So many errors of one responder in a row, and it is left alone for now."""
_TRY_LATER = ocsp.OCSPResponseBuilder.build_unsuccessful(
    ocsp.OCSPResponseStatus.TRY_LATER
).public_bytes(serialization.Encoding.DER)
_PEM = re.compile(rb"-----BEGIN X509 CRL-----(.+?)-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAt:
    """
    Where one issuer publishes.

    Args:
        certificate: The issuer's certificate.
        crls: URLs or files, DER or PEM: one CRL, or all shards.
        ocsp: The responder's URL; None where there is none.
        by_certificates: Whether each certificate's CRL is read where it says itself;
            ``crls`` are then for those that do not say.

    """

    certificate: x509.Certificate
    crls: tuple[str, ...]
    ocsp: str | None = None
    by_certificates: bool = False


class PublishedPlaces:
    """
    What CAs publish at URLs and in files; a ``Publication``.

    Args:
        places: By issuer.
        timeout: Seconds for connecting, and for each wait for data.
        at_once: How many OCSP requests are on their way at the same time.

    """

    def __init__(
        self, places: Mapping[str, PublishedAt], *, timeout: float, at_once: int = 4
    ) -> None:
        self._places = places
        self._timeout = timeout
        self._at_once = at_once

    def issuer_certificate(self, issuer_key: str) -> bytes:
        """
        Return the issuer's certificate, DER.

        Raises:
            Unavailable: It is not configured.

        """
        place = self._place(issuer_key)
        return place.certificate.public_bytes(serialization.Encoding.DER)

    def read_crls(self, issuer_key: str) -> Iterator[bytes]:
        """
        Yield the CRLs in force, DER, one after the other: one, or all shards.

        Raises:
            Unavailable: One of them cannot be read.

        """
        for place in self._place(issuer_key).crls:
            yield _as_der(self._read(place))

    def follows_certificates(self, issuer_key: str) -> bool:
        """Whether CRLs are read where the certificates say that they are."""
        return self._place(issuer_key).by_certificates

    def read_crl(self, place: str) -> bytes:
        """
        Return the CRL at one place on the web, DER.

        Raises:
            Unavailable: It cannot be read; or the place is none on the web.

        """
        if not is_url(place):
            message = f"the CRL {place} cannot be read: neither HTTP nor HTTPS"
            raise Unavailable(message)
        return _as_der(self._read(place))

    def has_crl(self, issuer_key: str) -> bool:
        """Whether a place of its CRL is configured."""
        return bool(self._place(issuer_key).crls)

    def has_ocsp(self, issuer_key: str) -> bool:
        """Whether a responder is configured."""
        return self._place(issuer_key).ocsp is not None

    def ask_ocsp(self, issuer_key: str, serials: Sequence[int]) -> Iterator[bytes]:
        """
        Yield one DER OCSP response for each serial, in order.

        An error of the responder's own is "try later" for that serial alone.

        Raises:
            Unavailable: The responder does not answer, or has errors for several in a
                row.

        """
        place = self._place(issuer_key)
        if place.ocsp is None:
            message = f"no OCSP responder of issuer {issuer_key} is configured"
            raise Unavailable(message)
        ask = _Responder(place.ocsp, place.certificate, self._timeout, self._at_once)
        remaining = iter(serials)
        sent: deque[Future[bytes | None]] = deque()
        failed_in_a_row = 0
        with ThreadPoolExecutor(self._at_once) as pool:
            while True:
                wanted = islice(remaining, self._at_once - len(sent))
                sent.extend(pool.submit(ask, serial) for serial in wanted)
                if not sent:
                    return
                answer = sent.popleft().result()
                failed_in_a_row = 0 if answer is not None else failed_in_a_row + 1
                if failed_in_a_row >= _ENOUGH:
                    raise Unavailable("the OCSP responder has an error for every one")
                yield _TRY_LATER if answer is None else answer

    def _place(self, issuer_key: str) -> PublishedAt:
        place = self._places.get(issuer_key)
        if place is None:
            message = f"where issuer {issuer_key} publishes is not configured"
            raise Unavailable(message)
        return place

    def _read(self, place: str) -> bytes:
        if not is_url(place):
            try:
                return Path(place).read_bytes()
            except OSError as error:
                message = f"the CRL {place} cannot be read: {error.strerror}"
                raise Unavailable(message) from error
        reply = Web(place, timeout=self._timeout).ask(
            "GET", headers={"Cache-Control": "no-cache"}
        )
        if reply.status != HTTPStatus.OK:
            message = f"the CRL {place} cannot be read: HTTP {reply.status}"
            raise Unavailable(message)
        return reply.body


class _Responder:
    """Asks one responder about one issuer's certificates."""

    def __init__(
        self, url: str, issuer: x509.Certificate, timeout: float, connections: int
    ) -> None:
        self._web = Web(url, timeout=timeout, connections=connections)
        # RFC 6960 leaves the choice; SHA-1 names are what every responder knows
        # (RFC 5019 section 2.1.1). Nothing rests on their strength.
        self._name = sha1(issuer.subject.public_bytes(), usedforsecurity=False).digest()
        self._key = sha1(key_bits(issuer.public_key()), usedforsecurity=False).digest()

    def __call__(self, serial: int) -> bytes | None:
        """Return its answer; None where it has nothing but errors of its own."""
        request = (
            ocsp.OCSPRequestBuilder()
            .add_certificate_by_hash(self._name, self._key, serial, hashes.SHA1())  # noqa: S303 - see above
            .build()
            .public_bytes(serialization.Encoding.DER)
        )
        for _ in range(_ENOUGH):
            reply = self._web.ask(
                "POST",
                body=request,
                headers={"Content-Type": "application/ocsp-request"},
            )
            if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                break
        else:
            return None
        if reply.status != HTTPStatus.OK:
            message = f"the OCSP responder answers HTTP {reply.status}"
            raise Unavailable(message)
        return reply.body


def is_url(place: str) -> bool:
    """Whether a place is on the network, and not a file."""
    return place.startswith(("http://", "https://"))


def _as_der(content: bytes) -> bytes:
    """Return a CRL as DER, whether it came as DER, PEM or bare base64."""
    if found := _PEM.search(content):
        content = found[1]
    elif content[:1] == b"0":
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except ValueError:
        return content  # whoever reads it will say what it is not
