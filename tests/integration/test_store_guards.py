"""What the database itself refuses."""

from datetime import timedelta

import pytest
from alembic.script import ScriptDirectory
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_incident,
    insert_revocations,
)
from sqlalchemy import Engine, delete, update
from sqlalchemy.exc import DBAPIError

from models.audit import Act
from models.base import table
from models.incident import Incident
from models.revocation import Revocation
from models.terms import IncidentId
from tocsin.store import audit
from tocsin.store.session import (
    alembic_config,
    migrate,
    newest_revision,
    reading,
    schema_revision,
    writing,
)

REVOCATIONS = table(Revocation)


@pytest.fixture
def launched(engine: Engine) -> Engine:
    with writing(engine) as connection:
        incident = insert_incident(connection)
        certificates = insert_certificates(connection, incident, None, 2)
        insert_revocations(connection, incident, certificates)
        audit.append(
            connection,
            incident=incident,
            at=LAUNCH,
            actor="officer",
            action="incident-launched",
            detail={"certificates": 2},
        )
    return engine


@pytest.mark.parametrize("later", [timedelta(microseconds=1), HOUR, timedelta(days=67)])
def test_i1_database_refuses_a_later_revocation_time_when_anybody_writes_one(
    launched: Engine, later: timedelta
) -> None:
    with pytest.raises(DBAPIError, match="I1"), writing(launched) as connection:
        connection.execute(
            update(REVOCATIONS).values(
                revocation_time=REVOCATION + later, planned_time=REVOCATION + later
            )
        )


def test_i1_database_takes_an_earlier_revocation_time_when_one_is_written(
    launched: Engine,
) -> None:
    with writing(launched) as connection:
        connection.execute(
            update(REVOCATIONS).values(revocation_time=REVOCATION - HOUR)
        )

    with pytest.raises(DBAPIError, match="I1"), writing(launched) as connection:
        connection.execute(update(REVOCATIONS).values(revocation_time=REVOCATION))


def test_i1_database_refuses_to_delete_a_revocation(launched: Engine) -> None:
    with pytest.raises(DBAPIError, match="I1"), writing(launched) as connection:
        connection.execute(delete(REVOCATIONS))


def test_i1_database_refuses_a_later_deadline_when_the_incident_runs(
    launched: Engine,
) -> None:
    with pytest.raises(DBAPIError, match="I1"), writing(launched) as connection:
        connection.execute(update(table(Incident)).values(deadline=DEADLINE + HOUR))


def test_i7_database_refuses_another_ladder_when_the_incident_runs(
    launched: Engine,
) -> None:
    with pytest.raises(DBAPIError, match="I7"), writing(launched) as connection:
        connection.execute(update(table(Incident)).values(ladder="[[step]]"))


def test_i9_database_refuses_to_take_a_publication_back(launched: Engine) -> None:
    with writing(launched) as connection:
        connection.execute(update(REVOCATIONS).values(state="published"))

    with pytest.raises(DBAPIError, match="I9"), writing(launched) as connection:
        connection.execute(update(REVOCATIONS).values(state="scheduled"))


def test_i5_database_refuses_to_change_or_delete_an_act(launched: Engine) -> None:
    with pytest.raises(DBAPIError, match="I5"), writing(launched) as connection:
        connection.execute(update(table(Act)).values(actor="nobody"))
    with pytest.raises(DBAPIError, match="I5"), writing(launched) as connection:
        connection.execute(delete(table(Act)))


def test_schema_is_left_alone_when_it_is_already_there(launched: Engine) -> None:
    migrate(launched)

    with reading(launched) as connection:
        verdict = audit.check_chain(connection, incident=IncidentId("test-incident"))
    assert verdict.acts == 1
    assert verdict.is_intact


def test_newest_migration_is_known_when_alembic_is_not_asked(launched: Engine) -> None:
    head = ScriptDirectory.from_config(alembic_config(launched)).get_current_head()

    assert newest_revision() == head == schema_revision(launched)
