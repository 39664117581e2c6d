"""Certificates that are due, for benchmarks of revocation."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, insert

from models.base import table
from models.incident import AffectedCertificate, Incident, Issuer
from models.terms import Circumstance, IncidentId, IncidentState, Reason
from tocsin.store.revocations import schedule
from tocsin.store.session import migrate, writing

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
INCIDENT = IncidentId("benchmark")


def launch(engine: Engine, issuer_key: str, serials: Sequence[int]) -> None:
    """Insert an incident whose certificates are all due."""
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(
            insert(table(Incident)).values(
                id=INCIDENT,
                title="Benchmark",
                state=IncidentState.RUNNING,
                circumstance=Circumstance.MISISSUED,
                reason=int(Reason.SUPERSEDED),
                is_drill=False,
                zone="UTC",
                made_aware_at=NOW - timedelta(days=5),
                deadline=NOW + timedelta(hours=2),
                drafted_at=NOW,
                launched_at=NOW,
                plan={},
                rule_pack="",
                ladder="",
            )
        )
        connection.execute(
            insert(table(Issuer)).values(id=1, key=issuer_key, name="Benchmark CA")
        )
        connection.execute(
            insert(table(AffectedCertificate)),
            [
                {
                    "incident_id": INCIDENT,
                    "issuer_id": 1,
                    "serial": f"{serial:x}",
                    "subject": "",
                    "dns_names": [],
                    "replacement_state": "awaiting-csr",
                }
                for serial in serials
            ],
        )
        schedule(
            connection,
            incident=INCIDENT,
            revocation_time=NOW,
            reason=Reason.SUPERSEDED,
            now=NOW,
        )


def serial_number(number: int) -> int:
    """Scatter serials as a CA's random ones are, the same in every run."""
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 + 1) % 2**127


def check(found: int, expected: int) -> None:
    """Refuse to report what was not done."""
    if found != expected:
        message = f"{found} of {expected}: nothing was measured"
        raise RuntimeError(message)
