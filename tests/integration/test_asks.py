"""Not theirs, help, more time: told to the CA's people, answered, and moving nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from factories import HOUR, insert_contact
from fakes.letters import written
from fakes.planned import INCIDENT, LINKS, SENDER, Planned, plan_notices
from portal_server import GRACE, claims_for
from sqlalchemy import Engine, insert, select, update

from models.base import table
from models.incident import AffectedCertificate, FrozenTemplate
from models.outreach import Notice, Reply
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    CallOutcome,
    CertificateId,
    ContactId,
    EscalationState,
    OfficeRole,
    ReplyState,
)
from tocsin.clock import SteppedClock
from tocsin.errors import Refused
from tocsin.mail.render import TemplateSet
from tocsin.policy.office import Officer
from tocsin.steps.calls import log_call
from tocsin.steps.contacts import correct_contact
from tocsin.steps.incoming import MailFiling, file_message
from tocsin.steps.outreach import Telling, plan_outreach
from tocsin.steps.replies import Taken, apply_due_replies, take_reply
from tocsin.steps.reply_acts import (
    Acknowledge,
    AcknowledgeChoice,
    AskExtension,
    AskHelp,
    ChangeContact,
    NotMine,
    ReplyAct,
    ReportReplaced,
    Undo,
)
from tocsin.store.calls import call_sheet
from tocsin.store.desk import latest_replies
from tocsin.store.session import reading, writing
from tocsin.store.worklists import asked_by_link

pytestmark = pytest.mark.one_database

CHAN, LEE = "chan@clinic.example", "lee@clinic.example"
HELP = AskHelp(message="Our appliance takes no new certificate", phone="+852 5550 0101")
NOT_ME = NotMine(certificates=())
READ_IT = Acknowledge(choice=AcknowledgeChoice.MINE)


@dataclass
class Asking:
    """A subscriber of whom Chan was told; Lee is the next contact, not told yet."""

    planned: Planned
    lee: ContactId
    forms: list[str] = field(default_factory=list)

    def act(self, act: ReplyAct, by: ContactId | None = None) -> Taken:
        """Do something by link, and let policy look."""
        planned = self.planned
        self.forms.append("form")
        taken = take_reply(
            planned.engine,
            claims=claims_for(
                INCIDENT, planned.subscribers[0], by or planned.contacts[0]
            ),
            act=act,
            nonce=f"form-{len(self.forms)}",
            clock=planned.clock,
            grace_within=GRACE,
            mail_domain=SENDER.mail_domain,
        )
        self.look()
        return taken

    def mail(self, text: str) -> None:
        """Write something by mail, and let policy look."""
        file_message(
            MailFiling(
                engine=self.planned.engine,
                links=LINKS,
                mail_domain=SENDER.mail_domain,
                clock=self.planned.clock,
            ),
            written(text, sender=CHAN, answers=self.planned.notices()[0].message_id),
        )
        self.look()

    def look(self) -> None:
        plan_outreach(
            self.planned.engine,
            incident=INCIDENT,
            telling=Telling(mail_domain=SENDER.mail_domain),
            clock=self.planned.clock,
        )

    def live(self) -> list[str]:
        """Return the causes for which a person is needed now."""
        over = {EscalationState.ENDED, EscalationState.RAISED_FURTHER}
        return sorted(
            row.cause for row in self.planned.escalations() if row.state not in over
        )

    def answers(self) -> list[str]:
        return [
            row.kind
            for row in self.planned.notices()
            if row.kind in ("acknowledgement", "no-extension")
        ]

    def told(self) -> list[str]:
        with reading(self.planned.engine) as connection:
            return sorted(
                connection.execute(
                    select(table(Contact).c.email)
                    .join(Notice, table(Notice).c.contact_id == table(Contact).c.id)
                    .where(table(Notice).c.kind == "initial")
                ).scalars()
            )

    def revocation_times(self) -> Sequence[datetime]:
        return [row.revocation_time for row in self.planned.rows(Revocation, "serial")]

    def certificates(self) -> tuple[CertificateId, ...]:
        return tuple(
            CertificateId(row.id) for row in self.planned.rows(AffectedCertificate)
        )

    def acknowledged(self) -> bool:
        (row,) = self.planned.rows(Subscriber)
        return row.acknowledged_at is not None


@pytest.fixture
def asking(engine: Engine, clock: SteppedClock) -> Asking:
    planned = plan_notices(engine, clock, CHAN)
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
        lee = insert_contact(
            connection, INCIDENT, planned.subscribers[0], LEE, rank=2, name="Lee"
        )
        connection.execute(update(table(Subscriber)).values(ladder_position=1))
    clock.step_to(clock.now() + timedelta(minutes=5))
    asking = Asking(planned=planned, lee=lee)
    asking.look()
    assert asking.live() == []
    assert asking.told() == [CHAN]
    return asking


# At once.


def test_officers_are_told_at_once_and_the_sender_is_answered_when_help_is_asked(
    asking: Asking,
) -> None:
    asking.act(HELP)

    assert asking.live() == ["help-wanted"]
    assert asking.answers() == ["acknowledgement"]
    assert asking.acknowledged()
    with reading(asking.planned.engine) as connection:
        (row,) = call_sheet(connection, incident=INCIDENT, limit=9).rows
        (line,) = latest_replies(connection, incident=INCIDENT, limit=9)
        (asked,) = asked_by_link(connection, incident=INCIDENT, limit=9)
    assert row.why == ("They ask for help",)
    assert (line.message, line.phone) == (HELP.message, HELP.phone)
    assert asked.kind.value == "ask-help"


@pytest.mark.parametrize("way", ["link", "mail"])
def test_officers_and_the_next_contact_are_told_at_once_when_it_is_not_theirs(
    asking: Asking, way: str
) -> None:
    if way == "link":
        asking.act(NOT_ME)
    else:
        asking.mail("I am the wrong person, write to IT.")

    assert asking.live() == ["not-theirs"]
    assert asking.told() == [CHAN, LEE]
    assert not asking.acknowledged()
    chan, _ = asking.planned.rows(Contact)
    assert chan.disowned_at is not None


def test_nobody_else_is_told_when_only_some_certificates_are_not_theirs(
    asking: Asking,
) -> None:
    taken = asking.act(NotMine(certificates=asking.certificates()[:1]))

    assert asking.live() == ["not-theirs"]
    assert asking.told() == [CHAN]
    (row,) = asking.planned.rows(Reply)
    assert (row.id, row.certificate_ids) == (taken.reply, [asking.certificates()[0]])


@pytest.mark.parametrize("way", ["link", "mail"])
def test_request_for_more_time_is_recorded_and_answered_with_the_reason(
    asking: Asking, way: str
) -> None:
    if way == "link":
        asking.act(AskExtension(message="The vendor is closed"))
    else:
        asking.mail("Can we get an extension until Friday?")

    assert asking.answers() == ["no-extension"]
    assert asking.live() == []


def test_whoever_is_named_with_it_is_on_the_list(asking: Asking) -> None:
    named = ChangeContact(
        name="IT", email="it@clinic.example", phone="", instead_of=None
    )
    asking.act(NotMine(certificates=(), named=named))

    assert "it@clinic.example" in {row.email for row in asking.planned.rows(Contact)}
    assert asking.planned.rows(Contact)[0].state == "active"


# Nothing moves.


@pytest.mark.parametrize(
    "act", [NOT_ME, HELP, AskExtension(message="please")], ids=lambda act: act.__class__
)
def test_i1_no_revocation_moves_whatever_is_asked(
    asking: Asking, act: ReplyAct
) -> None:
    before = asking.revocation_times()

    asking.act(act)
    asking.planned.step(hours=2)
    done = apply_due_replies(asking.planned.engine, asking.planned.clock, batch=10)

    assert asking.revocation_times() == before
    assert done.brought_forward == 0
    assert {
        row.replacement_state for row in asking.planned.rows(AffectedCertificate)
    } == {"awaiting-csr"}


def test_certificate_can_still_be_reported_when_somebody_said_it_is_not_theirs(
    asking: Asking,
) -> None:
    asking.act(NotMine(certificates=asking.certificates()[:1]))

    assert asking.act(
        ReportReplaced(certificates=asking.certificates()[:1]), asking.lee
    ).is_new


def test_certificate_of_another_cannot_be_disowned(asking: Asking) -> None:
    with pytest.raises(Refused):
        asking.act(NotMine(certificates=(CertificateId(10_000),)))
    assert asking.planned.rows(Reply) == []


# It ends when it was seen to, and not by itself.


def test_asking_stands_when_its_grace_period_is_over(asking: Asking) -> None:
    asking.act(HELP)
    asking.act(NOT_ME)
    asking.planned.step(hours=3)
    apply_due_replies(asking.planned.engine, asking.planned.clock, batch=10)
    asking.look()

    assert asking.live() == ["help-wanted", "not-theirs"]
    assert {row.state for row in asking.planned.rows(Reply)} == {"applied"}


def test_asking_ends_when_an_officer_reached_somebody_by_telephone(
    asking: Asking,
) -> None:
    asking.act(HELP)
    asking.act(NOT_ME)

    log_call(
        asking.planned.engine,
        incident=INCIDENT,
        subscriber=str(asking.planned.subscribers[0]),
        outcome=CallOutcome.REACHED,
        note="",
        caller="Ho Sze Man",
        new_contact=None,
        clock=asking.planned.clock,
    )
    asking.look()

    assert asking.live() == []


def test_not_theirs_ends_when_an_officer_names_whose_it_is(asking: Asking) -> None:
    asking.act(NOT_ME)

    correct_contact(
        asking.planned.engine,
        incident=INCIDENT,
        subscriber=asking.planned.subscribers[0],
        change=ChangeContact(
            name="IT", email="it@clinic.example", phone="", instead_of=None
        ),
        by=Officer(name="Ho Sze Man", email="ho@ca.example", role=OfficeRole.OFFICER),
        clock=asking.planned.clock,
    )
    asking.look()

    assert asking.live() == []


def test_not_theirs_ends_when_a_colleague_acts(asking: Asking) -> None:
    asking.act(NOT_ME)
    asking.act(READ_IT, asking.lee)

    assert asking.live() == []


def test_certificates_of_somebody_else_wait_for_an_officer_whoever_acts(
    asking: Asking,
) -> None:
    asking.act(NotMine(certificates=asking.certificates()[:1]))
    asking.act(READ_IT, asking.lee)

    assert asking.live() == ["not-theirs"]


# Taken back.


@pytest.mark.parametrize("act", [NOT_ME, HELP], ids=["not-mine", "help"])
def test_asking_ends_when_it_is_taken_back_by_a_colleague(
    asking: Asking, act: ReplyAct
) -> None:
    taken = asking.act(act)
    asking.act(Undo(reply=taken.reply), asking.lee)

    assert asking.live() == []
    assert asking.planned.rows(Reply)[0].state == ReplyState.UNDONE


def test_asking_stands_when_only_another_one_is_taken_back(asking: Asking) -> None:
    asking.act(HELP)
    second = asking.act(HELP, asking.lee)
    asking.act(Undo(reply=second.reply))

    assert asking.live() == ["help-wanted"]


def test_mail_that_says_so_stands_when_a_report_by_link_is_taken_back(
    asking: Asking,
) -> None:
    asking.mail("I am the wrong person, write to IT.")
    second = asking.act(NOT_ME, asking.lee)
    asking.act(Undo(reply=second.reply), asking.lee)

    assert asking.live() == ["not-theirs"]


def test_asking_cannot_be_taken_back_when_its_grace_period_is_over(
    asking: Asking,
) -> None:
    taken = asking.act(HELP)
    asking.planned.step(seconds=(GRACE + HOUR).total_seconds())
    apply_due_replies(asking.planned.engine, asking.planned.clock, batch=10)

    with pytest.raises(Refused, match="no longer be undone"):
        asking.act(Undo(reply=taken.reply))


def test_record_holds_neither_the_words_nor_the_number(asking: Asking) -> None:
    asking.act(HELP)

    record = str(asking.planned.acts())
    assert "appliance" not in record
    assert "5550" not in record
    assert "ask-help" in record
