"""Engines and transactions; the differences between SQLite and PostgreSQL end here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

if TYPE_CHECKING:
    from alembic.config import Config

_BUSY_MILLISECONDS = 30_000
_WRITES = "tocsin_writes"
_MIGRATIONS = Path(__file__).with_name("migrations")


def open_engine(url: str) -> Engine:
    """
    Open the database.

    SQLite runs in WAL with ``synchronous=FULL``: an outcome that was committed
    survives a power cut. PostgreSQL goes through psycopg. Errors name the statement
    and keep its values to themselves: an address or a CSR could be among them.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            hide_parameters=True,
        )
    engine = create_engine(
        parsed,
        connect_args={"isolation_level": None, "check_same_thread": False},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_MILLISECONDS}",
        "cache_size=-32000",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later could find the database locked
    # half-way; one that says so at the start waits its turn instead.
    writes = connection.get_execution_options().get(_WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes: committed at the end, rolled back on an error."""
    with engine.begin() as connection:
        # psycopg's count of the rows that an INSERT added is forgotten unless asked for.
        connection.execution_options(preserve_rowcount=True)
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one state of the database and changes nothing."""
    options: dict[str, Any] = {_WRITES: False}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        yield connection


def dialect_insert(
    connection: Connection,
) -> Callable[[Table], sqlite.Insert | postgresql.Insert]:
    """Return the ``insert`` that knows ON CONFLICT in this database."""
    return (
        postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    )


def insert_ignoring(
    connection: Connection, table: Table, *, conflict: Sequence[str]
) -> sqlite.Insert | postgresql.Insert:
    """Insert rows, leaving those alone that are already there."""
    return dialect_insert(connection)(table).on_conflict_do_nothing(
        index_elements=list(conflict)
    )


def alembic_config(engine: Engine) -> "Config":
    """Return Alembic's configuration for this engine, wherever we are installed."""
    from alembic.config import Config  # noqa: PLC0415 - slow; see migrate()

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["engine"] = engine
    return config


def migrate(engine: Engine) -> None:
    """
    Bring the schema up to date; two processes at once do no harm.

    A cycle's process starts every minute, and nearly always all is up to date: then
    Alembic, which takes long to import, is left out.
    """
    if schema_revision(engine) == newest_revision():
        return
    from alembic import command  # noqa: PLC0415 - slow

    command.upgrade(alembic_config(engine), "head")


def schema_revision(engine: Engine) -> str | None:
    """Return how far the schema has been brought; None: there are no tables yet."""
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(
            text("SELECT version_num FROM alembic_version")
        ).scalar()
        return found


def newest_revision() -> str:
    """Return how far the schema can be brought: migrations are numbered in order."""
    return max(file.name for file in _MIGRATIONS.glob("versions/[0-9]*.py"))[:4]


def rows_changed(result: Any) -> int:
    """How many rows an update or delete changed."""
    return cast("int", result.rowcount)
