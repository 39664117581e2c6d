"""Signed links: who may act for whom; mail makes them, the portal checks them."""

import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONEncoder
from pathlib import Path
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer
from itsdangerous.encoding import base64_encode, want_bytes

from models.terms import ContactId, IncidentId, SubscriberId
from tocsin.errors import Broken, Refused

SUBSCRIBER = "subscriber"
"""The purpose of the link in a notice to a subscriber."""

CONFIRMATION = "confirmation"
"""The purpose of the link with which an address confirms itself."""

ESCALATION = "escalation"
"""The purpose of the link in a message to the CA's own people."""

NO_SUBSCRIBER = SubscriberId(0)
"""In the claims of the CA's own people: they act for no subscriber."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkClaims:
    """
    What a link stands for.

    Args:
        incident: The one incident it opens.
        subscriber: The one subscriber it acts for; NO_SUBSCRIBER for none.
        contact: The person it was sent to.
        purpose: What it may be used for.
        generation: Must equal the contact's; raised when the contact leaves.
        expires_at: From then on it is refused, UTC.

    """

    incident: IncidentId
    subscriber: SubscriberId
    contact: ContactId
    purpose: str
    generation: int
    expires_at: datetime


# As itsdangerous has it, which would make such an encoder for each token.
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Signer(Signer):
    """Derives its key once, and not for each token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun = hmac.new(self.derive_key(), digestmod=self.digest_method)

    def get_signature(self, value: str | bytes) -> bytes:
        """Sign with the newest secret, as the original does."""
        mac = self._begun.copy()
        mac.update(want_bytes(value))
        return base64_encode(mac.digest())


class _Serializer(URLSafeSerializer):
    """Writes claims as they are: they are too short for a compression to be of use."""

    def dump_payload(self, obj: Any) -> bytes:
        """Return the claims for the address line; what it writes, the original reads."""
        return base64_encode(_encode(obj))


class Links:
    """
    Signs and reads tokens. The same claims always give the same token.

    Args:
        secrets: The newest first: it signs; all of them are accepted.

    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or any(len(secret) < 32 for secret in secrets):  # noqa: PLR2004
            raise Broken("a secret that signs links needs 32 characters at least")
        self._serializer = _Serializer(
            list(reversed(secrets)), salt="tocsin.link.1", signer=_Signer
        )
        # Once: the serializer would make one for each token.
        self._signer = self._serializer.make_signer()

    def sign(self, claims: LinkClaims) -> str:
        """Return the token for these claims."""
        payload = self._serializer.dump_payload(
            [
                claims.incident,
                claims.subscriber,
                claims.contact,
                claims.purpose,
                claims.generation,
                int(claims.expires_at.timestamp()),
            ]
        )
        return self._signer.sign(payload).decode("ascii")

    def read(self, token: str, *, purpose: str, now: datetime) -> LinkClaims:
        """
        Return what the token stands for.

        Raises:
            Refused: Forged, expired or made for something else, in the same words.

        """
        try:
            incident, subscriber, contact, made_for, generation, expires = (
                self._serializer.load_payload(self._signer.unsign(token))
            )
            claims = LinkClaims(
                incident=IncidentId(incident),
                subscriber=SubscriberId(subscriber),
                contact=ContactId(contact),
                purpose=made_for,
                generation=generation,
                expires_at=datetime.fromtimestamp(expires, UTC),
            )
        except (BadData, ValueError, TypeError):
            raise _not_valid() from None
        if claims.purpose != purpose or claims.expires_at <= now:
            raise _not_valid()
        return claims


def _not_valid() -> Refused:
    return Refused("this link is not valid (any more)", source="I6")


def read_secrets(path: Path) -> tuple[str, ...]:
    """Read the signing secrets, newest first; make one where there is no file."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
    lines = path.read_text("ascii").split()
    if not lines:
        raise Broken(f"no secret in {path.name}: remove the file, or put one in")
    return tuple(lines)
