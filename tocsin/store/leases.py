"""Work that one process at a time may do; without it two cycles would get in each other's way."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, or_, update

from models.audit import Lease
from models.base import table
from models.outreach import Notice
from models.revocation import Revocation
from tocsin.store.session import dialect_insert, rows_changed

LEASE = table(Lease)


def take_lease(
    connection: Connection, *, name: str, owner: str, now: datetime, within: timedelta
) -> bool:
    """
    Take, or keep, a lease.

    Args:
        connection: A transaction.
        name: What is leased.
        owner: Who takes it; whoever holds it may take it again.
        now: The present instant, UTC.
        within: How long it lasts unless it is taken again.

    Returns:
        False when another process holds it.

    """
    statement = dialect_insert(connection)(LEASE).values(
        name=name, owner=owner, until=now + within
    )
    result = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"owner": owner, "until": now + within},
            where=or_(LEASE.c.owner == owner, LEASE.c.until <= now),
        )
    )
    return rows_changed(result) == 1


def drop_lease(connection: Connection, *, name: str, owner: str) -> None:
    """Give a lease back early."""
    connection.execute(
        delete(LEASE).where(LEASE.c.name == name, LEASE.c.owner == owner)
    )


def drop_leases_of(connection: Connection, *, owner: str) -> None:
    """
    Free everything that a process held which is known to be dead.

    What it was doing becomes in doubt at once instead of when the leases run out.
    """
    connection.execute(delete(LEASE).where(LEASE.c.owner == owner))
    for model in (Notice, Revocation):
        rows = table(model)
        connection.execute(
            update(rows)
            .where(rows.c.lease_owner == owner)
            .values(lease_owner=None, lease_until=None)
        )
