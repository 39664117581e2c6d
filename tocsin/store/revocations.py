"""The schedule of revocations: what is due, claimed and answered; nothing of people (I2)."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from models.base import Instant, table
from models.incident import AffectedCertificate, CertificateBody, Incident, Issuer
from models.revocation import Revocation
from models.terms import CertificateId, IncidentId, Reason, RevocationState
from tocsin.errors import Broken, Refused
from tocsin.policy.revocation import DueRevocation, Outcome
from tocsin.store.session import insert_ignoring, rows_changed

BODY = table(CertificateBody)
CERTIFICATE = table(AffectedCertificate)
INCIDENT = table(Incident)
ISSUER = table(Issuer)
REVOCATION = table(Revocation)

_RESTRAINED_UNTIL = REVOCATION.c.restrained_until
_IN_ONE_STATEMENT = 1000
UNREVOKED = (RevocationState.SCHEDULED, RevocationState.SUBMITTED)
"""What the CA still has to revoke."""

_UNFINISHED = (*UNREVOKED, RevocationState.REVOKED)


def schedule(
    connection: Connection,
    *,
    incident: IncidentId,
    revocation_time: datetime,
    reason: Reason,
    now: datetime,
) -> int:
    """
    Give every certificate of an incident its revocation time; once is enough.

    Certificates that have one keep it: a second call cannot move it (I1).

    Args:
        connection: The launch's transaction.
        incident: Whose certificates.
        revocation_time: When the CA is asked, UTC.
        reason: The CRLReason to publish.
        now: The present instant, UTC.

    Returns:
        How many were added.

    Raises:
        Refused: A drill revokes nothing (I8).
        Broken: The plan is for a time after the deadline, although it can be kept.

    """
    planned = connection.execute(
        select(INCIDENT.c.is_drill, INCIDENT.c.deadline).where(
            INCIDENT.c.id == incident
        )
    ).one()
    if planned.is_drill:
        raise Refused("a drill has no revocations", source="I8")
    if revocation_time > max(planned.deadline, now):
        message = f"revocation at {revocation_time}, the deadline is {planned.deadline}"
        raise Broken(message)
    at = literal(revocation_time, Instant)
    columns = {
        "certificate_id": CERTIFICATE.c.id,
        "incident_id": CERTIFICATE.c.incident_id,
        "issuer_id": CERTIFICATE.c.issuer_id,
        "serial": CERTIFICATE.c.serial,
        "reason": literal(int(reason)),
        "state": literal(RevocationState.SCHEDULED.value),
        "planned_time": at,
        "revocation_time": at,
        "due_at": at,
        "attempts": literal(0),
    }
    chosen = select(*(column.label(name) for name, column in columns.items())).where(
        CERTIFICATE.c.incident_id == incident
    )
    added = connection.execute(
        insert_ignoring(
            connection, REVOCATION, conflict=["certificate_id"]
        ).from_select(list(columns), chosen),
    )
    return rows_changed(added)


def bring_forward(
    connection: Connection, *, certificates: Sequence[CertificateId], to: datetime
) -> int:
    """
    Move revocation times earlier; those that are earlier already stay (I1).

    Args:
        connection: The transaction that also records who asked for it.
        certificates: Which ones.
        to: The new revocation time, UTC.

    Returns:
        How many were moved. The others are not later than that, or under way.

    """
    return sum(
        rows_changed(
            connection.execute(
                update(REVOCATION)
                .where(
                    REVOCATION.c.certificate_id.in_(some),
                    REVOCATION.c.state == RevocationState.SCHEDULED,
                    REVOCATION.c.revocation_time > to,
                )
                .values(
                    revocation_time=to,
                    # What an order restrains is due when it ends, all the same.
                    due_at=case(
                        (to < _RESTRAINED_UNTIL, _RESTRAINED_UNTIL),
                        else_=literal(to, Instant),
                    ),
                )
            )
        )
        for some in chunks(sorted(certificates))
    )


def claim_due(
    connection: Connection,
    *,
    owner: str,
    now: datetime,
    due_before: datetime,
    lease_within: timedelta,
    limit: int,
    promised_before: datetime | None = None,
) -> list[DueRevocation]:
    """
    Put the intent to revoke on record, for this process alone, until the lease ends.

    Those never tried come first: what the CA refuses again and again holds up nobody.

    Args:
        connection: A transaction of its own, committed before the CA is called (I4).
        owner: This process and pass; nobody else uses the same.
        now: The present instant, UTC.
        due_before: Only what was due by then.
        lease_within: How long the claim holds without a sign of life.
        limit: How many at most.
        promised_before: Only what has its revocation time by then, however often it was
            tried since; None: as ``due_before``.

    """
    promised = due_before if promised_before is None else promised_before
    rows: list[Row[tuple[int, str, int, str, int, int]]] = []
    for state in UNREVOKED:
        if len(rows) < limit:
            rows += connection.execute(
                due_statement(state, due_before=due_before, limit=limit - len(rows))
                .where(is_free(now), REVOCATION.c.revocation_time <= promised)
                .with_for_update(skip_locked=True)
            ).all()
    if not rows:
        return []
    until = now + lease_within
    for some in chunks([row.certificate_id for row in rows]):
        connection.execute(
            update(REVOCATION)
            .where(REVOCATION.c.certificate_id.in_(some))
            .values(
                state=RevocationState.SUBMITTED.value,
                attempts=REVOCATION.c.attempts + 1,
                submitted_at=func.coalesce(
                    REVOCATION.c.submitted_at, literal(now, Instant)
                ),
                lease_owner=owner,
                lease_until=until,
            )
        )
    keys = issuer_keys(connection, {row.issuer_id for row in rows})
    return [
        DueRevocation(
            certificate_id=CertificateId(row.certificate_id),
            incident=IncidentId(row.incident_id),
            issuer_key=keys[row.issuer_id],
            serial=int(row.serial, 16),
            reason=Reason(row.reason),
            attempts=row.attempts + 1,
        )
        for row in rows
    ]


def certificate_bodies(
    connection: Connection, certificates: Sequence[CertificateId]
) -> dict[CertificateId, bytes]:
    """Return the certificates themselves, DER, of those that came in whole."""
    return {
        CertificateId(row.certificate_id): row.der
        for some in chunks(certificates)
        for row in connection.execute(
            select(BODY.c.certificate_id, BODY.c.der).where(
                BODY.c.certificate_id.in_(some)
            )
        )
    }


def renew_claim(
    connection: Connection,
    *,
    owner: str,
    certificates: Sequence[CertificateId],
    until: datetime,
) -> int:
    """Make a claim hold longer; return how many are still this owner's."""
    return sum(
        rows_changed(
            connection.execute(
                update(REVOCATION)
                .where(
                    REVOCATION.c.certificate_id.in_(some),
                    REVOCATION.c.state == RevocationState.SUBMITTED,
                    REVOCATION.c.lease_owner == owner,
                )
                .values(lease_until=until)
            )
        )
        for some in chunks(certificates)
    )


