"""An incident whose notices are planned, a relay to send them to, and what came of it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from factories import (
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from sqlalchemy import Connection, Engine, select

from models.base import table
from models.outreach import Attempt, Escalation, Notice
from models.subscriber import Contact, Subscriber
from models.terms import ContactId, IncidentId, NoticeKind, SubscriberId
from tocsin.clock import SteppedClock
from tocsin.links import Links
from tocsin.mail.render import TemplateSet
from tocsin.mail.smtp import Mailer, SmtpMailer
from tocsin.policy.effects import SendNotice
from tocsin.policy.ladder import shipped_ladder
from tocsin.policy.rules import shipped_rule_pack
from tocsin.settings import Tls
from tocsin.steps.send import Sender, Sent, send_due
from tocsin.store import audit, intents
from tocsin.store.session import reading, writing

INCIDENT = IncidentId("test-incident")
LINKS = Links(["a secret of the tests, forty letters long"])
SENDER = Sender(
    address="certificates@ca.example",
    name="Example CA",
    bounce_domain="bounces.ca.example",
    portal_url="https://portal.ca.example",
    ca_name="Example CA",
    ca_phone="+852 5550 0100",
    ca_site="www.ca.example",
)
TEMPLATES = TemplateSet.from_files()


@dataclass
class Planned:
    """Subscribers with one contact each, and one initial notice to each contact."""

    engine: Engine
    clock: SteppedClock
    subscribers: list[SubscriberId] = field(default_factory=list)
    contacts: list[ContactId] = field(default_factory=list)

    def add(
        self, connection: Connection, email: str, *, certificates: int = 2
    ) -> ContactId:
        """Add a subscriber and its contact, nothing planned yet."""
        number = len(self.subscribers) + 1
        subscriber = insert_subscriber(connection, INCIDENT, f"Clinic {number}")
        contact = insert_contact(connection, INCIDENT, subscriber, email)
        insert_revocations(
            connection,
            INCIDENT,
            insert_certificates(
                connection,
                INCIDENT,
                subscriber,
                certificates,
                first_serial=0x1000 * number,
            ),
        )
        self.subscribers.append(subscriber)
        self.contacts.append(contact)
        return contact

    def plan(
        self,
        contacts: list[ContactId],
        *,
        kind: NoticeKind = NoticeKind.INITIAL,
        sequence: int = 0,
    ) -> None:
        with writing(self.engine) as connection:
            intents.plan_notices(
                connection,
                [
                    SendNotice(contact=contact, kind=kind, sequence=sequence)
                    for contact in contacts
                ],
                incident=INCIDENT,
                mail_domain="ca.example",
                now=self.clock.now(),
            )

    def send(self, mailer: Mailer | int, **options: Any) -> Sent:
        """Send what is due through a mailer, or to a relay at a port."""
        if isinstance(mailer, int):
            mailer = SmtpMailer("127.0.0.1", mailer, tls=Tls.NONE, timeout_seconds=5)
        given: dict[str, Any] = {"owner": "test", "templates": TEMPLATES} | options
        templates = given.pop("templates")
        return send_due(
            self.engine, mailer, lambda _: templates, LINKS, SENDER, self.clock, **given
        )

    def step(self, **later: float) -> datetime:
        self.clock.step_to(self.clock.now() + timedelta(**later))
        return self.clock.now()

    def rows(self, model: Any, *order: str) -> list[Any]:
        with reading(self.engine) as connection:
            rows = table(model)
            return list(
                connection.execute(
                    select(rows).order_by(*(rows.c[name] for name in order or ("id",)))
                )
            )

    def notices(self) -> list[Any]:
        return self.rows(Notice)

    def attempts(self) -> list[Any]:
        return self.rows(Attempt)

    def escalations(self) -> list[Any]:
        return self.rows(Escalation)

    def states(self) -> dict[str, int]:
        return dict(Counter(row.state for row in self.notices()))

    def contact_states(self) -> dict[str, int]:
        return dict(Counter(row.state for row in self.rows(Contact)))

    def looked_at(self) -> list[datetime | None]:
        return [row.look_at for row in self.rows(Subscriber)]

    def acts(self) -> list[audit.RecordedAct]:
        """Return the record, whose chain is checked first (I5)."""
        with reading(self.engine) as connection:
            acts = list(audit.acts(connection, incident=INCIDENT))
            if acts:
                verdict = audit.check_chain(connection, incident=INCIDENT)
                assert verdict.problems == ()
            return acts


def plan_notices(
    engine: Engine, clock: SteppedClock, *emails: str, certificates: int = 2
) -> Planned:
    """Insert a running incident with a planned notice for each address."""
    planned = Planned(engine=engine, clock=clock)
    with writing(engine) as connection:
        insert_incident(
            connection,
            rule_pack=shipped_rule_pack().text,
            ladder=shipped_ladder(timedelta(days=5)).text,
            launched_at=LAUNCH,
        )
        for email in emails:
            planned.add(connection, email, certificates=certificates)
    planned.plan(planned.contacts)
    return planned


def addresses(count: int) -> list[str]:
    return [f"r{number}@clinic.example" for number in range(1, count + 1)]
