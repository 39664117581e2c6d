"""A draft as a whole: what was imported, what an officer has to see of it, and taking it back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, exists, func, select

from models.base import table
from models.incident import (
    AffectedCertificate,
    CertificateBody,
    Entry,
    Incident,
    Issuer,
)
from models.subscriber import Contact, Subscriber, SubscriberDomain
from models.terms import ContactState, IncidentId, IncidentState
from tocsin.errors import Broken, Refused
from tocsin.store.entries import ACCEPTED, DUPLICATE, SET_ASIDE

_BODY = table(CertificateBody)
_CERTIFICATE = table(AffectedCertificate)
_CONTACT = table(Contact)
_DOMAIN = table(SubscriberDomain)
_ENTRY = table(Entry)
_INCIDENT = table(Incident)
_ISSUER = table(Issuer)
_SUBSCRIBER = table(Subscriber)

_PORTION = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerCount:
    """How many certificates of the list one CA issued."""

    issuer_key: str
    name: str
    certificates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How many certificates of the list a running incident has already."""

    incident: IncidentId
    title: str
    certificates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found about one entry."""

    file: str
    row: int
    outcome: str
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFigures:
    """
    What was imported for an incident.

    Args:
        entries: accepted + duplicates + set_aside (I3).
        accepted: Entries that contributed something.
        duplicates: Entries that added nothing.
        set_aside: Entries that could not be used.
        with_finding: Entries that were used, about which something is odd.
        certificates: Distinct by issuer and serial.
        precertificates_only: Of these, known by their precertificate alone.
        already_expired: Of these, expired at the instant asked for.
        without_subscriber: Of these, belonging to nobody known.
        without_contact: Of these, belonging to a subscriber nobody can write to, or to
            nobody.
        subscribers: Subscribers with at least one certificate.
        subscribers_without_contacts: Of these, those nobody can write to.
        contacts: Contacts of subscribers.
        staff: Contacts of the CA's own staff.
        overlaps: Running incidents with the same certificates.
        issuers: The CAs of the list; ask the backend which of them it knows.

    """

    entries: int
    accepted: int
    duplicates: int
    set_aside: int
    with_finding: int
    certificates: int
    precertificates_only: int
    already_expired: int
    without_subscriber: int
    without_contact: int
    subscribers: int
    subscribers_without_contacts: int
    contacts: int
    staff: int
    overlaps: tuple[Overlap, ...]
    issuers: tuple[IssuerCount, ...]


def draft_figures(
    connection: Connection, *, incident: IncidentId, now: datetime
) -> DraftFigures:
    """Count what was imported for an incident, as it stands at an instant."""
    of_certificates = _certificate_counts(connection, incident, now)
    reachable, unreachable = _subscriber_counts(connection, incident)
    contacts = connection.execute(
        select(
            func.count(_CONTACT.c.subscriber_id).label("of_subscribers"),
            func.count().label("all"),
        ).where(_CONTACT.c.incident_id == incident)
    ).one()
    return DraftFigures(
        **_entry_counts(connection, incident),
        **of_certificates,
        subscribers=reachable + unreachable,
        subscribers_without_contacts=unreachable,
        contacts=contacts.of_subscribers,
        staff=contacts.all - contacts.of_subscribers,
        overlaps=_overlaps(connection, incident),
        issuers=_issuers(connection, incident),
    )


def findings(
    connection: Connection, *, incident: IncidentId, limit: int
) -> tuple[Finding, ...]:
    """List what was set aside, then what is odd about the rest, in the list's order."""
    rows = connection.execute(
        select(_ENTRY.c.file, _ENTRY.c.row, _ENTRY.c.outcome, _ENTRY.c.finding)
        .where(_ENTRY.c.incident_id == incident, _ENTRY.c.finding.is_not(None))
        .order_by(
            case((_ENTRY.c.outcome == SET_ASIDE, 0), else_=1),
            _ENTRY.c.file,
            _ENTRY.c.row,
            _ENTRY.c.id,
        )
        .limit(limit)
    )
    return tuple(
        Finding(file=row.file, row=row.row, outcome=row.outcome, finding=row.finding)
        for row in rows
    )


def clear_draft(connection: Connection, *, incident: IncidentId) -> bool:
    """
    Take back a portion of what was imported for a draft; call it until it is done.

    Returns:
        Whether something is left. A portion is small, so that memory does not depend on
        how much was imported.

    Raises:
        Refused: The incident is no draft: its certificates are on record.

    """
    state = connection.execute(
        select(_INCIDENT.c.state).where(_INCIDENT.c.id == incident)
    ).scalar_one()
    if state != IncidentState.DRAFT:
        raise Refused(
            "the incident was launched; its certificates are on record", source="I7"
        )
    for each in (_ENTRY, _CERTIFICATE, _CONTACT, _DOMAIN, _SUBSCRIBER):
        key = each.c.domain if each is _DOMAIN else each.c.id
        keys = (
            connection.execute(
                select(key).where(each.c.incident_id == incident).limit(_PORTION)
            )
            .scalars()
            .all()
        )
        if not keys:
            continue
        if each is _CERTIFICATE:
            connection.execute(delete(_BODY).where(_BODY.c.certificate_id.in_(keys)))
        connection.execute(
            delete(each).where(each.c.incident_id == incident, key.in_(keys))
        )
        return True
    return False


