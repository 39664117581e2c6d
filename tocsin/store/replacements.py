"""Newly issued certificates, and the affected ones they supersede."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Select, func, select

from models.base import table
from models.incident import AffectedCertificate, Issuer
from models.outreach import Csr
from models.replacement import Replacement, ReplacementChain
from models.terms import (
    UNSETTLED,
    CertificateId,
    IncidentId,
    ReplacementId,
    SubscriberId,
)
from tocsin.policy.replacements import Superseded, names_key
from tocsin.store.session import insert_ignoring, rows_changed

_CERTIFICATE = table(AffectedCertificate)
_CHAIN = table(ReplacementChain)
_CSR = table(Csr)
_ISSUER = table(Issuer)
_REPLACEMENT = table(Replacement)

_T = TypeVar("_T")

_IN_ONE_STATEMENT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReplacement:
    """A new certificate for one affected certificate, to be recorded."""

    certificate: CertificateId
    sha256: str
    serial: str
    not_after: datetime | None
    der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedReplacement:
    """A replacement as its owner fetches it; the chain is PEM, empty if not known."""

    replacement: ReplacementId
    name: str
    serial: str
    der: bytes
    chain: str


def affected_among(
    connection: Connection,
    *,
    incident: IncidentId,
    identities: Collection[tuple[str, str]],
) -> set[tuple[str, str]]:
    """Return those of (issuer key, serial) that stand in the incident's list."""
    found: set[tuple[str, str]] = set()
    for serials in _chunks(sorted({serial for _, serial in identities})):
        rows = connection.execute(
            select(_ISSUER.c.key, _CERTIFICATE.c.serial)
            .join(_ISSUER, _ISSUER.c.id == _CERTIFICATE.c.issuer_id)
            .where(
                _CERTIFICATE.c.incident_id == incident,
                _CERTIFICATE.c.serial.in_(serials),
            )
        )
        found |= {(row.key, row.serial) for row in rows}
    return found & set(identities)


def known_among(
    connection: Connection, *, incident: IncidentId, fingerprints: Collection[str]
) -> set[str]:
    """Return those of these fingerprints (SHA-256, hex) that are on record."""
    return {
        found
        for some in _chunks(sorted(fingerprints))
        for found in connection.execute(
            select(_REPLACEMENT.c.sha256)
            .join(_CERTIFICATE, _CERTIFICATE.c.id == _REPLACEMENT.c.certificate_id)
            .where(
                _REPLACEMENT.c.sha256.in_(some),
                _CERTIFICATE.c.incident_id == incident,
            )
            .distinct()
        ).scalars()
    }


def superseded_by_key(
    connection: Connection, *, incident: IncidentId, keys: Collection[str]
) -> Mapping[str, Sequence[Superseded]]:
    """Return, by public key, the certificates for which a CSR with it was handed in."""
    found: dict[str, list[Superseded]] = defaultdict(list)
    for some in _chunks(sorted(keys)):
        for row in connection.execute(
            select(_CSR.c.spki_sha256, _CERTIFICATE.c.id, _CERTIFICATE.c.subscriber_id)
            .join(_CERTIFICATE, _CERTIFICATE.c.id == _CSR.c.certificate_id)
            .where(_CSR.c.spki_sha256.in_(some), _CERTIFICATE.c.incident_id == incident)
            .distinct()
        ):
            found[row.spki_sha256].append(_superseded(row.id, row.subscriber_id))
    return found


def superseded_by_names(
    connection: Connection, *, incident: IncidentId, names: Collection[frozenset[str]]
) -> Mapping[frozenset[str], Sequence[Superseded]]:
    """Return, by names, the certificates still to be replaced; one pass over the list."""
    found: dict[frozenset[str], list[Superseded]] = defaultdict(list)
    if not names:
        return found
    for row in connection.execute(
        select(
            _CERTIFICATE.c.id, _CERTIFICATE.c.subscriber_id, _CERTIFICATE.c.dns_names
        ).where(
            _CERTIFICATE.c.incident_id == incident,
            _CERTIFICATE.c.replacement_state.in_([state.value for state in UNSETTLED]),
        ),
        execution_options={"yield_per": 5_000},
    ):
        key = names_key(row.dns_names)
        if key in names:
            found[key].append(_superseded(row.id, row.subscriber_id))
    return found


