"""Mail from an MTA's pipe, and the officers' view of what came in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.letters import returned, written
from fakes.planned import Planned, addresses, plan_notices
from sqlalchemy import Engine, update
from typer.testing import CliRunner

from models.base import table
from models.mail import MailReply
from models.outreach import Notice
from tocsin.cli.app import app, main
from tocsin.clock import SteppedClock
from tocsin.store.session import writing

(CHAN,) = addresses(1)
SECRET = b"Subject: secret words\r\n\r\nText\r\n"


@pytest.fixture
def planned(engine: Engine, clock: SteppedClock) -> Planned:
    one = plan_notices(engine, clock, CHAN)
    with writing(engine) as connection:
        connection.execute(update(table(Notice)).values(state="sent"))
    return one


@pytest.fixture
def environment(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    settings = {
        "TOCSIN_DATABASE_URL": database_url,
        "TOCSIN_DATA_DIRECTORY": str(tmp_path / "data"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return os.environ | settings


def receive(
    message: bytes, environment: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tocsin.cli.app", "mail", "receive"],
        input=message,
        env=environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.one_database
def test_mail_from_a_pipe_is_on_record_when_the_command_ends(
    planned: Planned, environment: dict[str, str]
) -> None:
    message = returned(planned.notices()[0], address=CHAN)

    ended = receive(message, environment)
    again = CliRunner().invoke(app, ["mail", "receive"], input=message)

    assert (ended.returncode, again.exit_code) == (0, 0), ended.stderr
    assert planned.states() == {"bounced": 1}
    assert planned.contact_states() == {"unreachable": 1}
    assert len([act for act in planned.acts() if act.action == "mail-filed"]) == 1


@pytest.mark.parametrize(
    "away",
    [
        {"TOCSIN_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"},
        # A wrong directory: a database of its own would swallow the mail.
        {"TOCSIN_DATABASE_URL": "sqlite:////nonexistent/tocsin.sqlite"},
        {"TOCSIN_SMTP_PORT": "no number"},
    ],
)
def test_mta_keeps_the_mail_when_it_cannot_be_filed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: dict[str, str]
) -> None:
    for name, value in ({"TOCSIN_DATA_DIRECTORY": str(tmp_path)} | away).items():
        monkeypatch.setenv(name, value)

    ended = CliRunner().invoke(app, ["mail", "receive"], input=SECRET)

    assert ended.exit_code == 75
    assert "not filed, try again" in ended.stderr
    assert "secret words" not in ended.output


def test_mta_keeps_the_mail_when_the_process_ends_without_a_database(
    tmp_path: Path,
) -> None:
    ended = receive(SECRET, os.environ | {"TOCSIN_DATA_DIRECTORY": str(tmp_path)})

    assert ended.returncode == 75
    assert b"not filed, try again" in ended.stderr
    assert b"secret words" not in ended.stderr + ended.stdout


def test_officer_reads_what_came_in(
    planned: Planned, environment: dict[str, str]
) -> None:
    assert environment
    letter = written(
        "Could you extend the deadline?",
        sender=CHAN,
        answers=planned.notices()[0].message_id,
        attachments=(("host.csr", b"..."),),
    )
    runner = CliRunner()
    assert runner.invoke(app, ["mail", "receive"], input=letter).exit_code == 0

    listed = runner.invoke(app, ["reply", "list", "test-incident"])
    as_json = runner.invoke(app, ["reply", "list", "--json"])
    (row,) = planned.rows(MailReply)
    shown = runner.invoke(app, ["reply", "show", str(row.id)])

    assert listed.exit_code == 0, listed.output
    assert "1 written by people, 1 of them asking for more time" in listed.output
    assert "Next: tocsin reply show" in listed.output
    (view,) = json.loads(as_json.output)["rows"]
    assert (view["kind"], view["topics"]) == ("person", ["csr", "extension"])
    assert view["subscriber_name"] == "Clinic 1"
    assert "Attached:   host.csr" in shown.output
    assert "Could you extend the deadline?" in shown.output


@pytest.mark.usefixtures("planned", "environment")
def test_officer_is_told_when_there_is_no_such_reply(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tocsin", "reply", "show", "99"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert "there is no reply 99" in capsys.readouterr().err


def test_engineer_sees_how_a_message_is_understood(
    planned: Planned, tmp_path: Path
) -> None:
    file = tmp_path / "1.eml"
    file.write_bytes(returned(planned.notices()[0], address=CHAN))
    runner = CliRunner()

    told = runner.invoke(app, ["mail", "explain", str(file)])
    as_json = runner.invoke(app, ["mail", "explain", str(file), "--json"])

    assert told.exit_code == 0, told.output
    assert "no-such-address" in told.output
    line = json.loads(as_json.output)
    assert (line["kind"], line["permanent"]) == ("failure", True)
    assert line["return_path_token"] == planned.notices()[0].verp_token
    assert planned.states() == {"sent": 1}
