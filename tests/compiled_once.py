"""What SQLAlchemy compiled for one engine serves the next; else each test compiles it anew."""

from collections import defaultdict
from collections.abc import Iterator, MutableMapping
from typing import Any

from sqlalchemy import Connection, Engine, event


class _Kept(MutableMapping[tuple[Any, ...], Any]):
    """Compiled statements of all engines of one kind, whosever dialect made them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Any] = {}

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        return self._kept[key[1:]]  # the first of it is the engine's own dialect

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        self._kept[key[1:]] = compiled

    def __delitem__(self, key: tuple[Any, ...]) -> None:
        del self._kept[key[1:]]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


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
