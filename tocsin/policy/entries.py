"""What reading an input gives: entries, what was set aside and why, and remarks about a file."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import ContactRole, SourceKind
from tocsin.phrases import Phrase


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
        crl_urls: Where the certificate says that its CRL is.
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
    crl_urls: tuple[str, ...] = ()
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
        said: The same, to be said in other languages; None where officers alone read it.

    """

    file: str
    row: int
    field: str | None
    finding: str
    said: Phrase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNote:
    """Something a person should know about a file that was read."""

    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedContact:
    """
    One row of the directory.

    Args:
        file: The file it came from.
        row: The row, the header being 1.
        subscriber: The subscriber's name; None for the CA's own staff.
        sector: As the directory says.
        language: A language tag such as ``zh-Hant``; empty where not said.
        zone: An IANA time zone; empty where not said.
        domains: Lower case, without wildcard, IDNA-encoded.
        name: Of the person or role mailbox.
        email: The address; None for a subscriber without one, or with an unusable one.
        phone: As the directory says.
        rank: 1 is the primary contact; None where the order of rows decides.
        role: On whose side the contact stands.
        problem: Why the contact of this row is set aside although its subscriber is
            kept; None where all is well.

    """

    file: str
    row: int
    subscriber: str | None
    sector: str = ""
    language: str = ""
    zone: str = ""
    domains: tuple[str, ...] = ()
    name: str = ""
    email: str | None = None
    phone: str = ""
    rank: int | None = None
    role: ContactRole = ContactRole.SUBSCRIBER
    problem: SetAside | None = None


def without_controls(text: str) -> str:
    """Make a text from outside storable and printable: no control characters."""
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(c if c.isprintable() or c == "\u3000" else " " for c in text)
    return kept.encode("utf-8", "replace").decode("utf-8")
