"""One subscriber of a draft, to show an officer what people would read."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from models.base import table
from models.incident import AffectedCertificate
from models.subscriber import Contact, Subscriber
from models.terms import ContactState, IncidentId

CERTIFICATE = table(AffectedCertificate)
CONTACT = table(Contact)
SUBSCRIBER = table(Subscriber)

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRecipient:
    """A subscriber, the contact who would be written to first, some certificates."""

    subscriber: str
    language: str
    zone: str
    contact: str
    certificates: tuple[tuple[str, str, datetime | None], ...]  # name, serial, end
    total: int


def sample_recipient(
    connection: Connection, *, incident: IncidentId
) -> SampleRecipient | None:
    """Return the subscriber with most certificates among those who can be reached."""
    held = func.count(CERTIFICATE.c.id)
    row = connection.execute(
        select(SUBSCRIBER, held.label("total"))
        .join(CERTIFICATE, CERTIFICATE.c.subscriber_id == SUBSCRIBER.c.id)
        .where(
            SUBSCRIBER.c.incident_id == incident,
            select(CONTACT.c.id)
            .where(
                CONTACT.c.subscriber_id == SUBSCRIBER.c.id,
                CONTACT.c.state == ContactState.ACTIVE.value,
            )
            .exists(),
        )
        .group_by(SUBSCRIBER.c.id)
        .order_by(held.desc(), SUBSCRIBER.c.id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    contact = connection.execute(
        select(CONTACT.c.name)
        .where(
            CONTACT.c.subscriber_id == row.id,
            CONTACT.c.state == ContactState.ACTIVE.value,
        )
        .order_by(CONTACT.c.rank, CONTACT.c.id)
        .limit(1)
    ).scalar_one()
    certificates = connection.execute(
        select(
            CERTIFICATE.c.dns_names,
            CERTIFICATE.c.subject,
            CERTIFICATE.c.serial,
            CERTIFICATE.c.not_after,
        )
        .where(CERTIFICATE.c.subscriber_id == row.id)
        .order_by(CERTIFICATE.c.id)
        .limit(_SHOWN)
    )
    return SampleRecipient(
        subscriber=row.name,
        language=row.language,
        zone=row.zone,
        contact=contact,
        certificates=tuple(
            ((c.dns_names or [c.subject or c.serial])[0], c.serial, c.not_after)
            for c in certificates
        ),
        total=row.total,
    )
