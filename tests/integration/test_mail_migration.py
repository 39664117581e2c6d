"""A database from before mail was filed keeps its rows and gets its columns."""

from alembic import command
from alembic.script import ScriptDirectory
from factories import LAUNCH
from sqlalchemy import Engine, text

from models.base import table
from models.outreach import Bounce
from tocsin.store.session import alembic_config, open_engine, reading, writing

AFTER = "0005"


def test_rows_are_kept_when_the_tables_of_mail_are_added(
    empty_database_url: str,
) -> None:
    engine = open_engine(empty_database_url)
    try:
        config = alembic_config(engine)
        before = ScriptDirectory.from_config(config).get_revision(AFTER).down_revision
        assert isinstance(before, str)
        command.upgrade(config, before)
        _insert_bounce(engine)

        command.upgrade(config, AFTER)
        with reading(engine) as connection:
            (row,) = connection.execute(table(Bounce).select()).all()
        assert (row.fingerprint, row.reason, row.known_by) == ("aa", "", "")

        command.downgrade(config, before)
        command.upgrade(config, AFTER)
    finally:
        engine.dispose()


def _insert_bounce(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO bounce (fingerprint, received_at, permanent, status, "
                "detail) VALUES ('aa', :at, :permanent, '5.1.1', '')"
            ),
            {"at": LAUNCH.isoformat(), "permanent": True},
        )
