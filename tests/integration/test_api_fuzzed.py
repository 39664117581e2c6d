"""Whatever a script sends, the interface keeps to its own description."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from factories import (
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from hypothesis import HealthCheck, given, settings
from portal_server import LINKS, claims_for, portal, running
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from ways import EVERY_WAY

from tocsin.clock import SteppedClock
from tocsin.portal.api import API
from tocsin.store.session import migrate, open_engine, writing

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("default")]

_CHECKS = [
    schemathesis.checks.not_a_server_error,
    response_schema_conformance,
    content_type_conformance,
    status_code_conformance,
]
_OTHERS = "www.school.example"


@pytest.fixture(scope="module")
def token() -> str:
    return LINKS.sign(claims_for("test-incident", 1, 1))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[schemathesis.schemas.BaseSchema]:
    folder = tmp_path_factory.mktemp("api")
    engine = open_engine(f"sqlite:///{folder / 'tocsin.sqlite'}")
    migrate(engine)
    with writing(engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 3)
        other = insert_subscriber(connection, incident, "Other School")
        others = insert_certificates(
            connection, incident, other, first_serial=0x2000, dns_names=[_OTHERS]
        )
        insert_revocations(connection, incident, [*certificates, *others])
    with running(portal(engine, SteppedClock(LAUNCH))) as address:
        yield schemathesis.openapi.from_url(f"{address}{API}/openapi.json")
    engine.dispose()


OPERATIONS = (
    "GET /certificates",
    "GET /contacts",
    "POST /csrs",
    "POST /replaced",
    "POST /no-longer-required",
    "POST /not-mine",
    "POST /help",
    "GET /replacements/{key}",
)


def operations(api: schemathesis.schemas.BaseSchema) -> list[Any]:
    return [one.ok() for one in api.get_all_operations() if isinstance(one, Ok)]


def test_every_operation_is_tried(api: schemathesis.schemas.BaseSchema) -> None:
    assert {one.label for one in operations(api)} == set(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_keep_to_the_description_and_leak_nothing(
    api: schemathesis.schemas.BaseSchema, token: str, label: str
) -> None:
    (operation,) = [one for one in operations(api) if one.label == label]

    @settings(
        max_examples=100 if EVERY_WAY else 40,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case[Any]) -> None:
        response = case.call(headers={"Authorization": f"Bearer {token}"})

        case.validate_response(response, checks=_CHECKS)
        assert _OTHERS not in response.text
        assert "Traceback" not in response.text

    check()
