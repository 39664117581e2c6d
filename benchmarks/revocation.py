"""How fast revocations are done and recorded, beside the CA called in a bare loop."""

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import revocation_peers
from due import NOW, check, launch, serial_number
from figures import Figure, paired
from sqlalchemy import Engine, func, select

from models.base import table
from models.revocation import Revocation
from models.terms import (
    CertificateId,
    Reason,
    RevocationState,
)
from tocsin.ca.backend import AnswerKind, RevocationRequest
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.ca.issuers import create_issuer
from tocsin.clock import SteppedClock
from tocsin.steps.publication import prove_due
from tocsin.steps.revoke import Revoked, submit_due
from tocsin.store.session import open_engine, reading

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
    """Measure the embedded CA, real peers beside it, and the proof."""
    return [
        *measure_embedded(count, rounds=rounds),
        *revocation_peers.measure(),
    ]


def measure_embedded(count: int, *, rounds: int) -> list[Figure]:
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
        issuer_key = create_issuer(directory, name="Benchmark CA", now=NOW)
        ca = EmbeddedCa(directory, clock=SteppedClock(NOW))
        requests = [
            RevocationRequest(
                certificate_id=CertificateId(number),
                issuer_key=issuer_key,
                serial=serial_number(number),
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
    check(done, count)
    return count / seconds


def _ours(count: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "ca"
        issuer_key = create_issuer(directory, name="Benchmark CA", now=NOW)
        engine = open_engine(f"sqlite:///{folder}/tocsin.sqlite")
        try:
            launch(engine, issuer_key, [serial_number(n) for n in range(count)])
            return _revoke(engine, directory, count)
        finally:
            engine.dispose()


def _revoke(engine: Engine, directory: Path, count: int) -> tuple[float, float]:
    clock = SteppedClock(NOW)
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
    check(done.revoked, count)
    check(proven.published, count)
    with reading(engine) as connection:
        rows = connection.execute(
            select(func.count()).where(
                table(Revocation).c.state == RevocationState.PUBLISHED
            )
        ).scalar_one()
    check(rows, count)
    return count / recorded, count / published
