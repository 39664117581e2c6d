"""Lists that name certificates by issuer and serial: tables, and crt.sh's exports."""

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from models.terms import SourceKind
from tocsin.errors import BadInput
from tocsin.intake.encodings import decide_encoding
from tocsin.intake.objects import read_objects
from tocsin.intake.serials import is_ambiguous, parse_serial
from tocsin.intake.sources import Source
from tocsin.intake.tables import Columns, Header, Row, plain, read_table
from tocsin.names import canonical_key, parse_name, readable_name
from tocsin.policy.entries import FileNote, ParsedEntry, SetAside, without_controls

CRT_SH_LIMIT = 10_000
_SERIALS = ("serial", "serial_decimal")
_COLUMNS = Columns(
    aliases={
        "issuer": (
            "issuer",
            "issuer name",
            "issuer dn",
            "issuer distinguished name",
            "issuer subject",
            "issuing ca",
        ),
        "serial": (
            "serial",
            "serial number",
            "serialnumber",
            "serial hex",
            "serial number hex",
            "serial no",
            "certificate serial number",
            "certificate serial",
            "cert serial",
        ),
        "serial_decimal": (
            "serial decimal",
            "serial number decimal",
            "decimal serial",
            "serial dec",
        ),
        "subscriber": ("subscriber", "subscriber name", "customer", "account"),
        "organisation": ("organisation", "organization", "o"),
        "kind": ("kind", "type", "certificate type"),
        "sha256": (
            "certificate sha 256 hash",
            "sha256",
            "sha 256",
            "fingerprint",
            "sha256 fingerprint",
            "sha 256 fingerprint",
            "certificate sha256",
        ),
        "subject": ("subject", "subject dn", "subject name"),
        "common_name": ("common name", "cn"),
        "names": ("dnsnames", "dns names", "name value", "san", "sans", "domains"),
        "not_before": ("not before", "notbefore", "valid from"),
        "not_after": ("not after", "notafter", "valid to", "valid until", "expires"),
    },
    required=(("issuer",), _SERIALS),
)
_KINDS = {
    "": SourceKind.SERIAL,
    "serial": SourceKind.SERIAL,
    "certificate": SourceKind.CERTIFICATE,
    "cert": SourceKind.CERTIFICATE,
    "leaf": SourceKind.CERTIFICATE,
    "final": SourceKind.CERTIFICATE,
    "final certificate": SourceKind.CERTIFICATE,
    "precertificate": SourceKind.PRECERTIFICATE,
    "pre certificate": SourceKind.PRECERTIFICATE,
    "precert": SourceKind.PRECERTIFICATE,
}
_FINGERPRINT_DIGITS = 64


def read_table_list(source: Source) -> Iterator[ParsedEntry | SetAside | FileNote]:
    """
    Read a CSV of issuer and serial.

    Raises:
        BadInput: The file as a whole cannot be used.

    """
    try:
        remarks = _Remarks(source.label)
        for item in read_table(source, _COLUMNS):
            match item:
                case Row():
                    yield _entry(source.label, item, remarks)
                case Header():
                    remarks.hex_is_said = "serial hex" in item.plain
                case SetAside():
                    remarks.rows += 1
                    yield item
                case FileNote():
                    yield item
    except BadInput as error:
        if "crt sh id" in error.message:
            raise BadInput(
                "an export of crt.sh as CSV, which has no serial numbers, so it cannot "
                "say which certificates are meant. Export as JSON (output=json), or "
                "give the certificates themselves.",
                file=source.label,
            ) from None
        raise
    yield from remarks.notes()
    if not remarks.rows:
        raise BadInput("a header and no rows.", file=source.label, row=2)


def read_json_list(source: Source) -> Iterator[ParsedEntry | SetAside | FileNote]:
    """
    Read crt.sh's JSON, or any JSON objects with issuer and serial.

    Raises:
        BadInput: The file as a whole cannot be used.

    """
    encoding = decide_encoding(source)
    remarks = _Remarks(source.label)
    from_crt_sh = 0
    yield FileNote(file=source.label, text=f"read as JSON, {encoding.name}.")
    with (
        source.open() as stream,
        io.TextIOWrapper(stream, encoding=encoding.codec) as text,
    ):
        for number, value in read_objects(text):
            if isinstance(value, str):
                yield SetAside(file=source.label, row=number, field=None, finding=value)
                remarks.rows += 1
                continue
            row = _row_of_object(number, value)
            if "issuer_ca_id" in value:
                from_crt_sh += 1
                remarks.hex_is_said = True
            yield _entry(source.label, row, remarks)
    if from_crt_sh == CRT_SH_LIMIT:
        text_of_note = (
            "exactly 10,000 rows: crt.sh cuts its exports there without saying so. Ask "
            "again in smaller portions, or add the certificates from another source."
        )
        yield FileNote(file=source.label, text=text_of_note)
    yield from remarks.notes()
    if not remarks.rows:
        raise BadInput("JSON without any certificate in it.", file=source.label)


