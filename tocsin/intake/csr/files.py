"""CSRs out of what people really send: text around them, one or many, PEM or DER, or a key by mistake."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from tocsin.intake.csr.findings import Finding, FindingCode, not_a_csr
from tocsin.intake.pem import pem_pieces
from tocsin.phrases import Phrase, phrase

_LABELS = frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"})
_MOST_BLOCKS = 1_000  # in one file: reading is bounded, whatever is sent
_LARGEST_CSR = 65_536  # octets: an RSA key of 16,384 bits and 500 long names fit
_QUOTED = re.compile(rb"^[ \t>|]+", re.MULTILINE)  # as mail programs quote
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+={0,2}\s*")

_BEGIN = b"-----BEGIN "
_SEQUENCE = 0x30
_LONG_FORM = 0x80
# What a SEQUENCE begins with when it holds a private key: the versions of PKCS #1,
# PKCS #8, SEC 1 and PKCS #12; and the algorithms that protect an encrypted PKCS #8.
_KEY_BEGINNINGS = (b"\x02\x01\x00", b"\x02\x01\x01", b"\x02\x01\x03")
_PROTECTED = re.compile(
    rb"\x30.\x06.\x2a\x86\x48\x86\xf7\x0d\x01(\x05|\x0c\x01)", re.DOTALL
)
_KEY_MARKS = (b"PRIVATE KEY-----", b"PuTTY-User-Key-File", b"\xfe\xed\xfe\xed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCsrs:
    """
    What was in one file or text.

    Args:
        name: The file's name, for people.
        csrs: DER, each once, in order.
        findings: What else was in it, and why it was not used.

    """

    name: str
    csrs: tuple[bytes, ...]
    findings: tuple[Finding, ...]

    @property
    def has_private_key(self) -> bool:
        """Whether a private key came with it; then nothing of it may be kept."""
        return any(finding.code is FindingCode.PRIVATE_KEY for finding in self.findings)


def read_csrs(data: bytes, *, name: str) -> ReadCsrs:
    """
    Read CSRs from a file or a pasted text.

    With a private key in it nothing is read at all: the key must be considered known
    to others, and a CSR for it is of no use.
    """
    text = _as_ascii(data)
    pieces: list[bytes | Finding] = (
        [_private_key()] if _has_key(text) else list(_pieces(text))
    )
    csrs = dict.fromkeys(piece for piece in pieces if isinstance(piece, bytes))
    findings = [piece for piece in pieces if isinstance(piece, Finding)]
    if any(finding.code is FindingCode.PRIVATE_KEY for finding in findings):
        return ReadCsrs(name=name, csrs=(), findings=(_private_key(),))
    if not csrs and not findings:
        findings = [not_a_csr(_nothing_in(text))]
    return ReadCsrs(name=name, csrs=tuple(csrs), findings=tuple(findings))


def _as_ascii(data: bytes) -> bytes:
    """Take the encodings off that editors put on."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").encode("ascii", "replace")
    return data.removeprefix(b"\xef\xbb\xbf")


def _pieces(text: bytes) -> Iterator[bytes | Finding]:
    if text[:1] == bytes([_SEQUENCE]):
        yield from _from_der(text)
    elif _BEGIN in text:
        yield from _from_pem(text)
    elif text.strip() and _BASE64.fullmatch(text):
        try:
            der = base64.b64decode(b"".join(text.split()), validate=True)
        except binascii.Error:
            return
        yield from _from_der(der)


def _from_pem(text: bytes) -> Iterator[bytes | Finding]:
    if text.count(_BEGIN) > _MOST_BLOCKS:
        yield not_a_csr(
            phrase(
                "It has more than %(number)s parts. Send fewer at once.",
                number=_MOST_BLOCKS,
            )
        )
        return
    for piece in pem_pieces(BytesIO(_QUOTED.sub(b"", text))):
        if piece.der is None:
            yield not_a_csr(
                phrase(
                    "What begins in line %(row)s is damaged: it was cut or altered on"
                    " its way. Copy the whole CSR again, with its first and last line.",
                    row=piece.row,
                )
            )
        elif _is_key(piece.der):
            yield _private_key()
        elif piece.label not in _LABELS:
            yield not_a_csr(
                phrase(
                    "What begins in line %(row)s is a %(what)s, not a CSR. A CSR begins"
                    " with -----BEGIN CERTIFICATE REQUEST-----.",
                    row=piece.row,
                    what=piece.label.lower(),
                )
            )
        else:
            yield from _from_der(piece.der)


def _from_der(der: bytes) -> Iterator[bytes | Finding]:
    if _is_key(der):
        yield _private_key()
    elif len(der) > _LARGEST_CSR:
        yield not_a_csr(phrase("It is far larger than any CSR."))
    else:
        yield der


def _has_key(text: bytes) -> bool:
    return any(mark in text for mark in _KEY_MARKS) or _is_key(text)


def _is_key(der: bytes) -> bool:
    """Whether this DER holds a private key; CSRs and certificates begin otherwise."""
    if der[:1] != bytes([_SEQUENCE]) or len(der) < 2:  # noqa: PLR2004 - tag and length
        return False
    first = der[1]
    content = der[2 + (first & 0x7F if first & _LONG_FORM else 0) :]
    return content.startswith(_KEY_BEGINNINGS) or bool(_PROTECTED.match(content))


def _nothing_in(text: bytes) -> Phrase:
    if not text.strip():
        return phrase("It is empty.")
    return phrase(
        "There is no CSR in it. A CSR is a text that begins with -----BEGIN"
        " CERTIFICATE REQUEST-----."
    )


def _private_key() -> Finding:
    return Finding(
        code=FindingCode.PRIVATE_KEY,
        refuses=True,
        said=phrase(
            "There is a private key in it. It was refused and not stored. Consider this"
            " key compromised: make a new one, keep it on your server, and send only"
            " the CSR."
        ),
    )
