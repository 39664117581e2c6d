"""Addresses confirm themselves before they see anything; nobody is lost meanwhile."""

from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from factories import insert_contact
from fakes.planned import INCIDENT, LINKS, SENDER, Planned, plan_notices
from fakes.scripted_relay import ScriptedRelay
from portal_server import GRACE, claims_for
from sqlalchemy import Engine, select, update

from models.base import table
from models.outreach import ContactChange, Notice, Reply
from models.subscriber import Contact, Subscriber
from models.terms import (
    CallOutcome,
    ContactId,
    ContactState,
    EscalationState,
    OfficeRole,
    UnreachableReason,
)
from tocsin.clock import SteppedClock
from tocsin.errors import Refused
from tocsin.links import CONFIRMATION, SUBSCRIBER
from tocsin.policy.contacts import MOST_ASKED, MOST_CHANGES, MOST_WAITING
from tocsin.policy.office import Officer
from tocsin.steps.calls import log_call, parse_new_contact
from tocsin.steps.confirmations import AnswerForAddress, Choice, answer_for_address
from tocsin.steps.contacts import correct_contact
from tocsin.steps.outreach import Telling, plan_outreach
from tocsin.steps.replies import Taken, take_reply
from tocsin.steps.reply_acts import (
    AskAgain,
    ChangeContact,
    ConfirmAddress,
    NotMine,
    RemoveContact,
    ReplyAct,
)
from tocsin.store.calls import call_sheet
from tocsin.store.contacts import contact_is_current
from tocsin.store.figures import incident_figures
from tocsin.store.outcomes import mark_unreachable
from tocsin.store.pages import subscriber_view
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.one_database

CHAN, LEE, WONG = "chan@clinic.example", "lee@clinic.example", "wong@clinic.example"
YES, NOT_ME = (AnswerForAddress(choice=choice) for choice in Choice)
HO = Officer(name="Ho Sze Man", email="ho@ca.example", role=OfficeRole.OFFICER)


def named(email: str = WONG, instead_of: ContactId | None = None) -> ChangeContact:
    return ChangeContact(
        name="Wong Ka Yan", email=email, phone="", instead_of=instead_of
    )


@dataclass
class People:
    """A clinic where Chan and Lee were told."""

    planned: Planned
    chan: ContactId
    lee: ContactId
    forms: list[str] = field(default_factory=list)

    def act(self, act: ReplyAct, by: ContactId | None = None) -> Taken:
        self.forms.append("form")
        return take_reply(
            self.planned.engine,
            claims=claims_for(INCIDENT, self.planned.subscribers[0], by or self.chan),
            act=act,
            nonce=f"form-{len(self.forms)}",
            clock=self.planned.clock,
            grace_within=GRACE,
            mail_domain=SENDER.mail_domain,
        )

    def answer(self, answer: AnswerForAddress, email: str = WONG) -> bool:
        self.forms.append("form")
        return answer_for_address(
            self.planned.engine,
            claims=claims_for(
                INCIDENT,
                self.planned.subscribers[0],
                self.key(email),
                purpose=CONFIRMATION,
            ),
            answer=answer,
            nonce=f"form-{len(self.forms)}",
            clock=self.planned.clock,
            mail_domain=SENDER.mail_domain,
        )

    def look(self) -> None:
        plan_outreach(
            self.planned.engine,
            incident=INCIDENT,
            telling=Telling(mail_domain=SENDER.mail_domain),
            clock=self.planned.clock,
        )

    def row(self, email: str = WONG) -> Any:
        with reading(self.planned.engine) as connection:
            return connection.execute(
                select(table(Contact)).where(table(Contact).c.email == email)
            ).one()

    def key(self, email: str = WONG) -> ContactId:
        return ContactId(self.row(email).id)

    def states(self) -> dict[str, str]:
        return {
            row.email.partition("@")[0]: row.state for row in self.planned.rows(Contact)
        }

    def mails(self, email: str) -> list[str]:
        """Return the kinds of what was planned for an address, of this test alone."""
        return [
            row.kind
            for row in self.planned.notices()
            if row.contact_id == self.key(email) and row.kind != "initial"
        ]

    def is_told(self, email: str) -> bool:
        return any(
            row.kind == "initial"
            for row in self.planned.notices()
            if row.contact_id == self.key(email)
        )

    def opens(self, email: str, generation: int = 0) -> bool:
        """Whether a subscriber's link of this contact opens the page."""
        with reading(self.planned.engine) as connection:
            return contact_is_current(
                connection,
                claims=claims_for(
                    INCIDENT,
                    self.planned.subscribers[0],
                    self.key(email),
                    generation=generation,
                ),
            )

    def live(self) -> set[str]:
        over = {EscalationState.ENDED, EscalationState.RAISED_FURTHER}
        return {
            row.cause for row in self.planned.escalations() if row.state not in over
        }


