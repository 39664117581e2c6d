"""When a subscriber's ACME client is to renew (RFC 9773): at once, when a certificate is affected."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin.errors import BadInput

_SOONEST = timedelta(minutes=1)
_LATEST = timedelta(hours=6)
_SHARE = 8
"""Clients obey Retry-After even across restarts: they have to hear of it several times before the deadline."""

_WINDOW_BEGINS_BEFORE = timedelta(hours=1)
_WINDOW_ENDS_BEFORE = timedelta(minutes=30)

_PART = re.compile(r"[A-Za-z0-9_-]+")
_MOST_OCTETS = 64  # of either part; an honest identifier has 20 and as many


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIdentifier:
    """
    A certificate as ARI names it (RFC 9773, 4.1).

    Args:
        authority_key: The keyIdentifier of its Authority Key Identifier.
        serial: Its serial number.

    """

    authority_key: bytes
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalInfo:
    """
    What a client is told.

    Args:
        start: Of the suggested window, UTC.
        end: Of the suggested window, UTC.
        retry_after: When to ask again.

    """

    start: datetime
    end: datetime
    retry_after: timedelta


def parse_identifier(text: str) -> CertificateIdentifier:
    """
    Read the last part of a renewalInfo address.

    Raises:
        BadInput: It is none.

    """
    authority_key, dot, serial = text.partition(".")
    if not dot:
        raise BadInput("no '.' between key identifier and serial number.")
    octets = _octets(serial)
    # DER: an INTEGER's first octet carries its sign.
    return CertificateIdentifier(
        authority_key=_octets(authority_key),
        serial=int.from_bytes(octets, "big", signed=True),
    )


def affected_renewal(
    *, launched_at: datetime, deadline: datetime, now: datetime
) -> RenewalInfo:
    """
    Tell a client that its certificate is to be renewed at once.

    The window lies before the launch, and stays there: a client that finds a window in
    the past renews without waiting (RFC 9773, 4.2).

    Args:
        launched_at: When the incident began for subscribers, UTC.
        deadline: By when the certificate is revoked, UTC.
        now: The present instant, UTC.

    """
    return RenewalInfo(
        start=launched_at - _WINDOW_BEGINS_BEFORE,
        end=launched_at - _WINDOW_ENDS_BEFORE,
        retry_after=retry_after(deadline - now),
    )


def ordinary_renewal(
    *, not_before: datetime, not_after: datetime, retry_after: timedelta
) -> RenewalInfo:
    """
    Tell a client of a certificate that no incident is about when to renew.

    Without such an answer clients would not ask again for hours, and not hear of an
    incident. Two thirds of the lifetime is when most of them renew anyhow.

    Args:
        not_before: The certificate's, UTC.
        not_after: The certificate's, UTC.
        retry_after: When to ask again: short enough to hear of an incident in time.

    """
    life = not_after - not_before
    start = not_before + life * 2 / 3
    return RenewalInfo(start=start, end=start + life / 12, retry_after=retry_after)


def retry_after(left: timedelta) -> timedelta:
    """Return how long a client may wait before it asks again, whole seconds."""
    wait = min(max(left / _SHARE, _SOONEST), _LATEST)
    return timedelta(seconds=int(wait.total_seconds()))


def _octets(text: str) -> bytes:
    if not _PART.fullmatch(text) or len(text) > 2 * _MOST_OCTETS:
        raise BadInput("not base64url without padding.")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise BadInput("not base64url without padding.") from error
