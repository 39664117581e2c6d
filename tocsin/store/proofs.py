"""Which revocations the world has seen, and the evidence (I9); nothing of people (I2)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, literal, select, update

from models.base import Instant, table
from models.incident import CrlPlace
from models.revocation import Proof
from models.terms import CertificateId, IncidentId, Reason, RevocationState, Sighting
from tocsin.policy.revocation import DueProof
from tocsin.store.revocations import (
    REVOCATION,
    chunks,
    due_statement,
    issuer_keys,
)

PROOF = table(Proof)
CRL_PLACE = table(CrlPlace)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerToProve:
    """An issuer with revocations that nobody has seen published yet."""

    id: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    What was read from an issuer's publication, and what it proves.

    Args:
        issuer_id: Whose publication.
        read_at: When it was read: the instant of publication as far as we know (I9).
        crl_number: The CRL's number; None where it has none.
        crl_sha256: Of the CRL's DER, hex.
        crl_this_update: When the CA issued it, UTC.
        crl_entries: How many certificates it lists.
        ocsp_produced_at: Of the oldest OCSP answer.
        ocsp_answers: How many were verified.
        shown: Certificates it shows, each with the reason code and the revocation date
            that the CRL gives.

    """

    issuer_id: int
    read_at: datetime
    crl_number: int | None
    crl_sha256: str
    crl_this_update: datetime
    crl_entries: int
    ocsp_produced_at: datetime | None
    ocsp_answers: int
    shown: Mapping[CertificateId, tuple[int | None, datetime]]


def issuers_to_prove(
    connection: Connection, *, due_before: datetime, revoked_before: datetime
) -> list[IssuerToProve]:
    """Return issuers with a proof that was due by then, of what was revoked by then."""
    ids = connection.execute(
        select(REVOCATION.c.issuer_id)
        .where(
            REVOCATION.c.state == RevocationState.REVOKED,
            REVOCATION.c.due_at <= due_before,
            REVOCATION.c.revoked_at <= revoked_before,
        )
        .distinct()
    ).scalars()
    return [
        IssuerToProve(id=number, key=key)
        for number, key in sorted(issuer_keys(connection, set(ids)).items())
    ]


def proofs_due(
    connection: Connection, *, issuer_id: int, due_before: datetime, limit: int
) -> list[DueProof]:
    """
    Return revoked certificates of one issuer whose proof was due by then.

    Those of one CRL follow each other, so that few batches need the same one.
    """
    due = due_statement(RevocationState.REVOKED, due_before=due_before, limit=limit)
    places: dict[str | None, frozenset[str]] = {None: frozenset()}
    proofs = []
    for row in connection.execute(
        due.add_columns(REVOCATION.c.sighting, CRL_PLACE.c.urls)
        .outerjoin(CRL_PLACE, CRL_PLACE.c.certificate_id == REVOCATION.c.certificate_id)
        .where(REVOCATION.c.issuer_id == issuer_id)
        .order_by(None)
        .order_by(CRL_PLACE.c.urls, REVOCATION.c.due_at)
    ):
        if row.urls not in places:
            places[row.urls] = frozenset(row.urls.split("\n"))
        proofs.append(
            DueProof(
                certificate_id=CertificateId(row.certificate_id),
                incident=IncidentId(row.incident_id),
                serial=int(row.serial, 16),
                reason=Reason(row.reason),
                crl_urls=places[row.urls],
                sighting=row.sighting and Sighting(row.sighting),
            )
        )
    return proofs


def record_proof(
    connection: Connection, *, evidence: Evidence
) -> dict[IncidentId, list[CertificateId]]:
    """
    Record what is published, and the evidence (I9).

    What another process recorded first is left as it is.

    Returns:
        The certificates this evidence proves, by incident.

    """
    proven: dict[IncidentId, list[CertificateId]] = defaultdict(list)
    for some in chunks(sorted(evidence.shown)):
        for row in connection.execute(
            select(REVOCATION.c.certificate_id, REVOCATION.c.incident_id)
            .where(
                REVOCATION.c.certificate_id.in_(some),
                REVOCATION.c.state == RevocationState.REVOKED,
            )
            .order_by(REVOCATION.c.certificate_id)
            .with_for_update()
        ):
            proven[row.incident_id].append(row.certificate_id)
    if not proven:
        return {}
    added = connection.execute(
        insert(PROOF)
        .values(
            issuer_id=evidence.issuer_id,
            read_at=evidence.read_at,
            crl_number=evidence.crl_number,
            crl_sha256=evidence.crl_sha256,
            crl_this_update=evidence.crl_this_update,
            crl_entries=evidence.crl_entries,
            ocsp_produced_at=evidence.ocsp_produced_at,
            ocsp_answers=evidence.ocsp_answers,
            published=sum(len(ids) for ids in proven.values()),
        )
        .returning(PROOF.c.id)
    ).scalar_one()
    alike: dict[tuple[int | None, datetime], list[CertificateId]] = defaultdict(list)
    for ids in proven.values():
        for certificate in ids:
            alike[evidence.shown[certificate]].append(certificate)
    for (reason, revoked_at), ids in alike.items():
        for some in chunks(ids):
            connection.execute(
                update(REVOCATION)
                .where(
                    REVOCATION.c.certificate_id.in_(some),
                    REVOCATION.c.state == RevocationState.REVOKED,
                )
                .values(
                    state=RevocationState.PUBLISHED.value,
                    published_at=evidence.read_at,
                    published_reason=reason,
                    sighting=None,
                    proof_id=added,
                    ca_revoked_at=func.coalesce(
                        REVOCATION.c.ca_revoked_at, literal(revoked_at, Instant)
                    ),
                )
            )
    return dict(proven)


def look_again(
    connection: Connection,
    *,
    issuer_id: int,
    due_before: datetime,
    at: datetime,
    unseen: Mapping[Sighting, Sequence[CertificateId]] | None = None,
) -> None:
    """
    Set when the CA's publication is read again for what was not seen in it.

    Args:
        connection: The transaction.
        issuer_id: Whose publication.
        due_before: Only for proofs that were due by then.
        at: When to read again, UTC.
        unseen: Only for these, with what was seen of them; None: for all that were due.

    """
    statement = (
        update(REVOCATION)
        .where(
            REVOCATION.c.state == RevocationState.REVOKED,
            REVOCATION.c.due_at <= due_before,
            REVOCATION.c.issuer_id == issuer_id,
        )
        .values(due_at=at)
    )
    if unseen is None:
        connection.execute(statement)
        return
    for sighting, certificates in unseen.items():
        for some in chunks(certificates):
            connection.execute(
                statement.where(REVOCATION.c.certificate_id.in_(some)).values(
                    sighting=sighting.value
                )
            )