@pytest.fixture
def people(engine: Engine, clock: SteppedClock) -> People:
    planned = plan_notices(engine, clock, CHAN)
    with writing(engine) as connection:
        lee = insert_contact(
            connection, INCIDENT, planned.subscribers[0], LEE, rank=2, name="Lee"
        )
        connection.execute(update(table(Subscriber)).values(ladder_position=1))
    planned.plan([lee])
    with writing(engine) as connection:
        connection.execute(
            update(table(Notice)).values(state="sent", sent_at=clock.now())
        )
    clock.step_to(clock.now() + timedelta(minutes=5))
    return People(planned=planned, chan=planned.contacts[0], lee=lee)


# Before it is confirmed.


def test_named_address_gets_one_mail_and_opens_nothing_before_it_is_confirmed(
    people: People,
) -> None:
    people.act(named())
    people.look()
    for _ in range(4):
        people.planned.step(hours=12)
        people.look()

    assert people.mails(WONG) == ["confirm-address"]
    assert not people.is_told(WONG)
    assert not people.opens(WONG)
    assert people.row().state == "unconfirmed"


def test_nobody_leaves_before_the_one_in_their_place_has_confirmed(
    people: People,
) -> None:
    taken = people.act(named(instead_of=people.chan))

    assert taken.link_lives
    assert people.states() == {
        "chan": "active",
        "lee": "active",
        "wong": "unconfirmed",
    }
    assert people.opens(CHAN)


def test_whoever_is_named_by_saying_not_mine_waits_too(people: People) -> None:
    people.act(NotMine(certificates=(), named=named()))

    assert people.row().state == "unconfirmed"
    assert people.mails(WONG) == ["confirm-address"]


def test_ladder_moves_on_though_an_address_waits(people: People) -> None:
    with writing(people.planned.engine) as connection:
        mark_unreachable(
            connection,
            contacts=[people.chan, people.lee],
            subscribers=people.planned.subscribers,
            reason=UnreachableReason.BOUNCED,
            now=people.planned.clock.now(),
        )
    people.act(named())
    people.look()

    assert "unreachable" in people.live()


def test_named_address_asks_once_when_its_name_is_corrected(people: People) -> None:
    people.act(named())
    since = people.row().waits_since
    people.planned.step(minutes=30)
    people.act(
        ChangeContact(
            name="Wong K. Y.",
            email=WONG.upper(),
            phone="+852 5550 0123",
            instead_of=None,
        )
    )

    assert people.mails(WONG) == ["confirm-address"]
    assert (people.row().name, people.row().waits_since) == ("Wong K. Y.", since)


# Once it is.


def test_contact_is_told_at_once_when_the_address_is_confirmed(people: People) -> None:
    people.act(named())
    people.planned.step(minutes=1)
    assert people.answer(YES)
    people.look()

    assert people.states()["wong"] == "active"
    assert people.row().confirmed_at == people.planned.clock.now()
    assert people.is_told(WONG)
    assert people.opens(WONG)


def test_old_one_leaves_and_is_told_when_the_new_address_is_confirmed(
    people: People,
) -> None:
    people.act(named(instead_of=people.chan), by=people.lee)
    assert people.answer(YES)

    assert people.states() == {"chan": "removed", "lee": "active", "wong": "active"}
    assert people.row().rank == 1
    assert not people.opens(CHAN)
    # One when the address was named, one when it was confirmed.
    assert people.mails(CHAN) == ["contacts-changed"] * 2
    assert people.mails(LEE) == ["contacts-changed"] * 2
    assert people.mails(WONG) == ["confirm-address"]


def test_i4_confirmation_counts_once_when_it_is_pressed_twice(people: People) -> None:
    people.act(named())
    assert people.answer(YES)

    assert not people.answer(YES)
    assert not people.answer(NOT_ME)
    assert people.states()["wong"] == "active"
    assert len(people.planned.rows(Reply)) == 2
    assert people.mails(LEE) == ["contacts-changed"] * 2


