"""Which encoding a text file has; spreadsheets do not say, and names must come out right."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

import charset_normalizer

from tocsin.errors import BadInput
from tocsin.intake.sources import Source

_CHUNK = 1 << 18
_SAMPLE = 32_768
_SHOWN_BY_NULS = 0.3  # the share of NULs in every other octet of UTF-16 text
_NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with BOM",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 without BOM",
    "utf-16-be": "UTF-16 without BOM",
    "cp950": "Big5 (Windows code page 950)",
    "big5hkscs": "Big5 with Hong Kong characters",
    "cp1252": "Windows code page 1252",
}
# The lead octets of Big5's punctuation and of its level 1, the characters in daily use.
# Accented letters of the Western code pages lie above them.
_BIG5_COMMON = range(0xA1, 0xC7)
_BIG5_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Encoding:
    """
    How a text file is to be read.

    Args:
        codec: Python's name.
        name: The name for people.
        lines: How many lines the file has.

    """

    codec: str
    name: str
    lines: int


def decide_encoding(source: Source) -> Encoding:
    """
    Decide the encoding from the whole file, so that reading it cannot fail later.

    Raises:
        BadInput: It is no text, or its encoding cannot be made out.

    """
    with source.open() as stream:
        head = stream.read(_SAMPLE)
    declared = _declared(head)
    if declared:
        lines = _decodes(source, declared)
        if lines is None:
            raise BadInput(
                f"begins as {_NAMES[declared]} but is not: save it as 'CSV UTF-8'.",
                file=source.label,
            )
        return Encoding(declared, _NAMES[declared], lines)
    if b"\0" in head:
        raise BadInput(
            "neither text nor certificates. Give PEM, DER, zip, CSV or crt.sh's JSON.",
            file=source.label,
        )
    for codec in _candidates(source):
        lines = _decodes(source, codec)
        if lines is not None:
            return Encoding(codec, _NAMES.get(codec, codec), lines)
    raise BadInput(
        "its encoding cannot be made out: save it as 'CSV UTF-8'.", file=source.label
    )


def _declared(head: bytes) -> str | None:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    high, low = head[::2].count(0), head[1::2].count(0)
    if max(high, low) > _SHOWN_BY_NULS * len(head) / 2 and not min(high, low):
        return "utf-16-le" if low else "utf-16-be"
    return None


def _candidates(source: Source) -> Iterator[str]:
    yield "utf-8"
    sample = _telling_lines(source)
    if _is_like_big5(sample):
        yield "cp950"
        yield "big5hkscs"
    matches = charset_normalizer.from_bytes(sample)
    best = matches.best()
    western = next((match for match in matches if match.encoding == "cp1252"), None)
    # Western Europe's code page is by far the commonest, and looks much like its sisters.
    if best is not None and (western is None or best.chaos < western.chaos):
        yield best.encoding
    yield "cp1252"


def _telling_lines(source: Source) -> bytes:
    """Collect lines that are not plain ASCII."""
    sample = bytearray()
    with source.open() as stream:
        for line in iter(lambda: stream.readline(_CHUNK), b""):
            if not line.isascii():
                sample += line
                if len(sample) > _SAMPLE:
                    break
    return bytes(sample)


def _is_like_big5(sample: bytes) -> bool:
    common = total = at = 0
    while at < len(sample):
        lead = sample[at]
        at += 1
        if lead >= 0x81:  # noqa: PLR2004 - the lowest lead octet
            total += 1
            common += lead in _BIG5_COMMON
            at += 1
    return total > 0 and common >= _BIG5_SHARE * total


def _decodes(source: Source, codec: str) -> int | None:
    """Count the lines of the file in this encoding; None where it is another."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    lines = 0
    last = ""
    with source.open() as stream:
        try:
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                text = decoder.decode(chunk)
                lines += text.count("\n")
                last = text or last
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return None
    return lines + (not last.endswith("\n"))
