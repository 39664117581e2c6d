"""Puts what was done to many certificates on record, one act for each incident (I5)."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from models.terms import CertificateId, IncidentId
from tocsin.store import audit


def append_acts(
    connection: Connection,
    *,
    now: datetime,
    actor: str,
    action: str,
    lists: Iterable[tuple[IncidentId, str, CertificateId]],
    **further: object,
) -> None:
    """
    Append one act for each incident concerned, last in the transaction of the change.

    Args:
        connection: The transaction.
        now: When, UTC.
        actor: Who.
        action: What, in the past tense.
        lists: Incident, name of a list in the act's detail, and a certificate for it.
        further: What else belongs into every act's detail.

    """
    by_incident: dict[IncidentId, dict[str, list[CertificateId]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for incident, name, certificate in lists:
        by_incident[incident][name].append(certificate)
    # In one order, so that two processes cannot wait for each other.
    for incident, named in sorted(by_incident.items()):
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=actor,
            action=action,
            detail={**named, **further},
        )
