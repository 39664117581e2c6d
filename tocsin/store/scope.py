"""Withdrawals and court orders: proposed, signed, agreed, ended; in rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    func,
    insert,
    select,
    update,
)

from models.base import table
from models.incident import AffectedCertificate
from models.office import OfficeMail, OfficeSession
from models.revocation import Revocation
from models.scope import ScopeChange as ScopeChangeRow
from models.scope import ScopedCertificate, ScopeDocument
from models.subscriber import Subscriber
from models.terms import (
    CertificateId,
    IncidentId,
    ScopeChangeId,
    ScopeKind,
    ScopeOutcome,
    ScopeState,
)
from tocsin.policy.scope import (
    Proposal,
    ScopeChange,
    Signature,
)

_CERTIFICATE = table(AffectedCertificate)
_CHANGE = table(ScopeChangeRow)
_DOCUMENT = table(ScopeDocument)
_MAIL = table(OfficeMail)
_REVOCATION = table(Revocation)
_SCOPED = table(ScopedCertificate)
_SESSION = table(OfficeSession)
_SUBSCRIBER = table(Subscriber)

_IN_ONE_STATEMENT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A court's order as a file: its octets are kept as they came."""

    name: str
    media_type: str
    sha256: str
    content: bytes


def record_proposal(
    connection: Connection,
    *,
    incident: IncidentId,
    proposal: Proposal,
    certificates: Sequence[CertificateId],
    document: Document | None,
    form: str,
    proposed_by: str,
    now: datetime,
) -> ScopeChangeId:
    """Write a proposal down, unsigned; what it names is frozen at the first signature."""
    result = connection.execute(
        insert(_CHANGE).values(
            incident_id=incident,
            kind=proposal.kind.value,
            state=ScopeState.PROPOSED.value,
            reason=proposal.reason,
            court=proposal.court,
            reference=proposal.reference,
            granted_until=proposal.ends_at,
            ends_at=proposal.ends_at,
            document_name=document.name if document else "",
            document_sha256=document.sha256 if document else "",
            form=form,
            proposed_by=proposed_by,
            proposed_at=now,
            first_by="",
            first_key="",
            second_by="",
            second_key="",
            ended_by="",
            ended_why="",
        )
    )
    (key,) = result.inserted_primary_key or (0,)
    connection.execute(
        insert(_SCOPED),
        [
            {
                "change_id": key,
                "certificate_id": certificate,
                "outcome": ScopeOutcome.OPEN.value,
            }
            for certificate in certificates
        ],
    )
    if document is not None:
        connection.execute(
            insert(_DOCUMENT).values(
                change_id=key,
                media_type=document.media_type,
                sha256=document.sha256,
                content=document.content,
            )
        )
    return ScopeChangeId(int(key))


def proposal_of_form(connection: Connection, *, form: str) -> ScopeChangeId | None:
    """Return what a form has proposed already; None: nothing."""
    key = connection.execute(
        select(_CHANGE.c.id).where(_CHANGE.c.form == form)
    ).scalar()
    return None if key is None else ScopeChangeId(key)


def lock_change(connection: Connection, *, change: ScopeChangeId) -> ScopeChange | None:
    """Read a proposal, and let nobody else decide on it until the transaction ends."""
    connection.execute(
        select(_CHANGE.c.id).where(_CHANGE.c.id == change).with_for_update()
    )
    return read_change(connection, change=change)


def read_change(connection: Connection, *, change: ScopeChangeId) -> ScopeChange | None:
    """Return a proposal and what became of it; None: there is none."""
    row = connection.execute(_changes().where(_CHANGE.c.id == change)).first()
    return None if row is None else _change(row)


def list_changes(
    connection: Connection, *, incident: IncidentId
) -> tuple[ScopeChange, ...]:
    """List what was proposed in an incident, the first proposal first."""
    return tuple(
        _change(row)
        for row in connection.execute(
            _changes().where(_CHANGE.c.incident_id == incident).order_by(_CHANGE.c.id)
        )
    )


def waiting_for_signature(connection: Connection) -> tuple[ScopeChange, ...]:
    """List what one officer has signed, and a second one has not, the oldest first."""
    return tuple(
        _change(row)
        for row in connection.execute(
            _changes()
            .where(
                _CHANGE.c.state == ScopeState.PROPOSED.value,
                _CHANGE.c.first_at.is_not(None),
            )
            .order_by(_CHANGE.c.id)
        )
    )


