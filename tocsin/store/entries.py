"""Entries of the list into a draft, batch by batch; one identity is one certificate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    func,
    insert,
    select,
    update,
)

from models.base import table
from models.incident import (
    AffectedCertificate,
    CertificateBody,
    CrlPlace,
    Entry,
    Issuer,
)
from models.terms import IncidentId, ReplacementState, SourceKind
from tocsin.names import subscriber_key
from tocsin.policy.entries import ParsedEntry, SetAside
from tocsin.store.directory import add_subscribers, portions
from tocsin.store.session import dialect_insert, insert_ignoring

_BODY = table(CertificateBody)
_CRL_PLACE = table(CrlPlace)
_CERTIFICATE = table(AffectedCertificate)
_ENTRY = table(Entry)
_ISSUER = table(Issuer)

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
SET_ASIDE = "set-aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """
    What became of one batch; accepted and duplicates are all of it.

    Args:
        accepted: Entries that contributed something: a certificate not seen before, a
            fingerprint of its other kind, its content, or whom it belongs to.
        duplicates: Entries that added nothing.
        certificates: Certificates not seen before.
        conflicts: Entries that contradict an earlier one; each has a finding.

    """

    accepted: int
    duplicates: int
    certificates: int
    conflicts: int


@dataclass(slots=True)
class _Standing:
    """What is known of one certificate, in the database and from this batch."""

    id: int | None
    detail: int
    precertificate: str | None = None
    certificate: str | None = None
    claimed_by: str | None = None
    best: ParsedEntry | None = None  # whose details are to be written
    is_changed: bool = False


def record_entries(
    connection: Connection,
    *,
    incident: IncidentId,
    entries: Sequence[ParsedEntry],
    default_zone: str,
) -> Recorded:
    """
    Record a batch of entries, merging those that are one certificate.

    A precertificate and its certificate share issuer and serial and are one; the
    certificate's details win. Of different certificates with the same issuer and serial
    the first is kept, and the others' entries say so.
    """
    issuers = _issuer_ids(
        connection, {entry.issuer_key: entry.issuer_name for entry in reversed(entries)}
    )
    add_subscribers(
        connection,
        incident=incident,
        names=(entry.claimed_by for entry in entries if entry.claimed_by),
        zone=default_zone,
    )
    identities = [(issuers[entry.issuer_key], entry.serial) for entry in entries]
    known = _standings(connection, incident, identities)

    rows: list[tuple[ParsedEntry, _Standing, str, str | None]] = []
    accepted = conflicts = 0
    for entry, identity in zip(entries, identities, strict=True):
        standing = known.get(identity)
        if standing is None:
            standing = known[identity] = _Standing(id=None, detail=-1)
        contributes, conflict = _merge(standing, entry)
        accepted += contributes
        conflicts += conflict is not None
        finding = "; ".join(text for text in (entry.finding, conflict) if text)
        outcome = ACCEPTED if contributes else DUPLICATE
        rows.append((entry, standing, outcome, finding or None))

    created = _write_certificates(connection, incident, known)
    connection.execute(
        insert(_ENTRY),
        [
            {
                "incident_id": incident,
                "file": entry.file,
                "row": entry.row,
                "kind": entry.kind.value,
                "outcome": outcome,
                "certificate_id": standing.id,
                "sha256": entry.sha256,
                "finding": finding,
            }
            for entry, standing, outcome, finding in rows
        ],
    )
    return Recorded(
        accepted=accepted,
        duplicates=len(entries) - accepted,
        certificates=created,
        conflicts=conflicts,
    )


def record_set_aside(
    connection: Connection, *, incident: IncidentId, items: Sequence[SetAside]
) -> None:
    """Record what was not used, with its place and reason (I3)."""
    connection.execute(
        insert(_ENTRY),
        [
            {
                "incident_id": incident,
                "file": item.file,
                "row": item.row,
                "kind": None,
                "outcome": SET_ASIDE,
                "certificate_id": None,
                "sha256": None,
                "finding": f"{item.field}: {item.finding}"
                if item.field
                else item.finding,
            }
            for item in items
        ],
    )


def _merge(standing: _Standing, entry: ParsedEntry) -> tuple[bool, str | None]:
    """Add what an entry says; return whether it contributed, and a contradiction."""
    contributes = False
    contradictions: list[str] = []
    if entry.sha256 is not None and entry.kind is not SourceKind.SERIAL:
        is_final = entry.kind is SourceKind.CERTIFICATE
        present = standing.certificate if is_final else standing.precertificate
        if present is None:
            contributes = True
            if is_final:
                standing.certificate = entry.sha256
            else:
                standing.precertificate = entry.sha256
        elif present != entry.sha256:
            contradictions.append(
                f"another {entry.kind.value} has the same issuer and serial: "
                f"SHA-256 {present} is kept, this one is noted"
            )
    if entry.claimed_by:
        if standing.claimed_by is None:
            standing.claimed_by = entry.claimed_by
            contributes = True
        elif subscriber_key(standing.claimed_by) != subscriber_key(entry.claimed_by):
            contradictions.append(
                f"claimed by two subscribers: '{standing.claimed_by}' is kept, "
                f"'{entry.claimed_by}' is noted. Correct the list if that is wrong"
            )
    detail = _detail_of(entry)
    if detail > standing.detail:
        standing.detail = detail
        standing.best = entry
        contributes = True
    standing.is_changed = standing.is_changed or contributes
    return contributes, "; ".join(contradictions) or None


def _detail_of(entry: ParsedEntry) -> int:
    """Rank what an entry tells: 3 a certificate, 2 a precertificate, 1 names, 0 none."""
    if entry.der is not None:
        return 3 if entry.kind is SourceKind.CERTIFICATE else 2
    return 1 if entry.subject or entry.organisation or entry.not_after else 0


def _issuer_ids(connection: Connection, names: Mapping[str, str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for keys in portions(sorted(names)):
        wanted = select(_ISSUER.c.key, _ISSUER.c.id).where(_ISSUER.c.key.in_(keys))
        found = {row.key: row.id for row in connection.execute(wanted)}
        missing = [{"key": key, "name": names[key]} for key in keys if key not in found]
        if missing:
            statement = insert_ignoring(connection, _ISSUER, conflict=["key"])
            connection.execute(statement, missing)
            found = {row.key: row.id for row in connection.execute(wanted)}
        ids |= found
    return ids


def _standings(
    connection: Connection, incident: IncidentId, identities: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], _Standing]:
    """Read what is on record about these certificates."""
    columns = _CERTIFICATE.c
    rows = _by_identity(
        connection,
        incident,
        identities,
        (
            columns.precertificate_sha256,
            columns.certificate_sha256,
            columns.claimed_by,
            columns.spki_sha256,
            columns.subject,
            columns.organisation,
            columns.not_after,
        ),
    )
    known: dict[tuple[int, str], _Standing] = {}
    for row in rows:
        if row.spki_sha256 is not None:  # only a certificate itself tells that
            detail = 3 if row.certificate_sha256 else 2
        else:
            detail = 1 if row.subject or row.organisation or row.not_after else 0
        known[row.issuer_id, row.serial] = _Standing(
            id=row.id,
            detail=detail,
            precertificate=row.precertificate_sha256,
            certificate=row.certificate_sha256,
            claimed_by=row.claimed_by,
        )
    return known


def _by_identity(
    connection: Connection,
    incident: IncidentId,
    identities: Iterable[tuple[int, str]],
    columns: Sequence[ColumnElement[Any]],
) -> Iterator[Any]:
    serials: dict[int, set[str]] = {}
    for issuer, serial in identities:
        serials.setdefault(issuer, set()).add(serial)
    # One query per issuer and portion, so that the unique index is used to its end.
    for issuer, of_issuer in serials.items():
        for portion in portions(sorted(of_issuer)):
            yield from connection.execute(
                select(
                    _CERTIFICATE.c.id,
                    _CERTIFICATE.c.issuer_id,
                    _CERTIFICATE.c.serial,
                    *columns,
                ).where(
                    _CERTIFICATE.c.incident_id == incident,
                    _CERTIFICATE.c.issuer_id == issuer,
                    _CERTIFICATE.c.serial.in_(portion),
                )
            )


def _write_certificates(
    connection: Connection,
    incident: IncidentId,
    known: dict[tuple[int, str], _Standing],
) -> int:
    """Write what changed; return how many certificates are new."""
    new = {key: standing for key, standing in known.items() if standing.id is None}
    if new:
        connection.execute(
            insert_ignoring(
                connection,
                _CERTIFICATE,
                conflict=["incident_id", "issuer_id", "serial"],
            ),
            [
                {
                    "incident_id": incident,
                    "issuer_id": issuer,
                    "serial": serial,
                    "subscriber_id": None,
                    "replacement_state": ReplacementState.AWAITING_CSR.value,
                    **_marks(standing),
                    **_details(standing),
                }
                for (issuer, serial), standing in new.items()
            ],
        )
        for row in _by_identity(connection, incident, new, ()):
            new[row.issuer_id, row.serial].id = row.id

    old = [
        standing
        for key, standing in known.items()
        if key not in new and standing.is_changed
    ]
    with_details = [standing for standing in old if standing.best is not None]
    for standings, has_details in ((old, False), (with_details, True)):
        if not standings:
            continue
        values = [
            {"b_id": standing.id}
            | (_details(standing) if has_details else _marks(standing))
            for standing in standings
        ]
        assigned: dict[str, Any] = {name: bindparam(name) for name in values[0]}
        del assigned["b_id"]
        if has_details:  # what a list said stays where the certificate says nothing
            assigned["organisation"] = func.coalesce(
                bindparam("organisation"), _CERTIFICATE.c.organisation
            )
        connection.execute(
            update(_CERTIFICATE)
            .where(_CERTIFICATE.c.id == bindparam("b_id"))
            .values(assigned),
            values,
        )
    _write_bodies(connection, [*new.values(), *with_details])
    return len(new)


def _write_bodies(connection: Connection, standings: Iterable[_Standing]) -> None:
    told = [
        (standing.id, standing.best)
        for standing in standings
        if standing.best is not None and standing.best.der is not None
    ]
    for rows, column, values in (
        (_BODY, "der", [(key, entry.der) for key, entry in told]),
        (
            _CRL_PLACE,
            "urls",
            [(key, "\n".join(entry.crl_urls)) for key, entry in told if entry.crl_urls],
        ),
    ):
        if values:
            statement = dialect_insert(connection)(rows)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["certificate_id"],
                    set_={column: statement.excluded[column]},
                ),
                [{"certificate_id": key, column: value} for key, value in values],
            )


def _marks(standing: _Standing) -> dict[str, Any]:
    return {
        "precertificate_sha256": standing.precertificate,
        "certificate_sha256": standing.certificate,
        "claimed_by": standing.claimed_by,
    }


def _details(standing: _Standing) -> dict[str, Any]:
    entry = standing.best
    if entry is None:  # a new certificate always has one
        return {}
    return {
        "organisation": entry.organisation,
        "subject": entry.subject,
        "dns_names": list(entry.dns_names),
        "not_before": entry.not_before,
        "not_after": entry.not_after,
        "spki_sha256": entry.spki_sha256,
    }
