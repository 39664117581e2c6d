"""How fast revocations are done and recorded, beside the CA called in a bare loop."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from figures import Figure, paired
from sqlalchemy import Engine, func, insert, select

from models.base import table
from models.incident import AffectedCertificate, Incident, Issuer
from models.revocation import Revocation
from models.terms import (
    CertificateId,
    Circumstance,
    IncidentId,
    IncidentState,
    Reason,
    RevocationState,
)
from tocsin.ca.backend import AnswerKind, RevocationRequest
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.ca.issuers import create_issuer
from tocsin.clock import SteppedClock
from tocsin.steps.publication import prove_due
from tocsin.steps.revoke import Revoked, submit_due
from tocsin.store.revocations import schedule
from tocsin.store.session import migrate, open_engine, reading, writing

_NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_INCIDENT = IncidentId("benchmark")
_BATCH = 500
_AT_LEAST = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    Rates of one round, per second.

    Args:
        bare: The CA called in a loop, nothing recorded.
        recorded: Claimed, asked, answers on record.
        published: The same, and published and proven.

    """

    bare: float
    recorded: float
    published: float


def measure(count: int = 10_000, *, rounds: int = 5) -> list[Figure]:
    """
    Revoke so many certificates with a fresh CA and database, several times in turns.

    Both sides make each revocation durable on its own; ours also writes intent and
    outcome into a second database.
    """
    measured = [_one_round(count, ours_first=bool(n % 2)) for n in range(rounds)]
    bare = [each.bare for each in measured]
    return [
        paired(
            f"revocation of {count:,} certificates, recorded",
            [each.recorded for each in measured],
            "the CA in a bare loop",
            bare,
            unit="certificates/s",
            at_least=_AT_LEAST,
        ),
        paired(
            f"revocation of {count:,} certificates, published and proven",
            [each.published for each in measured],
            "the CA in a bare loop",
            bare,
            unit="certificates/s",
            at_least=None,
        ),
    ]


def _one_round(count: int, *, ours_first: bool) -> Round:
    if ours_first:
        recorded, published = _ours(count)
        bare = _bare(count)
    else:
        bare = _bare(count)
        recorded, published = _ours(count)
    return Round(bare=bare, recorded=recorded, published=published)


def _bare(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        issuer_key = create_issuer(directory, name="Benchmark CA", now=_NOW)
        ca = EmbeddedCa(directory, clock=SteppedClock(_NOW))
        requests = [
            RevocationRequest(
                certificate_id=CertificateId(number),
                issuer_key=issuer_key,
                serial=_serial(number),
                reason=Reason.SUPERSEDED,
            )
            for number in range(count)
        ]
        started = perf_counter()
        done = 0
        for start in range(0, count, _BATCH):
            for answer in ca.revoke(requests[start : start + _BATCH]):
                done += answer.kind is AnswerKind.DONE
        seconds = perf_counter() - started
    _check(done, count)
    return count / seconds


def _ours(count: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "ca"
        issuer_key = create_issuer(directory, name="Benchmark CA", now=_NOW)
        engine = open_engine(f"sqlite:///{folder}/tocsin.sqlite")
        try:
            _launch(engine, issuer_key, count)
            return _revoke(engine, directory, count)
        finally:
            engine.dispose()


def _revoke(engine: Engine, directory: Path, count: int) -> tuple[float, float]:
    clock = SteppedClock(_NOW)
    ca = EmbeddedCa(directory, clock=clock)
    publication = EmbeddedPublication(directory, clock=clock)
    done = Revoked()
    started = perf_counter()
    submit_due(
        engine,
        ca,
        clock,
        owner="benchmark",
        batch=_BATCH,
        actor="engine",
        grace=timedelta(),
        done=done,
    )
    recorded = perf_counter() - started
    proven = prove_due(
        engine, ca, publication, clock, actor="engine", grace=timedelta()
    )
    published = perf_counter() - started
    _check(done.revoked, count)
    _check(proven.published, count)
    with reading(engine) as connection:
        rows = connection.execute(
            select(func.count()).where(
                table(Revocation).c.state == RevocationState.PUBLISHED
            )
        ).scalar_one()
    _check(rows, count)
    return count / recorded, count / published


def _launch(engine: Engine, issuer_key: str, count: int) -> None:
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(
            insert(table(Incident)).values(
                id=_INCIDENT,
                title="Benchmark",
                state=IncidentState.RUNNING,
                circumstance=Circumstance.MISISSUED,
                reason=int(Reason.SUPERSEDED),
                is_drill=False,
                zone="UTC",
                made_aware_at=_NOW - timedelta(days=5),
                deadline=_NOW + timedelta(hours=2),
                drafted_at=_NOW,
                launched_at=_NOW,
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
                    "incident_id": _INCIDENT,
                    "issuer_id": 1,
                    "serial": f"{_serial(number):x}",
                    "subject": "",
                    "dns_names": [],
                    "replacement_state": "awaiting-csr",
                }
                for number in range(count)
            ],
        )
        schedule(
            connection,
            incident=_INCIDENT,
            revocation_time=_NOW,
            reason=Reason.SUPERSEDED,
            now=_NOW,
        )


def _serial(number: int) -> int:
    """Scatter serials as a CA's random ones are, the same in every run."""
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 + 1) % 2**127


def _check(found: int, expected: int) -> None:
    if found != expected:
        message = f"{found} of {expected}: nothing was measured"
        raise RuntimeError(message)