def test_who_does_not_want_our_mails_gets_none_and_colleagues_are_told(
    people: People,
) -> None:
    people.act(named(instead_of=people.chan))
    assert people.answer(NOT_ME)
    people.look()

    assert people.states() == {"chan": "active", "lee": "active", "wong": "removed"}
    assert people.mails(WONG) == ["confirm-address"]
    assert people.planned.notices()[-1].kind == "contacts-changed"
    with pytest.raises(Refused, match="want no mails"):
        people.act(named())


def test_officers_can_name_who_did_not_want_our_mails(people: People) -> None:
    people.act(named())
    people.answer(NOT_ME)
    correct_contact(
        people.planned.engine,
        incident=INCIDENT,
        subscriber=people.planned.subscribers[0],
        change=named(),
        by=HO,
        clock=people.planned.clock,
    )

    assert (people.row().state, people.row().disowned_at) == ("active", None)


def test_i5_each_change_is_on_record_without_an_address(people: People) -> None:
    people.act(named(instead_of=people.chan))
    people.answer(YES)
    acts = people.planned.acts()

    assert [act.action for act in acts] == ["reply-received", "address-confirmed"]
    assert acts[1].detail["contact_removed"] == people.chan
    assert "wong" not in str(acts).casefold()


# Nobody is lost.


def test_last_who_can_be_reached_is_not_removed(people: People) -> None:
    people.act(RemoveContact(contact=people.lee))
    people.act(named())

    for act in (
        RemoveContact(contact=people.chan),
        RemoveContact(contact=people.lee),
    ):
        with pytest.raises(Refused):
            people.act(act)
    assert people.states()["chan"] == "active"


def test_address_that_mail_came_back_from_takes_the_place_of_nobody_who_is_the_last(
    people: People,
) -> None:
    with writing(people.planned.engine) as connection:
        mark_unreachable(
            connection,
            contacts=[people.lee],
            subscribers=people.planned.subscribers,
            reason=UnreachableReason.BOUNCED,
            now=people.planned.clock.now(),
        )

    with pytest.raises(Refused, match="nobody else"):
        people.act(named(LEE, instead_of=people.chan))
    assert people.states()["chan"] == "active"
    people.act(named(LEE))
    assert people.states()["lee"] == "active"


def test_removed_contact_gets_the_last_mail_and_no_planned_one(people: People) -> None:
    people.planned.plan([people.lee], sequence=7)
    taken = people.act(RemoveContact(contact=people.lee))

    assert taken.link_lives
    assert not people.opens(LEE)
    assert people.mails(LEE) == ["contacts-changed"]
    assert [row.state for row in people.planned.notices() if row.sequence == 7] == [
        "superseded"
    ]


def test_own_link_dies_when_somebody_removes_themselves(people: People) -> None:
    assert not people.act(RemoveContact(contact=people.chan)).link_lives
    with pytest.raises(Refused, match="not valid"):
        people.act(named())


def test_withdrawn_address_cannot_confirm_itself_any_more(people: People) -> None:
    people.act(named(instead_of=people.chan))
    people.act(RemoveContact(contact=people.key()))

    with pytest.raises(Refused, match="not valid"):
        people.answer(YES)
    assert people.states()["chan"] == "active"
    assert [row.state for row in people.planned.notices()][2] == "superseded"


def test_confirmation_goes_on_when_the_old_one_has_left_meanwhile(
    people: People,
) -> None:
    people.act(named(instead_of=people.lee))
    people.act(RemoveContact(contact=people.lee))
    assert people.answer(YES)

    assert people.states() == {"chan": "active", "lee": "removed", "wong": "active"}


def test_address_that_never_confirmed_goes_on_waiting_when_its_mail_comes_back(
    people: People,
) -> None:
    people.act(named())
    with writing(people.planned.engine) as connection:
        mark_unreachable(
            connection,
            contacts=[people.key()],
            subscribers=people.planned.subscribers,
            reason=UnreachableReason.BOUNCED,
            now=people.planned.clock.now(),
        )
    people.act(named())

    assert (people.row().state, people.mails(WONG)) == (
        "unconfirmed",
        ["confirm-address"],
    )


# Limits.


