"""Reads SQLite's plan of the very statements that a function issues."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, event

from tocsin.store.session import writing


def query_plans(engine: Engine, call: Callable[[Connection], object]) -> list[str]:
    """Run ``call``, then return the plan lines of each SELECT it issued."""
    issued: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            issued.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        with writing(engine) as connection:
            call(connection)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with writing(engine) as connection:
        return [
            row[3]
            for statement, parameters in issued
            for row in connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", parameters
            )
        ]
