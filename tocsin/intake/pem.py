"""PEM and DER streams cut into certificates, piece by piece; bundles may be larger than memory."""

import binascii
import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from tocsin.intake.tlv import length_of_element

_CHUNK = 1 << 18
_LARGEST = 1 << 20  # of one block or element
_BEGIN = b"-----BEGIN "
_END = b"-----END "
_DASHES = b"-----"
_LONGEST_LABEL = 64
_LONGEST_HEADER = 6  # octets of tag and length
_SEQUENCE = 0x30
_PADDING = (b"\r", b"\n", b"\0")


@dataclass(frozen=True, slots=True)
class Piece:
    """
    One block of a PEM file, or one element of a DER file.

    Args:
        row: The line of the BEGIN, or the number of the element, counted from 1.
        label: What the PEM block says it is; empty for DER.
        der: Its octets; None where they cannot be had.
        problem: Why not.

    """

    row: int
    label: str
    der: bytes | None
    problem: str | None = None


def pem_pieces(stream: IO[bytes]) -> Iterator[Piece]:
    """Cut a PEM file into its blocks, whatever stands between them."""
    buffer = _Buffer(stream)
    while buffer.seek(_BEGIN):
        yield _block(buffer)


def der_pieces(stream: IO[bytes]) -> Iterator[Piece]:
    """Cut a file of one or more DER elements into them."""
    data = stream.read(_CHUNK)
    at = number = 0
    while True:
        while data[at : at + 1] in _PADDING:
            at += 1
        if len(data) - at < _LONGEST_HEADER:
            more = stream.read(_CHUNK)
            data, at = data[at:] + more, 0
            if more:
                continue
            if not data:
                return
        number += 1
        length = length_of_element(data[at : at + _LONGEST_HEADER])
        if (
            length is None
            or length > _LARGEST
            or (number > 1 and data[at] != _SEQUENCE)
        ):
            problem = (
                "no certificate begins here, and what follows cannot be read either. "
                "Take out what stands between the certificates, or give them as PEM."
            )
            yield Piece(number, "", None, problem)
            return
        if len(data) - at < length:
            data, at = data[at:] + stream.read(max(_CHUNK, length)), 0
        if len(data) - at < length:
            problem = f"ends early: {len(data)} of {length} octets. Export it again."
            yield Piece(number, "", None, problem)
            return
        yield Piece(number, "", data[at : at + length])
        at += length


class _Buffer:
    """A window on a stream that counts the lines it has passed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder: codecs.IncrementalDecoder | None = None
        self.data = self._chunk(first=True)
        self.at = 0
        self.line = 1
        self.ended = not self.data
        self._counted = 0

    def _chunk(self, *, first: bool = False) -> bytes:
        octets = self._stream.read(_CHUNK)
        if first and octets[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            # What Windows PowerShell makes of "openssl ... > certificates.pem".
            self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        if self._decoder and octets:
            return self._decoder.decode(octets).encode("ascii", "replace")
        return octets

    def more(self) -> bool:
        """Read on, forgetting what lies behind; False at the end."""
        if self.ended:
            return False
        chunk = self._chunk()
        if not chunk:
            self.ended = True
            return False
        self.line += self.data.count(b"\n", self._counted, self.at)
        self.data = self.data[self.at :] + chunk
        self.at = self._counted = 0
        return True

    def move(self, to: int) -> None:
        """Go on to a later place, counting lines."""
        self.line += self.data.count(b"\n", self._counted, to)
        self.at = self._counted = to

    def seek(self, mark: bytes) -> bool:
        """Go to the next mark; False where there is none."""
        while True:
            found = self.data.find(mark, self.at)
            if found >= 0:
                self.move(found)
                return True
            self.move(max(self.at, len(self.data) - len(mark)))
            if not self.more():
                return False


def _block(buffer: _Buffer) -> Piece:
    """Read the block that begins at the buffer's place, and go behind it."""
    while True:
        begin = buffer.at + len(_BEGIN)
        label_end = buffer.data.find(_DASHES, begin, begin + _LONGEST_LABEL)
        body = label_end + len(_DASHES)
        end = buffer.data.find(_END, body) if label_end >= 0 else -1
        following = buffer.data.find(_BEGIN, begin, end if end >= 0 else None)
        complete = end >= 0 and (
            buffer.ended or end + len(_END) + _LONGEST_LABEL <= len(buffer.data)
        )
        if complete or following >= 0 or len(buffer.data) - buffer.at > _LARGEST:
            break
        if not buffer.more():
            break
    line = buffer.line
    if label_end < 0:
        buffer.move(begin)
        return Piece(line, "", None, "a BEGIN line that is not complete.")
    label = buffer.data[begin:label_end].decode("ascii", "replace")
    if end < 0 or following >= 0:
        buffer.move(following if following >= 0 else body)
        problem = "cut short: its END line is missing. Export this certificate again."
        return Piece(line, label, None, problem)
    text = buffer.data[body:end]
    matches = buffer.data.startswith(label.encode("ascii", "replace"), end + len(_END))
    buffer.move(end + len(_END))
    if not matches:
        return Piece(
            line, label, None, "its BEGIN and END lines do not belong together."
        )
    if b":" in text:  # headers, up to an empty line
        text = text.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    try:
        der = binascii.a2b_base64(text.translate(None, b" \t\r\n"), strict_mode=True)
    except binascii.Error:
        problem = "not base64: it was cut or altered on its way. Export it again."
        return Piece(line, label, None, problem)
    return Piece(line, label, der)
