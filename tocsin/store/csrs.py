"""CSRs on their way to the CA's issuing desk."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.outreach import Csr
from models.subscriber import Subscriber
from models.terms import Circumstance, IncidentId, IncidentState

CSR = table(Csr)
CERTIFICATE = table(AffectedCertificate)
SUBSCRIBER = table(Subscriber)
INCIDENT = table(Incident)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrToIssue:
    """The latest CSR for one affected certificate."""

    serial: str
    subject: str
    subscriber: str
    sha256: str
    pem: str


def csrs_to_issue(
    connection: Connection, *, incident: IncidentId
) -> Iterator[CsrToIssue]:
    """Stream the latest CSR of each certificate, by subscriber."""
    latest = (
        select(func.max(CSR.c.id).label("id"))
        .join(CERTIFICATE, CERTIFICATE.c.id == CSR.c.certificate_id)
        .where(CERTIFICATE.c.incident_id == incident)
        .group_by(CSR.c.certificate_id)
        .subquery()
    )
    for row in connection.execution_options(yield_per=500).execute(
        select(
            CERTIFICATE.c.serial,
            CERTIFICATE.c.subject,
            SUBSCRIBER.c.name,
            CSR.c.sha256,
            CSR.c.pem,
        )
        .join(latest, latest.c.id == CSR.c.id)
        .join(CERTIFICATE, CERTIFICATE.c.id == CSR.c.certificate_id)
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == CERTIFICATE.c.subscriber_id)
        .order_by(SUBSCRIBER.c.name, CERTIFICATE.c.serial)
    ):
        yield CsrToIssue(
            serial=row.serial,
            subject=row.subject,
            subscriber=row.name or "",
            sha256=row.sha256,
            pem=row.pem,
        )


def circumstances_by_key(
    connection: Connection, *, keys: Collection[str]
) -> Mapping[str, frozenset[Circumstance]]:
    """
    Tell why certificates with these keys were or are revoked, whoever holds them.

    Args:
        connection: The transaction.
        keys: Hashes of public keys (SHA-256 of the SPKI, hex).

    Returns:
        For each key that an affected certificate has, its incidents' circumstances;
        drafts do not count, since nobody has decided anything there.

    """
    found: dict[str, set[Circumstance]] = defaultdict(set)
    for row in connection.execute(
        select(CERTIFICATE.c.spki_sha256, INCIDENT.c.circumstance)
        .join(INCIDENT, INCIDENT.c.id == CERTIFICATE.c.incident_id)
        .where(
            CERTIFICATE.c.spki_sha256.in_(sorted(keys)),
            INCIDENT.c.state != IncidentState.DRAFT.value,
        )
        .distinct()
    ):
        found[row.spki_sha256].add(Circumstance(row.circumstance))
    return {key: frozenset(circumstances) for key, circumstances in found.items()}
