"""Runs migrations on the engine that was handed in."""

from alembic import context
from sqlalchemy import Engine
from sqlmodel import SQLModel

from models import (  # noqa: F401 - importing them fills the metadata
    audit,
    incident,
    mail,
    office,
    outreach,
    replacement,
    revocation,
    scope,
    subscriber,
    wire,
)


def _run(engine: Engine) -> None:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Two processes that start together migrate one after the other.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7486203)")
        context.configure(connection=connection, target_metadata=SQLModel.metadata)
        with context.begin_transaction():
            context.run_migrations()


_run(context.config.attributes["engine"])
