"""From what an officer uploaded to a request for an incident, or to what can be mended."""

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import UploadFile

from models.terms import Circumstance
from tocsin.policy.entries import without_controls
from tocsin.policy.rules import RulePack
from tocsin.portal.forms import Problem, Submitted
from tocsin.portal.office.context import Office, TheOffice, TheOfficer
from tocsin.steps.launch import LaunchRequest

CERTIFICATES, DIRECTORY = "certificates", "directory"
_PASTED = "pasted.txt"

_MOST_FILES = 2_000
_MOST_FIELDS = 50
_LONGEST_NAME = 60  # characters; a file system counts octets, 255 at most
_LONGEST_TITLE = 300
_CHUNK = 1 << 20
_FIELDS = ("title", "circumstance", "made_aware", "zone", "pasted")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedForm:
    """
    What a browser sent, its files on disk.

    Args:
        fields: The text fields' values.
        nonce: Of the form.
        folder: Holds the files, in a folder for each field.
        names: The files' names, by field, as people know them.

    """

    fields: Mapping[str, str]
    nonce: str
    folder: Path
    names: Mapping[str, Sequence[str]]

    def files(self, field: str) -> list[Path]:
        """Return the files of a field."""
        return [self.folder / field / name for name in self.names.get(field, ())]

    def as_submitted(self) -> Submitted:
        """Return it as other forms are: the files by their names alone."""
        fields: dict[str, Sequence[str]] = {
            **{name: (value,) for name, value in self.fields.items()},
            **self.names,
            "nonce": (self.nonce,),
        }
        return Submitted(fields=fields, files=())

    def throw_away(self) -> None:
        """Delete the files: what was read of them is in the database."""
        shutil.rmtree(self.folder, ignore_errors=True)


async def read_upload(
    request: Request, office: TheOffice, visitor: TheOfficer
) -> UploadedForm:
    """Take in a form with files, onto disk; only of an officer who is in."""
    del visitor
    most = office.settings.officer_upload_bytes
    uploads = office.settings.data_directory / "uploads"
    folder = uploads / secrets.token_hex(8)
    fields = dict.fromkeys((*_FIELDS, "nonce"), "")
    names: dict[str, list[str]] = {CERTIFICATES: [], DIRECTORY: []}
    size = 0
    folder.mkdir(parents=True, mode=0o700)
    try:
        async with request.form(
            max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=most
        ) as form:
            for field, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    if field in fields:
                        fields[field] = value.replace("\0", "").strip()
                elif field in names and value.filename:
                    name = _file_name(value.filename, names[field])
                    size += await _store(value, folder / field / name)
                    names[field].append(name)
        _check_size(size, most)
        pasted = fields["pasted"]
        if pasted:
            target = folder / CERTIFICATES / _file_name(_PASTED, names[CERTIFICATES])
            target.parent.mkdir(exist_ok=True)
            target.write_text(pasted, "utf-8")
            names[CERTIFICATES].append(target.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return UploadedForm(
        fields=fields, nonce=fields.pop("nonce"), folder=folder, names=names
    )


Uploaded = Annotated[UploadedForm, Depends(read_upload)]


def request_of(
    office: Office, upload: UploadedForm, pack: RulePack
) -> tuple[LaunchRequest | None, tuple[Problem, ...]]:
    """Read the request for an incident, or say what to mend."""
    fields = upload.fields
    problems: list[Problem] = []
    title = " ".join(fields["title"].split())
    if not title or len(title) > _LONGEST_TITLE or not title.isprintable():
        problems.append(
            Problem(
                field="title",
                message=f"Enter a title of up to {_LONGEST_TITLE} characters: people "
                "read it in mails and reports.",
            )
        )
    circumstance = _circumstance(fields["circumstance"], pack)
    if circumstance is None:
        problems.append(
            Problem(
                field="circumstance",
                message="Choose why the certificates must be revoked: deadline and "
                "reason code follow from it.",
            )
        )
    made_aware_at = _made_aware(fields, office, problems)
    if not upload.names[CERTIFICATES]:
        problems.append(
            Problem(
                field=CERTIFICATES,
                message="Choose at least one file with affected certificates, or paste "
                "them.",
            )
        )
    if len(upload.names[DIRECTORY]) > 1:
        problems.append(
            Problem(field=DIRECTORY, message="Choose one file: the directory.")
        )
    if problems or circumstance is None or made_aware_at is None:
        return None, tuple(problems)
    directory = upload.files(DIRECTORY)
    return (
        LaunchRequest(
            title=title,
            circumstance=circumstance,
            made_aware_at=made_aware_at,
            certificates=upload.files(CERTIFICATES),
            directory=directory[0] if directory else None,
            zone=fields["zone"],
            below=upload.folder,
        ),
        (),
    )


def _circumstance(text: str, pack: RulePack) -> Circumstance | None:
    known = {rule.circumstance for rule in pack.rules}
    return next((one for one in known if one.value == text), None)


def _made_aware(
    fields: Mapping[str, str], office: Office, problems: list[Problem]
) -> datetime | None:
    try:
        zone = ZoneInfo(fields["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.append(
            Problem(
                field="zone", message="Enter an IANA time zone such as Asia/Hong_Kong."
            )
        )
        return None
    try:
        local = datetime.fromisoformat(fields["made_aware"])
    except ValueError:
        problems.append(
            Problem(
                field="made_aware",
                message="Enter when the clock started, like 2024-03-18T21:01.",
            )
        )
        return None
    at = local if local.tzinfo else local.replace(tzinfo=zone)
    if at > office.clock.now():
        problems.append(
            Problem(
                field="made_aware",
                message="This lies in the future. Check date, time and zone.",
            )
        )
        return None
    return at


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise HTTPException(413)


async def _store(file: UploadFile, target: Path) -> int:
    target.parent.mkdir(exist_ok=True)
    size = 0
    with target.open("wb") as stream:
        while chunk := await file.read(_CHUNK):
            stream.write(chunk)
            size += len(chunk)
    return size


def _file_name(given: str, taken: Sequence[str]) -> str:
    """Make a name that is one file in its folder, whatever a browser calls it."""
    plain = without_controls(given).replace("\\", "/").rpartition("/")[2].lstrip(".")
    name = plain[-_LONGEST_NAME:] or "file"
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{number}-{name}"
    return unique
