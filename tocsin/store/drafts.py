"""Drafts at the officers' desk: what their import reported, whose certificates, who was asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from models.base import table
from models.incident import AffectedCertificate, Entry, Incident, Issuer
from models.office import Draft
from models.subscriber import Subscriber
from models.terms import CertificateId, IncidentId, IncidentState, SubscriberId
from tocsin.errors import Refused
from tocsin.names import subscriber_key
from tocsin.store.directory import add_subscribers
from tocsin.store.session import rows_changed

_CERTIFICATE = table(AffectedCertificate)
_DRAFT = table(Draft)
_ENTRY = table(Entry)
_INCIDENT = table(Incident)
_ISSUER = table(Issuer)
_SUBSCRIBER = table(Subscriber)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRecord:
    """
    A draft beside its figures.

    Args:
        imported: What the import reported; ``tocsin.steps.drafts`` reads it.
        drafted_by: Who made it.
        asked_by: Who asked for a second officer; None: nobody yet.
        asked_at: When, UTC.

    """

    imported: Mapping[str, object]
    drafted_by: str
    asked_by: str | None
    asked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLaunch:
    """A draft whose launch waits for a second officer, while the clock runs."""

    incident: IncidentId
    title: str
    made_aware_at: datetime
    deadline: datetime
    asked_by: str
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownerless:
    """A certificate that belongs to nobody known."""

    certificate: CertificateId
    serial: str
    subject: str
    names: tuple[str, ...]
    issuer: str

    @property
    def title(self) -> str:
        """What it is known by."""
        return (self.names or (self.subject or f"serial number {self.serial}",))[0]


def record_import(
    connection: Connection,
    *,
    incident: IncidentId,
    drafted_by: str,
    imported: Mapping[str, object],
    now: datetime,
) -> None:
    """Keep what an import reported: without it nobody else could see the preview."""
    connection.execute(
        insert(_DRAFT).values(
            incident_id=incident,
            imported=dict(imported),
            imported_at=now,
            drafted_by=drafted_by,
        )
    )


def read_draft(connection: Connection, *, incident: IncidentId) -> DraftRecord | None:
    """Return what is known of a draft; None while its import has not come to its end."""
    row = connection.execute(
        select(_DRAFT).where(_DRAFT.c.incident_id == incident)
    ).first()
    if row is None:
        return None
    return DraftRecord(
        imported=row.imported,
        drafted_by=row.drafted_by,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
    )


def entries_so_far(connection: Connection, *, incident: IncidentId) -> int:
    """Count what an import has read."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(_ENTRY)
            .where(_ENTRY.c.incident_id == incident)
        ).scalar_one()
    )


def waiting_launches(connection: Connection) -> tuple[WaitingLaunch, ...]:
    """List the drafts that wait for a second officer, the nearest deadline first."""
    return tuple(
        WaitingLaunch(
            incident=IncidentId(row.id),
            title=row.title,
            made_aware_at=row.made_aware_at,
            deadline=row.deadline,
            asked_by=row.asked_by,
            asked_at=row.asked_at,
        )
        for row in connection.execute(
            select(
                _INCIDENT.c.id,
                _INCIDENT.c.title,
                _INCIDENT.c.made_aware_at,
                _INCIDENT.c.deadline,
                _DRAFT.c.asked_by,
                _DRAFT.c.asked_at,
            )
            .join(_DRAFT, _DRAFT.c.incident_id == _INCIDENT.c.id)
            .where(
                _INCIDENT.c.state == IncidentState.DRAFT.value,
                _DRAFT.c.asked_at.is_not(None),
            )
            .order_by(_INCIDENT.c.deadline, _INCIDENT.c.id)
        )
    )


def lock_draft(connection: Connection, *, incident: IncidentId) -> None:
    """
    Hold a draft for a change.

    Raises:
        Refused: It is no draft any more.

    """
    state = connection.execute(
        select(_INCIDENT.c.state).where(_INCIDENT.c.id == incident).with_for_update()
    ).scalar_one_or_none()
    if state != IncidentState.DRAFT.value:
        raise Refused(
            "the incident was launched meanwhile: nothing of the draft can be changed",
            source="I7",
        )


def ask_second(
    connection: Connection, *, incident: IncidentId, by: str, now: datetime
) -> bool:
    """Put on record that a launch waits for a second officer; False: it did before."""
    result = connection.execute(
        update(_DRAFT)
        .where(_DRAFT.c.incident_id == incident, _DRAFT.c.asked_at.is_(None))
        .values(asked_by=by, asked_at=now)
    )
    return rows_changed(result) == 1


def ownerless(
    connection: Connection, *, incident: IncidentId, limit: int
) -> tuple[Ownerless, ...]:
    """List certificates of nobody known, as many as asked for."""
    return tuple(
        Ownerless(
            certificate=CertificateId(row.id),
            serial=row.serial,
            subject=row.subject,
            names=tuple(row.dns_names),
            issuer=row.issuer,
        )
        for row in connection.execute(
            select(
                _CERTIFICATE.c.id,
                _CERTIFICATE.c.serial,
                _CERTIFICATE.c.subject,
                _CERTIFICATE.c.dns_names,
                _ISSUER.c.name.label("issuer"),
            )
            .join(_ISSUER, _ISSUER.c.id == _CERTIFICATE.c.issuer_id)
            .where(
                _CERTIFICATE.c.incident_id == incident,
                _CERTIFICATE.c.subscriber_id.is_(None),
            )
            .order_by(_CERTIFICATE.c.id)
            .limit(limit)
        )
    )


def assign(
    connection: Connection,
    *,
    incident: IncidentId,
    certificates: Sequence[CertificateId] | None,
    subscriber: SubscriberId,
) -> int:
    """Give certificates of nobody to a subscriber, all of them for None; say how many."""
    condition = [
        _CERTIFICATE.c.incident_id == incident,
        _CERTIFICATE.c.subscriber_id.is_(None),
    ]
    if certificates is not None:
        condition.append(_CERTIFICATE.c.id.in_(sorted(set(certificates))))
    return rows_changed(
        connection.execute(
            update(_CERTIFICATE).where(*condition).values(subscriber_id=subscriber)
        )
    )


def subscriber_named(
    connection: Connection, *, incident: IncidentId, name: str, zone: str
) -> SubscriberId:
    """Find a subscriber by its name, however spelt; add it where there is none."""
    found = add_subscribers(connection, incident=incident, names=[name], zone=zone)
    return SubscriberId(found[subscriber_key(name)])


def subscriber_names(
    connection: Connection, *, incident: IncidentId, limit: int
) -> tuple[str, ...]:
    """List the first subscribers' names, to choose from."""
    return tuple(
        connection.execute(
            select(_SUBSCRIBER.c.name)
            .where(_SUBSCRIBER.c.incident_id == incident)
            .order_by(_SUBSCRIBER.c.name)
            .limit(limit)
        ).scalars()
    )