class _Remarks:
    """What the rows of one file gave rise to, said once."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.rows = 0
        self.ambiguous = 0
        self.hex_is_said = False

    def notes(self) -> Iterator[FileNote]:
        if self.ambiguous and not self.hex_is_said:
            text = (
                f"{self.ambiguous} serials have digits only and were read as hex. If "
                f"they are decimal, name the column 'serial (decimal)'."
            )
            yield FileNote(file=self.label, text=text)


def _entry(label: str, row: Row, remarks: _Remarks) -> ParsedEntry | SetAside:
    remarks.rows += 1
    try:
        return _parsed(label, row, remarks)
    except BadInput as error:
        return SetAside(
            file=label, row=row.number, field=error.field, finding=error.message
        )


def _parsed(label: str, row: Row, remarks: _Remarks) -> ParsedEntry:
    issuer_key, issuer_name = _issuer(row.text("issuer"))
    serial_text = row.text("serial")
    if serial_text:
        remarks.ambiguous += is_ambiguous(serial_text)
        serial = parse_serial(serial_text)
    else:
        serial = parse_serial(row.text("serial_decimal"), decimal=True)
    kind = _KINDS.get(plain(row.text("kind")))
    if kind is None:
        raise BadInput(
            f"'{row.text('kind')[:40]}' is no kind: write certificate, precertificate "
            f"or leave it empty.",
            field="kind",
        )
    findings: list[str] = []
    return ParsedEntry(
        file=label,
        row=row.number,
        kind=kind,
        issuer_key=issuer_key,
        issuer_name=issuer_name,
        serial=serial,
        claimed_by=_name_or_none(row.text("subscriber")),
        organisation=_name_or_none(row.text("organisation")),
        subject=_subject(row),
        dns_names=_names(row.text("names")),
        not_before=_instant(row, "not_before", findings),
        not_after=_instant(row, "not_after", findings),
        sha256=_fingerprint(row.text("sha256")),
        finding="; ".join(findings) or None,
    )


@lru_cache(maxsize=4096)
def _issuer(text: str) -> tuple[str, str]:
    if not text:
        raise BadInput(
            "no issuer in this row: a serial alone does not say which certificate is "
            "meant.",
            field="issuer",
        )
    try:
        attributes = parse_name(without_controls(text))
    except BadInput as error:
        raise BadInput(error.message, field="issuer") from None
    return canonical_key(attributes), readable_name(attributes)


def _name_or_none(text: str) -> str | None:
    return " ".join(without_controls(text).split()) or None


def _subject(row: Row) -> str:
    subject = without_controls(row.text("subject"))
    if subject:
        return subject
    common_name = without_controls(row.text("common_name"))
    return readable_name([("2.5.4.3", common_name)]) if common_name else ""


def _names(text: str) -> tuple[str, ...]:
    """Take the names that a list gives, of one row without repetition."""
    words = text.replace(",", " ").replace(";", " ").lower().split()
    names = (without_controls(word).removeprefix("dns:") for word in words)
    return tuple(dict.fromkeys(name for name in names if name and "@" not in name))


def _fingerprint(text: str) -> str | None:
    digits = text.replace(":", "").replace(" ", "").lower()
    if not digits or digits == "n/a":
        return None
    if len(digits) != _FINGERPRINT_DIGITS or digits.strip("0123456789abcdef"):
        raise BadInput(
            f"'{text[:80]}' is no SHA-256 fingerprint: give 64 hex digits, or leave it "
            f"empty.",
            field="sha256",
        )
    return digits


def _instant(row: Row, column: str, findings: list[str]) -> datetime | None:
    text = row.text(column)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text.removesuffix(" UTC"))
        if instant.tzinfo is None:  # crt.sh writes UTC without saying so
            return instant.replace(tzinfo=UTC)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        name = column.replace("_", " ")
        findings.append(f"{name} cannot be read: write 2026-03-01T00:00:00Z")
        return None


def _row_of_object(number: int, value: Mapping[str, Any]) -> Row:
    """Give an object the columns of a table; their names are the same."""
    cells = {plain(str(key)): content for key, content in value.items()}
    row: dict[str, str] = {}
    for name, aliases in _COLUMNS.aliases.items():
        for alias in aliases:
            content = cells.get(alias)
            if isinstance(content, list):
                content = " ".join(str(part) for part in content)
            if content is not None and content != "":
                row[name] = str(content)
                break
    return Row(number, row)
