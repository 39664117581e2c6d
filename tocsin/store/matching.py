"""Which subscriber a certificate belongs to; a certificate of nobody is revoked unannounced."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from models.base import table
from models.incident import AffectedCertificate
from models.subscriber import Subscriber
from models.terms import IncidentId
from tocsin.names import subscriber_key
from tocsin.store.directory import add_subscribers, find_domains, find_subscribers

_CERTIFICATE = table(AffectedCertificate)
_SUBSCRIBER = table(Subscriber)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedPage:
    """
    What became of one page of certificates.

    Args:
        last: The identifier to go on from; None behind the last page.
        of_nobody: Certificates that name nobody and match nobody.

    """

    last: int | None
    of_nobody: int


def newest_subscriber(connection: Connection, *, incident: IncidentId) -> int:
    """
    Return the highest identifier of a subscriber known before matching.

    Those that matching adds come after it and are not matched by name themselves, so
    that the order of certificates does not matter.
    """
    newest = connection.execute(
        select(func.max(_SUBSCRIBER.c.id)).where(_SUBSCRIBER.c.incident_id == incident)
    ).scalar()
    return newest or 0


def match_page(
    connection: Connection,
    *,
    incident: IncidentId,
    after: int | None,
    limit: int,
    newest: int,
    default_zone: str,
) -> MatchedPage:
    """
    Give a page of certificates their subscribers.

    The list's own word counts first; then the organisation in the certificate, where
    the directory has it; then the longest domain of the directory that covers a name of
    the certificate; else the organisation becomes a subscriber without contacts.

    Args:
        connection: In a transaction that writes.
        incident: The draft.
        after: The last identifier of the page before; None for the first.
        limit: The length of a page.
        newest: From ``newest_subscriber``.
        default_zone: The zone of subscribers that are added.

    """
    rows = _page(connection, incident, after, limit)
    if rows is None:
        return MatchedPage(last=None, of_nobody=0)
    mine = [row for row in rows if row.incident_id == incident]
    owners = _owners(connection, incident, mine, newest=newest)
    unknown = [row for row in mine if row.id not in owners]
    names = [row.claimed_by or row.organisation for row in unknown]
    added = add_subscribers(
        connection,
        incident=incident,
        names=(name for name in names if name),
        zone=default_zone,
    )
    for row, name in zip(unknown, names, strict=True):
        if name:
            owners[row.id] = added[subscriber_key(name)]
    if owners:
        connection.execute(
            update(_CERTIFICATE)
            .where(_CERTIFICATE.c.id == bindparam("b_id"))
            .values(subscriber_id=bindparam("b_owner")),
            [{"b_id": id_, "b_owner": owner} for id_, owner in owners.items()],
        )
    return MatchedPage(last=rows[-1].id, of_nobody=len(mine) - len(owners))


def _page(
    connection: Connection, incident: IncidentId, after: int | None, limit: int
) -> list[Any] | None:
    columns = _CERTIFICATE.c
    if after is None:
        first = connection.execute(
            select(func.min(columns.id)).where(columns.incident_id == incident)
        ).scalar()
        if first is None:
            return None
        after = first - 1
    # In the order of the primary key and without asking for the incident: a planner
    # that chose the incident's index would sort all of it for each page.
    return (
        list(
            connection.execute(
                select(
                    columns.id,
                    columns.incident_id,
                    columns.claimed_by,
                    columns.organisation,
                    columns.dns_names,
                )
                .where(columns.id > after)
                .order_by(columns.id)
                .limit(limit)
            )
        )
        or None
    )


def _owners(
    connection: Connection, incident: IncidentId, rows: Iterable[Any], *, newest: int
) -> dict[int, int]:
    """Return certificate to subscriber for all that the directory or the list knows."""
    wanted = {
        row.id: subscriber_key(row.claimed_by or row.organisation)
        for row in rows
        if row.claimed_by or row.organisation
    }
    subscribers = {
        key: id_
        for key, id_ in find_subscribers(
            connection, incident=incident, keys=set(wanted.values())
        ).items()
        if id_ <= newest
    }
    owners = {
        id_: subscribers[key] for id_, key in wanted.items() if key in subscribers
    }
    candidates = {
        row.id: list(_covering(row.dns_names))
        for row in rows
        if row.id not in owners and not row.claimed_by and row.dns_names
    }
    domains = find_domains(
        connection,
        incident=incident,
        domains={domain for several in candidates.values() for domain in several},
    )
    for id_, several in candidates.items():
        matching = [domain for domain in several if domain in domains]
        if matching:
            owners[id_] = domains[max(matching, key=len)]
    return owners


def _covering(names: Iterable[str]) -> Iterator[str]:
    """Yield each name and the domains above it."""
    for name in names:
        domain = name.removeprefix("*.").rstrip(".")
        while domain:
            yield domain
            _, _, domain = domain.partition(".")
