"""What a browser uploads: files of CSRs, and zips of such files, within limits."""

from collections.abc import Iterator
from io import BytesIO

from tocsin.intake.csr.files import ReadCsrs, read_csrs
from tocsin.intake.csr.findings import not_a_csr
from tocsin.intake.sources import (
    UNREADABLE,
    ZIP_BEGINNINGS,
    Source,
    ZipLimits,
    in_zip,
)
from tocsin.phrases import Phrase, phrase
from tocsin.policy.entries import FileNote

_MEBIBYTE = 1 << 20
_LIMITS = ZipLimits(most_members=1_000, largest_member=_MEBIBYTE)
_MOST_UNPACKED = 16 * _MEBIBYTE  # of one zip, octets


def read_upload(data: bytes, *, name: str) -> list[ReadCsrs]:
    """
    Read an uploaded file: one entry, or one for each file of a zip.

    Zips in zips are not opened. Nothing is unpacked to disk, so that a name cannot
    lead anywhere.
    """
    if not data.startswith(ZIP_BEGINNINGS):
        return [read_csrs(data, name=name)]
    return list(_in_zip(data, name))


def _in_zip(data: bytes, name: str) -> Iterator[ReadCsrs]:
    left = _MOST_UNPACKED
    for found in in_zip(BytesIO(data), name, limits=_LIMITS):
        if isinstance(found, FileNote):
            continue
        if not isinstance(found, Source):
            yield _unread(found.file, found.said or Phrase(text=found.finding))
            continue
        if left <= 0:
            yield _unread(
                name,
                phrase(
                    "it unpacks to more than %(size)s MiB, and its rest was not read.",
                    size=_MOST_UNPACKED // _MEBIBYTE,
                ),
            )
            return
        try:
            with found.open() as stream:
                content = stream.read(_LIMITS.largest_member + 1)
        except UNREADABLE:
            yield _unread(
                found.label, phrase("damaged in its zip: make the zip again.")
            )
            continue
        left -= len(content)
        if content.startswith(ZIP_BEGINNINGS):
            yield _unread(
                found.label, phrase("a zip in a zip. Send its files directly.")
            )
        else:
            yield read_csrs(content, name=found.label)


def _unread(name: str, why: Phrase) -> ReadCsrs:
    said = phrase("It cannot be used: %(why)s", why=why)
    return ReadCsrs(name=name, csrs=(), findings=(not_a_csr(said),))
