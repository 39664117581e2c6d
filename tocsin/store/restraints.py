"""What an agreed decision does to revocations; triggers refuse whatever was not agreed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, ScalarSelect, case, func, literal, select, update

from models.base import Instant, table
from models.scope import ScopeChange, ScopedCertificate
from models.terms import (
    CertificateId,
    RevocationState,
    ScopeChangeId,
    ScopeKind,
    ScopeOutcome,
    ScopeState,
)
from tocsin.store.revocations import REVOCATION, UNREVOKED, chunks
from tocsin.store.session import rows_changed

_CHANGE = table(ScopeChange)
_SCOPED = table(ScopedCertificate)

_STATES = [state.value for state in UNREVOKED]


def changeable(
    connection: Connection, certificates: Sequence[CertificateId]
) -> list[CertificateId]:
    """
    Return which of them a decision can still touch, and lock those.

    Not those that are revoked or withdrawn, and not those that a process has claimed:
    the CA may be at it.
    """
    return [
        CertificateId(key)
        for some in chunks(sorted(certificates))
        for key in connection.execute(
            select(REVOCATION.c.certificate_id)
            .where(
                REVOCATION.c.certificate_id.in_(some),
                REVOCATION.c.state.in_(_STATES),
                REVOCATION.c.lease_owner.is_(None),
            )
            .order_by(REVOCATION.c.certificate_id)
            .with_for_update()
        ).scalars()
    ]


def withdraw(
    connection: Connection, *, certificates: Sequence[CertificateId], now: datetime
) -> None:
    """Take certificates out of scope for good: ``changeable`` has said which."""
    for some in chunks(certificates):
        connection.execute(
            update(REVOCATION)
            .where(REVOCATION.c.certificate_id.in_(some))
            .values(state=RevocationState.WITHDRAWN.value, withdrawn_at=now)
        )


def restrain(
    connection: Connection, *, certificates: Sequence[CertificateId], until: datetime
) -> None:
    """
    Keep certificates from the CA until a court order ends; their times do not move (I1).

    What a longer order restrains already stays as it is.
    """
    at = literal(until, Instant)
    for some in chunks(certificates):
        connection.execute(
            update(REVOCATION)
            .where(
                REVOCATION.c.certificate_id.in_(some),
                REVOCATION.c.restrained_until.is_(None)
                | (REVOCATION.c.restrained_until < until),
            )
            .values(
                restrained_until=until,
                due_at=case(
                    (REVOCATION.c.due_at < until, at), else_=REVOCATION.c.due_at
                ),
            )
        )


def ease(connection: Connection, *, change: ScopeChangeId) -> int:
    """
    Let certificates go as early as the orders over them allow, after one was shortened.

    Returns:
        How many are due earlier than before.

    """
    until = _longest_order()
    eased = connection.execute(
        update(REVOCATION)
        .where(
            REVOCATION.c.certificate_id.in_(
                select(_SCOPED.c.certificate_id).where(
                    _SCOPED.c.change_id == change,
                    _SCOPED.c.outcome == ScopeOutcome.APPLIED.value,
                )
            ),
            REVOCATION.c.state.in_(_STATES),
            REVOCATION.c.restrained_until > until,
        )
        .values(
            restrained_until=until,
            due_at=case(
                (REVOCATION.c.revocation_time > until, REVOCATION.c.revocation_time),
                else_=until,
            ),
        )
    )
    return rows_changed(eased)


def _longest_order() -> ScalarSelect[datetime]:
    """When the last of the agreed orders over a certificate ends."""
    return (
        select(func.max(_CHANGE.c.ends_at, type_=_CHANGE.c.ends_at.type))
        .join(_SCOPED, _SCOPED.c.change_id == _CHANGE.c.id)
        .where(
            _SCOPED.c.certificate_id == REVOCATION.c.certificate_id,
            _SCOPED.c.outcome == ScopeOutcome.APPLIED.value,
            _CHANGE.c.state == ScopeState.AGREED.value,
            _CHANGE.c.kind == ScopeKind.ORDER.value,
        )
        .correlate(REVOCATION)
        .scalar_subquery()
    )
