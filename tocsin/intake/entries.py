"""What reading an input gives: entries, what was set aside and why, and remarks about a file."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import SourceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedEntry:
    """
    One entry of the list of affected certificates.

    Args:
        file: The file it came from; members of a zip as ``list.zip/member``.
        row: The line of a PEM block, the row of a table (header is 1), or the number
            of an object in its file, counted from 1.
        kind: What the entry was.
        issuer_key: The canonical key of the issuer's name, hex.
        issuer_name: The issuer's name, for people.
        serial: Lower-case hex, whole octets.
        claimed_by: The subscriber whom the list names, where it does.
        organisation: The organisation in the certificate's subject.
        subject: The subject's name, for people.
        dns_names: The dNSNames, lower case.
        not_before: UTC; None where it cannot be read.
        not_after: UTC; None where it cannot be read.
        sha256: The fingerprint, hex.
        spki_sha256: The hash of the subject's public key, hex.
        der: The certificate itself, where the list holds it.
        finding: What is odd about it although it can be used.

    """

    file: str
    row: int
    kind: SourceKind
    issuer_key: str
    issuer_name: str
    serial: str
    claimed_by: str | None = None
    organisation: str | None = None
    subject: str = ""
    dns_names: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    sha256: str | None = None
    spki_sha256: str | None = None
    der: bytes | None = None
    finding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """
    Input that was not used, and what its sender can do about it (I3).

    Args:
        file: The file it came from.
        row: As in ``ParsedEntry``; 0 for the file as a whole.
        field: The column, where one is to blame.
        finding: What is wrong and what to do.

    """

    file: str
    row: int
    field: str | None
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNote:
    """Something a person should know about a file that was read."""

    file: str
    text: str


def without_controls(text: str) -> str:
    """Make a text from outside storable and printable: no control characters."""
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(c if c.isprintable() or c == "\u3000" else " " for c in text)
    return kept.encode("utf-8", "replace").decode("utf-8")
