"""A notice that was planned leaves, once; what became of it is on record."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from factories import (
    DEADLINE,
    HOUR,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_contact,
    insert_revocations,
)
from fakes.planned import INCIDENT, LINKS, Planned, addresses, plan_notices
from fakes.plans import query_plans
from fakes.scripted_relay import TAKE_AND_CLOSE, Asked, ScriptedRelay
from sqlalchemy import Connection, Engine, event, insert, update

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.terms import ContactRole, NoticeKind
from tocsin.clock import SteppedClock
from tocsin.demo.ports import free_port
from tocsin.demo.relay import EmbeddedRelay
from tocsin.links import SUBSCRIBER
from tocsin.mail.messages import OutgoingMessage, SendKind, SendOutcome, Witness
from tocsin.mail.render import TemplateSet
from tocsin.policy.sending import SendingRules
from tocsin.steps.send import LEASE_WITHIN, Sent
from tocsin.store import matters, outbox
from tocsin.store.bounces import find_notices
from tocsin.store.outbox import ClaimedNotice
from tocsin.store.outcomes import NoticeOutcome, OutcomeKind, record_outcomes
from tocsin.store.session import open_engine, reading, writing

MINUTE = timedelta(minutes=1)


class ToldMailer:
    """Says of each message what it was told to say, and keeps it."""

    def __init__(self, kind: SendKind) -> None:
        self.kind = kind
        self.sent: list[OutgoingMessage] = []

    def send(
        self, messages: Iterable[OutgoingMessage], *, witness: Witness | None = None
    ) -> Iterator[SendOutcome]:
        del witness
        for message in messages:
            self.sent.append(message)
            yield SendOutcome(notice_id=message.notice_id, kind=self.kind)


def claim(planned: Planned, owner: str = "a", limit: int = 100) -> list[ClaimedNotice]:
    with writing(planned.engine) as connection:
        return outbox.claim_notices(
            connection,
            owner=owner,
            now=planned.clock.now(),
            lease_within=LEASE_WITHIN,
            limit=limit,
        )


def record(
    planned: Planned,
    notice: ClaimedNotice,
    kind: OutcomeKind,
    owner: str = "a",
) -> None:
    with writing(planned.engine) as connection:
        record_outcomes(
            connection,
            [NoticeOutcome(notice=notice, kind=kind)],
            owner=owner,
            now=planned.clock.now(),
            rules=SendingRules(),
        )


def mails(maildir: Path) -> list[EmailMessage]:
    return [
        message_from_bytes(
            file.read_bytes(), _class=EmailMessage, policy=policy.default
        )
        for file in sorted(
            maildir.glob("new/*"), key=lambda file: file.stat().st_mtime_ns
        )
    ]


@pytest.fixture
def planned(engine: Engine, clock: SteppedClock) -> Planned:
    return plan_notices(engine, clock, *addresses(3))


@pytest.fixture
def one(engine: Engine, clock: SteppedClock) -> Planned:
    return plan_notices(engine, clock, "chan@clinic.example")


# Claiming.


def test_i4_notice_is_claimed_once_when_two_ask(planned: Planned) -> None:
    first = claim(planned, "a", limit=2)
    second = claim(planned, "b")

    assert [notice.to.email for notice in first] == addresses(2)
    assert [notice.to.email for notice in second] == addresses(3)[2:]
    assert claim(planned, "c") == []
    assert planned.states() == {"sending": 3}


def test_i4_rows_that_another_transaction_holds_are_skipped(
    postgresql_url: str, clock: SteppedClock
) -> None:
    engine = open_engine(postgresql_url)
    planned = plan_notices(engine, clock, *addresses(4))
    with writing(engine) as connection:
        first = outbox.claim_notices(
            connection, owner="a", now=LAUNCH, lease_within=LEASE_WITHIN, limit=2
        )
        second = claim(planned, "b")
    engine.dispose()

    assert len(first) == len(second) == 2
    assert {notice.notice_id for notice in first}.isdisjoint(
        notice.notice_id for notice in second
    )


def test_notice_waits_when_its_time_has_not_come(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Notice)).values(due_at=LAUNCH + MINUTE))
        assert outbox.next_due_notice(connection) == LAUNCH + MINUTE

    assert claim(planned) == []
    planned.step(minutes=1)
    assert len(claim(planned)) == 3


@pytest.mark.parametrize("was_dropped", [False, True])
def test_i4_notice_is_claimed_again_and_counted_when_nobody_ended_it(
    one: Planned, *, was_dropped: bool
) -> None:
    (before,) = claim(one, "killed")
    assert claim(one, "next") == []
    with writing(one.engine) as connection:
        assert outbox.next_due_notice(connection) == LAUNCH + LEASE_WITHIN
        if was_dropped:
            connection.execute(
                update(table(Notice)).values(lease_owner=None, lease_until=None)
            )
    if not was_dropped:
        one.clock.step_to(LAUNCH + LEASE_WITHIN)

    (after,) = claim(one, "next")

    assert not before.is_repeat
    assert after.is_repeat
    assert after.message_id == before.message_id
    (row,) = one.notices()
    assert (row.possibly_repeated, row.attempts) == (1, 0)
    assert [attempt.outcome for attempt in one.attempts()] == ["in-doubt"]


def test_claimed_notice_brings_all_that_its_writing_needs(one: Planned) -> None:
    one.plan(one.contacts, kind=NoticeKind.REMINDER, sequence=1)

    initial, reminder = claim(one)

    assert initial.thread is None
    assert reminder.thread == initial.message_id
    assert initial.to.subscriber == one.subscribers[0]
    assert initial.to.subscriber_name == "Clinic 1"
    assert (initial.to.zone, initial.to.language) == ("Asia/Hong_Kong", "en")


# Outcomes.


def test_sent_notice_is_never_due_again(one: Planned) -> None:
    (notice,) = claim(one)
    one.step(seconds=3)
    record(one, notice, OutcomeKind.SENT)

    (row,) = one.notices()
    assert (row.state, row.sent_at) == ("sent", LAUNCH + timedelta(seconds=3))
    assert (row.lease_owner, row.attempts) == (None, 1)
    with reading(one.engine) as connection:
        assert outbox.next_due_notice(connection) is None
    one.step(days=1)
    assert claim(one) == []


@pytest.mark.parametrize("kind", [OutcomeKind.RETRY, OutcomeKind.IN_DOUBT])
def test_back_off_grows_to_an_hour(one: Planned, kind: OutcomeKind) -> None:
    waited = []
    for _ in range(5):
        (notice,) = claim(one)
        record(one, notice, kind)
        (row,) = one.notices()
        waited.append((row.due_at - one.clock.now()) / MINUTE)
        one.clock.step_to(row.due_at)

    assert waited == [1, 5, 15, 60, 60]
    (row,) = one.notices()
    assert row.attempts == 5
    assert row.possibly_repeated == (5 if kind is OutcomeKind.IN_DOUBT else 0)


def test_attempts_are_not_counted_when_the_relay_is_down(one: Planned) -> None:
    (notice,) = claim(one)
    record(one, notice, OutcomeKind.NOT_SENT)

    (row,) = one.notices()
    assert (row.state, row.due_at, row.attempts) == ("planned", LAUNCH + MINUTE, 0)
    assert [attempt.outcome for attempt in one.attempts()] == ["not-sent"]


def test_next_contact_gets_a_look_when_an_address_is_refused(planned: Planned) -> None:
    notice = claim(planned)[1]
    planned.step(seconds=9)
    record(planned, notice, OutcomeKind.FAILED)

    assert planned.states() == {"sending": 2, "failed": 1}
    assert planned.contact_states() == {"active": 2, "unreachable": 1}
    assert planned.looked_at() == [None, planned.clock.now(), None]


def test_i4_message_that_left_is_sent_whoever_holds_it_now(one: Planned) -> None:
    (mine,) = claim(one, "a")
    one.clock.step_to(LAUNCH + LEASE_WITHIN)
    (theirs,) = claim(one, "b")
    record(one, mine, OutcomeKind.SENT, owner="a")
    record(one, theirs, OutcomeKind.RETRY, owner="b")

    assert one.states() == {"sent": 1}


def test_late_failure_changes_nothing_when_somebody_else_took_over(
    one: Planned,
) -> None:
    (mine,) = claim(one, "a")
    one.clock.step_to(LAUNCH + LEASE_WITHIN)
    claim(one, "b")
    record(one, mine, OutcomeKind.RETRY, owner="a")

    (row,) = one.notices()
    assert (row.state, row.lease_owner) == ("sending", "b")


# What there is to say.


def test_sample_holds_what_is_open_with_missing_csrs_first(one: Planned) -> None:
    (subscriber,) = one.subscribers
    with writing(one.engine) as connection:
        keys = insert_certificates(
            connection, INCIDENT, subscriber, 7, first_serial=0x5000
        )
        insert_revocations(connection, INCIDENT, keys)
        certificate, revocation = table(AffectedCertificate), table(Revocation)
        for serial, state in (("5000", "csr-received"), ("5001", "replaced")):
            connection.execute(
                update(certificate)
                .where(certificate.c.serial == serial)
                .values(replacement_state=state)
            )
        for serial, changes in (
            ("5002", {"state": "revoked"}),
            ("5003", {"revocation_time": REVOCATION - HOUR}),
        ):
            connection.execute(
                update(revocation).where(revocation.c.serial == serial).values(changes)
            )

        samples = matters.certificate_samples(connection, subscribers=[subscriber])

    sample = samples[subscriber]
    assert [each.serial for each in sample.certificates] == [
        "1000", "1001", "5003", "5004", "5005", "5006", "5000",
    ]  # fmt: skip
    assert (sample.total, len(sample.first), sample.without_csr) == (7, 5, 6)
    assert sample.revocation_time == REVOCATION - HOUR


def statements_of(engine: Engine, call: Callable[[Connection], object]) -> int:
    issued: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        issued.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    with reading(engine) as connection:
        call(connection)
    event.remove(engine, "before_cursor_execute", note)
    return len(issued)


def test_samples_take_as_many_queries_for_many_subscribers_as_for_one(
    planned: Planned,
) -> None:
    counts = {
        statements_of(
            planned.engine,
            lambda connection, few=few: matters.certificate_samples(  # type: ignore[misc]
                connection, subscribers=planned.subscribers[:few]
            ),
        )
        for few in (1, 3)
    }

    assert len(counts) == 1


def test_every_query_for_due_notices_uses_an_index(
    sqlite_engine: Engine, clock: SteppedClock
) -> None:
    planned = plan_notices(sqlite_engine, clock, *addresses(3))
    plans = query_plans(
        sqlite_engine,
        lambda connection: (
            outbox.claim_notices(
                connection, owner="a", now=LAUNCH, lease_within=LEASE_WITHIN, limit=9
            ),
            outbox.next_due_notice(connection),
            matters.certificate_samples(connection, subscribers=planned.subscribers),
            matters.escalations_for(
                connection, incident=INCIDENT, role=ContactRole.ACCOUNT_MANAGER
            ),
            find_notices(connection, verp_tokens={"a"}, message_ids={"b"}),
        ),
    )

    assert any("ix_notice_state_due_at" in plan for plan in plans)
    tables = ("notice", "contact", "subscriber", "affected_certificate", "escalation")
    assert not [
        plan
        for plan in plans
        if plan.startswith(tuple(f"SCAN {one}" for one in tables))
    ]


# Sending.


def test_reader_gets_a_complete_mail_with_a_link_of_their_own(
    engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    planned = plan_notices(engine, clock, "chan@clinic.example", certificates=7)

    with EmbeddedRelay(tmp_path, clock=clock) as relay:
        sent = planned.send(relay.port)

    assert sent == Sent(claimed=1, sent=1)
    (mail,) = mails(relay.outbox)
    (notice,) = planned.notices()
    assert mail["Return-Path"] == f"<bounce+{notice.verp_token}@bounces.ca.example>"
    assert mail["Delivered-To"] == "chan@clinic.example"
    assert mail["Message-ID"] == notice.message_id
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    token = text.partition("https://portal.ca.example/s/")[2].split()[0]
    claims = LINKS.read(token, purpose=SUBSCRIBER, now=DEADLINE)
    assert claims.contact == planned.contacts[0]
    assert claims.expires_at == DEADLINE + timedelta(days=90)
    certificates, calendar = mail.iter_attachments()
    assert len(certificates.get_content().splitlines()) == 1 + 7
    assert calendar.get_content_type() == "text/calendar"


def test_i5_every_batch_is_on_record(planned: Planned) -> None:
    sent = planned.send(ToldMailer(SendKind.SENT), batch=2)

    assert sent == Sent(claimed=3, sent=3)
    assert [(act.action, act.detail) for act in planned.acts()] == [
        ("notices-sent", {"sent": [1, 2]}),
        ("notices-sent", {"sent": [3]}),
    ]


@pytest.mark.parametrize(
    ("kind", "state", "expected"),
    [
        (SendKind.SENT, "sent", Sent(claimed=3, sent=3)),
        (SendKind.RETRY, "planned", Sent(claimed=3, retried=3)),
        (SendKind.FAILED, "failed", Sent(claimed=3, failed=3)),
        (SendKind.IN_DOUBT, "planned", Sent(claimed=3, in_doubt=3)),
        (SendKind.NOT_SENT, "planned", Sent(claimed=3, not_sent=3)),
    ],
)
def test_i3_each_claimed_notice_has_its_outcome(
    planned: Planned, kind: SendKind, state: str, expected: Sent
) -> None:
    assert planned.send(ToldMailer(kind)) == expected
    assert planned.states() == {state: 3}
    assert [one.outcome for one in planned.attempts()] == [kind.value] * 3


def test_next_contact_gets_a_look_when_an_address_is_put_off_for_hours(
    one: Planned,
) -> None:
    mailer = ToldMailer(SendKind.RETRY)
    while one.states() == {"planned": 1}:
        one.clock.step_to(one.notices()[0].due_at)
        one.send(mailer)

    assert one.states() == {"failed": 1}
    assert len(mailer.sent) == 8
    assert timedelta(hours=4) < one.clock.now() - LAUNCH < timedelta(hours=5)
    assert one.looked_at() == [one.clock.now()]


def test_everything_stays_due_when_the_relay_is_down_and_leaves_when_it_is_back(
    planned: Planned, tmp_path: Path
) -> None:
    port = free_port()
    down = planned.send(port, batch=2)

    assert down == Sent(claimed=2, not_sent=2)
    assert planned.states() == {"planned": 3}
    planned.step(minutes=1)
    with EmbeddedRelay(tmp_path, port=port) as relay:
        back = planned.send(relay.port)
    assert back == Sent(claimed=3, sent=3)
    assert len(mails(relay.outbox)) == 3


def test_i4_repetition_is_the_same_message_and_is_counted(one: Planned) -> None:
    def answer(asked: Asked) -> str | None:
        is_first = asked.verb == "CONTENT" and asked.connection == 1
        return TAKE_AND_CLOSE if is_first else None

    with ScriptedRelay(answer) as relay:
        first = one.send(relay.port)
        one.step(minutes=1)
        second = one.send(relay.port)

    assert (first.in_doubt, second.sent) == (1, 1)
    assert len(relay.taken) == 2
    contents = {taken.content for taken in relay.taken}
    assert len({content.partition(b"boundary")[0] for content in contents}) == 1
    (row,) = one.notices()
    assert (row.state, row.possibly_repeated) == ("sent", 1)


def test_others_are_sent_when_one_cannot_be_written(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        contact = insert_contact(
            connection, INCIDENT, planned.subscribers[0], "no address at all", rank=2
        )
    planned.plan([contact])

    sent = planned.send(ToldMailer(SendKind.SENT))

    assert sent == Sent(claimed=4, sent=3, not_rendered=1)
    row = planned.notices()[-1]
    assert (row.state, row.due_at) == ("planned", LAUNCH + 15 * MINUTE)
    assert "@" not in planned.attempts()[-1].detail


def test_nothing_is_lost_when_no_template_fits(planned: Planned) -> None:
    sent = planned.send(
        ToldMailer(SendKind.SENT), templates=TemplateSet.from_sources({})
    )

    assert sent == Sent(claimed=3, not_rendered=3)
    planned.step(minutes=15)
    assert planned.send(ToldMailer(SendKind.SENT)) == Sent(claimed=3, sent=3)


def test_nobody_is_written_to_about_certificates_that_are_dealt_with(
    planned: Planned,
) -> None:
    with writing(planned.engine) as connection:
        certificate = table(AffectedCertificate)
        connection.execute(
            update(certificate)
            .where(certificate.c.subscriber_id == planned.subscribers[0])
            .values(replacement_state="replaced")
        )

    sent = planned.send(ToldMailer(SendKind.SENT))

    assert sent == Sent(claimed=3, sent=2, superseded=1)
    assert planned.states() == {"sent": 2, "superseded": 1}


def test_what_had_left_is_on_record_when_the_mailer_breaks(planned: Planned) -> None:
    class Breaking(ToldMailer):
        def send(
            self, messages: Iterable[OutgoingMessage], *, witness: Witness | None = None
        ) -> Iterator[SendOutcome]:
            yield next(iter(super().send(messages, witness=witness)))
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        planned.send(Breaking(SendKind.SENT))

    assert planned.states() == {"sent": 1, "sending": 2}
    planned.clock.step_to(LAUNCH + LEASE_WITHIN)
    mailer = ToldMailer(SendKind.SENT)
    planned.send(mailer)
    assert [message.recipient for message in mailer.sent] == addresses(3)[1:]


# The CA's own people.


def raise_escalations(planned: Planned, *targets: list[str]) -> None:
    with writing(planned.engine) as connection:
        connection.execute(
            insert(table(Escalation)),
            [
                {
                    "incident_id": INCIDENT,
                    "subscriber_id": subscriber,
                    "cause": "csr-missing",
                    "level": 1,
                    "step": "First look",
                    "state": "raised",
                    "targets": roles,
                    "raised_at": LAUNCH,
                }
                for subscriber, roles in zip(planned.subscribers, targets, strict=False)
            ],
        )


def test_staff_are_told_of_what_is_theirs_and_only_that_counts_as_told(
    planned: Planned,
) -> None:
    raise_escalations(
        planned, ["account-manager"], ["operations-manager"], ["account-manager"]
    )
    with writing(planned.engine) as connection:
        manager = insert_contact(
            connection, INCIDENT, None, "am@ca.example", role="account-manager"
        )
    planned.plan([manager], kind=NoticeKind.ESCALATION)
    mailer = ToldMailer(SendKind.SENT)
    planned.step(seconds=5)

    assert planned.send(mailer) == Sent(claimed=4, sent=4)

    mail = message_from_bytes(
        mailer.sent[-1].content, _class=EmailMessage, policy=policy.default
    )
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "Clinic 1" in text
    assert "Clinic 3" in text
    assert "Clinic 2" not in text
    assert [(row.state, row.told_at) for row in planned.escalations()] == [
        ("told", planned.clock.now()),
        ("raised", None),
        ("told", planned.clock.now()),
    ]


def test_staff_are_not_told_when_the_message_did_not_leave(planned: Planned) -> None:
    raise_escalations(planned, ["account-manager"])
    with writing(planned.engine) as connection:
        manager = insert_contact(
            connection, INCIDENT, None, "am@ca.example", role="account-manager"
        )
    planned.plan([manager], kind=NoticeKind.ESCALATION)

    planned.send(ToldMailer(SendKind.RETRY))

    assert [row.state for row in planned.escalations()] == ["raised"]


def test_message_to_staff_is_dropped_when_nothing_needs_them_any_more(
    planned: Planned,
) -> None:
    with writing(planned.engine) as connection:
        manager = insert_contact(
            connection, INCIDENT, None, "am@ca.example", role="account-manager"
        )
    planned.plan([manager], kind=NoticeKind.ESCALATION)

    assert planned.send(ToldMailer(SendKind.SENT)).superseded == 1
