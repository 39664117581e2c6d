"""What somebody hands in with a proposal: names of certificates, a court's document."""

import hashlib
import re
from collections.abc import Sequence

from sqlalchemy import Connection

from models.terms import CertificateId, IncidentId
from tocsin.errors import BadInput
from tocsin.intake.documents import document_name, media_type_of
from tocsin.intake.serials import parse_serial
from tocsin.policy.scope import MOST_NAMED
from tocsin.store.named import find_certificates
from tocsin.store.scope import Document

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_BETWEEN = re.compile(r"[\r\n,;]+")
_SHOWN = 5


def parse_names(text: str) -> tuple[set[str], set[str]]:
    """
    Read serial numbers and SHA-256 fingerprints, in hex, one to a line.

    Returns:
        The serials as the database has them, and the fingerprints.

    Raises:
        BadInput: There is none, there are too many, or a line is none of these.

    """
    serials: set[str] = set()
    fingerprints: set[str] = set()
    for line in _BETWEEN.split(text):
        plain = line.strip().lower()
        if not plain:
            continue
        packed = re.sub(r"[\s:]", "", plain)
        if _FINGERPRINT.fullmatch(packed):
            fingerprints.add(packed)
            continue
        try:
            serials.add(parse_serial(plain))
        except BadInput as error:
            raise BadInput(error.message, field="certificates") from None
    count = len(serials) + len(fingerprints)
    if not count:
        raise BadInput(
            "Name the certificates: a serial number in hex, or a SHA-256, to a line.",
            field="certificates",
        )
    if count > MOST_NAMED:
        raise BadInput(
            f"These are {count:,} certificates, and {MOST_NAMED:,} is the most: two "
            "officers answer for each of them by name.",
            field="certificates",
        )
    return serials, fingerprints


def find_named(
    connection: Connection, *, incident: IncidentId, text: str
) -> list[CertificateId]:
    """
    Return the certificates of a launched incident that a text names.

    Raises:
        BadInput: A line is not understood, stands for no certificate of the incident,
            or for more than one.

    """
    serials, fingerprints = parse_names(text)
    found = find_certificates(
        connection, incident=incident, serials=serials, fingerprints=fingerprints
    )
    unknown = sorted((serials | fingerprints) - set(found))
    if unknown:
        raise BadInput(
            f"Not scheduled in this incident: {_some(unknown)}.", field="certificates"
        )
    several = sorted(name for name, keys in found.items() if len(keys) > 1)
    if several:
        raise BadInput(
            f"Two issuers use the same number: {_some(several)}. Name these "
            "certificates by their SHA-256.",
            field="certificates",
        )
    return sorted({key for keys in found.values() for key in keys})


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def document_of(files: Sequence[tuple[str, bytes]]) -> Document:
    """
    Return the one document that a form, or a command, brought along.

    Raises:
        BadInput: There is none, there are several, or it is of no kind that is kept.

    """
    if len(files) > 1:
        raise BadInput("Attach one document: the order.", field="document")
    name, content = files[0] if files else ("", b"")
    media_type, ending = media_type_of(content)
    return Document(
        name=document_name(name, ending),
        media_type=media_type,
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
    )
