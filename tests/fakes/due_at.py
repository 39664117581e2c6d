"""An incident whose certificates are a real CA's, due at a stated instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from factories import insert_incident, insert_issuer, insert_subscriber
from fakes.real_cas import RealCa
from sqlalchemy import Engine, insert, select

from models.audit import Act
from models.base import table
from models.incident import AffectedCertificate, CertificateBody
from models.revocation import Revocation
from models.terms import IncidentId, Reason, ReplacementState, SubscriberId
from tocsin.store.audit import check_chain
from tocsin.store.revocations import schedule
from tocsin.store.session import reading, writing

_DAY = timedelta(days=1)


@dataclass
class DueAt:
    """The incident and what is on record of it."""

    engine: Engine
    ca: RealCa
    incident: IncidentId
    subscriber: SubscriberId
    revocation_time: datetime
    deadline: datetime

    def add(self, serials: Sequence[int]) -> None:
        """Add certificates of the CA, due as the others are."""
        aware = self.deadline - _DAY
        certificate = table(AffectedCertificate)
        with writing(self.engine) as connection:
            issuer = insert_issuer(connection, self.ca.issuer_key)
            connection.execute(
                insert(certificate),
                [
                    {
                        "incident_id": self.incident,
                        "issuer_id": issuer,
                        "serial": _hex(serial),
                        "subscriber_id": self.subscriber,
                        "subject": "CN=host.example",
                        "dns_names": ["host.example"],
                        "not_before": aware - _DAY,
                        "not_after": self.deadline + 60 * _DAY,
                        "certificate_sha256": f"{serial:064x}"[-64:],
                        "replacement_state": ReplacementState.AWAITING_CSR.value,
                    }
                    for serial in serials
                ],
            )
            ids = {
                int(row.serial, 16): row.id
                for row in connection.execute(
                    select(certificate.c.id, certificate.c.serial)
                )
            }
            bodies = [
                {"certificate_id": ids[serial], "der": der}
                for serial in serials
                if (der := self.ca.certificate(serial)) is not None
            ]
            if bodies:
                connection.execute(insert(table(CertificateBody)), bodies)
            schedule(
                connection,
                incident=self.incident,
                revocation_time=self.revocation_time,
                reason=Reason.SUPERSEDED,
                now=aware,
            )

    def rows(self) -> dict[int, Any]:
        """Return the revocations by serial."""
        with reading(self.engine) as connection:
            return {
                int(row.serial, 16): row
                for row in connection.execute(select(table(Revocation)))
            }

    def states(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in self.rows().values():
            counts[row.state] = counts.get(row.state, 0) + 1
        return counts

    @property
    def is_published(self) -> bool:
        """Whether all of it is."""
        return set(self.states()) == {"published"}

    def acts(self) -> int:
        """Return how many acts are on record, after checking their chain (I5)."""
        with reading(self.engine) as connection:
            verdict = check_chain(connection, incident=self.incident)
            assert verdict.problems == ()
            return len(connection.execute(select(table(Act).c.id)).all())


def due_at(
    engine: Engine,
    ca: RealCa,
    *,
    revocation_time: datetime,
    deadline: datetime,
    **changes: Any,
) -> DueAt:
    """Insert an incident with the CA's certificates, and their schedule."""
    aware = deadline - _DAY
    with writing(engine) as connection:
        incident = insert_incident(
            connection,
            **{
                "made_aware_at": aware,
                "drafted_at": aware,
                "launched_at": aware,
                "deadline": deadline,
                "revocation_starts_at": revocation_time,
            }
            | changes,
        )
        subscriber = insert_subscriber(connection, incident)
    made = DueAt(
        engine=engine,
        ca=ca,
        incident=incident,
        subscriber=subscriber,
        revocation_time=revocation_time,
        deadline=deadline,
    )
    made.add(ca.serials)
    return made


def _hex(serial: int) -> str:
    digits = f"{serial:x}"
    return digits.zfill(len(digits) + len(digits) % 2)
