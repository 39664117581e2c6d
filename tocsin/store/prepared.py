"""Statements written out once and run by the driver itself, for what everybody asks at once."""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

from sqlalchemy import Dialect, Engine, PoolProxiedConnection, Select, event
from sqlalchemy.exc import SQLAlchemyError

from tocsin.errors import Unavailable
from tocsin.store.session import reading


class Cursor(Protocol):
    """What a driver reads with (PEP 249)."""

    def execute(self, statement: str, values: Any, /) -> object:
        """Run a statement."""
        ...

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """Return all rows of the last one, as the driver has them."""
        ...


class Prepared:
    """
    One statement as a driver takes it.

    Args:
        statement: Its values need no other form in this database.
        dialect: The database's.

    """

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        compiled = statement.compile(
            dialect=dialect, compile_kwargs={"render_postcompile": True}
        )
        self._text = str(compiled)
        self._values = list(compiled.params.items())
        order = compiled.positiontup
        self._order = (
            None if order is None else [(name, compiled.params[name]) for name in order]
        )
        columns = statement.selected_columns
        self._row = _row_of(tuple(columns.keys()))
        self._readers: list[tuple[int, Callable[[Any], Any]]] = [
            (at, reader)
            for at, column in enumerate(columns)
            if (
                reader := column.type.dialect_impl(dialect).result_processor(
                    dialect, None
                )
            )
        ]

    def fetch(
        self, cursor: Cursor, values: Mapping[str, object]
    ) -> list[Sequence[Any]]:
        """Return the rows as the driver has them: text may still be an instant."""
        if self._order is None:
            bound = {name: values.get(name, usual) for name, usual in self._values}
            cursor.execute(self._text, bound)
        else:
            cursor.execute(
                self._text, [values.get(name, usual) for name, usual in self._order]
            )
        return list(cursor.fetchall())

    def read(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return rows with names, and values of the columns' types."""
        found = []
        for row in rows:
            values = list(row)
            for at, reader in self._readers:
                values[at] = reader(values[at])
            found.append(self._row(*values))
        return found


def _row_of(names: tuple[str, ...]) -> Callable[..., Any]:
    return namedtuple("Row", names)  # noqa: PYI024


@contextmanager
def reading_raw(engine: Engine) -> Iterator[Cursor]:
    """Open a transaction that sees one state of the database, for prepared statements."""
    with reading(engine) as connection, connection.begin():
        yield cast("Cursor", connection.connection.cursor())


class Unwaiting:
    """
    A connection of SQLite's for one thread that must not wait for anybody.

    Readers of SQLite do not wait for its writers. Where they would have to all the same,
    such as after a crash, this one gives up.

    Args:
        engine: The database; when it is disposed of, so is this connection.

    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None
        event.listen(engine, "engine_disposed", self._close)

    @contextmanager
    def reading_raw(self) -> Iterator[Cursor]:
        """
        Open a transaction that sees one state of the database.

        Raises:
            Unavailable: Not without waiting.

        """
        try:
            cursor = self._open().cursor()
            cursor.execute("BEGIN")
            try:
                yield cursor
            finally:
                cursor.execute("ROLLBACK")
        except (sqlite3.OperationalError, SQLAlchemyError):
            raise Unavailable("the database cannot be read without waiting") from None

    def _open(self) -> PoolProxiedConnection:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            self._connection.detach()
            self._connection.cursor().execute("PRAGMA busy_timeout=0")
        return self._connection

    def _close(self, _engine: Engine) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def reads_without_waiting(engine: Engine) -> bool:
    """Whether a reader of this database waits for nobody, neither network nor writer."""
    return engine.dialect.name == "sqlite"
