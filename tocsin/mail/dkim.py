"""Signs messages (RFC 6376, RFC 8463), so that receivers can tell them from forgeries."""

import base64
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tocsin.errors import BadInput

_WEAKEST = 2048
"""Bits. RFC 8301 3.2: signers SHOULD use 2048 at least."""

# RFC 6376 5.4.1, and what shows that nobody put a header in.
_SIGNED = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "references",
    "in-reply-to",
    "auto-submitted",
    "mime-version",
    "content-type",
)
# Named once more than they occur: a second one breaks the signature.
_ONCE = ("from", "to", "subject", "date", "message-id", "reply-to", "content-type")

_SPACES = re.compile(rb"[ \t]{2,}|\t")  # one space is left alone
_SPACES_AT_END = re.compile(rb"[ \t]+\r\n")
_FOLD = 72


class DkimSigner:
    """
    Signs messages with one key, relaxed in headers and body.

    Args:
        domain: Whose mail it is; the sender's own, so that DMARC is content.
        selector: The key is published at <selector>._domainkey.<domain>.
        key: RSA of 2048 bits or more, or Ed25519.

    Raises:
        BadInput: The key is of another kind, or too short.

    """

    def __init__(
        self, *, domain: str, selector: str, key: RSAPrivateKey | Ed25519PrivateKey
    ) -> None:
        if isinstance(key, RSAPrivateKey) and key.key_size < _WEAKEST:
            raise BadInput(
                f"an RSA key of {key.key_size} bits: take {_WEAKEST} or more, "
                "receivers may not accept shorter ones (RFC 8301)"
            )
        self._key = key
        algorithm = "rsa" if isinstance(key, RSAPrivateKey) else "ed25519"
        self._start = (
            f"v=1; a={algorithm}-sha256; c=relaxed/relaxed; d={domain}; s={selector};"
        )

    @classmethod
    def from_file(cls, file: Path, *, domain: str, selector: str) -> "DkimSigner":
        """
        Read the key, PEM without a password.

        Raises:
            BadInput: It cannot be read, or not be used.

        """
        try:
            key = load_pem_private_key(file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"no private key in PEM: {error}", file=file.name) from error
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise BadInput("neither an RSA nor an Ed25519 key", file=file.name)
        return cls(domain=domain, selector=selector, key=key)

    def sign(self, content: bytes) -> bytes:
        """Return the message with a DKIM-Signature before its other headers."""
        head, _, body = content.partition(b"\r\n\r\n")
        headers = _headers(head)
        names = [name for name in _SIGNED if name in headers]
        named = ":".join([*names, *(name for name in _ONCE)])
        digest = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest())
        value = (
            f"{self._start}\r\n\th={named};\r\n\tbh={digest.decode('ascii')};\r\n\tb="
        )
        signed = b"\r\n".join(
            [*(headers[name] for name in names), _relaxed("dkim-signature", value)]
        )
        signature = base64.b64encode(self._signature(signed)).decode("ascii")
        folded = "\r\n\t".join(
            signature[at : at + _FOLD] for at in range(0, len(signature), _FOLD)
        )
        return f"DKIM-Signature: {value}{folded}\r\n".encode("ascii") + content

    def _signature(self, signed: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(signed, PKCS1v15(), hashes.SHA256())
        # RFC 8463 3: the digest is what is signed.
        return self._key.sign(hashlib.sha256(signed).digest())


def _headers(head: bytes) -> dict[str, bytes]:
    """Return the last header of each name, relaxed; as RFC 6376 5.4.2 counts them."""
    found: dict[str, bytes] = {}
    for line in _unfolded(head.split(b"\r\n")):
        name, _, value = line.partition(b":")
        key = name.decode("ascii", "replace").strip().lower()
        found[key] = key.encode("ascii") + b":" + _SPACES.sub(b" ", value).strip()
    return found


def _unfolded(lines: Iterable[bytes]) -> list[bytes]:
    whole: list[bytes] = []
    for line in lines:
        if line[:1] in {b" ", b"\t"} and whole:
            whole[-1] += line
        else:
            whole.append(line)
    return whole


def _relaxed(name: str, value: str) -> bytes:
    """RFC 6376 3.4.2: unfolded, each run of spaces is one, none at the ends."""
    flat = _SPACES.sub(b" ", value.replace("\r\n", "").encode("ascii")).strip()
    return name.encode("ascii") + b":" + flat


def _relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4: each run of spaces is one, none and no empty lines at the end."""
    if b" " in body or b"\t" in body:
        body = _SPACES.sub(b" ", _SPACES_AT_END.sub(b"\r\n", body))
    body = body.rstrip(b"\r\n \t")
    return body + b"\r\n" if body else b""
