"""What SQLAlchemy compiled for one engine serves the next; else each test compiles it anew."""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Engine, event


class _Kept(dict[Any, Any]):
    """
    Compiled statements of all engines of one kind, whosever dialect made them.

    SQLAlchemy gets and sets. The first part of its keys is the engine's own dialect.
    """

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__(key[1:], compiled)


_KEPT: defaultdict[tuple[str, str], _Kept] = defaultdict(_Kept)


def compile_once() -> None:
    """
    Let all engines of a kind, in this process, share what was compiled.

    SQLAlchemy keeps compiled statements by engine. Each test opens an engine of its own,
    and none says much that those before it have not said.
    """
    event.listen(Engine, "engine_connect", _share)


def _share(connection: Connection) -> None:
    dialect = connection.dialect
    connection.execution_options(compiled_cache=_KEPT[dialect.name, dialect.driver])
