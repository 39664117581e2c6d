"""Files, folders and zips as streams with a label; nothing is unpacked to disk."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tocsin.phrases import Phrase, phrase
from tocsin.policy.entries import FileNote, SetAside, without_controls

# What reading a stream may raise through no fault of ours.
UNREADABLE = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # a password
)

_MEBIBYTE = 1 << 20
ZIP_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")
_HIGHEST_RATIO = 200
_RATIO_MATTERS_FROM = 16 * _MEBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipLimits:
    """
    What one zip may hold.

    Args:
        most_members: Files in it.
        largest_member: Of one of them, unpacked, octets.

    """

    most_members: int
    largest_member: int


_LIST = ZipLimits(most_members=500_000, largest_member=16_384 * _MEBIBYTE)
"""A list of three million certificates in a single file passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Something to read, that can be opened more than once.

    Args:
        label: Its name for people: the path as given, members as ``list.zip/member``.
        open: Opens it at its beginning.

    """

    label: str
    open: Callable[[], IO[bytes]]


def find_sources(
    paths: Sequence[Path], *, below: Path | None = None
) -> Iterator[Source | SetAside | FileNote]:
    """
    Find every file in these files, folders (recursively, sorted) and zips.

    Args:
        paths: Where to look.
        below: A folder that people know nothing of: names are told from there on.

    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path, below)
        else:
            yield from _in_file(path, below)


def whole_file(label: str, finding: str | Phrase) -> SetAside:
    """Set a whole file aside."""
    return SetAside(
        file=label,
        row=0,
        field=None,
        finding=str(finding),
        said=finding if isinstance(finding, Phrase) else None,
    )


def _in_folder(
    folder: Path, below: Path | None
) -> Iterator[Source | SetAside | FileNote]:
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        yield whole_file(_label(folder, below), f"cannot be read: {error.strerror}.")
        return
    hidden = [child for child in children if child.name.startswith(".")]
    if hidden:
        text = f"{len(hidden)} hidden files or folders in it were passed over."
        yield FileNote(file=_label(folder, below), text=text)
    for child in children:
        if child.name.startswith("."):
            continue
        if child.is_dir():
            if child.is_symlink():
                finding = "a link to a folder is not followed: give the folder itself."
                yield whole_file(_label(child, below), finding)
            else:
                yield from _in_folder(child, below)
        else:
            yield from _in_file(child, below)


def _label(path: Path, below: Path | None) -> str:
    return without_controls(str(path.relative_to(below) if below else path))


def _in_file(path: Path, below: Path | None) -> Iterator[Source | SetAside | FileNote]:
    label = _label(path, below)
    if not path.exists():
        yield whole_file(label, "no such file.")
        return
    if not path.is_file():
        yield whole_file(label, "not a file: a device or a socket.")
        return
    try:
        with path.open("rb") as stream:
            beginning = stream.read(4)
    except OSError as error:
        yield whole_file(label, f"cannot be read: {error.strerror}.")
        return
    if beginning in ZIP_BEGINNINGS:
        yield from in_zip(path, label)
    else:
        yield Source(label=label, open=lambda: path.open("rb"))


def in_zip(
    file: Path | IO[bytes], label: str, *, limits: ZipLimits = _LIST
) -> Iterator[Source | SetAside | FileNote]:
    """
    Find every file in a zip; a source can be opened until the next one is asked for.

    Args:
        file: The zip.
        label: Its name for people.
        limits: What is more than that is set aside.

    """
    try:
        archive = zipfile.ZipFile(file)
    except UNREADABLE:
        finding = phrase("a zip that is broken or cut short: make it again.")
        yield whole_file(label, finding)
        return
    with archive:
        members = archive.infolist()
        if any(member.filename == "[Content_Types].xml" for member in members):
            yield whole_file(
                label,
                phrase("an Office document: save the sheet as 'CSV UTF-8' instead."),
            )
            return
        if len(members) > limits.most_members:
            yield whole_file(
                label,
                phrase(
                    "%(files)s files in one zip; the limit is %(most)s. Give them as "
                    "one PEM file, or in several zips.",
                    files=len(members),
                    most=limits.most_members,
                ),
            )
            return
        yield from _members(archive, members, label, limits)


def _members(
    archive: zipfile.ZipFile,
    members: Sequence[zipfile.ZipInfo],
    label: str,
    limits: ZipLimits,
) -> Iterator[Source | SetAside | FileNote]:
    hidden = found = 0
    for member in members:
        if member.is_dir():
            continue
        parts = member.filename.replace("\\", "/").split("/")
        # macOS adds "__MACOSX" to zips.
        if parts[0] == "__MACOSX" or (
            parts[-1].startswith(".") and parts[-1] not in (".", "..")
        ):
            hidden += 1
            continue
        found += 1
        name = f"{label}/{without_controls(member.filename)}"
        finding = _refusal(member, limits)
        if finding is None:
            yield Source(
                label=name,
                open=lambda member=member: archive.open(member),  # type: ignore[misc]
            )
        else:
            yield whole_file(name, finding)
    if hidden:
        text = f"{hidden} hidden files in it were passed over."
        yield FileNote(file=label, text=text)
    if not found:
        yield whole_file(label, phrase("a zip without files in it."))


def _refusal(member: zipfile.ZipInfo, limits: ZipLimits) -> Phrase | None:
    """Say why a member is not read; zipfile never gives more than its stated size."""
    if member.flag_bits & 1:
        return phrase("protected by a password: give it without.")
    if member.file_size > limits.largest_member:
        return phrase(
            "larger than %(size)s MiB: split it.",
            size=limits.largest_member // _MEBIBYTE,
        )
    if (
        member.file_size > _RATIO_MATTERS_FROM
        and member.file_size > _HIGHEST_RATIO * member.compress_size
    ):
        return phrase(
            "unpacks to far more than it holds, as zip bombs do: give it unpacked."
        )
    return None
