"""An incident with a wrongly listed certificate and a court order, from launch to the end."""

from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from factories import HOUR
from fakes.scope import Office, order, withdrawal
from fakes.walk import Walk, walking
from icalendar import Calendar
from sqlalchemy import select

from models.base import table
from models.revocation import Revocation
from models.terms import Circumstance, IncidentState
from tocsin.store.figures import incident_figures
from tocsin.store.reconciliation import verify
from tocsin.store.session import reading

pytestmark = pytest.mark.server

ROWS = table(Revocation)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    with walking(
        tmp_path, circumstance=Circumstance.MISISSUED, before_launch=3 * HOUR
    ) as walk:
        yield walk


@pytest.fixture
def office(walk: Walk) -> Office:
    return Office(engine=walk.c.engine, clock=walk.c.clock, incident=walk.incident)


def states(walk: Walk) -> list[str]:
    with reading(walk.c.engine) as connection:
        return list(
            connection.execute(
                select(ROWS.c.state).order_by(ROWS.c.certificate_id)
            ).scalars()
        )


def entries(walk: Walk, email: str) -> list[tuple[str, str, int]]:
    """Return what was said to the calendar of an address: method, entry, version."""
    found = []
    for path in (walk.relay.outbox / "new").iterdir():
        mail = message_from_bytes(path.read_bytes(), policy=default)
        if mail["Delivered-To"] != email:
            continue
        for part in mail.iter_attachments():
            if part.get_content_type() == "text/calendar":
                calendar: Any = Calendar.from_ical(part.get_content())
                assert part["Content-Type"].params["method"] == calendar["METHOD"]
                (event,) = calendar.events
                version = int(event["SEQUENCE"])
                found.append((str(calendar["METHOD"]), str(event["UID"]), version))
    return sorted(found, key=itemgetter(2))


def is_closed(walk: Walk) -> bool:
    return walk.record.state is IncidentState.CLOSED


def test_order_ends_and_its_certificate_is_revoked_in_the_first_cycle_after_it(
    walk: Walk, office: Office
) -> None:
    record = walk.record
    assert record.revocation_starts_at is not None
    www, mail = walk.certificates("clinic.example")
    (school,) = walk.certificates("school.example")
    end = record.deadline + 2 * HOUR
    walk.live(walk.now + HOUR)
    first = walk.take_log()
    assert any("head@school.example gets initial" in line for _, line in first)
    told = {line.split()[0] for _, line in first if line.endswith("gets initial")}

    office.agreed(withdrawal(), [www])
    office.agreed(order(end), [school])
    walk.live(walk.now + MINUTE)

    # Who was told is told; the others of the clinic never were.
    clinic = {address for address in told if address.endswith("@clinic.example")}
    assert {line for _, line in walk.take_log() if "withdrawal" in line} == {
        f"{address} gets withdrawal" for address in clinic
    }

    walk.live(record.deadline + MINUTE)
    assert states(walk) == ["withdrawn", "published", "scheduled"]
    causes = {cause for cause, state, _ in walk.escalations() if state != "ended"}
    assert "order-overdue" in causes
    with reading(walk.c.engine) as connection:
        figures = incident_figures(
            connection, incident=walk.incident, now=walk.c.clock.now()
        )
    assert (figures.published, figures.withdrawn) == (1, 1)
    assert (figures.overdue, figures.restrained_overdue) == (1, 1)
    assert not is_closed(walk)

    walk.live(end - MINUTE)
    assert states(walk) == ["withdrawn", "published", "scheduled"]
    walk.live(end)
    assert states(walk) == ["withdrawn", "published", "published"]

    walk.live()
    assert is_closed(walk)
    with reading(walk.c.engine) as connection:
        row = connection.execute(
            select(ROWS).where(ROWS.c.certificate_id == school)
        ).one()
        assert verify(connection, incident=walk.incident).problems == ()
    assert row.submitted_at == end
    assert row.revocation_time == record.revocation_starts_at
    assert mail not in {www, school}


def test_calendars_forget_the_revocation_when_nothing_of_a_subscriber_is_left(
    walk: Walk, office: Office
) -> None:
    www, _ = walk.certificates("clinic.example")
    (school,) = walk.certificates("school.example")
    walk.live(walk.now + HOUR)

    office.agreed(withdrawal(), [www, school])
    walk.live(walk.now + MINUTE)

    put_in, taken_out = entries(walk, "head@school.example")
    assert (put_in[0], taken_out[0]) == ("PUBLISH", "CANCEL")
    assert put_in[1] == taken_out[1]
    assert put_in[2] < taken_out[2]
    gets = [line.split()[0] for _, line in walk.take_log() if "gets withdrawal" in line]
    (clinic,) = [email for email in gets if email.endswith("@clinic.example")]
    # Another one of the clinic's is still affected.
    assert [method for method, *_ in entries(walk, clinic)] == ["PUBLISH"]