def record_answers(
    connection: Connection, *, owner: str, outcomes: Sequence[Outcome], now: datetime
) -> int:
    """
    Record what the CA said; the act belongs into the same transaction (I5).

    "Revoked" is recorded whoever holds the claim by now, and of a certificate that was
    withdrawn meanwhile, since it is true. Anything else only while the claim is this
    owner's.

    Args:
        connection: The transaction.
        owner: As in the claim.
        outcomes: What became of claimed revocations.
        now: When the CA answered, UTC.

    Returns:
        How many rows changed.

    """
    asked = update(REVOCATION).where(
        REVOCATION.c.certificate_id == bindparam("certificate")
    )
    answered: dict[str, Any] = {
        "answer": bindparam("said"),
        "answer_detail": bindparam("words"),
        "lease_owner": None,
        "lease_until": None,
    }
    revoked = asked.where(
        or_(
            REVOCATION.c.state == RevocationState.SUBMITTED,
            REVOCATION.c.state == RevocationState.WITHDRAWN,
        )
    ).values(
        answered
        | {
            "state": RevocationState.REVOKED.value,
            "revoked_at": now,
            "ca_revoked_at": bindparam("at"),
            "due_at": now,  # its publication is to be proven
        }
    )
    other = asked.where(
        REVOCATION.c.state == RevocationState.SUBMITTED,
        REVOCATION.c.lease_owner == owner,
    ).values(answered | {"due_at": bindparam("at")})
    # CAs date to the microsecond: hardly two answers are alike.
    changed = 0
    for statement, is_revoked in ((revoked, True), (other, False)):
        rows = [
            {
                "certificate": outcome.certificate_id,
                "said": outcome.answer,
                "words": outcome.detail,
                "at": outcome.ca_revoked_at if is_revoked else outcome.next_at,
            }
            for outcome in outcomes
            if outcome.is_revoked is is_revoked
        ]
        if rows:
            changed += rows_changed(connection.execute(statement, rows))
    return changed


