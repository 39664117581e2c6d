"""Subscribers and contacts into a draft, and certificates to the subscribers they belong to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select

from models.base import table
from models.subscriber import Contact, Subscriber, SubscriberDomain
from models.terms import ContactState, IncidentId
from tocsin.names import subscriber_key
from tocsin.policy.entries import ParsedContact
from tocsin.store.session import insert_ignoring

_CONTACT = table(Contact)
_DOMAIN = table(SubscriberDomain)
_SUBSCRIBER = table(Subscriber)

# SQLite takes 32,766 values in one statement.
_VALUES = 10_000
_DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRecorded:
    """
    What became of one batch of the directory.

    Args:
        contacts: Contacts that are new, the CA's own staff included.
        duplicates: Addresses that the subscriber already had.
        disputed: Domains that an earlier row gave to another subscriber, with the file
            and row that lost.

    """

    contacts: int
    duplicates: int
    disputed: tuple[tuple[str, int, str], ...]


def add_subscribers(
    connection: Connection, *, incident: IncidentId, names: Iterable[str], zone: str
) -> dict[str, int]:
    """Find subscribers by name, adding those nobody knows; return key to identifier."""
    by_key: dict[str, str] = {}
    for name in names:  # the first spelling stays
        by_key.setdefault(subscriber_key(name), name)
    known = find_subscribers(connection, incident=incident, keys=by_key)
    missing = [
        _subscriber_row(incident, key, name, zone)
        for key, name in by_key.items()
        if key not in known
    ]
    if missing:
        _insert_subscribers(connection, missing)
        known = find_subscribers(connection, incident=incident, keys=by_key)
    return known


def find_subscribers(
    connection: Connection, *, incident: IncidentId, keys: Iterable[str]
) -> dict[str, int]:
    """Return the identifiers of subscribers by their keys."""
    return {
        row.key: row.id
        for portion in portions(sorted(keys))
        for row in connection.execute(
            select(_SUBSCRIBER.c.key, _SUBSCRIBER.c.id).where(
                _SUBSCRIBER.c.incident_id == incident, _SUBSCRIBER.c.key.in_(portion)
            )
        )
    }


def find_domains(
    connection: Connection, *, incident: IncidentId, domains: Iterable[str]
) -> dict[str, int]:
    """Return whose these domains are, where the directory says."""
    return {
        row.domain: row.subscriber_id
        for portion in portions(sorted(domains))
        for row in connection.execute(
            select(_DOMAIN.c.domain, _DOMAIN.c.subscriber_id).where(
                _DOMAIN.c.incident_id == incident, _DOMAIN.c.domain.in_(portion)
            )
        )
    }


def record_directory(
    connection: Connection,
    *,
    incident: IncidentId,
    contacts: Sequence[ParsedContact],
    default_zone: str,
) -> DirectoryRecorded:
    """
    Record a batch of the directory's rows.

    A subscriber's sector, language and zone are those of its first row that says them;
    a contact without a rank comes after those before it.
    """
    rows: dict[str, dict[str, Any]] = {}
    keys: list[str | None] = []
    for contact in contacts:
        if contact.subscriber is None:
            keys.append(None)
            continue
        key = subscriber_key(contact.subscriber)
        keys.append(key)
        row = rows.setdefault(
            key, _subscriber_row(incident, key, contact.subscriber, "")
        )
        for column in ("sector", "language", "zone"):
            row[column] = row[column] or getattr(contact, column)
    for row in rows.values():
        row["language"] = row["language"] or _DEFAULT_LANGUAGE
        row["zone"] = row["zone"] or default_zone
    if rows:
        _insert_subscribers(connection, list(rows.values()))
    ids = find_subscribers(connection, incident=incident, keys=rows)
    owners = [ids[key] if key is not None else None for key in keys]
    disputed = _record_domains(connection, incident, contacts, owners)
    added = _record_contacts(connection, incident, contacts, owners)
    addressed = sum(contact.email is not None for contact in contacts)
    return DirectoryRecorded(
        contacts=added, duplicates=addressed - added, disputed=tuple(disputed)
    )


def portions(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Cut values into as many as one statement takes."""
    for start in range(0, len(values), _VALUES):
        yield values[start : start + _VALUES]


