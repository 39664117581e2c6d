"""An incident with a real CA behind it, ready to be revoked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from factories import (
    LAUNCH,
    insert_certificates,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from fakes.scope import Office
from sqlalchemy import Engine, select

from models.audit import Act
from models.base import table
from models.revocation import Proof, Revocation
from models.terms import CertificateId, IncidentId
from tocsin.ca.backend import CaBackend
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.ca.issuers import create_issuer
from tocsin.clock import SteppedClock
from tocsin.steps.revoke import Revoked, revoke_due
from tocsin.store.audit import check_chain
from tocsin.store.session import reading, writing


@dataclass
class LaunchedIncident:
    """Certificates of a real issuer, all due at REVOCATION."""

    engine: Engine
    directory: Path
    clock: SteppedClock
    issuer_key: str
    incident: IncidentId
    certificates: list[CertificateId]

    @property
    def office(self) -> Office:
        return Office(engine=self.engine, clock=self.clock, incident=self.incident)

    @property
    def ca(self) -> EmbeddedCa:
        return EmbeddedCa(self.directory, clock=self.clock)

    @property
    def publication(self) -> EmbeddedPublication:
        return EmbeddedPublication(self.directory, clock=self.clock)

    def revoke(self, backend: CaBackend | None = None, **options: Any) -> Revoked:
        return revoke_due(
            self.engine,
            backend or self.ca,
            self.publication,
            self.clock,
            **({"owner": "test"} | options),
        )

    def step(self, **later: float) -> datetime:
        self.clock.step_to(self.clock.now() + timedelta(**later))
        return self.clock.now()

    def rows(self) -> list[Any]:
        with reading(self.engine) as connection:
            return list(
                connection.execute(
                    select(table(Revocation)).order_by(
                        table(Revocation).c.certificate_id
                    )
                )
            )

    def proofs(self) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(table(Proof))))

    def acts(self) -> list[Any]:
        with reading(self.engine) as connection:
            acts = list(
                connection.execute(select(table(Act)).order_by(table(Act).c.id))
            )
            if acts:
                verdict = check_chain(connection, incident=self.incident)
                assert verdict.problems == ()
            return acts

    def states(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in self.rows():
            counts[row.state] = counts.get(row.state, 0) + 1
        return counts


def launch(
    engine: Engine,
    directory: Path,
    clock: SteppedClock,
    *,
    count: int = 3,
    **changes: Any,
) -> LaunchedIncident:
    """Insert an incident with that many certificates and their schedule."""
    issuer_key = create_issuer(directory, name="Test CA R1", now=LAUNCH)
    with writing(engine) as connection:
        incident = insert_incident(connection, **changes)
        subscriber = insert_subscriber(connection, incident)
        certificates = insert_certificates(
            connection, incident, subscriber, count, issuer_key=issuer_key
        )
        for start in range(0, count, 500):
            insert_revocations(connection, incident, certificates[start : start + 500])
    return LaunchedIncident(
        engine=engine,
        directory=directory,
        clock=clock,
        issuer_key=issuer_key,
        incident=incident,
        certificates=certificates,
    )
