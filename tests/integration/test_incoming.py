"""What comes in by mail is filed once, set against its notice, and followed by an act."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from factories import insert_contact
from fakes.letters import returned, written
from fakes.planned import INCIDENT, LINKS, SENDER, Planned, addresses, plan_notices
from fakes.plans import query_plans
from sqlalchemy import Engine, insert, update

from models.base import table
from models.incident import FrozenTemplate, Incident
from models.mail import MailReply
from models.outreach import Bounce, Notice
from models.subscriber import Contact, Subscriber
from models.terms import MailKind, MailTopic, NoticeKind
from tocsin.clock import SteppedClock
from tocsin.demo.relay import EmbeddedRelay, bouncing
from tocsin.errors import Unavailable
from tocsin.links import LinkClaims
from tocsin.mail.incoming import Delivered
from tocsin.mail.maildir import MaildirReader
from tocsin.mail.render import TemplateSet
from tocsin.policy.answers import ANSWER_AGAIN_AFTER, MOST_ANSWERS
from tocsin.steps.incoming import Filed, MailFiling, file_incoming, file_message
from tocsin.store.bounces import find_notices, known_fingerprints
from tocsin.store.calls import call_sheet
from tocsin.store.mail import earlier_answers, mail_replies, read_mail_reply
from tocsin.store.session import reading, writing

CHAN, LEE, WONG = addresses(3)


pytestmark = pytest.mark.one_database


@pytest.fixture
def planned(engine: Engine, clock: SteppedClock) -> Planned:
    """Three subscribers; each was sent its first notice."""
    three = plan_notices(engine, clock, CHAN, LEE, WONG)
    with writing(engine) as connection:
        connection.execute(
            update(table(Notice)).values(state="sent", sent_at=clock.now())
        )
        connection.execute(
            insert(table(FrozenTemplate)),
            [
                {"incident_id": INCIDENT, "path": path, "source": source}
                for path, source in TemplateSet.from_files().sources().items()
            ],
        )
    clock.step_to(clock.now() + timedelta(minutes=5))
    return three


def filing(planned: Planned) -> MailFiling:
    return MailFiling(
        engine=planned.engine,
        links=LINKS,
        mail_domain=SENDER.mail_domain,
        clock=planned.clock,
    )


def receive(planned: Planned, *messages: bytes) -> Filed:
    filed = Filed()
    for message in messages:
        filed = filed.plus(file_message(filing(planned), message))
    return filed


def first_notice(planned: Planned) -> Any:
    return planned.notices()[0]


def contact(planned: Planned, email: str = CHAN) -> Any:
    (row,) = [row for row in planned.rows(Contact) if row.email == email]
    return row


def answers(planned: Planned) -> list[tuple[str, int]]:
    return [
        (row.kind, row.sequence)
        for row in planned.notices()
        if NoticeKind(row.kind).answers_mail
    ]


# What came back.


@pytest.fixture
def relay(engine: Engine, clock: SteppedClock, tmp_path: Path) -> EmbeddedRelay:
    """A relay that took three messages and returned the second."""
    three = plan_notices(engine, clock, CHAN, LEE, WONG)
    relay = EmbeddedRelay(tmp_path, clock=clock, bounces=bouncing([LEE]))
    with relay:
        three.send(relay.port)
    return relay


def test_returned_mail_makes_its_contact_unreachable(
    engine: Engine, clock: SteppedClock, relay: EmbeddedRelay
) -> None:
    planned = Planned(engine=engine, clock=clock)
    planned.step(seconds=30)

    filed = file_incoming(filing(planned), [MaildirReader(relay.bounces)])

    assert filed == Filed(read=1, bounced=1)
    assert [row.state for row in planned.notices()] == ["sent", "bounced", "sent"]
    assert planned.notices()[1].bounced_at == clock.now()
    assert planned.contact_states() == {"active": 2, "unreachable": 1}
    assert contact(planned, LEE).state_reason == "bounced"
    assert planned.looked_at() == [None, clock.now(), None]
    act = planned.acts()[-1]
    assert (act.action, act.detail) == ("mail-filed", {"bounced": [2]})


def test_i4_mail_is_filed_once_when_the_run_ended_before_the_mailbox_was_told(
    engine: Engine, clock: SteppedClock, relay: EmbeddedRelay
) -> None:
    planned = Planned(engine=engine, clock=clock)
    maildir = MaildirReader(relay.bounces)
    (file,) = (relay.bounces / "new").iterdir()
    content = file.read_bytes()
    file_incoming(filing(planned), [maildir])
    assert not file.exists()
    file.write_bytes(content)
    before = planned.acts()

    again = file_incoming(filing(planned), [maildir])

    assert again == Filed(read=1, repeated=1)
    assert not file.exists()
    assert len(planned.rows(Bounce, "fingerprint")) == 1
    assert planned.acts() == before


def test_contact_stays_and_the_next_one_is_told_when_the_trouble_is_temporary(
    planned: Planned,
) -> None:
    notice = first_notice(planned)

    filed = receive(
        planned,
        returned(notice, address=CHAN, status="5.2.2", said="552 5.2.2 mailbox full"),
    )

    assert filed == Filed(read=1, temporary=1)
    assert planned.states() == {"bounced": 1, "sent": 2}
    assert planned.contact_states() == {"active": 3}
    assert planned.looked_at()[0] == planned.clock.now()
    (row,) = planned.rows(Bounce, "fingerprint")
    assert (row.permanent, row.status, row.reason) == (False, "5.2.2", "mailbox-full")


@pytest.mark.parametrize(
    ("verp", "message_id", "known_by", "state"),
    [
        (True, True, "verp", "unreachable"),
        (False, True, "message-id", "unreachable"),
        # Anybody can write an address into a report: nobody is silenced by that.
        (False, False, "address", "active"),
    ],
)
def test_mail_is_set_against_its_notice_by_whatever_names_it(
    planned: Planned, *, verp: bool, message_id: bool, known_by: str, state: str
) -> None:
    notice = first_notice(planned)

    filed = receive(
        planned, returned(notice, address=CHAN, verp=verp, message_id=message_id)
    )

    assert filed.bounced == 1
    assert first_notice(planned).state == "bounced"
    (row,) = planned.rows(Bounce, "fingerprint")
    assert (row.notice_id, row.known_by) == (notice.id, known_by)
    assert contact(planned).state == state
    assert planned.looked_at()[0] == planned.clock.now()


def test_address_tells_nothing_when_its_incident_is_over(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Incident)).values(state="closed"))

    filed = receive(
        planned,
        returned(first_notice(planned), address=CHAN, verp=False, message_id=False),
    )

    assert filed == Filed(read=1, unattributed=1)


@pytest.mark.parametrize("action", ["delayed", "relayed", "delivered"])
def test_report_that_nothing_failed_changes_nothing(
    planned: Planned, action: str
) -> None:
    filed = receive(
        planned, returned(first_notice(planned), address=CHAN, action=action)
    )

    assert filed == Filed(read=1, others=1)
    assert planned.states() == {"sent": 3}
    assert planned.contact_states() == {"active": 3}


def test_foreign_mail_is_kept_and_changes_nothing(planned: Planned) -> None:
    notice = first_notice(planned)
    foreign = (
        returned(notice, address="somebody@elsewhere.example")
        .replace(notice.verp_token.encode(), b"0" * 20)
        .replace(notice.message_id.encode(), b"<1@elsewhere.example>")
    )

    filed = receive(planned, foreign, b"Subject: Lunch?\r\n\r\nAt one?\r\n", b"")

    assert filed == Filed(read=3, unattributed=1, others=2)
    assert planned.states() == {"sent": 3}
    assert len(planned.rows(MailReply)) == 2


# What programs answer.


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Automatic reply: Your certificates", "I no longer work at Clinic 1."),
        ("自動回覆：證書通知", "本人已離職，請聯絡李小姐。"),
        ("自动回复", "您好，陈大文已从我公司离职，邮箱不再使用。"),
    ],
)
def test_contact_counts_as_unreachable_when_a_program_says_that_they_left(
    planned: Planned, subject: str, text: str
) -> None:
    message = written(
        text,
        sender=CHAN,
        answers=first_notice(planned).message_id,
        subject=subject,
        Auto_Submitted="auto-replied",
    )

    filed = receive(planned, message)

    assert filed == Filed(read=1, departed=1)
    row = contact(planned)
    assert (row.state, row.state_reason) == ("unreachable", "left")
    assert planned.looked_at()[0] == planned.clock.now()
    assert planned.states() == {"sent": 3}
    act = planned.acts()[-1]
    assert act.detail == {"departure": [row.id]}


def test_contact_stays_when_only_an_address_says_that_they_left(
    planned: Planned,
) -> None:
    message = written(
        "I no longer work here.", sender=CHAN, Auto_Submitted="auto-replied"
    )

    filed = receive(planned, message)

    assert filed.departed == 1
    assert contact(planned).state == "active"
    assert planned.acts()[-1].detail == {"departure-unproven": [contact(planned).id]}


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Out of office", "I am on leave until 16 March and will read it then."),
        ("自動回覆", "本人正在休假，將於3月16日返回辦公室。"),
    ],
)
def test_contact_who_is_on_leave_is_shown_and_stays(
    planned: Planned, subject: str, text: str
) -> None:
    message = written(
        text,
        sender=CHAN,
        answers=first_notice(planned).message_id,
        subject=subject,
        Auto_Submitted="auto-replied",
    )

    filed = receive(planned, message)

    assert filed == Filed(read=1, others=1)
    assert contact(planned).state == "active"
    assert answers(planned) == []
    with reading(planned.engine) as connection:
        (row,) = mail_replies(connection, incident=INCIDENT, limit=9).rows
    assert (row.kind, row.text) == (MailKind.ABSENCE, text)


# What people write.


def test_reply_is_filed_with_its_subscriber_and_answered_with_the_link(
    planned: Planned,
) -> None:
    notice = first_notice(planned)
    message = written(
        "We will do it tomorrow morning.\n\n"
        "On Mon, 2 Mar 2026 at 12:00, Example CA wrote:\n"
        "> Your certificates will be revoked\n"
        "> https://portal.ca.example/s/WyJ0ZXN0Il0.c2lnbmF0dXJlLXRoYXQtaXMtc2VjcmV0\n",
        sender=f"Chan Tai Man <{CHAN}>",
        answers=notice.message_id,
    )

    filed = receive(planned, message)

    assert filed == Filed(read=1, written=1)
    with reading(planned.engine) as connection:
        (row,) = mail_replies(connection, incident=INCIDENT, limit=9).rows
    assert row.subscriber == planned.subscribers[0]
    assert row.contact == planned.contacts[0]
    assert row.is_from_contact
    assert row.text == "We will do it tomorrow morning."
    assert row.answered_with is NoticeKind.ACKNOWLEDGEMENT
    assert answers(planned) == [("acknowledgement", 1)]
    act = planned.acts()[-1]
    assert act.detail == {
        "answered": [planned.contacts[0]],
        "person": [planned.contacts[0]],
    }


def test_answer_leaves_with_the_link_when_mail_is_sent(
    planned: Planned, tmp_path: Path
) -> None:
    receive(
        planned,
        written("Thanks", sender=CHAN, answers=first_notice(planned).message_id),
    )

    with EmbeddedRelay(tmp_path, clock=planned.clock, bounces=bouncing([])) as relay:
        sent = planned.send(relay.port)

    assert sent.sent == 1
    (file,) = (relay.outbox / "new").iterdir()
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert mail["To"].addresses[0].addr_spec == CHAN
    assert mail["Subject"].startswith("We have your message")
    assert mail["Auto-Submitted"] == "auto-generated"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "https://portal.ca.example/s/" in body.get_content()


def test_reply_stops_nothing_and_is_no_acknowledgement(planned: Planned) -> None:
    before = planned.rows(Contact), planned.looked_at()

    receive(
        planned,
        written("Got it", sender=CHAN, answers=first_notice(planned).message_id),
    )

    assert (planned.rows(Contact), planned.looked_at()) == before
    assert {row.acknowledged_at for row in planned.rows(Subscriber)} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "Can we get an extension until Friday?",
        "We need more time, our vendor is closed.",
        "Please postpone the revocation to next week",
        "請問可否延期一星期？",
        "时间太紧，能否暂缓吊销？",
    ],
)
def test_request_for_an_extension_is_recorded_and_answered_with_the_reason(
    planned: Planned, text: str
) -> None:
    receive(
        planned, written(text, sender=CHAN, answers=first_notice(planned).message_id)
    )

    assert answers(planned) == [("no-extension", 1)]
    with reading(planned.engine) as connection:
        found = mail_replies(connection, incident=INCIDENT, limit=9)
    assert found.extensions == 1
    assert MailTopic.EXTENSION in found.rows[0].topics
    assert planned.acts()[-1].detail["extension"] == [planned.contacts[0]]


def test_person_who_writes_again_the_same_day_is_answered_once(
    planned: Planned,
) -> None:
    notice = first_notice(planned)
    for text in ("First", "Second"):
        receive(planned, written(text, sender=CHAN, answers=notice.message_id))

    assert answers(planned) == [("acknowledgement", 1)]
    assert len(planned.rows(MailReply)) == 2


def test_two_that_answer_each_other_stop_when_the_most_answers_were_given(
    planned: Planned,
) -> None:
    notice = first_notice(planned)
    for number in range(MOST_ANSWERS + 2):
        receive(
            planned, written(f"Mail {number}", sender=CHAN, answers=notice.message_id)
        )
        planned.step(seconds=ANSWER_AGAIN_AFTER.total_seconds())

    assert len(answers(planned)) == MOST_ANSWERS


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated (rejected)"},
        {"Precedence": "bulk"},
        {"List_Id": "<all.clinic.example>"},
        {"X_Autoreply": "yes"},
        {"Return_Path": "<>"},
    ],
)
def test_robot_is_never_answered(planned: Planned, headers: dict[str, str]) -> None:
    message = written(
        "Your message was received. A ticket has been opened.",
        sender=CHAN,
        answers=first_notice(planned).message_id,
        **headers,  # type: ignore[arg-type]
    )

    filed = receive(planned, message)

    assert filed.written == 0
    assert answers(planned) == []


def test_colleague_who_quotes_the_link_is_known_by_it(planned: Planned) -> None:
    token = LINKS.sign(
        LinkClaims(
            incident=INCIDENT,
            subscriber=planned.subscribers[1],
            contact=planned.contacts[1],
            purpose="subscriber",
            generation=0,
            expires_at=planned.clock.now() + timedelta(days=30),
        )
    )
    message = written(
        f"Is this real?\n\n> https://portal.ca.example/s/{token}\n",
        sender="helpdesk@another.example",
        subject="Fwd: your certificates",
    )

    receive(planned, message)

    with reading(planned.engine) as connection:
        (row,) = mail_replies(connection, incident=INCIDENT, limit=9).rows
        view = read_mail_reply(connection, key=row.key)
    assert (row.known_by, row.contact) == ("link", planned.contacts[1])
    assert not row.is_from_contact
    assert token not in view.text
    # The link is personal: it goes to whom it was sent before, not to who writes.
    (answer,) = [row for row in planned.notices() if row.kind == "acknowledgement"]
    assert answer.contact_id == planned.contacts[1]


def test_private_key_is_not_kept(planned: Planned) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n"
    message = written(
        f"Here is what you asked for:\n{key}Regards",
        sender=CHAN,
        answers=first_notice(planned).message_id,
        attachments=(("server.key", key.encode()), ("host.csr", b"...")),
    )

    receive(planned, message)

    (row,) = planned.rows(MailReply)
    assert "MIIEvQIBADANBg" not in str(row)
    assert "was not kept" in row.text
    assert row.topics == ["csr", "private-key"]
    assert [(one["name"], one["topic"]) for one in row.attachments] == [
        ("server.key", "private-key"),
        ("host.csr", "csr"),
    ]
    with reading(planned.engine) as connection:
        assert mail_replies(connection, incident=INCIDENT, limit=1).private_keys == 1


def test_person_whom_nobody_knows_is_shown_in_every_incident(planned: Planned) -> None:
    filed = receive(planned, written("Hello?", sender="who@nowhere.example"))

    assert filed.written == 1
    assert answers(planned) == []
    with reading(planned.engine) as connection:
        found = mail_replies(connection, incident=INCIDENT, limit=9)
    assert (found.people, found.unattributed) == (1, 1)
    assert found.rows[0].incident is None


def test_officer_of_the_ca_is_not_answered(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        manager = insert_contact(
            connection, INCIDENT, None, "am@ca.example", role="account-manager"
        )
    planned.plan([manager], kind=NoticeKind.ESCALATION)
    notice = planned.notices()[-1]

    receive(
        planned,
        written("On it", sender="am@ca.example", answers=notice.message_id),
    )

    assert answers(planned) == []


def test_no_answer_is_planned_when_the_incident_froze_no_words_for_it(
    engine: Engine, clock: SteppedClock
) -> None:
    older = plan_notices(engine, clock, CHAN)

    receive(older, written("Hi", sender=CHAN, answers=older.notices()[0].message_id))

    assert answers(older) == []
    assert older.rows(MailReply)[0].answered_with == ""


# Mailboxes.


class SilentMailbox:
    name = "imap"

    def keys(self) -> list[str]:
        raise Unavailable("no answer")

    def read(self, keys: Iterable[str]) -> Iterator[Delivered]:
        raise AssertionError(keys)

    def done(self, keys: Iterable[str]) -> None:
        raise AssertionError(keys)


def test_maildir_is_read_when_another_mailbox_does_not_answer(
    planned: Planned, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1").write_bytes(returned(first_notice(planned), address=CHAN))

    with pytest.raises(Unavailable):
        file_incoming(filing(planned), [SilentMailbox(), MaildirReader(tmp_path)])

    assert planned.contact_states() == {"active": 2, "unreachable": 1}


def test_nothing_has_come_in_when_there_is_no_maildir(
    planned: Planned, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"

    assert file_incoming(filing(planned), [MaildirReader(nowhere)]) == Filed()
    assert not nowhere.exists()


def test_every_lookup_has_its_index_when_mail_comes_in(
    sqlite_engine: Engine, clock: SteppedClock
) -> None:
    planned = plan_notices(sqlite_engine, clock, CHAN)

    plans = query_plans(
        sqlite_engine,
        lambda connection: (
            find_notices(
                connection,
                verp_tokens={"a"},
                message_ids={"b"},
                addresses={"c"},
                contacts={planned.contacts[0]},
            ),
            known_fingerprints(connection, {"d"}),
            earlier_answers(connection, {planned.contacts[0]}),
            call_sheet(connection, incident=INCIDENT, limit=9),
        ),
    )

    tables = ("notice", "contact", "mail_reply", "bounce", "affected_certificate")
    assert not [
        plan
        for plan in plans
        if plan.startswith(tuple(f"SCAN {one}" for one in tables))
    ]
