"""An incident walked through on the real clock, frozen: what left, and who was told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from factories import LAUNCH
from fakes.launching import launch_listed
from fakes.lists import make_certificate, pem
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory
from sqlalchemy import select

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Escalation, Notice
from models.subscriber import Contact, Subscriber
from models.terms import (
    CertificateId,
    Circumstance,
    ContactId,
    IncidentId,
    SubscriberId,
)
from tocsin.ca.issuers import create_issuer, find_issuer
from tocsin.clock import SystemClock
from tocsin.demo.relay import EmbeddedRelay, looks_like_a_bouncer
from tocsin.links import SUBSCRIBER, LinkClaims
from tocsin.policy.ladder import parse_ladder, timetable
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators, advance, next_due_at
from tocsin.steps.collaborators import open_collaborators
from tocsin.steps.replies import take_reply
from tocsin.steps.reply_acts import ReplyAct
from tocsin.store import audit
from tocsin.store.incidents import IncidentRecord, read_incident
from tocsin.store.session import reading

DIRECTORY = """subscriber,sector,zone,domains,name,email,phone,rank,role
Clinic,Health,Asia/Hong_Kong,clinic.example,Chan,first@clinic.example,+852 5550 0100,1,
Clinic,Health,Asia/Hong_Kong,,Lee,second@clinic.example,,2,
School,Education,Asia/Hong_Kong,school.example,Ho,head@school.example,,1,
,,,,Account manager,account@ca.example,,,account-manager
,,,,Operations,operations@ca.example,,,operations-manager
,,,,Compliance,lead@ca.example,,,compliance-lead
"""
HOSTS = ("www.clinic.example", "mail.clinic.example", "www.school.example")


@dataclass
class Walk:
    """
    One incident; whatever leaves or is raised goes into its log, in order.

    A line of the log is the moment, and what happened in it.
    """

    c: Collaborators
    incident: IncidentId
    relay: EmbeddedRelay
    frozen: FrozenDateTimeFactory
    log: list[tuple[str, str]] = field(default_factory=list)
    _mails: set[str] = field(default_factory=set)
    _acts: int = 0

    @property
    def now(self) -> datetime:
        return self.c.clock.now()

    @property
    def record(self) -> IncidentRecord:
        with reading(self.c.engine) as connection:
            return read_incident(connection, incident=self.incident)

    def due(self, step: str) -> datetime:
        """Return the first instant of a step of the ladder."""
        record = self.record
        (due,) = [
            due
            for due in timetable(parse_ladder(record.ladder), record.facts)
            if due.step.name == step and not due.repetition
        ]
        return due.due_at

    def run(self) -> None:
        """Let the engine do what is due at this instant."""
        done = advance(self.c)
        assert done.problems == []
        self._look()

    def live(self, until: datetime | None = None) -> None:
        """Let the engine wake whenever something is due, up to an instant."""
        while True:
            self.run()
            following = next_due_at(self.c.engine)
            if following is None or (until is not None and following > until):
                break
            self.step_to(max(following, self.now + timedelta(seconds=1)))
        if until is not None:
            self.step_to(until)
            self.run()

    def step_to(self, instant: datetime) -> None:
        """Let time pass in which the engine is down."""
        self.frozen.move_to(instant)

    def reply(self, email: str, act: ReplyAct) -> None:
        """Do something as a contact."""
        contact = table(Contact)
        with reading(self.c.engine) as connection:
            row = connection.execute(
                select(contact).where(contact.c.email == email)
            ).one()
        take_reply(
            self.c.engine,
            claims=LinkClaims(
                incident=self.incident,
                subscriber=SubscriberId(row.subscriber_id),
                contact=ContactId(row.id),
                purpose=SUBSCRIBER,
                generation=0,
                expires_at=self.now + timedelta(days=30),
            ),
            act=act,
            nonce=f"{email} {self.now}",
            clock=self.c.clock,
            grace_within=timedelta(minutes=60),
            mail_domain="ca.example",
        )

    def certificates(self, host: str) -> tuple[CertificateId, ...]:
        certificate = table(AffectedCertificate)
        with reading(self.c.engine) as connection:
            return tuple(
                CertificateId(row.id)
                for row in connection.execute(select(certificate))
                if row.dns_names[0].endswith(host)
            )

    def escalations(self) -> list[tuple[str, str, int]]:
        """Return cause, state and how often it was raised of each."""
        escalation = table(Escalation)
        with reading(self.c.engine) as connection:
            return [
                (row.cause, row.state, row.raised_times)
                for row in connection.execute(
                    select(escalation).order_by(escalation.c.id)
                )
            ]

    def take_log(self) -> list[tuple[str, str]]:
        """Return what happened since the last time."""
        taken, self.log = self.log, []
        return taken

    def _look(self) -> None:
        moment = self.moment()
        with reading(self.c.engine) as connection:
            names = {
                row.id: row.name
                for row in connection.execute(
                    select(table(Subscriber).c.id, table(Subscriber).c.name)
                )
            }
            acts = list(audit.acts(connection, incident=self.incident))
            notices: dict[str, Any] = {
                row.message_id: row for row in connection.execute(select(table(Notice)))
            }
        for act in acts[self._acts :]:
            if act.action == "outreach-planned":
                detail: Any = act.detail
                self.log += [
                    (moment, f"{names.get(subscriber, 'Incident')} raised: {cause}")
                    for subscriber, cause, _ in detail["raised"]
                ]
                self.log += [
                    (moment, f"{names.get(subscriber, 'Incident')} ended: {cause}")
                    for subscriber, cause in detail["ended"]
                ]
        self._acts = len(acts)
        found = []
        for path in (self.relay.outbox / "new").iterdir():
            if path.name not in self._mails:
                self._mails.add(path.name)
                message = message_from_bytes(path.read_bytes(), policy=default)
                kind = notices[str(message["Message-ID"])].kind
                found.append((moment, f"{message['Delivered-To']} gets {kind}"))
        self.log += sorted(found)

    def moment(self) -> str:
        """Name the present instant by what is due at it, else by its distance."""
        record = self.record
        names = [
            due.name
            for due in timetable(parse_ladder(record.ladder), record.facts)
            if due.due_at == self.now
        ]
        if names:
            return " + ".join(names)
        return f"{(self.now - LAUNCH) / timedelta(hours=1):.1f} h"


@contextmanager
def walking(
    folder: Path,
    *,
    circumstance: Circumstance,
    before_launch: timedelta,
    **settings: Any,
) -> Iterator[Walk]:
    """Launch an incident of three certificates at LAUNCH, the clock frozen there."""
    made_aware_at = LAUNCH - before_launch
    # Before the clock is frozen: cryptography remembers the first datetime class it sees.
    key = create_issuer(
        folder / "ca", name="Walk CA", organisation="Example CA", now=made_aware_at
    )
    issuer = find_issuer(folder / "ca", key)
    assert issuer is not None
    (folder / "list.pem").write_bytes(
        pem(
            make_certificate(
                0x1000 + number,
                organisation=None,
                dns_names=(host,),
                issuer=issuer.certificate.subject,
            )
            for number, host in enumerate(HOSTS)
        )
    )
    (folder / "directory.csv").write_text(DIRECTORY, "utf-8")
    with freeze_time(LAUNCH, real_asyncio=True) as frozen:
        assert isinstance(frozen, FrozenDateTimeFactory)
        clock = SystemClock()
        with EmbeddedRelay(
            folder / "mail", clock=clock, bounces=looks_like_a_bouncer
        ) as relay:
            given = Settings(
                data_directory=folder,
                smtp_host="127.0.0.1",
                smtp_port=relay.port,
                bounce_maildir=folder / "mail" / "bounces",
                **settings,
            )
            with open_collaborators(given, clock=clock, owner="walk") as c:
                incident = launch_listed(
                    c,
                    given,
                    circumstance=circumstance,
                    made_aware_at=made_aware_at,
                )
                yield Walk(c=c, incident=incident, relay=relay, frozen=frozen)