def owners_of(
    connection: Connection, *, certificates: Sequence[CertificateId]
) -> set[SubscriberId]:
    """Return the subscribers of these certificates."""
    return {
        SubscriberId(owner)
        for some in _chunks(certificates)
        for owner in connection.execute(
            select(_CERTIFICATE.c.subscriber_id)
            .where(
                _CERTIFICATE.c.id.in_(some), _CERTIFICATE.c.subscriber_id.is_not(None)
            )
            .distinct()
        ).scalars()
    }


def insert_replacements(
    connection: Connection,
    new: Sequence[NewReplacement],
    *,
    chain: tuple[str, str] | None,
    now: datetime,
) -> int:
    """
    Record what was issued; what is on record stays as it is.

    Args:
        connection: The transaction.
        new: One entry for each affected certificate.
        chain: SHA-256 and text (PEM) of the issuers' certificates; None: not known.
        now: The present instant, UTC.

    Returns:
        How many were new.

    """
    if chain is not None:
        connection.execute(
            insert_ignoring(connection, _CHAIN, conflict=["sha256"]),
            {"sha256": chain[0], "pem": chain[1]},
        )
    insert = insert_ignoring(
        connection, _REPLACEMENT, conflict=["certificate_id", "sha256"]
    )
    return sum(
        rows_changed(
            connection.execute(
                insert.values(
                    [
                        {
                            "certificate_id": one.certificate,
                            "sha256": one.sha256,
                            "serial": one.serial,
                            "not_after": one.not_after,
                            "recorded_at": now,
                            "chain_sha256": None if chain is None else chain[0],
                            "der": one.der,
                        }
                        for one in some
                    ]
                )
            )
        )
        for some in _chunks(new)
    )


def replacements_of(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    replacement: ReplacementId | None = None,
) -> Iterator[IssuedReplacement]:
    """Stream the newest replacement of each certificate of a subscriber, or only one."""
    newest = (
        select(func.max(_REPLACEMENT.c.id))
        .join(_CERTIFICATE, _CERTIFICATE.c.id == _REPLACEMENT.c.certificate_id)
        .where(
            _CERTIFICATE.c.incident_id == incident,
            _CERTIFICATE.c.subscriber_id == subscriber,
        )
        .group_by(_REPLACEMENT.c.certificate_id)
    )
    query: Select[tuple[object, ...]] = (
        select(
            _REPLACEMENT.c.id,
            _REPLACEMENT.c.serial,
            _REPLACEMENT.c.der,
            _CERTIFICATE.c.dns_names,
            _CERTIFICATE.c.subject,
            _CHAIN.c.pem,
        )
        .join(_CERTIFICATE, _CERTIFICATE.c.id == _REPLACEMENT.c.certificate_id)
        .outerjoin(_CHAIN, _CHAIN.c.sha256 == _REPLACEMENT.c.chain_sha256)
        .where(
            _CERTIFICATE.c.incident_id == incident,
            _CERTIFICATE.c.subscriber_id == subscriber,
            _REPLACEMENT.c.id.in_(newest),
        )
        .order_by(_REPLACEMENT.c.id)
    )
    if replacement is not None:
        query = query.where(_REPLACEMENT.c.id == replacement)
    for row in connection.execute(query, execution_options={"yield_per": 500}):
        yield IssuedReplacement(
            replacement=ReplacementId(row.id),
            name=(row.dns_names or [row.subject or row.serial])[0],
            serial=row.serial,
            der=row.der,
            chain=row.pem or "",
        )


def _superseded(certificate: int, subscriber: int | None) -> Superseded:
    return Superseded(
        certificate=CertificateId(certificate),
        subscriber=None if subscriber is None else SubscriberId(subscriber),
    )


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _IN_ONE_STATEMENT):
        yield items[start : start + _IN_ONE_STATEMENT]
