"""What managers read: one sentence that answers, then whom to call, on a laptop's screen."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from sqlalchemy import Engine, insert, select, update

from models.base import table
from models.incident import Incident
from models.mail import MailReply
from models.outreach import Escalation, Reply
from models.revocation import Revocation
from models.subscriber import Contact
from models.terms import (
    ContactState,
    EscalationCause,
    EscalationState,
    IncidentId,
    IncidentState,
    MailKind,
    MailTopic,
    PauseCause,
    RevocationState,
    SubscriberId,
)
from tocsin.policy.ladder import shipped_ladder
from tocsin.policy.pauses import LivePause
from tocsin.policy.rules import shipped_rule_pack
from tocsin.reports.dashboards.board import Board, Page
from tocsin.reports.dashboards.changes import changes
from tocsin.reports.dashboards.page import render_page
from tocsin.reports.dashboards.words import CAUSES, WORST, text
from tocsin.steps.board import read_board
from tocsin.store.session import open_engine, writing

INCIDENT = IncidentId("test-incident")
LADDER = shipped_ladder(shipped_rule_pack().rules[-1].within)
PLAN = {"rate_per_second": 10.0, "publication_delay_seconds": 60.0}
PORTAL = "https://certificates.ca.example"
DESK = f"{PORTAL}/desk/i/{INCIDENT}"
NOW = LAUNCH + 10 * HOUR
LAPTOP = 708
"""Pixels that a table has beside the two side bars of Prefect's UI, at 1280 pixels."""
CHARACTER = 7.2
"""Pixels of a character there, measured on names."""
PADDING = 24
"""Pixels around a cell."""
TABLES = (Page.ESCALATIONS, Page.MISSING_CSRS, Page.UNREACHABLE)

CERTIFICATES_OF_EACH = 2


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    """Run on SQLite; one test compares the pages with PostgreSQL's."""
    return sqlite_engine


@pytest.fixture
def subscribers(engine: Engine) -> list[SubscriberId]:
    """Twenty-five subscribers with long names, two certificates each."""
    return insert_many(engine)


def insert_many(engine: Engine) -> list[SubscriberId]:
    with writing(engine) as connection:
        insert_incident(connection, ladder=LADDER.text, plan=PLAN)
        keys = []
        for number in range(25):
            key = insert_subscriber(
                connection,
                INCIDENT,
                f"Hong Kong Federation of Harbour Clinics, Branch {number}",
                sector="Banking and electronic payment",
            )
            insert_contact(
                connection,
                INCIDENT,
                key,
                f"admin@clinic-{number}.example",
                name="Chan Tai Man Alexander",
                phone="+852 5550 0100 ext. 4321",
            )
            certificates = insert_certificates(
                connection,
                INCIDENT,
                key,
                CERTIFICATES_OF_EACH,
                first_serial=0x1000 + 16 * number,
            )
            insert_revocations(connection, INCIDENT, certificates)
            keys.append(key)
    return keys


def escalate(
    engine: Engine, subscribers: Sequence[SubscriberId], **changes: Any
) -> None:
    """Raise an escalation for each of these subscribers."""
    with writing(engine) as connection:
        for subscriber in subscribers:
            connection.execute(
                insert(table(Escalation)).values(
                    {
                        "incident_id": INCIDENT,
                        "subscriber_id": subscriber,
                        "cause": EscalationCause.CSR_MISSING.value,
                        "level": 6,
                        "step": "Operations managers take over missing CSRs",
                        "state": EscalationState.TOLD.value,
                        "targets": ["operations-manager"],
                        "raised_at": LAUNCH + HOUR,
                        "told_at": LAUNCH + HOUR,
                    }
                    | changes
                )
            )


def lose(engine: Engine, subscribers: Sequence[SubscriberId]) -> None:
    """Let the mail to all contacts of these subscribers come back."""
    contact = table(Contact)
    with writing(engine) as connection:
        connection.execute(
            update(contact)
            .where(contact.c.subscriber_id.in_(subscribers))
            .values(state=ContactState.UNREACHABLE.value)
        )


def publish(engine: Engine, at: datetime) -> None:
    """Let everything be seen to be revoked at an instant."""
    revocation, incident = table(Revocation), table(Incident)
    with writing(engine) as connection:
        connection.execute(
            update(revocation).values(
                state=RevocationState.PUBLISHED.value,
                revoked_at=at,
                published_at=at,
                published_reason=4,
            )
        )
        connection.execute(
            update(incident).values(state=IncidentState.CLOSED.value, closed_at=at)
        )


def board(engine: Engine, now: datetime = NOW) -> Board:
    found = read_board(engine, incident=INCIDENT, now=now, portal=PORTAL)
    links = {page: f"http://ui/artifacts/artifact/{page}" for page in Page}
    return replace(found, links=links)