def read_document(connection: Connection, *, change: ScopeChangeId) -> Document | None:
    """Return the order's file; None where there is none."""
    row = connection.execute(
        select(_DOCUMENT, _CHANGE.c.document_name)
        .join(_CHANGE, _CHANGE.c.id == _DOCUMENT.c.change_id)
        .where(_DOCUMENT.c.change_id == change)
    ).first()
    if row is None:
        return None
    return Document(
        name=row.document_name,
        media_type=row.media_type,
        sha256=row.sha256,
        content=row.content,
    )


def record_signature(
    connection: Connection,
    *,
    change: ScopeChangeId,
    place: Literal["first", "second"],
    signature: Signature,
    mail: int,
) -> None:
    """Write a signature down; with the second one it is agreed."""
    values: dict[str, Any] = {
        f"{place}_by": signature.by,
        f"{place}_key": signature.key,
        f"{place}_mail_id": mail,
        f"{place}_at": signature.at,
    }
    if place == "second":
        values["state"] = ScopeState.AGREED.value
    connection.execute(update(_CHANGE).where(_CHANGE.c.id == change).values(values))


def record_end(
    connection: Connection,
    *,
    change: ScopeChangeId,
    by: str,
    why: str,
    now: datetime,
    state: ScopeState | None = None,
    ends_at: datetime | None = None,
) -> None:
    """Write down that a proposal was refused or has lapsed, or that an order ends earlier."""
    values: dict[str, Any] = {"ended_by": by, "ended_at": now, "ended_why": why}
    if state is not None:
        values["state"] = state.value
    if ends_at is not None:
        values["ends_at"] = ends_at
    connection.execute(update(_CHANGE).where(_CHANGE.c.id == change).values(values))


def record_outcomes(
    connection: Connection,
    *,
    change: ScopeChangeId,
    applied: Collection[CertificateId],
    too_late: Collection[CertificateId],
) -> None:
    """Write down which of the named certificates a decision touched."""
    rows = [
        {"b_certificate": certificate, "b_outcome": outcome.value}
        for outcome, some in (
            (ScopeOutcome.APPLIED, applied),
            (ScopeOutcome.TOO_LATE, too_late),
        )
        for certificate in sorted(some)
    ]
    if rows:
        connection.execute(
            update(_SCOPED)
            .where(
                _SCOPED.c.change_id == change,
                _SCOPED.c.certificate_id == bindparam("b_certificate"),
            )
            .values(outcome=bindparam("b_outcome")),
            rows,
        )


def mail_of_session(connection: Connection, *, session: int) -> int | None:
    """Return the mail by whose link somebody is in; None: there was no mail."""
    row = connection.execute(
        select(_MAIL.c.id, _MAIL.c.state)
        .join(_SESSION, _SESSION.c.mail_id == _MAIL.c.id)
        .where(_SESSION.c.id == session)
    ).first()
    return None if row is None or row.state == "printed" else int(row.id)


def _changes() -> Select[Any]:
    counts = (
        select(
            _SCOPED.c.change_id,
            func.count().label("named"),
            func.count()
            .filter(_SCOPED.c.outcome == ScopeOutcome.APPLIED.value)
            .label("applied"),
        )
        .group_by(_SCOPED.c.change_id)
        .subquery()
    )
    return select(_CHANGE, counts.c.named, counts.c.applied).outerjoin(
        counts, counts.c.change_id == _CHANGE.c.id
    )


def _change(row: Any) -> ScopeChange:
    return ScopeChange(
        change=ScopeChangeId(row.id),
        incident=IncidentId(row.incident_id),
        proposal=Proposal(
            kind=ScopeKind(row.kind),
            reason=row.reason,
            court=row.court,
            reference=row.reference,
            ends_at=row.granted_until,
        ),
        state=ScopeState(row.state),
        ends_at=row.ends_at,
        document_name=row.document_name,
        document_sha256=row.document_sha256,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        first=_signature(row.first_by, row.first_key, row.first_at),
        second=_signature(row.second_by, row.second_key, row.second_at),
        ended_by=row.ended_by,
        ended_at=row.ended_at,
        ended_why=row.ended_why,
        named=row.named or 0,
        applied=row.applied or 0,
    )


def _signature(by: str, key: str, at: datetime | None) -> Signature | None:
    return None if at is None else Signature(by=by, key=key, at=at)