def next_due(
    connection: Connection, *, after: datetime | None = None
) -> datetime | None:
    """
    Return when something is due next: a revocation, a further attempt, a proof.

    Args:
        connection: The transaction.
        after: Only what is due after this instant.

    Returns:
        The instant, UTC; None when everything is published.

    """
    instants = [
        connection.execute(statement).scalar()
        for statement in next_due_statements(after=after)
    ]
    return min((instant for instant in instants if instant), default=None)


def due_statement(
    state: RevocationState, *, due_before: datetime, limit: int
) -> Select[tuple[int, str, int, str, int, int]]:
    """Build the query for what is due in one state, the longest due first."""
    is_due = [REVOCATION.c.state == state, REVOCATION.c.due_at <= due_before]
    if state in UNREVOKED:
        is_due.append(is_unrestrained(due_before))
    return (
        select(
            REVOCATION.c.certificate_id,
            REVOCATION.c.incident_id,
            REVOCATION.c.issuer_id,
            REVOCATION.c.serial,
            REVOCATION.c.reason,
            REVOCATION.c.attempts,
        )
        .where(*is_due)
        .order_by(REVOCATION.c.due_at)
        .limit(limit)
    )


def next_due_statements(
    *, after: datetime | None
) -> Iterator[Select[tuple[datetime | None]]]:
    """Build the queries for the first instant at which a row in some state is due."""
    for state in _UNFINISHED:
        # What a process is at work on is due again when its claim ends.
        columns = (
            (REVOCATION.c.due_at, REVOCATION.c.lease_until)
            if state is RevocationState.SUBMITTED
            else (REVOCATION.c.due_at,)
        )
        for column in columns:
            statement = select(column).where(REVOCATION.c.state == state)
            if state is RevocationState.SUBMITTED:
                is_claimed = REVOCATION.c.lease_until.is_not(None)
                statement = statement.where(
                    is_claimed if column is REVOCATION.c.lease_until else ~is_claimed
                )
            if after is not None:
                statement = statement.where(column > after)
            yield statement.order_by(column).limit(1)


def is_free(now: datetime) -> ColumnElement[bool]:
    """No process is at work on it, or the one that was gave no sign of life."""
    return or_(REVOCATION.c.lease_until.is_(None), REVOCATION.c.lease_until <= now)


def is_unrestrained(at: datetime) -> ColumnElement[bool]:
    """No court order keeps it from being revoked at that instant (TLS BR 9.16.3)."""
    return or_(_RESTRAINED_UNTIL.is_(None), at >= _RESTRAINED_UNTIL)


def issuer_keys(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the keys of issuers by their numbers."""
    rows = connection.execute(
        select(ISSUER.c.id, ISSUER.c.key).where(ISSUER.c.id.in_(sorted(ids)))
    )
    return {row.id: row.key for row in rows}


def chunks(ids: Sequence[CertificateId]) -> Iterator[Sequence[CertificateId]]:
    """Split a list so that each part fits into one statement."""
    # Databases bound the number of parameters of one statement.
    for start in range(0, len(ids), _IN_ONE_STATEMENT):
        yield ids[start : start + _IN_ONE_STATEMENT]
