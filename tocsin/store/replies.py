"""What subscribers did through their links: filed once, theirs alone, undone until applied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Row, func, select, update

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.outreach import Csr, Reply
from models.subscriber import Subscriber
from models.terms import (
    UNSETTLED,
    CertificateId,
    Circumstance,
    ContactId,
    IncidentId,
    IncidentState,
    ReplacementState,
    ReplyId,
    ReplyKind,
    ReplyState,
    SubscriberId,
)
from tocsin.errors import Refused
from tocsin.links import LinkClaims
from tocsin.store.contacts import contact_is_current
from tocsin.store.session import insert_ignoring, rows_changed

CERT = table(AffectedCertificate)
CSR = table(Csr)
INCIDENT = table(Incident)
REPLY = table(Reply)
SUBSCRIBER = table(Subscriber)

_T = TypeVar("_T")

_CHUNK = 1_000  # identifiers in one statement; SQLite takes 32,766 parameters

_MAY_BECOME = {
    ReplacementState.AWAITING_CSR: (),
    ReplacementState.CSR_RECEIVED: (ReplacementState.AWAITING_CSR,),
    ReplacementState.REPLACEMENT_ISSUED: (
        ReplacementState.AWAITING_CSR,
        ReplacementState.CSR_RECEIVED,
    ),
    ReplacementState.REPLACED: UNSETTLED,
    ReplacementState.NO_LONGER_REQUIRED: UNSETTLED,
}
"""From which states a certificate may come into each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    Where the incident of a link stands.

    Args:
        state: Only a running incident takes replies.
        circumstance: What it is about; CSR checks depend on it.

    """

    state: IncidentState
    circumstance: Circumstance


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedCertificate:
    """One certificate of a subscriber, as CSRs are compared with it."""

    certificate: CertificateId
    dns_names: tuple[str, ...]
    spki_sha256: str | None
    replacement_state: ReplacementState


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrToFile:
    """A checked CSR for one certificate."""

    certificate: CertificateId
    sha256: str
    spki_sha256: str
    pem: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledReply:
    """A reply as it stands on record."""

    reply: ReplyId
    incident: IncidentId
    subscriber: SubscriberId
    contact: ContactId
    kind: ReplyKind
    state: ReplyState
    received_at: datetime
    effective_at: datetime
    certificates: tuple[CertificateId, ...]


def lock_subscriber(connection: Connection, *, subscriber: SubscriberId) -> None:
    """Let the replies of one subscriber come one after another."""
    connection.execute(
        select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.id == subscriber).with_for_update()
    ).all()


def standing(connection: Connection, *, claims: LinkClaims) -> Standing:
    """
    Return where the incident of a link stands.

    Raises:
        Refused: The link's contact is none (any more), or there is no such subscriber.

    """
    row = connection.execute(
        select(INCIDENT.c.state, INCIDENT.c.circumstance)
        .join(SUBSCRIBER, SUBSCRIBER.c.incident_id == INCIDENT.c.id)
        .where(INCIDENT.c.id == claims.incident, SUBSCRIBER.c.id == claims.subscriber)
    ).first()
    if row is None or not contact_is_current(connection, claims=claims):
        raise Refused(
            "this link is not valid (any more)", source="a link acts for its owner"
        )
    return Standing(
        state=IncidentState(row.state), circumstance=Circumstance(row.circumstance)
    )


def reply_with_nonce(
    connection: Connection, *, subscriber: SubscriberId, nonce: str
) -> FiledReply | None:
    """Return the reply that a form has already made."""
    row = connection.execute(
        select(REPLY).where(REPLY.c.nonce == nonce, REPLY.c.subscriber_id == subscriber)
    ).first()
    return _filed(row) if row else None


def latest_reply(connection: Connection, *, subscriber: SubscriberId) -> ReplyId:
    """Return the last reply of a subscriber; 0: there is none."""
    latest = connection.execute(
        select(func.max(REPLY.c.id)).where(REPLY.c.subscriber_id == subscriber)
    ).scalar()
    return ReplyId(latest or 0)


def file_reply(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    contact: ContactId,
    kind: ReplyKind,
    state: ReplyState,
    certificates: Sequence[CertificateId],
    nonce: str,
    now: datetime,
    effective_at: datetime,
    message: str = "",
    phone: str = "",
) -> ReplyId | None:
    """
    Put a reply on record.

    Args:
        connection: The transaction.
        incident: Of the link.
        subscriber: Of the link.
        contact: Who did it.
        kind: What.
        state: Pending where it waits for its grace period.
        certificates: Which certificates it is about.
        nonce: One form, one reply (I4).
        now: When, UTC.
        effective_at: When it takes effect, UTC.
        message: What they wrote to the CA.
        phone: Where they want to be called.

    Returns:
        None where the same form was filed before: nothing was changed.

    Raises:
        Refused: A certificate is not this subscriber's.

    """
    wanted = sorted(set(certificates))
    owned = sum(
        connection.execute(
            select(func.count())
            .select_from(CERT)
            .where(
                CERT.c.id.in_(chunk),
                CERT.c.incident_id == incident,
                CERT.c.subscriber_id == subscriber,
            )
        ).scalar_one()
        for chunk in _chunks(wanted)
    )
    if owned != len(wanted):
        raise Refused(
            "one of the certificates is not yours", source="a link acts for its owner"
        )
    reply = connection.execute(
        insert_ignoring(connection, REPLY, conflict=["nonce"])
        .values(
            incident_id=incident,
            subscriber_id=subscriber,
            contact_id=contact,
            kind=kind.value,
            state=state.value,
            nonce=nonce,
            received_at=now,
            effective_at=effective_at,
            message=message,
            phone=phone,
            certificate_ids=wanted,
        )
        .returning(REPLY.c.id)
    ).scalar()
    return None if reply is None else ReplyId(reply)


def insert_csrs(
    connection: Connection, *, reply: ReplyId, csrs: Sequence[CsrToFile], now: datetime
) -> int:
    """File CSRs; one that a certificate already has is left alone."""
    if not csrs:
        return 0
    before = _csrs_of(connection, reply)
    connection.execute(
        insert_ignoring(connection, CSR, conflict=["certificate_id", "sha256"]),
        [
            {
                "reply_id": reply,
                "certificate_id": csr.certificate,
                "sha256": csr.sha256,
                "spki_sha256": csr.spki_sha256,
                "pem": csr.pem,
                "findings": list(csr.findings),
                "received_at": now,
            }
            for csr in csrs
        ],
    )
    return _csrs_of(connection, reply) - before


def _csrs_of(connection: Connection, reply: ReplyId) -> int:
    return connection.execute(
        select(func.count()).select_from(CSR).where(CSR.c.reply_id == reply)
    ).scalar_one()


def owned_certificates(
    connection: Connection, *, incident: IncidentId, subscriber: SubscriberId
) -> list[OwnedCertificate]:
    """Read all certificates of a subscriber, narrow rows in one statement."""
    return [
        OwnedCertificate(
            certificate=CertificateId(row.id),
            dns_names=tuple(row.dns_names),
            spki_sha256=row.spki_sha256,
            replacement_state=ReplacementState(row.replacement_state),
        )
        for row in connection.execute(
            select(
                CERT.c.id,
                CERT.c.dns_names,
                CERT.c.spki_sha256,
                CERT.c.replacement_state,
            )
            .where(CERT.c.subscriber_id == subscriber, CERT.c.incident_id == incident)
            .order_by(CERT.c.id)
        )
    ]


def set_replacement_state(
    connection: Connection,
    *,
    certificates: Sequence[CertificateId],
    state: ReplacementState,
) -> int:
    """Move certificates on in their replacement, where they may come into the state."""
    return sum(
        rows_changed(
            connection.execute(
                update(CERT)
                .where(
                    CERT.c.id.in_(chunk),
                    CERT.c.replacement_state.in_(
                        [former.value for former in _MAY_BECOME[state]]
                    ),
                )
                .values(replacement_state=state.value)
            )
        )
        for chunk in _chunks(certificates)
    )


def acknowledge(
    connection: Connection, *, subscriber: SubscriberId, now: datetime
) -> None:
    """Note that somebody there has answered; the first time counts."""
    connection.execute(
        update(SUBSCRIBER)
        .where(SUBSCRIBER.c.id == subscriber, SUBSCRIBER.c.acknowledged_at.is_(None))
        .values(acknowledged_at=now)
    )


def set_csr_refused(
    connection: Connection, *, subscriber: SubscriberId, at: datetime | None
) -> None:
    """Note when a CSR came in that cannot be used; None: a good one came since."""
    connection.execute(
        update(SUBSCRIBER)
        .where(SUBSCRIBER.c.id == subscriber)
        .values(csr_refused_at=at)
    )


def pending_replies(
    connection: Connection, *, subscriber: SubscriberId
) -> list[FiledReply]:
    """Read a subscriber's replies that can still be undone."""
    return [
        _filed(row)
        for row in connection.execute(
            select(REPLY)
            .where(
                REPLY.c.subscriber_id == subscriber,
                REPLY.c.state == ReplyState.PENDING.value,
            )
            .order_by(REPLY.c.effective_at, REPLY.c.id)
        )
    ]


