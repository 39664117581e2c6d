"""Whom mail does not reach is called; what comes of it is on record and takes effect."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import insert_contact
from fakes.letters import returned
from fakes.planned import INCIDENT, LINKS, SENDER, Planned, addresses, plan_notices
from sqlalchemy import Engine, insert, update
from typer.testing import CliRunner

from models.base import table
from models.incident import Incident
from models.mail import Call
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import CallOutcome
from tocsin.cli.app import app
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput, Refused
from tocsin.policy.calls import NOBODY_LEFT, CallSheet
from tocsin.reports.calls import Speaker, sheet_csv, what_to_say
from tocsin.steps.calls import NewContact, log_call, parse_new_contact
from tocsin.steps.incoming import MailFiling, file_message
from tocsin.steps.outreach import Telling, plan_outreach
from tocsin.store.calls import call_sheet
from tocsin.store.session import reading, writing

SPEAKER = Speaker(
    ca_name="Example CA", ca_phone="+852 5550 0199", ca_site="www.ca.example"
)


@pytest.fixture
def planned(engine: Engine, clock: SteppedClock) -> Planned:
    """Three subscribers; mail to the first came back for good."""
    three = plan_notices(engine, clock, *addresses(3))
    with writing(engine) as connection:
        connection.execute(update(table(Notice)).values(state="sent"))
    clock.step_to(clock.now() + timedelta(minutes=5))
    filing = MailFiling(
        engine=engine, links=LINKS, mail_domain=SENDER.mail_domain, clock=clock
    )
    file_message(filing, returned(three.notices()[0], address=addresses(1)[0]))
    return three


def sheet(planned: Planned, limit: int = 9) -> CallSheet:
    with reading(planned.engine) as connection:
        return call_sheet(connection, incident=INCIDENT, limit=limit)


def call(planned: Planned, **options: Any) -> None:
    log_call(
        planned.engine,
        **{
            "incident": INCIDENT,
            "subscriber": "Clinic 1",
            "outcome": CallOutcome.NO_ANSWER,
            "note": "",
            "caller": "lau",
            "new_contact": None,
            "clock": planned.clock,
        }
        | options,
    )


def test_subscriber_stands_on_the_sheet_when_mail_reaches_nobody_there(
    planned: Planned,
) -> None:
    found = sheet(planned)

    (row,) = found.rows
    assert (row.name, row.certificates, row.why) == ("Clinic 1", 2, (NOBODY_LEFT,))
    assert row.contacts[0].phone == "+852 5550 0100"
    assert row.contacts[0].reason == "bounced"
    assert (found.subscribers, found.reached, found.certificates) == (1, 0, 2)


def test_subscriber_stands_on_the_sheet_when_mail_came_back_for_now(
    engine: Engine, clock: SteppedClock
) -> None:
    one = plan_notices(engine, clock, *addresses(1))
    with writing(engine) as connection:
        connection.execute(update(table(Notice)).values(state="bounced"))

    (row,) = sheet(one).rows

    assert row.contacts[0].came_back


def test_subscriber_stands_on_the_sheet_when_a_step_of_the_ladder_says_so(
    planned: Planned,
) -> None:
    with writing(planned.engine) as connection:
        connection.execute(
            insert(table(Escalation)).values(
                incident_id=INCIDENT,
                subscriber_id=planned.subscribers[1],
                cause="not-acknowledged",
                level=3,
                step="Call whoever has not answered",
                state="told",
                targets=["call-sheet"],
                raised_at=planned.clock.now(),
            )
        )

    rows = {row.name: row.why for row in sheet(planned).rows}

    assert rows["Clinic 2"] == ("Call whoever has not answered",)
    assert "Clinic 3" not in rows


def test_subscriber_leaves_the_sheet_when_everything_is_revoked(
    planned: Planned,
) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Revocation)).values(state="revoked"))

    assert sheet(planned).rows == ()


def test_contact_who_said_that_they_are_not_the_person_is_not_called(
    planned: Planned,
) -> None:
    with writing(planned.engine) as connection:
        connection.execute(
            update(table(Contact))
            .where(table(Contact).c.id == planned.contacts[0])
            .values(state="removed")
        )

    (row,) = sheet(planned).rows

    assert row.contacts == ()


def test_call_is_on_record_with_who_called(planned: Planned) -> None:
    call(planned, outcome=CallOutcome.LEFT_MESSAGE, note="With reception")

    (row,) = planned.rows(Call)
    assert (row.caller, row.outcome, row.note) == (
        "lau",
        "left-message",
        "With reception",
    )
    act = planned.acts()[-1]
    assert (act.actor, act.action) == ("officer:lau", "call-logged")
    assert act.detail["outcome"] == "left-message"
    (on_sheet,) = sheet(planned).rows
    assert on_sheet.calls == 1
    assert on_sheet.last is not None
    assert on_sheet.last.note == "With reception"


def test_call_that_reaches_somebody_counts_as_their_acknowledgement(
    planned: Planned,
) -> None:
    call(planned)
    assert planned.rows(Subscriber)[0].acknowledged_at is None

    call(planned, outcome=CallOutcome.REACHED)

    assert planned.rows(Subscriber)[0].acknowledged_at == planned.clock.now()
    assert sheet(planned).reached == 1


def test_new_contact_is_written_to_in_the_next_run(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Subscriber)).values(ladder_position=1))

    call(
        planned,
        outcome=CallOutcome.REACHED,
        new_contact=NewContact(name="Lee", email="lee@clinic.example", phone="5550"),
    )
    plan_outreach(
        planned.engine,
        incident=INCIDENT,
        telling=Telling(mail_domain="ca.example"),
        clock=planned.clock,
    )

    (lee,) = [row for row in planned.rows(Contact) if row.name == "Lee"]
    told = [row for row in planned.notices() if row.contact_id == lee.id]
    assert [(row.kind, row.state) for row in told] == [("initial", "planned")]
    assert sheet(planned).rows == ()


def test_address_that_came_back_is_tried_again_when_the_call_says_that_it_is_good(
    planned: Planned,
) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Subscriber)).values(ladder_position=1))

    call(
        planned,
        new_contact=NewContact(name="Chan", email=addresses(1)[0], phone=""),
    )
    plan_outreach(
        planned.engine,
        incident=INCIDENT,
        telling=Telling(mail_domain="ca.example"),
        clock=planned.clock,
    )

    assert planned.contact_states() == {"active": 3}
    assert planned.rows(Contact)[0].state_reason == ""
    waiting = [row.kind for row in planned.notices() if row.state == "planned"]
    assert waiting == ["reminder"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"subscriber": "Nobody"}, BadInput),
        ({"incident": "no-such-incident"}, BadInput),
        ({"caller": " "}, BadInput),
    ],
)
def test_call_is_refused_when_nobody_could_tell_what_it_was(
    planned: Planned, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(planned, **options)
    assert planned.rows(Call) == []


def test_call_is_refused_when_the_incident_is_over(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Incident)).values(state="closed"))

    with pytest.raises(Refused):
        call(planned)


@pytest.mark.parametrize("text", ["", "Lee", "lee@", "lee@clinic", "a b@c d.example"])
def test_new_contact_without_an_address_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="mail address"):
        parse_new_contact(text)


def test_words_say_what_when_why_and_what_is_asked_for(planned: Planned) -> None:
    found = sheet(planned)

    words = what_to_say(found.rows[0], SPEAKER, deadline=found.deadline)

    for part in (
        "Example CA",
        "Clinic 1",
        "host-1000.clinic.example",
        "Saturday 07 March 2026, 11:00 HKT",
        "cannot be moved",
        "r1@clinic.example",
        "+852 5550 0199",
        "private key",
    ):
        assert part in words


def test_sheet_opens_in_a_spreadsheet(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        connection.execute(
            update(table(Subscriber)).values(sector='=HYPERLINK("http://x")')
        )
        insert_contact(
            connection,
            INCIDENT,
            planned.subscribers[0],
            "second@clinic.example",
            rank=2,
            state="unreachable",
        )

    content = sheet_csv(sheet(planned), SPEAKER)

    assert content.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert row["subscriber"] == "Clinic 1"
    assert row["sector"].startswith("'=")
    assert row["phone"] == "'+852 5550 0100"
    assert "second@clinic.example" in row["also"]


# The commands.


@pytest.fixture
def tocsin(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> CliRunner:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", database_url)
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(tmp_path / "data"))
    return CliRunner()


@pytest.mark.usefixtures("planned")
def test_officer_calls_from_the_sheet(tocsin: CliRunner, tmp_path: Path) -> None:
    shown = tocsin.invoke(app, ["call", "sheet", INCIDENT])
    assert shown.exit_code == 0, shown.output
    assert "1 subscribers to call" in shown.output
    assert "Clinic 1" in shown.output
    assert "This is Example CA" in shown.output

    file = tmp_path / "sheet.csv"
    written = tocsin.invoke(app, ["call", "sheet", INCIDENT, "--csv", str(file)])
    assert written.exit_code == 0, written.output
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")

    logged = tocsin.invoke(
        app,
        [
            *("call", "log", INCIDENT, "clinic 1", "--outcome", "reached"),
            *("--new-contact", "Lee <lee@clinic.example>", "--by", "lau"),
        ],
    )
    assert logged.exit_code == 0, logged.output
    assert "is written to in the next cycle" in logged.output

    left = tocsin.invoke(app, ["call", "sheet", INCIDENT, "--json"])
    assert json.loads(left.output)["rows"] == []