def _entry_counts(connection: Connection, incident: IncidentId) -> dict[str, int]:
    rows = connection.execute(
        select(_ENTRY.c.outcome, func.count(), func.count(_ENTRY.c.finding))
        .where(_ENTRY.c.incident_id == incident)
        .group_by(_ENTRY.c.outcome)
    )
    counts = {row[0]: (row[1], row[2]) for row in rows}
    none = (0, 0)
    figures = {
        "entries": sum(count for count, _ in counts.values()),
        "accepted": counts.get(ACCEPTED, none)[0],
        "duplicates": counts.get(DUPLICATE, none)[0],
        "set_aside": counts.get(SET_ASIDE, none)[0],
    }
    # I3
    if figures["entries"] != sum(figures.values()) - figures["entries"]:
        raise Broken(f"entries of {incident} do not add up: {figures}")
    figures["with_finding"] = (
        counts.get(ACCEPTED, none)[1] + counts.get(DUPLICATE, none)[1]
    )
    return figures


def _certificate_counts(
    connection: Connection, incident: IncidentId, now: datetime
) -> dict[str, int]:
    columns = _CERTIFICATE.c

    def those(condition: ColumnElement[bool]) -> ColumnElement[Any]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    row = connection.execute(
        select(
            func.count().label("certificates"),
            those(
                columns.precertificate_sha256.is_not(None)
                & columns.certificate_sha256.is_(None)
            ).label("precertificates_only"),
            those(columns.not_after < now).label("already_expired"),
            those(columns.subscriber_id.is_(None)).label("without_subscriber"),
            those(
                columns.subscriber_id.is_(None) | ~_is_reachable(columns.subscriber_id)
            ).label("without_contact"),
        ).where(columns.incident_id == incident)
    ).one()
    return {name: int(value) for name, value in row._asdict().items()}


def _subscriber_counts(connection: Connection, incident: IncidentId) -> tuple[int, int]:
    """Count the subscribers with certificates that can be written to, and the others."""
    row = connection.execute(
        select(
            func.count().label("all"),
            func.coalesce(
                func.sum(case((_is_reachable(_SUBSCRIBER.c.id), 1), else_=0)), 0
            ).label("reachable"),
        ).where(
            _SUBSCRIBER.c.incident_id == incident,
            exists().where(_CERTIFICATE.c.subscriber_id == _SUBSCRIBER.c.id),
        )
    ).one()
    return int(row.reachable), row.all - int(row.reachable)


def _is_reachable(subscriber: ColumnElement[Any]) -> ColumnElement[bool]:
    return exists().where(
        _CONTACT.c.subscriber_id == subscriber,
        _CONTACT.c.state == ContactState.ACTIVE.value,
    )


def _overlaps(connection: Connection, incident: IncidentId) -> tuple[Overlap, ...]:
    mine = _CERTIFICATE.alias("mine")
    theirs = _CERTIFICATE.alias("theirs")
    rows = connection.execute(
        select(_INCIDENT.c.id, _INCIDENT.c.title, func.count().label("certificates"))
        .select_from(mine)
        .join(
            theirs,
            (theirs.c.issuer_id == mine.c.issuer_id)
            & (theirs.c.serial == mine.c.serial)
            & (theirs.c.incident_id != mine.c.incident_id),
        )
        .join(_INCIDENT, _INCIDENT.c.id == theirs.c.incident_id)
        .where(
            mine.c.incident_id == incident,
            _INCIDENT.c.state == IncidentState.RUNNING.value,
        )
        .group_by(_INCIDENT.c.id, _INCIDENT.c.title)
        .order_by(_INCIDENT.c.id)
    )
    return tuple(
        Overlap(
            incident=IncidentId(row.id), title=row.title, certificates=row.certificates
        )
        for row in rows
    )


def _issuers(connection: Connection, incident: IncidentId) -> tuple[IssuerCount, ...]:
    rows = connection.execute(
        select(_ISSUER.c.key, _ISSUER.c.name, func.count().label("certificates"))
        .join(_CERTIFICATE, _CERTIFICATE.c.issuer_id == _ISSUER.c.id)
        .where(_CERTIFICATE.c.incident_id == incident)
        .group_by(_ISSUER.c.id, _ISSUER.c.key, _ISSUER.c.name)
        .order_by(func.count().desc(), _ISSUER.c.name)
    )
    return tuple(
        IssuerCount(issuer_key=row.key, name=row.name, certificates=row.certificates)
        for row in rows
    )