def find_reply(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    reply: ReplyId,
) -> FiledReply | None:
    """Return one reply of this subscriber; None where it is not theirs."""
    row = connection.execute(
        select(REPLY).where(
            REPLY.c.id == reply,
            REPLY.c.incident_id == incident,
            REPLY.c.subscriber_id == subscriber,
        )
    ).first()
    return _filed(row) if row else None


def undo(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    reply: ReplyId,
) -> bool:
    """Take a reply back; False where it is not theirs, or too late."""
    pending = (
        REPLY.c.id == reply,
        REPLY.c.incident_id == incident,
        REPLY.c.subscriber_id == subscriber,
        REPLY.c.state == ReplyState.PENDING.value,
    )
    # Whoever applies it holds it and will want the subscriber that we hold: do not
    # wait for it.
    free = connection.execute(
        select(REPLY.c.id).where(*pending).with_for_update(skip_locked=True)
    ).first()
    if free is None:
        return False
    result = connection.execute(
        update(REPLY).where(*pending).values(state=ReplyState.UNDONE.value)
    )
    return rows_changed(result) == 1


def pending_replies_due(
    connection: Connection, *, now: datetime, limit: int
) -> list[FiledReply]:
    """Take replies whose grace period is over; other processes skip them meanwhile."""
    return [
        _filed(row)
        for row in connection.execute(
            select(REPLY)
            .where(
                REPLY.c.state == ReplyState.PENDING.value,
                REPLY.c.effective_at <= now,
            )
            .order_by(REPLY.c.effective_at, REPLY.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
    ]


def next_due_reply(connection: Connection) -> datetime | None:
    """Return when the next grace period ends, UTC; None where nothing waits."""
    return connection.execute(
        select(REPLY.c.effective_at)
        .where(REPLY.c.state == ReplyState.PENDING.value)
        .order_by(REPLY.c.effective_at)
        .limit(1)
    ).scalar()


def mark_applied(connection: Connection, *, replies: Sequence[ReplyId]) -> int:
    """Record that replies have had their effect."""
    return sum(
        rows_changed(
            connection.execute(
                update(REPLY)
                .where(
                    REPLY.c.id.in_(chunk),
                    REPLY.c.state == ReplyState.PENDING.value,
                )
                .values(state=ReplyState.APPLIED.value)
            )
        )
        for chunk in _chunks(replies)
    )


def _filed(row: Row[tuple[object, ...]]) -> FiledReply:
    return FiledReply(
        reply=ReplyId(row.id),
        incident=IncidentId(row.incident_id),
        subscriber=SubscriberId(row.subscriber_id),
        contact=ContactId(row.contact_id),
        kind=ReplyKind(row.kind),
        state=ReplyState(row.state),
        received_at=row.received_at,
        effective_at=row.effective_at,
        certificates=tuple(CertificateId(number) for number in row.certificate_ids),
    )


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
