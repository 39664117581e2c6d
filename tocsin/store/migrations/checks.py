"""Changes what a CHECK allows, in databases of both kinds."""

import re

from alembic import op


def allow_states(table: str, states: str) -> None:
    """
    Change which states a table's rows may be in.

    Args:
        table: Its name; its CHECK is ``ck_<table>_state``.
        states: The words in quotes, separated by commas.

    Raises:
        RuntimeError: The table has no such CHECK.

    """
    check = f"state IN ({states})"
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f(f"ck_{table}_state"), table, type_="check")
        op.create_check_constraint(op.f(f"ck_{table}_state"), table, check)
        return
    # SQLite cannot alter a constraint, and a table that others refer to cannot be
    # made anew under foreign keys. Its manual's way for a change that leaves the rows
    # as they are: https://www.sqlite.org/lang_altertable.html, section 7.
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    before = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
    ).scalar_one()
    after, count = re.subn(r"(?<=CHECK \()state IN \([^)]*\)", check, before)
    if count != 1:
        message = f"the table {table} has not the constraint that was expected"
        raise RuntimeError(message)
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?",
        (after, table),
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
