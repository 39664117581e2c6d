"""Signatures are verified by another implementation, with the key from a made-up zone."""

import base64
from pathlib import Path

import dkim  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import BadInput
from tocsin.mail.dkim import DkimSigner

RSA = generate_private_key(public_exponent=65537, key_size=2048)
ED25519 = Ed25519PrivateKey.generate()
KEYS = pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
MESSAGE = (
    b"From: Example CA <certificates@ca.example>\r\n"
    b"To:  Chan Tai Man\r\n\t<admin@clinic.example>\r\n"
    b"Subject: Your certificates\r\n"
    b"Date: Mon, 02 Mar 2026 12:00:00 +0000\r\n"
    b"Message-ID: <1@ca.example>\r\n"
    b"\r\n"
    b"They will be  revoked. \r\n\r\n\r\n"
)


def verifies(content: bytes, key: RSAPrivateKey | Ed25519PrivateKey) -> bool:
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        shown = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kind = b"rsa"
    else:
        shown = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        kind = b"ed25519"
    record = b"v=DKIM1; k=" + kind + b"; p=" + base64.b64encode(shown)

    def answer(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001
        return record if name == b"tocsin._domainkey.ca.example." else None

    return bool(dkim.verify(content, dnsfunc=answer))


def signer(key: RSAPrivateKey | Ed25519PrivateKey) -> DkimSigner:
    return DkimSigner(domain="ca.example", selector="tocsin", key=key)


@KEYS
def test_a_signature_verifies_as_long_as_nothing_was_changed(
    key: RSAPrivateKey | Ed25519PrivateKey,
) -> None:
    signed = signer(key).sign(MESSAGE)

    assert signed.endswith(MESSAGE)
    assert verifies(signed, key)
    # RFC 6376 3.4: what a relay may do to spaces does no harm.
    assert verifies(signed.replace(b"be  revoked. ", b"be revoked."), key)
    assert not verifies(signed.replace(b"revoked", b"renewed"), key)
    assert not verifies(signed.replace(b"admin@", b"other@"), key)


@KEYS
@pytest.mark.parametrize("name", ["From", "To", "Subject", "Date", "Reply-To"])
def test_a_signature_does_not_verify_when_a_header_was_put_in(
    key: RSAPrivateKey | Ed25519PrivateKey, name: str
) -> None:
    signed = signer(key).sign(MESSAGE)
    head, _, body = signed.partition(b"\r\n\r\n")
    added = head + f"\r\n{name}: somebody@else.example\r\n\r\n".encode() + body

    assert not verifies(added, key)


@given(
    subject=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90),
    lines=st.lists(st.text("ab .\t", max_size=9), max_size=5),
)
def test_a_signature_verifies_whatever_is_signed(
    subject: str, lines: list[str]
) -> None:
    content = (
        f"From: certificates@ca.example\r\nSubject: {subject}\r\n\r\n"
        + "".join(f"{line}\r\n" for line in lines)
    ).encode()

    assert verifies(signer(ED25519).sign(content), ED25519)


def test_a_key_is_refused_when_receivers_may_not_accept_it(tmp_path: Path) -> None:
    short = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    file = tmp_path / "dkim.pem"
    file.write_bytes(
        short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )

    with pytest.raises(BadInput, match="1024 bits"):
        DkimSigner.from_file(file, domain="ca.example", selector="tocsin")
    file.write_text("no key", "utf-8")
    with pytest.raises(BadInput, match="no private key"):
        DkimSigner.from_file(file, domain="ca.example", selector="tocsin")