def answer(engine: Engine, page: Page, now: datetime = NOW) -> str:
    return render_page(page, board(engine, now)).answer


def markdown(engine: Engine, page: Page, now: datetime = NOW) -> str:
    return render_page(page, board(engine, now)).markdown


def rows(page: str) -> list[list[str]]:
    """Return the cells of all tables as they are seen, without links' addresses."""
    return [
        [
            re.sub(r"\[(.*?)\]\(.*?\)|\*\*", r"\1", cell).strip()
            for cell in line.strip("|").split(" | ")
        ]
        for line in page.splitlines()
        if line.startswith("| ") and not line.startswith("| :--")
    ]


@pytest.mark.usefixtures("subscribers")
def test_the_overview_asks_for_nobody_when_all_is_well(engine: Engine) -> None:
    page = render_page(Page.OVERVIEW, board(engine))

    assert page.verdict == "On schedule"
    assert page.answer.startswith("On schedule: all 50 will be published ")
    assert page.markdown.startswith(f"**{page.answer}**\n")
    assert "Nobody is needed now." in page.markdown


def test_the_overview_says_first_what_waits_for_people(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    escalate(engine, subscribers[:3])
    lose(engine, subscribers[:1])

    said = answer(engine, Page.OVERVIEW)

    assert said.endswith(
        "25 subscribers (50 certificates) sent no CSR; mail reaches nobody at "
        "1 subscriber; 3 escalations wait for a person."
    )
    assert "**Call 1 subscriber** (2 certificates)" in markdown(engine, Page.OVERVIEW)


@pytest.mark.usefixtures("subscribers")
def test_the_overview_is_late_when_the_deadline_passed(engine: Engine) -> None:
    page = render_page(Page.OVERVIEW, board(engine, DEADLINE + HOUR))

    assert page.verdict == "LATE"
    assert "**1 h ago**" in page.markdown


@pytest.mark.parametrize("page", Page)
def test_a_page_says_when_it_is_not_to_be_trusted_any_more(
    engine: Engine, page: Page, subscribers: list[SubscriberId]
) -> None:
    del subscribers

    # Monday 22:00 UTC is Tuesday 06:00 in Hong Kong.
    assert (
        "As of **Tue 03 Mar 06:00 HKT (22:00 UTC)**, not to be trusted after 06:05."
    ) in markdown(engine, page)


@pytest.mark.parametrize("page", Page)
def test_a_page_says_that_it_is_final_when_the_incident_is_closed(
    engine: Engine, page: Page, subscribers: list[SubscriberId]
) -> None:
    del subscribers
    publish(engine, REVOCATION)

    last = markdown(engine, page, REVOCATION + HOUR)

    assert "Closed: this is how it ended." in last
    assert "not to be trusted" not in last
    assert " left" not in last


def test_what_was_revoked_without_a_csr_is_not_forgotten_when_all_is_over(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    del subscribers
    publish(engine, REVOCATION)

    assert answer(engine, Page.MISSING_CSRS, REVOCATION + HOUR) == (
        "Over: 50 certificates were revoked before a CSR came."
    )


@pytest.mark.parametrize("page", TABLES)
def test_a_page_lists_the_worst_and_links_to_the_rest(
    engine: Engine, page: Page, subscribers: list[SubscriberId]
) -> None:
    escalate(engine, subscribers)
    lose(engine, subscribers)

    shown = markdown(engine, page)

    assert shown.count(f"]({DESK}/s/") == WORST
    assert "… and 5 more: [" in shown


@pytest.mark.parametrize("page", Page)
def test_a_page_fits_a_laptop_however_long_names_are(
    engine: Engine, page: Page, subscribers: list[SubscriberId]
) -> None:
    escalate(
        engine,
        subscribers,
        cause=EscalationCause.NOT_INSTALLED.value,
        targets=["account-manager", "operations-manager", "compliance-lead"],
        state=EscalationState.ACKNOWLEDGED.value,
        acknowledged_by="Alexandra Lam Wing Yan, night shift",
        acknowledged_at=LAUNCH + HOUR,
    )
    lose(engine, subscribers)

    for table_ in markdown(engine, page).split("\n\n"):
        columns = list(zip(*rows(table_), strict=True))
        widest = sum(max(map(len, column)) for column in columns)
        assert CHARACTER * widest + PADDING * len(columns) <= LAPTOP, table_


@pytest.mark.parametrize("page", Page)
def test_links_lead_to_the_desk_or_another_page_and_hold_no_token(
    engine: Engine, page: Page, subscribers: list[SubscriberId]
) -> None:
    escalate(engine, subscribers)

    links = re.findall(r"\]\((.*?)\)", markdown(engine, page))

    assert links
    desk = re.compile(rf"{re.escape(DESK)}(/s/\d+|/escalations|/csrs|/calls|/replies)?")
    for link in links:
        assert desk.fullmatch(link) or link.startswith("http://ui/artifacts/artifact/")


def test_an_escalation_shows_who_has_taken_it_up(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    escalate(engine, subscribers[:1])
    escalate(
        engine,
        subscribers[1:2],
        state=EscalationState.ACKNOWLEDGED.value,
        acknowledged_by="Lam Wing Yan",
        acknowledged_at=LAUNCH + 2 * HOUR,
    )

    shown = rows(markdown(engine, Page.ESCALATIONS))

    assert answer(engine, Page.ESCALATIONS) == (
        "AT RISK: 1 escalation waits for a person; somebody is on 1 more."
    )
    assert sorted(row[-1] for row in shown[1:3]) == [
        "Lam Wing Y…",
        "nobody",
    ]
    assert shown[1][2:5] == ["no CSR", "Mon 21:00", "operations"]


def test_the_highest_role_that_was_told_is_named_and_others_are_counted(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    escalate(
        engine,
        subscribers[:1],
        targets=["call-sheet", "account-manager", "compliance-lead"],
    )

    assert rows(markdown(engine, Page.ESCALATIONS))[1][4] == "compliance +2"


def test_nobody_else_is_needed_when_somebody_is_on_everything(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    escalate(
        engine,
        subscribers[:2],
        state=EscalationState.ACKNOWLEDGED.value,
        acknowledged_by="Lam Wing Yan",
        acknowledged_at=LAUNCH + 2 * HOUR,
    )

    assert answer(engine, Page.ESCALATIONS) == (
        "Nobody else is needed: somebody is on 2 escalations."
    )
    assert "for a person" not in answer(engine, Page.OVERVIEW)


@pytest.mark.parametrize("cause", EscalationCause)
def test_every_cause_fits_its_column(cause: EscalationCause) -> None:
    assert len(CAUSES[cause]) <= len("not delivered")


def test_an_escalation_of_which_nobody_was_told_stands_out(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    escalate(engine, subscribers[:2], told_at=None, state="raised")

    assert answer(engine, Page.ESCALATIONS) == (
        "AT RISK: 2 escalations wait for a person; of 2 nobody has been told yet."
    )
    assert "**nobody yet**" in markdown(engine, Page.ESCALATIONS)


@pytest.mark.usefixtures("subscribers")
def test_i3_the_certificates_of_a_page_sum(engine: Engine) -> None:
    for page in (Page.OVERVIEW, Page.REVOCATION):
        counts = [
            row
            for row in rows(markdown(engine, page))
            if len(row) == 3 and row[2].endswith(" %")
        ]
        totals = [int(row[1]) for row in counts if row[0] == "All"]
        parts = [int(row[1]) for row in counts if row[0] != "All"]

        assert sum(parts) == sum(totals)
        assert set(totals) == {50}


@pytest.mark.parametrize(
    "name",
    ["[x](javascript:alert(1))", "<img src=x>", "a|b", "**bold**", "www.x.example"],
)
def test_foreign_text_stays_text(name: str) -> None:
    shown = text(name)

    assert not re.search(r"(?<!\\)[\[\]|*`<>]", shown)
    assert "www.x" not in shown


@pytest.mark.usefixtures("subscribers")
def test_the_picture_shows_what_is_behind_and_what_is_ahead(engine: Engine) -> None:
    def bars(now: datetime) -> dict[str, str]:
        lines = markdown(engine, Page.OVERVIEW, now).split("```")[1].splitlines()
        return {line[:9].strip(): line[9:] for line in lines if line[:1].strip()}

    before, after = bars(NOW), bars(REVOCATION + timedelta(minutes=1))

    assert list(before)[1:] == ["list", "replace", "revoke", "reserve"]
    assert set(before["list"].strip()) == {"#"}
    assert set(before["replace"].strip()) == {"#", "-"}
    assert set(before["reserve"].strip()) == {"-"}
    assert set(after["replace"].strip()) == {"#"}


def test_pages_are_the_same_on_postgresql(
    engine: Engine, subscribers: list[SubscriberId], postgresql_url: str
) -> None:
    other = open_engine(postgresql_url)
    for each, concerned in ((engine, subscribers), (other, insert_many(other))):
        escalate(each, concerned[:3])
        lose(each, concerned[:2])

    assert [markdown(other, page) for page in Page] == [
        markdown(engine, page) for page in Page
    ]
    other.dispose()


def test_a_fact_keeps_its_key_however_often_it_is_looked_at(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    escalate(engine, subscribers[:3])
    lose(engine, subscribers[:1])
    instants = [NOW, NOW + HOUR, REVOCATION + HOUR, DEADLINE + HOUR]

    told = [{change.key for change in changes(board(engine, now))} for now in instants]

    assert told[0] == told[1]
    assert told[0] < told[2]
    names = [change.name for change in changes(board(engine, DEADLINE + HOUR))]
    assert names.count("incident.launched") == 1
    assert names.count("revocation.started") == 1
    assert names.count("forecast.late") == 1


def write_back(
    engine: Engine, subscriber: SubscriberId | None, number: int, **changes: Any
) -> None:
    """File a message that came in by mail."""
    with writing(engine) as connection:
        connection.execute(
            insert(table(MailReply)).values(
                {
                    "fingerprint": f"{number:064x}",
                    "received_at": LAUNCH + number * HOUR,
                    "way": "maildir",
                    "kind": MailKind.PERSON.value,
                    "incident_id": INCIDENT,
                    "subscriber_id": subscriber,
                    "subject": "Re: Your certificates will be revoked",
                    "topics": [],
                    "attachments": [],
                }
                | changes
            )
        )


def ask(engine: Engine, subscriber: SubscriberId, kind: str, **changes: object) -> None:
    """Insert what somebody asked for by link."""
    with writing(engine) as connection:
        contact = connection.execute(
            select(table(Contact).c.id).where(
                table(Contact).c.subscriber_id == subscriber
            )
        ).scalars()
        connection.execute(
            insert(table(Reply)).values(
                {
                    "incident_id": INCIDENT,
                    "subscriber_id": subscriber,
                    "contact_id": next(iter(contact)),
                    "kind": kind,
                    "state": "pending",
                    "nonce": f"{subscriber}{kind}{changes}",
                    "received_at": NOW,
                    "effective_at": NOW,
                    "certificate_ids": [],
                }
                | changes
            )
        )


def test_what_people_wrote_is_listed_with_what_it_is_about(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    write_back(engine, subscribers[0], 1, topics=[MailTopic.EXTENSION.value])
    write_back(engine, None, 2, incident_id=None)
    write_back(engine, subscribers[1], 3, kind=MailKind.DEPARTURE.value)

    assert answer(engine, Page.REPLIES) == (
        "People wrote: 2 messages; 1 for more time; of 1 nobody knows whose; "
        "1 program said that somebody left."
    )
    listed = rows(markdown(engine, Page.REPLIES))
    assert [row[2] for row in listed[1:]] == ["left", "a person", "more time"]
    assert "**Read 2 messages** from people." in markdown(engine, Page.OVERVIEW)


def test_what_people_ask_for_on_their_pages_is_listed_without_their_words(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    ask(engine, subscribers[0], "ask-help", phone="+852 5550 0101", message="Stuck")
    ask(engine, subscribers[1], "not-mine")
    ask(engine, subscribers[1], "ask-extension", message="We are closed")
    ask(engine, subscribers[1], "ask-help", state="undone")

    assert answer(engine, Page.REPLIES) == (
        "People wrote: 1 for help on their page; 1 on their page that it is "
        "not theirs; 1 for more time on their page."
    )
    page = markdown(engine, Page.REPLIES)
    assert sorted(row[2] for row in rows(page)[1:]) == ["help", "more time", "not them"]
    assert "Stuck" not in page
    assert "5550" not in page


def test_a_private_key_in_a_message_comes_before_everything_else(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    write_back(engine, subscribers[0], 1, topics=[MailTopic.PRIVATE_KEY.value])

    assert answer(engine, Page.REPLIES) == (
        "AT RISK: 1 message held a private key: each is a key compromise."
    )
    assert "as compromised" in markdown(engine, Page.OVERVIEW)


def test_nobody_is_needed_when_nobody_wrote(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    del subscribers

    assert answer(engine, Page.REPLIES) == "Nobody is needed: nobody wrote."


def test_a_pause_of_sending_is_told_once(
    engine: Engine, subscribers: list[SubscriberId]
) -> None:
    del subscribers
    pause = LivePause(
        pause_id=7,
        cause=PauseCause.RELAY_UNREACHABLE,
        counts={},
        paused_at=NOW - HOUR,
        probe_at=NOW,
        probes=1,
        alarmed_at=None,
    )
    paused = replace(board(engine), pause=pause)

    told = [each for each in changes(paused) if each.name == "relay.paused"]

    assert [(each.key, each.at) for each in told] == [("pause-7", NOW - HOUR)]
    assert "relay.paused" not in {each.name for each in changes(board(engine))}
