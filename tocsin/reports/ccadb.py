"""The list of affected certificates, column by column as the CCADB prescribes it."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum

from models.terms import RevocationState
from tocsin.policy.figures import CertificateRow
from tocsin.policy.revocation import due_at

COLUMNS = (
    "Precertificate SHA-256 hash",
    "Certificate SHA-256 hash",
    "Subject",
    "Issuer",
    "Not before",
    "Not after",
    "Serial #",
    "dNSNames",
    "Is revoked?",
    "Revocation date",
    "Revocation reason",
)
"""CCADB Incident Reporting Guidelines 3.2, Appendix; own columns only to the right."""

LINKS_FROM = 10_000
"""From this many certificates on, a list of links is allowed instead of the table."""

NOTE = "Withdrawn or restrained"
"""Our own column, to the right, in lists where there is something to say in it."""

_NOT_APPLICABLE = "N/A"


class IsRevoked(StrEnum):
    """What the guidelines let one say of a certificate."""

    YES = "Yes"
    PLANNED = "Planned"
    DELAYED = "Delayed"
    EXPIRED = "N/A (expired)"
    WITHDRAWN = "N/A"  # was not affected after all: our own column says so


def is_revoked(row: CertificateRow, *, deadline: datetime, now: datetime) -> IsRevoked:
    """
    Say what to report of one certificate.

    "Yes" is said of published revocations only (I9): a reader looks into the CRL.
    """
    match row.state:
        case RevocationState.PUBLISHED:
            return IsRevoked.YES
        case RevocationState.SCHEDULED | RevocationState.SUBMITTED | None:
            if row.not_after is not None and row.not_after < now:
                return IsRevoked.EXPIRED
        case RevocationState.REVOKED:
            pass
        case RevocationState.WITHDRAWN:
            return IsRevoked.WITHDRAWN
    is_kept = row.restrained_until is not None and row.restrained_until > deadline
    return IsRevoked.DELAYED if now > deadline or is_kept else IsRevoked.PLANNED


def render_affected(
    rows: Iterable[CertificateRow],
    *,
    deadline: datetime,
    now: datetime,
    has_notes: bool = False,
) -> Iterator[str]:
    """
    Yield the table line by line, its header first.

    With notes there is a column more, to the right of the prescribed ones.

    Comma-separated as RFC 4180 says, without BOM. What is not known is left empty;
    what does not apply is "N/A". Hashes and serials are lower-case hex, instants UTC.
    """
    yield _line((*COLUMNS, NOTE) if has_notes else COLUMNS)
    for row in rows:
        verdict = is_revoked(row, deadline=deadline, now=now)
        yield _line(
            (
                row.precertificate_sha256 or "",
                row.certificate_sha256 or "",
                row.subject,
                row.issuer,
                _instant(row.not_before, absent=""),
                _instant(row.not_after, absent=""),
                row.serial,
                ", ".join(row.dns_names),
                verdict,
                *_revocation(row, verdict),
                *([row.note] if has_notes else []),
            )
        )


def render_links(rows: Iterable[CertificateRow]) -> Iterator[str]:
    """
    Yield a link for each certificate, by its fingerprint.

    The precertificate's stands in where the final certificate is not known; a
    certificate known by issuer and serial only has no link and is left out, and so is
    one that was withdrawn: a link cannot say so, the table does.
    """
    for row in rows:
        if row.state is RevocationState.WITHDRAWN:
            continue
        fingerprint = row.certificate_sha256 or row.precertificate_sha256
        if fingerprint is not None:
            yield f"https://crt.sh/?sha256={fingerprint}\n"


def _revocation(row: CertificateRow, verdict: IsRevoked) -> tuple[str, str]:
    """Return date and reason: as published, as planned, or not applicable."""
    match verdict:
        case IsRevoked.YES:
            return _instant(row.revoked_at, absent=_NOT_APPLICABLE), row.reason.label
        case IsRevoked.PLANNED | IsRevoked.DELAYED:
            planned = row.revocation_time
            if planned is not None and row.state is not RevocationState.REVOKED:
                planned = due_at(planned, row.restrained_until)
            return _instant(planned, absent=_NOT_APPLICABLE), row.reason.label
        case IsRevoked.EXPIRED | IsRevoked.WITHDRAWN:
            return _NOT_APPLICABLE, _NOT_APPLICABLE


def _instant(at: datetime | None, *, absent: str) -> str:
    if at is None:
        return absent
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(fields: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(fields)
    return text.getvalue()
