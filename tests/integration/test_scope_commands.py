"""`tocsin scope` as an officer types it."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from factories import insert_certificates, insert_incident, insert_revocations
from fakes.office import CHAN, LAM, OFFICERS
from fakes.scope import PDF
from fakes.scripted_relay import ScriptedRelay
from sqlalchemy import select
from typer.testing import CliRunner, Result

from models.base import table
from models.revocation import Revocation
from models.terms import ScopeState
from tocsin.cli.scope import app
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.intake.officers import read_officers
from tocsin.links import Links, read_secrets
from tocsin.settings import read_settings
from tocsin.steps.scope import sign
from tocsin.steps.signing_links import find_way_to_sign
from tocsin.store.session import migrate, open_engine, reading, writing

NOW = SystemClock().now()
DAY = timedelta(days=1)
WHY = "Issued under the corrected profile."


@pytest.fixture
def relay() -> Iterator[ScriptedRelay]:
    with ScriptedRelay() as relay:
        yield relay


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relay: ScriptedRelay) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(data))
    monkeypatch.setenv("TOCSIN_SMTP_PORT", str(relay.port))
    (data / "officers.csv").write_text(OFFICERS, "utf-8")
    (data / "serials.txt").write_text("1000\n1001\n", "utf-8")
    (data / "order.pdf").write_bytes(PDF)
    engine = open_engine(read_settings().database)
    migrate(engine)
    with writing(engine) as connection:
        incident = insert_incident(connection, deadline=NOW + 2 * DAY)
        insert_revocations(
            connection,
            incident,
            insert_certificates(connection, incident, None, 3),
            planned_time=NOW + DAY,
            revocation_time=NOW + DAY,
            due_at=NOW + DAY,
        )
    engine.dispose()
    return data


def scope(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def order(data: Path, until: datetime, *more: str) -> Result:
    return scope(
        "order",
        "test-incident",
        "--certificates",
        str(data / "serials.txt"),
        "--reason",
        WHY,
        "--court",
        "High Court",
        "--reference",
        "HCMP 1/2026",
        "--until",
        until.isoformat(),
        "--document",
        str(data / "order.pdf"),
        *more,
    )


def withdraw(data: Path, *more: str) -> Result:
    return scope(
        "withdraw",
        "test-incident",
        "--certificates",
        str(data / "serials.txt"),
        "--reason",
        WHY,
        *more,
    )


def sign_by_mail(relay: ScriptedRelay, email: str) -> ScopeState:
    """Follow the link in an officer's mail."""
    settings = read_settings()
    (content,) = [one.content for one in relay.taken if one.recipient == email]
    body = message_from_bytes(content, policy=policy.default).get_body(("plain",))
    assert body is not None
    found = re.search(r"/desk/sign/(\S+)", body.get_content())
    assert found
    officers, clock = read_officers(settings.officers), SystemClock()
    links = Links(read_secrets(settings.link_secrets))
    engine = open_engine(settings.database)
    way = find_way_to_sign(engine, links, officers, found[1], clock=clock)
    done = sign(
        engine,
        way.change,
        way.who,
        officers,
        mail_domain="ca.example",
        clock=clock,
    )
    engine.dispose()
    return done.state


def rows() -> list[Any]:
    engine = open_engine(read_settings().database)
    with reading(engine) as connection:
        found = list(connection.execute(select(table(Revocation))))
    engine.dispose()
    return found


def test_dry_run_says_what_it_would_do_and_does_nothing(
    data: Path, relay: ScriptedRelay
) -> None:
    done = withdraw(data, "--dry-run")

    assert done.exit_code == 0, done.output
    assert "2 certificates will not be revoked" in done.output
    assert "Called would be: Chan Tai Man, Lam Siu Fong." in done.output
    assert relay.taken == []
    assert "None: every certificate" in scope("list", "test-incident").output


def test_withdrawal_is_agreed_when_two_officers_follow_their_mails(
    data: Path, relay: ScriptedRelay
) -> None:
    done = withdraw(data)

    assert done.exit_code == 0, done.output
    assert "2 of 2 mails were taken" in done.output
    assert sorted(relay.recipients) == [CHAN, LAM]
    assert sign_by_mail(relay, CHAN) is ScopeState.PROPOSED
    assert [row.state for row in rows()] == ["scheduled"] * 3
    assert sign_by_mail(relay, LAM) is ScopeState.AGREED
    assert [row.state for row in rows()] == ["withdrawn", "withdrawn", "scheduled"]
    (listed,) = json.loads(scope("list", "test-incident", "--json").stdout)
    assert (listed["state"], listed["applied"]) == ("agreed", 2)


def test_order_is_shown_with_what_the_forum_is_told_and_lifted(
    data: Path, relay: ScriptedRelay
) -> None:
    assert "will be missed" in order(data, NOW + 3 * DAY).output
    assert sign_by_mail(relay, LAM) is ScopeState.PROPOSED
    assert sign_by_mail(relay, CHAN) is ScopeState.AGREED
    assert "in force" in scope("list", "test-incident").output
    shown = scope("show", "1").output
    assert "questions@cabforum.org" in shown
    assert "Signed by Lam Siu Fong" in shown

    lifted = scope("lift", "1", "--by", "Lam Siu Fong", "--reason", "Discharged")

    assert lifted.exit_code == 0, lifted.output
    assert "2 certificates are due earlier" in lifted.output
    assert {row.due_at for row in rows()} == {NOW + DAY}


ONE = "name,email,role\nChan Tai Man,chan@ca.example,officer\n"
TWICE = f"{ONE}Tai Man Chan,tm@ca.example,officer\n"


@pytest.mark.parametrize(
    ("people", "words"), [(ONE, "two officers"), (TWICE, "two persons")]
)
def test_nothing_is_proposed_when_there_are_no_two_persons(
    data: Path, people: str, words: str
) -> None:
    (data / "officers.csv").write_text(people, "utf-8")

    done = withdraw(data)

    assert isinstance(done.exception, BadInput)
    assert words in str(done.exception)
    assert "None: every certificate" in scope("list", "test-incident").output


def test_order_is_refused_when_it_has_ended_or_its_end_is_no_instant(
    data: Path,
) -> None:
    assert isinstance(order(data, NOW - DAY).exception, BadInput)
    assert isinstance(scope("show", "9").exception, BadInput)