def test_mail_is_sent_again_three_times_at_most(people: People) -> None:
    people.act(named())
    with pytest.raises(Refused, match="a few minutes ago"):
        people.act(AskAgain(contact=people.key()))
    for _ in range(MOST_ASKED - 1):
        people.planned.step(minutes=10)
        people.act(AskAgain(contact=people.key()))
    people.planned.step(hours=9)
    with pytest.raises(Refused, match="several times"):
        people.act(AskAgain(contact=people.key()))

    assert people.mails(WONG) == ["confirm-address"] * MOST_ASKED
    assert people.mails(LEE) == ["contacts-changed"]


def test_only_who_waits_is_asked_again(people: People) -> None:
    with pytest.raises(Refused, match="does not wait"):
        people.act(AskAgain(contact=people.lee))


def test_few_addresses_wait_at_a_time(people: People) -> None:
    for number in range(MOST_WAITING):
        people.act(named(f"w{number}@clinic.example"))

    with pytest.raises(Refused, match="wait for their confirmation already"):
        people.act(named())


def test_few_changes_are_made_in_a_day_and_a_confirmation_is_never_one_too_many(
    people: People,
) -> None:
    people.act(named())
    for _ in range(MOST_CHANGES - 1):
        people.act(named())
    with pytest.raises(Refused, match="too often"):
        people.act(RemoveContact(contact=people.key()))

    assert people.answer(YES)
    people.planned.step(hours=24)
    people.act(RemoveContact(contact=people.key()))


# One's own address.


def test_own_address_is_confirmed_on_record_and_nobody_is_told(people: People) -> None:
    people.act(ConfirmAddress())

    assert people.row(CHAN).confirmed_at == people.planned.clock.now()
    assert people.states() == {"chan": "active", "lee": "active"}
    assert people.mails(LEE) == []


# The CA's own staff.


def test_contact_of_a_call_is_written_to_at_once(people: People) -> None:
    people.act(named())
    log_call(
        people.planned.engine,
        incident=INCIDENT,
        subscriber="Clinic 1",
        outcome=CallOutcome.REACHED,
        note="",
        caller="Ho",
        new_contact=parse_new_contact(f"Wong <{WONG}>"),
        clock=people.planned.clock,
    )
    people.look()

    assert people.row().state == "active"
    assert people.is_told(WONG)


# What is counted and shown.


def test_waiting_address_is_shown_and_counted_as_one_who_is_not_reached(
    people: People,
) -> None:
    people.act(named(instead_of=people.chan))
    now = people.planned.clock.now()
    with reading(people.planned.engine) as connection:
        view = subscriber_view(
            connection,
            incident=INCIDENT,
            subscriber=people.planned.subscribers[0],
            now=now,
        )
        figures = incident_figures(connection, incident=INCIDENT, now=now)
        call_sheet(connection, incident=INCIDENT, limit=9)

    assert view is not None
    wong = view.contacts[-1]
    assert (wong.state, wong.waits_since, wong.instead_of) == (
        ContactState.UNCONFIRMED,
        now,
        people.chan,
    )
    assert figures.contacts[ContactState.UNCONFIRMED] == 1
    assert sum(figures.contacts.values()) == 3


def test_mails_say_what_their_reader_may_know(people: People) -> None:
    people.act(named(instead_of=people.chan), by=people.lee)
    with ScriptedRelay() as relay:
        people.planned.send(relay.port)
        people.answer(YES)
        people.planned.send(relay.port)
    mails: dict[str, list[EmailMessage]] = {CHAN: [], LEE: [], WONG: []}
    for taken in relay.taken:
        mails[taken.recipient].append(
            message_from_bytes(taken.content, policy=policy.default)
        )
    texts = {who: [_text(mail) for mail in received] for who, received in mails.items()}

    (asked,) = texts[WONG]
    assert "Clinic 1" in asked
    for others in ("Chan", "Lee", "Wong", "clinic.example", "host-", "/s/", "revo"):
        assert others not in asked.split("https://")[0], others
    token = asked.partition("/c/")[2].split()[0]
    claims = LINKS.read(token, purpose=CONFIRMATION, now=people.planned.clock.now())
    assert claims.contact == people.key()
    with pytest.raises(Refused):
        LINKS.read(token, purpose=SUBSCRIBER, now=people.planned.clock.now())
    assert WONG not in str(texts[CHAN] + texts[LEE])
    assert "you go on getting our mails" in texts[CHAN][0]
    assert "your link has stopped working" in texts[CHAN][1]
    assert "/s/" not in texts[CHAN][1]
    assert "is a contact now" in texts[LEE][1]
    assert len(people.planned.rows(ContactChange, "reply_id")) == 2


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())
