"""Rows that tests stand on, with round numbers and named instants."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, insert, select

from models.base import table
from models.incident import AffectedCertificate, Incident, Issuer
from models.replacement import Replacement, ReplacementChain
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    CertificateId,
    Circumstance,
    ContactId,
    IncidentId,
    Reason,
    SubscriberId,
)

MADE_AWARE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LAUNCH = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
REVOCATION = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)
DEADLINE = datetime(2026, 3, 7, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

ISSUER_KEY = "aa" * 32


def insert_incident(connection: Connection, **changes: Any) -> IncidentId:
    """Insert a running incident of circumstance 12 (5 days)."""
    row: dict[str, Any] = {
        "id": "test-incident",
        "title": "A test incident",
        "state": "running",
        "circumstance": Circumstance.MISISSUED.value,
        "reason": int(Reason.SUPERSEDED),
        "is_drill": False,
        "zone": "Asia/Hong_Kong",
        "made_aware_at": MADE_AWARE,
        "deadline": DEADLINE,
        "drafted_at": LAUNCH,
        "launched_at": LAUNCH,
        "revocation_starts_at": REVOCATION,
        "plan": {},
        "rule_pack": "",
        "ladder": "",
    } | changes
    connection.execute(insert(table(Incident)).values(row))
    return IncidentId(row["id"])


def insert_subscriber(
    connection: Connection,
    incident: IncidentId,
    name: str = "Harbour Clinic",
    **changes: Any,
) -> SubscriberId:
    """Insert a subscriber in Hong Kong's zone."""
    row = {
        "incident_id": incident,
        "key": name.casefold(),
        "name": name,
        "sector": "Medical and Health",
        "language": "en",
        "zone": "Asia/Hong_Kong",
        "ladder_position": 0,
    } | changes
    result = connection.execute(insert(table(Subscriber)).values(row))
    return SubscriberId(_key(result))


def insert_contact(
    connection: Connection,
    incident: IncidentId,
    subscriber: SubscriberId | None,
    email: str = "admin@clinic.example",
    **changes: Any,
) -> ContactId:
    """Insert a contact, the primary one unless told otherwise."""
    row = {
        "incident_id": incident,
        "subscriber_id": subscriber,
        "role": "subscriber",
        "rank": 1,
        "name": "Chan Tai Man",
        "email": email,
        "phone": "+852 5550 0100",
        "state": "active",
        "named_by_reply": False,
        "token_generation": 0,
    } | changes
    result = connection.execute(insert(table(Contact)).values(row))
    return ContactId(_key(result))


def insert_issuer(connection: Connection, key: str = ISSUER_KEY) -> int:
    """Insert an issuer, or find it."""
    issuer = table(Issuer)
    found = connection.execute(select(issuer.c.id).where(issuer.c.key == key)).scalar()
    if found is not None:
        return int(found)
    return _key(connection.execute(insert(issuer).values(key=key, name="CN=Test CA")))


def insert_certificates(
    connection: Connection,
    incident: IncidentId,
    subscriber: SubscriberId | None,
    count: int = 1,
    *,
    issuer_key: str = ISSUER_KEY,
    first_serial: int = 0x1000,
    **changes: Any,
) -> list[CertificateId]:
    """Insert certificates with consecutive serials, each for a host of its own."""
    issuer = insert_issuer(connection, issuer_key)
    if not count:
        return []
    certificate = table(AffectedCertificate)
    inserted = connection.execute(
        insert(certificate).returning(certificate.c.id, sort_by_parameter_order=True),
        [
            {
                "incident_id": incident,
                "issuer_id": issuer,
                "serial": f"{serial:04x}",
                "subscriber_id": subscriber,
                "subject": f"CN=host-{serial:x}.clinic.example",
                "dns_names": [f"host-{serial:x}.clinic.example"],
                "not_before": MADE_AWARE - timedelta(days=30),
                "not_after": MADE_AWARE + timedelta(days=335),
                "certificate_sha256": f"{serial:064x}",
                "replacement_state": "awaiting-csr",
            }
            | changes
            for serial in range(first_serial, first_serial + count)
        ],
    )
    return [CertificateId(key) for key in inserted.scalars()]


def insert_replacement(
    connection: Connection, certificate: CertificateId, *, der: bytes, chain: str = ""
) -> int:
    """Insert a replacement of one certificate."""
    if chain:
        connection.execute(
            insert(table(ReplacementChain)).values(sha256="c" * 64, pem=chain)
        )
    return _key(
        connection.execute(
            insert(table(Replacement)).values(
                certificate_id=certificate,
                sha256=sha256(der).hexdigest(),
                serial="0abc",
                recorded_at=LAUNCH,
                chain_sha256="c" * 64 if chain else None,
                der=der,
            )
        )
    )


def insert_revocations(
    connection: Connection,
    incident: IncidentId,
    certificates: Sequence[CertificateId],
    **changes: Any,
) -> None:
    """Insert the schedule of these certificates: all at REVOCATION."""
    certificate = table(AffectedCertificate)
    rows = [
        {
            "certificate_id": row.id,
            "incident_id": incident,
            "issuer_id": row.issuer_id,
            "serial": row.serial,
            "reason": int(Reason.SUPERSEDED),
            "state": "scheduled",
            "planned_time": REVOCATION,
            "revocation_time": REVOCATION,
            "due_at": REVOCATION,
            "attempts": 0,
        }
        | changes
        for row in connection.execute(
            select(
                certificate.c.id, certificate.c.issuer_id, certificate.c.serial
            ).where(certificate.c.id.in_(certificates))
        )
    ]
    if rows:
        connection.execute(insert(table(Revocation)), rows)


def _key(result: Any) -> int:
    return int(result.inserted_primary_key[0])
