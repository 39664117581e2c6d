"""Databases of PostgreSQL for tests: made once, cleaned after each."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from tocsin.store.session import migrate, open_engine

_SHAPE = """
SELECT string_agg(concat_ws(' ', oid, relname, reltuples > 0), ',' ORDER BY oid)
FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
_FILLED = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0
"""
_FROM_ONE = """
SELECT setval(oid, 1, false) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
"""
_CUT_OFF = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND NOT (pid = ANY(:ours) AND state = 'idle')
"""


class KeptDatabase:
    """
    A database with today's tables, handed to one test after the other.

    To copy one for each test, to connect anew and to read its catalogue in every
    process of the server took longer than most tests. What a test leaves behind is gone
    before the next: rows, numbers given out, connections. A database whose tables were
    changed or measured (ANALYZE) is not kept: the next test gets a copy.
    """

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._own: set[int] = set()
        self._engine: Engine | None = None
        self._shape: str | None = None

    def engine(self) -> Engine:
        """Return the engine of the next test; its statements stay compiled."""
        if self._engine is None:
            url = create_database(self._server, f"TEMPLATE {self._template}")
            self._engine = open_engine(url)
            event.listen(self._engine, "connect", self._connected)
            with self._engine.connect() as connection:
                self._shape = connection.execute(text(_SHAPE)).scalar()
        # A test that listens to statements listens to those of its own copy.
        return self._engine.execution_options()

    def clean(self) -> None:
        """Take away whatever a test left."""
        assert self._engine is not None
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(_CUT_OFF), {"ours": [*self._own]})
            kept = connection.execute(text(_SHAPE)).scalar() == self._shape
            if kept:
                _empty(connection)
        if not kept:
            self.drop()

    def drop(self) -> None:
        """Take the database away altogether."""
        if self._engine is not None:
            self._engine.dispose()
            drop_database(self._engine.url.render_as_string(hide_password=False))
            self._engine = None

    def _connected(self, connection: Any, _entry: object) -> None:
        self._own.add(connection.info.backend_pid)


def _empty(connection: Connection) -> None:
    # TRUNCATE would make a file anew for each table and each index of them.
    filled = ", ".join(connection.execute(text(_FILLED)).scalars())
    if filled:
        # Some rows are guarded against being deleted, by triggers.
        connection.execute(text("SET session_replication_role = replica"))
        for name in filled.split(", "):
            # S608: a table of our own, as the catalogue names it.
            connection.execute(text(f"DELETE FROM {name}"))  # noqa: S608
        connection.execute(text("RESET session_replication_role"))
        # Rows are found in the order in which they came, as in a new database.
        connection.execute(text(f"VACUUM {filled}"))
    connection.execute(text(_FROM_ONE))


def create_database(server: str, how: str = "") -> str:
    """Create a database, return its URL."""
    name = f"t{uuid.uuid4().hex}"
    with administering(server) as admin:
        admin.execute(text(f"CREATE DATABASE {name} {how}"))
    url = make_url(server).set(database=name)
    return url.render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Drop a database whoever uses it."""
    name = make_url(url).database
    with administering(url) as admin:
        admin.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def administering(server: str) -> Iterator[Connection]:
    """Connect to the server's own database, outside of transactions."""
    admin = create_engine(
        make_url(server).set(drivername="postgresql+psycopg", database="postgres"),
        isolation_level="AUTOCOMMIT",
    )
    with admin.connect() as connection:
        yield connection
    admin.dispose()


def migrate_database(url: str) -> None:
    """Give a database today's tables."""
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
