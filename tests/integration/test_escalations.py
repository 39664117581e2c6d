"""Somebody takes an escalation: by its link, or by a command, by name, on record."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from portal_server import LINKS, claims_for, make_csr, nonce_in, portal, visiting
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

from models.base import table
from models.outreach import Escalation
from models.subscriber import Contact, Subscriber
from models.terms import (
    ContactId,
    EscalationCause,
    EscalationTarget,
    IncidentId,
    SubscriberId,
)
from tocsin.cli.app import app as command
from tocsin.clock import SteppedClock
from tocsin.links import ESCALATION, NO_SUBSCRIBER
from tocsin.policy.effects import RaiseEscalation
from tocsin.policy.ladder import shipped_ladder
from tocsin.steps.outreach import Telling, plan_outreach, put_on_record
from tocsin.store import audit
from tocsin.store.session import reading, writing

INCIDENT = IncidentId("test-incident")
ROWS = table(Escalation)
TELLING = Telling(mail_domain="ca.example")


def raise_one(
    engine: Engine,
    subscriber: SubscriberId | None,
    *,
    cause: EscalationCause = EscalationCause.CSR_MISSING,
    level: int = 10,
    at: Any = LAUNCH,
    targets: tuple[EscalationTarget, ...] = (EscalationTarget.ACCOUNT_MANAGER,),
) -> None:
    with writing(engine) as connection:
        put_on_record(
            connection,
            [
                RaiseEscalation(
                    subscriber=subscriber,
                    cause=cause,
                    level=level,
                    step="Managers",
                    targets=targets,
                )
            ],
            incident=INCIDENT,
            telling=TELLING,
            now=at,
        )


def escalations(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        return list(connection.execute(select(ROWS).order_by(ROWS.c.id)))


def populate(engine: Engine) -> tuple[SubscriberId, SubscriberId, ContactId]:
    with writing(engine) as connection:
        insert_incident(connection, ladder=shipped_ladder(timedelta(days=5)).text)
        one = insert_subscriber(connection, INCIDENT, acknowledged_at=LAUNCH)
        other = insert_subscriber(
            connection, INCIDENT, "Harbour School", acknowledged_at=LAUNCH
        )
        for number, subscriber in enumerate((one, other), start=1):
            insert_contact(connection, INCIDENT, subscriber)
            certificates = insert_certificates(
                connection, INCIDENT, subscriber, 2, first_serial=0x1000 * number
            )
            insert_revocations(connection, INCIDENT, certificates)
        manager = insert_contact(
            connection,
            INCIDENT,
            None,
            "am@ca.example",
            name="Lee Siu Ling",
            role="account-manager",
        )
    return one, other, manager


# One live escalation a cause, whoever writes.


@pytest.mark.parametrize("subscriber", [1, None])
def test_database_refuses_a_second_live_escalation_of_a_cause(
    engine: Engine, subscriber: int | None
) -> None:
    populate(engine)
    row: dict[str, Any] = {
        "incident_id": INCIDENT,
        "subscriber_id": subscriber,
        "cause": "csr-missing",
        "step": "Managers",
        "state": "told",
        "targets": [],
        "raised_at": LAUNCH,
    }
    with writing(engine) as connection:
        connection.execute(insert(ROWS).values(row | {"level": 1}))
        connection.execute(insert(ROWS).values(row | {"level": 2, "state": "ended"}))

    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(
            insert(ROWS).values(row | {"level": 3, "state": "acknowledged"})
        )


def test_escalation_of_the_whole_incident_is_raised_further_and_again(
    engine: Engine,
) -> None:
    populate(engine)
    for level, at in ((2, LAUNCH), (2, LAUNCH + HOUR), (9, LAUNCH + 2 * HOUR)):
        raise_one(engine, None, cause=EscalationCause.FORECAST_LATE, level=level, at=at)

    assert [(r.level, r.state, r.raised_times) for r in escalations(engine)] == [
        (2, "raised-further", 2),
        (9, "raised", 1),
    ]


def test_call_sheet_alone_counts_as_told_and_nobody_gets_a_mail(
    engine: Engine,
) -> None:
    one, _, _ = populate(engine)

    raise_one(engine, one, targets=(EscalationTarget.CALL_SHEET,))

    (row,) = escalations(engine)
    assert (row.state, row.told_at, row.targets) == ("told", LAUNCH, ["call-sheet"])


def test_refused_csr_is_on_record_until_a_good_one_comes(
    sqlite_engine: Engine, clock: SteppedClock
) -> None:
    one, _, _ = populate(sqlite_engine)
    contact, subscriber = table(Contact), table(Subscriber)

    def refused_at() -> Any:
        with reading(sqlite_engine) as connection:
            return connection.execute(
                select(subscriber.c.csr_refused_at).where(subscriber.c.id == one)
            ).scalar_one()

    with reading(sqlite_engine) as connection:
        key = connection.execute(
            select(contact.c.id).where(contact.c.subscriber_id == one)
        ).scalar_one()
    token = LINKS.sign(claims_for(INCIDENT, one, ContactId(key)))
    with visiting(portal(sqlite_engine, clock)) as http:
        bad = {"csr": make_csr("www.elsewhere.example")}
        assert http.post(f"/s/{token}/csr/check", data=bad).status_code == 422
        assert refused_at() == LAUNCH

        good = {"csr": make_csr("host-1000.clinic.example")}
        check = http.post(f"/s/{token}/csr/check", data=good)
        http.post(f"/s/{token}/csr", data=good | {"nonce": nonce_in(check)})

    assert refused_at() is None
    with reading(sqlite_engine) as connection:
        acts = [act.action for act in audit.acts(connection, incident=INCIDENT)]
    assert acts == ["csr-refused", "reply-received"]


# By the link in the mail.


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    engine: Engine
    clock: SteppedClock
    http: httpx.Client
    one: SubscriberId
    other: SubscriberId
    manager: ContactId

    def token(self, **changes: Any) -> str:
        return LINKS.sign(
            claims_for(
                INCIDENT,
                NO_SUBSCRIBER,
                self.manager,
                **({"purpose": ESCALATION} | changes),
            )
        )

    @property
    def base(self) -> str:
        return f"/e/{self.token()}"


@pytest.fixture
def page(sqlite_engine: Engine, clock: SteppedClock) -> Iterator[Page]:
    one, other, manager = populate(sqlite_engine)
    raise_one(sqlite_engine, one)
    raise_one(sqlite_engine, other)
    with visiting(portal(sqlite_engine, clock)) as http:
        yield Page(
            engine=sqlite_engine,
            clock=clock,
            http=http,
            one=one,
            other=other,
            manager=manager,
        )


def values(answer: httpx.Response) -> list[str]:
    return re.findall(r'name="escalation" value="([^"]+)"', answer.text)


@pytest.mark.server
def test_i6_get_and_head_show_and_change_nothing(page: Page) -> None:
    before = escalations(page.engine)

    for path in ("", "/done"):
        for method in ("GET", "HEAD"):
            answer = page.http.request(method, page.base + path)
            assert answer.status_code == 200
    shown = page.http.get(page.base).text

    assert "2 cases wait" in shown
    assert "Harbour Clinic" in shown
    assert " checked" not in shown
    assert escalations(page.engine) == before


@pytest.mark.server
def test_scanner_that_presses_the_button_takes_nothing(page: Page) -> None:
    answer = page.http.post(f"{page.base}/check", data={})
    deed = page.http.post(page.base, data={"escalation": "1.1", "nonce": ""})

    assert answer.status_code == 422
    assert "There is a problem" in answer.text
    assert deed.status_code == 409
    assert {row.state for row in escalations(page.engine)} == {"raised"}


@pytest.mark.server
def test_who_ticks_and_checks_is_named_as_being_on_it(page: Page) -> None:
    first, _ = values(page.http.get(page.base))

    check = page.http.post(f"{page.base}/check", data={"escalation": first})
    assert {row.state for row in escalations(page.engine)} == {"raised"}
    done = page.http.post(
        page.base, data={"escalation": values(check), "nonce": nonce_in(check)}
    )
    shown = page.http.get(str(done.headers["location"]))

    assert done.status_code == 303
    assert "Noted, Lee Siu Ling" in shown.text
    rows = {row.subscriber_id: row for row in escalations(page.engine)}
    taken = [row for row in rows.values() if row.state == "acknowledged"]
    assert [(row.acknowledged_by, row.acknowledged_at) for row in taken] == [
        ("Lee Siu Ling", LAUNCH)
    ]
    with reading(page.engine) as connection:
        act = [*audit.acts(connection, incident=INCIDENT)][-1]
        assert audit.check_chain(connection, incident=INCIDENT).is_intact
    assert (act.action, act.actor) == (
        "escalations-acknowledged",
        f"contact:{page.manager}",
    )
    assert act.detail["escalations"] == [taken[0].id]


@pytest.mark.server
def test_i4_button_pressed_twice_is_one_act(page: Page) -> None:
    check = page.http.post(f"{page.base}/check", data={"all": "1"})
    data = {"escalation": values(check), "nonce": nonce_in(check)}

    answers = [page.http.post(page.base, data=data).status_code for _ in range(2)]

    assert answers == [303, 303]
    with reading(page.engine) as connection:
        acts = [act.action for act in audit.acts(connection, incident=INCIDENT)]
    assert acts.count("escalations-acknowledged") == 1


@pytest.mark.server
def test_old_form_takes_nothing_when_the_escalation_has_come_back_since(
    page: Page,
) -> None:
    check = page.http.post(f"{page.base}/check", data={"all": "1"})
    raise_one(page.engine, page.one, at=LAUNCH + HOUR)

    page.http.post(
        page.base, data={"escalation": values(check), "nonce": nonce_in(check)}
    )

    states = {row.subscriber_id: row.state for row in escalations(page.engine)}
    assert states == {page.one: "raised", page.other: "acknowledged"}


@pytest.mark.server
@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "subscriber"},
        {"generation": 1},
        {"lives": timedelta(days=-6)},
    ],
)
def test_link_that_is_not_theirs_is_dead(page: Page, changes: dict[str, Any]) -> None:
    address = f"/e/{page.token(**changes)}"

    for method, path in (("GET", ""), ("POST", ""), ("POST", "/check")):
        assert page.http.request(method, address + path).status_code == 404


@pytest.mark.server
def test_subscriber_s_own_link_opens_no_page_of_the_ca(page: Page) -> None:
    token = LINKS.sign(claims_for(INCIDENT, page.one, ContactId(1), purpose=ESCALATION))

    assert page.http.get(f"/e/{token}").status_code == 404


@pytest.mark.server
def test_role_sees_and_takes_only_what_is_for_it(page: Page) -> None:
    raise_one(
        page.engine,
        page.one,
        cause=EscalationCause.NOT_REPLACED,
        targets=(EscalationTarget.COMPLIANCE_LEAD,),
    )

    assert len(values(page.http.get(page.base))) == 2


# By a command.


@pytest.fixture
def database(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(tmp_path))
    return sqlite_engine


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command, ["escalation", *arguments])


def test_command_names_who_is_on_it_and_when_it_comes_back(database: Engine) -> None:
    one, other, _ = populate(database)
    raise_one(database, one)
    raise_one(database, other, cause=EscalationCause.NOT_DELIVERED)
    (first, _) = escalations(database)

    listed = run("list", INCIDENT)
    done = run("ack", INCIDENT, str(first.id), "--by", "Lee  Siu Ling")
    after = json.loads(run("list", INCIDENT, "--json").stdout)

    assert "2 live: 2 for nobody yet, 0 with somebody on them." in listed.stdout
    assert "1 acknowledged by Lee  Siu Ling." in done.stdout
    assert "within 6 h, they come back" in done.stdout
    by = {one["escalation"]: one["acknowledged_by"] for one in after}
    assert by[first.id] == "Lee Siu Ling"
    with reading(database) as connection:
        act = [*audit.acts(connection, incident=INCIDENT)][-1]
    assert act.actor == "officer:Lee Siu Ling"


def test_command_takes_all_of_one_cause(database: Engine) -> None:
    one, other, _ = populate(database)
    raise_one(database, one)
    raise_one(database, other)

    done = run("ack", INCIDENT, "--cause", "csr-missing", "--by", "Lee")

    assert "2 acknowledged" in done.stdout
    assert {row.state for row in escalations(database)} == {"acknowledged"}


def test_command_says_what_to_give_when_a_number_is_not_live(database: Engine) -> None:
    populate(database)

    unknown = run("ack", INCIDENT, "7", "--by", "Lee")
    nothing = run("ack", INCIDENT, "--by", "Lee")

    assert "no live escalation has the number 7" in str(unknown.exception)
    assert "name escalations by number" in str(nothing.exception)


def test_acknowledged_escalation_is_planned_again_by_the_engine(
    database: Engine,
) -> None:
    one, _, _ = populate(database)
    raise_one(database, one)
    with writing(database) as connection:
        connection.execute(
            update(ROWS).values(
                state="acknowledged", acknowledged_at=LAUNCH, acknowledged_by="Lee"
            )
        )
        connection.execute(
            update(table(Subscriber))
            .where(table(Subscriber).c.id == one)
            .values(look_at=LAUNCH, ladder_position=100)
        )

    plan_outreach(
        database, incident=INCIDENT, telling=TELLING, clock=SteppedClock(LAUNCH)
    )
    with reading(database) as connection:
        look_at = connection.execute(
            select(table(Subscriber).c.look_at).where(table(Subscriber).c.id == one)
        ).scalar_one()
    planned = plan_outreach(
        database, incident=INCIDENT, telling=TELLING, clock=SteppedClock(look_at)
    )

    assert look_at == LAUNCH + 6 * HOUR < DEADLINE
    assert planned.raised == 1
    (row,) = escalations(database)
    assert (row.state, row.raised_times, row.acknowledged_by) == ("raised", 2, "Lee")
