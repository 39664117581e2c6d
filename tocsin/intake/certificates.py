"""The list of affected certificates, in whatever form it comes: to entries and what was set aside."""

import binascii
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

from models.terms import SourceKind
from tocsin.errors import BadInput
from tocsin.intake.lists import read_json_list, read_table_list
from tocsin.intake.pem import Piece, der_pieces, pem_pieces
from tocsin.intake.serials import serial_of_integer
from tocsin.intake.sources import (
    UNREADABLE,
    ZIP_BEGINNINGS,
    Source,
    find_sources,
    whole_file,
)
from tocsin.intake.tlv import parse_certificate, read_name
from tocsin.names import canonical_key, readable_name
from tocsin.policy.entries import FileNote, ParsedEntry, SetAside, without_controls

_HEAD = 1 << 16
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_ORGANISATION = "2.5.4.10"
_LONG_LENGTHS = (0x81, 0x82, 0x83, 0x84)  # no certificate is shorter than 128 octets
_BARE_BASE64 = re.compile(rb"MI[A-Za-z0-9+/\s]+={0,2}\s*")
_CERTIFICATE_LABELS = frozenset(
    ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
)
# Formats that are easily mistaken for a list, by how they begin.
_FOREIGN = (
    (ZIP_BEGINNINGS, "a zip inside a zip: unpack it, and give it by itself."),
    ((b"%PDF",), "a PDF: give the list as CSV, or the certificates themselves."),
    ((b"\xd0\xcf\x11\xe0",), "an Excel workbook: save it as 'CSV UTF-8' instead."),
    (
        (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf"),
        "packed: unpack it, or use zip.",
    ),
)


def read_certificates(
    paths: Sequence[Path], *, below: Path | None = None
) -> Iterator[ParsedEntry | SetAside | FileNote]:
    """
    Read files, folders and zips of PEM, DER, CSV and JSON in any mix.

    What a file is follows from its content, never from its name. Nothing is lost: what
    cannot be used is set aside with its place and a reason (I3). Memory does not grow
    with the length of the list. ``below`` is that of ``find_sources``.
    """
    for found in find_sources(paths, below=below):
        if isinstance(found, Source):
            yield from read_source(found)
        else:
            yield found


def read_source(source: Source) -> Iterator[ParsedEntry | SetAside | FileNote]:
    """Read one file or stream, whatever it is; nothing of it is lost."""
    try:
        yield from _read(source)
    except BadInput as error:
        yield SetAside(
            file=source.label,
            row=error.row or 0,
            field=error.field,
            finding=error.message,
        )
    except UNREADABLE:
        finding = "damaged: it could not be read to its end. Copy or pack it again."
        yield whole_file(source.label, finding)


def _read(source: Source) -> Iterator[ParsedEntry | SetAside | FileNote]:
    with source.open() as stream:
        head = stream.read(_HEAD)
        if not head.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0"):
            raise BadInput(
                "empty: nothing to read in it. Was the export finished?",
                file=source.label,
            )
        for beginnings, finding in _FOREIGN:
            if head.startswith(beginnings):
                raise BadInput(finding, file=source.label)
        text = head
        if head[:2] in _UTF16_BOMS:
            text = head.replace(b"\0", b"")
        is_pem = b"-----BEGIN " in text
        is_der = head[0] == 0x30 and head[1:2] and head[1] in _LONG_LENGTHS  # noqa: PLR2004 - SEQUENCE
        if is_pem or is_der:
            # Few files are longer than the head; the others are read from the start.
            yield from _pieces(source, head, is_der=bool(is_der))
            return
    if len(head) < _HEAD and _BARE_BASE64.fullmatch(head):
        yield _bare_base64(source.label, head)
    elif text.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] in (b"[", b"{"):
        yield from read_json_list(source)
    else:
        yield from read_table_list(source)


def _pieces(
    source: Source, head: bytes, *, is_der: bool
) -> Iterator[ParsedEntry | SetAside]:
    read = der_pieces if is_der else pem_pieces
    stream: IO[bytes] = io.BytesIO(head) if len(head) < _HEAD else source.open()
    label = source.label
    found = 0
    with stream:
        for piece in read(stream):
            found += 1
            yield _entry(label, piece)
    if not found:
        raise BadInput("no complete PEM block in it.", file=label)


def _bare_base64(label: str, head: bytes) -> ParsedEntry | SetAside:
    try:
        der = binascii.a2b_base64(head.translate(None, b" \t\r\n"), strict_mode=True)
    except binascii.Error:
        problem = "base64 that is cut or altered. Export the certificate again, as PEM."
        return _entry(label, Piece(1, "", None, problem))
    return _entry(label, Piece(1, "", der))


def _entry(label: str, piece: Piece) -> ParsedEntry | SetAside:
    finding = piece.problem
    if finding is None and piece.label and piece.label not in _CERTIFICATE_LABELS:
        finding = _foreign_block(piece.label)
    if finding is None and piece.der is not None:
        try:
            return _certificate(label, piece.row, piece.der)
        except BadInput as error:
            finding = error.message
    return SetAside(
        file=label, row=piece.row, field=None, finding=finding or "nothing in it."
    )


def _certificate(label: str, row: int, der: bytes) -> ParsedEntry:
    fields = parse_certificate(der)
    if fields.is_authority:
        raise BadInput(
            "a CA's own certificate (basicConstraints says so). This list is for "
            "subscribers' certificates; those of subordinate CAs have 7 days "
            "(TLS BR 4.9.1.2) and a procedure of their own."
        )
    findings = list(fields.findings)
    if fields.length < len(der):
        findings.append(
            f"{len(der) - fields.length} octets after the certificate were left out"
        )
        der = der[: fields.length]
    issuer_key, issuer_name = _issuer(fields.issuer)
    subject = read_name(fields.subject)
    organisation = next((value for oid, value in subject if oid == _ORGANISATION), "")
    kind = (
        SourceKind.PRECERTIFICATE
        if fields.is_precertificate
        else SourceKind.CERTIFICATE
    )
    return ParsedEntry(
        file=label,
        row=row,
        kind=kind,
        issuer_key=issuer_key,
        issuer_name=issuer_name,
        serial=serial_of_integer(fields.serial),
        organisation=" ".join(without_controls(organisation).split()) or None,
        subject=without_controls(readable_name(subject)),
        dns_names=tuple(without_controls(name) for name in fields.dns_names),
        crl_urls=tuple(without_controls(url) for url in fields.crl_urls),
        not_before=fields.not_before,
        not_after=fields.not_after,
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256=hashlib.sha256(fields.spki).hexdigest() if fields.spki else None,
        der=der,
        finding="; ".join(findings) or None,
    )


@lru_cache(maxsize=4096)
def _issuer(der: bytes) -> tuple[str, str]:
    attributes = read_name(der)
    return canonical_key(attributes), without_controls(readable_name(attributes))


def _foreign_block(label: str) -> str:
    if label.endswith("PRIVATE KEY"):
        return (
            "a private key, which has no place in this list: delete it from the file. "
            "It was not kept."
        )
    if label.endswith("CERTIFICATE REQUEST"):
        return "a signing request, not a certificate."
    if label in ("PKCS7", "CMS"):
        return "PKCS#7: take the certificates out (openssl pkcs7 -print_certs)."
    return f"a {without_controls(label)[:40]} block, not a certificate."