def _subscriber_row(
    incident: IncidentId, key: str, name: str, zone: str
) -> dict[str, Any]:
    return {
        "incident_id": incident,
        "key": key,
        "name": name,
        "sector": "",
        "language": _DEFAULT_LANGUAGE if zone else "",
        "zone": zone,
        "ladder_position": 0,
        "look_at": None,
        "acknowledged_at": None,
    }


def _insert_subscribers(connection: Connection, rows: list[dict[str, Any]]) -> None:
    statement = insert_ignoring(
        connection, _SUBSCRIBER, conflict=["incident_id", "key"]
    )
    connection.execute(statement, rows)


def _record_domains(
    connection: Connection,
    incident: IncidentId,
    contacts: Sequence[ParsedContact],
    owners: Sequence[int | None],
) -> list[tuple[str, int, str]]:
    claims = [
        (domain, owner, contact)
        for contact, owner in zip(contacts, owners, strict=True)
        if owner is not None
        for domain in contact.domains
    ]
    if not claims:
        return []
    connection.execute(
        insert_ignoring(connection, _DOMAIN, conflict=["incident_id", "domain"]),
        [
            {"incident_id": incident, "domain": domain, "subscriber_id": owner}
            for domain, owner, _ in claims
        ],
    )
    of = find_domains(
        connection, incident=incident, domains={domain for domain, _, _ in claims}
    )
    return [
        (contact.file, contact.row, domain)
        for domain, owner, contact in claims
        if of[domain] != owner
    ]


def _record_contacts(
    connection: Connection,
    incident: IncidentId,
    contacts: Sequence[ParsedContact],
    owners: Sequence[int | None],
) -> int:
    known, ranks = _known_contacts(connection, incident, owners)
    rows: list[dict[str, Any]] = []
    for contact, owner in zip(contacts, owners, strict=True):
        if contact.email is None:
            continue
        identity = (owner, contact.email.casefold())
        if identity in known:
            continue
        known.add(identity)
        rank = contact.rank or ranks.get(owner, 0) + 1
        ranks[owner] = max(rank, ranks.get(owner, 0))
        rows.append(
            {
                "incident_id": incident,
                "subscriber_id": owner,
                "role": contact.role.value,
                "rank": rank,
                "name": contact.name,
                "email": contact.email,
                "phone": contact.phone,
                "state": ContactState.ACTIVE.value,
                "named_by_reply": False,
                "token_generation": 0,
            }
        )
    if rows:
        connection.execute(insert(_CONTACT), rows)
    return len(rows)


def _known_contacts(
    connection: Connection, incident: IncidentId, owners: Iterable[int | None]
) -> tuple[set[tuple[int | None, str]], dict[int | None, int]]:
    """Read the addresses and highest ranks on record of these subscribers and of staff."""
    known: set[tuple[int | None, str]] = set()
    ranks: dict[int | None, int] = {}
    subscribers = sorted({owner for owner in owners if owner is not None})
    for portion in portions(subscribers) if subscribers else [[]]:
        for row in connection.execute(
            select(
                _CONTACT.c.subscriber_id,
                func.lower(_CONTACT.c.email).label("email"),
                _CONTACT.c.rank,
            ).where(
                _CONTACT.c.incident_id == incident,
                or_(
                    _CONTACT.c.subscriber_id.in_(portion),
                    _CONTACT.c.subscriber_id.is_(None),
                ),
            )
        ):
            known.add((row.subscriber_id, row.email))
            ranks[row.subscriber_id] = max(row.rank, ranks.get(row.subscriber_id, 0))
    return known, ranks
