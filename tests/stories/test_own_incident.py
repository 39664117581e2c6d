"""An incident of one's own: three certificates, two subscribers, one address that bounces."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from factories import LAUNCH, MADE_AWARE
from fakes.launching import launch_listed
from fakes.lists import make_certificate, pem
from sqlalchemy import select

from models.base import table
from models.incident import Incident
from models.outreach import Escalation, Notice
from models.revocation import Revocation
from models.subscriber import Contact
from models.terms import Circumstance, IncidentId
from tocsin.ca.issuers import create_issuer, find_issuer
from tocsin.clock import SteppedClock
from tocsin.demo.relay import EmbeddedRelay, looks_like_a_bouncer
from tocsin.settings import Settings
from tocsin.steps.advance import Advanced, Collaborators, advance, next_due_at
from tocsin.steps.collaborators import open_collaborators
from tocsin.store.reconciliation import verify
from tocsin.store.session import reading

DIRECTORY = """subscriber,sector,zone,domains,name,email,phone,rank,role
Harbour Clinic,Health,Asia/Hong_Kong,clinic.example,Chan Tai Man,bounce@clinic.example,+852 5550 0100,1,
Harbour Clinic,Health,Asia/Hong_Kong,,Lee Siu Ling,second@clinic.example,,2,
Ferry Company,Transport,Asia/Hong_Kong,ferry.example,Ho,bounce-ho@ferry.example,,1,
,,,,Account manager,account@ca.example,,,account-manager
,,,,Operations,operations@ca.example,,,operations-manager
,,,,Compliance,lead@ca.example,,,compliance-lead
"""


class Story:
    """One incident that is lived through instant by instant."""

    def __init__(
        self, c: Collaborators, clock: SteppedClock, incident: IncidentId
    ) -> None:
        self.c, self.clock, self.incident = c, clock, incident
        self.runs: list[tuple[datetime, Advanced]] = []

    def live(self, until: datetime | None = None) -> None:
        while True:
            done = advance(self.c)
            assert done.problems == []
            self.runs.append((self.clock.now(), done))
            following = next_due_at(self.c.engine)
            if following is None or (until and following > until):
                return
            self.clock.step_to(max(following, self.clock.now() + timedelta(seconds=1)))

    def notices(self) -> list[tuple[str, str, str]]:
        notice, contact = table(Notice), table(Contact)
        with reading(self.c.engine) as connection:
            return [
                (row.email, row.kind, row.state)
                for row in connection.execute(
                    select(contact.c.email, notice.c.kind, notice.c.state)
                    .join(contact, contact.c.id == notice.c.contact_id)
                    .order_by(notice.c.id)
                )
            ]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    clock = SteppedClock(LAUNCH)
    key = create_issuer(
        tmp_path / "ca", name="Story CA", organisation="Example CA", now=MADE_AWARE
    )
    issuer = find_issuer(tmp_path / "ca", key)
    assert issuer is not None
    hosts = ["www.clinic.example", "mail.clinic.example", "www.ferry.example"]
    (tmp_path / "list.pem").write_bytes(
        pem(
            make_certificate(
                0x1000 + number,
                organisation=None,
                dns_names=(host,),
                issuer=issuer.certificate.subject,
            )
            for number, host in enumerate(hosts)
        )
    )
    (tmp_path / "directory.csv").write_text(DIRECTORY, "utf-8")
    with EmbeddedRelay(
        tmp_path / "mail", clock=clock, bounces=looks_like_a_bouncer
    ) as relay:
        settings = Settings(
            data_directory=tmp_path,
            smtp_host="127.0.0.1",
            smtp_port=relay.port,
            bounce_maildir=tmp_path / "mail" / "bounces",
        )
        with open_collaborators(settings, clock=clock, owner="story") as c:
            incident = launch_listed(
                c,
                settings,
                circumstance=Circumstance.MISISSUED,
                made_aware_at=MADE_AWARE,
            )
            yield Story(c, clock, incident)


@pytest.mark.server
def test_all_is_published_before_the_deadline_although_nobody_ever_answers(
    story: Story,
) -> None:
    story.live()

    revocation, incident = table(Revocation), table(Incident)
    with reading(story.c.engine) as connection:
        rows = connection.execute(select(revocation)).all()
        record = connection.execute(select(incident)).one()
        assert verify(connection, incident=story.incident).problems == ()
    assert [row.state for row in rows] == ["published"] * 3
    assert all(row.published_at < record.deadline for row in rows)
    assert record.state == "closed"
    # Each contact has each notice once, and nobody got what was not expected.
    assert sorted(story.notices()) == sorted(
        [
            ("bounce@clinic.example", "initial", "bounced"),
            ("bounce-ho@ferry.example", "initial", "bounced"),
            ("second@clinic.example", "initial", "sent"),
            ("second@clinic.example", "reminder", "sent"),
            ("second@clinic.example", "reminder", "sent"),
            ("second@clinic.example", "reminder", "sent"),
            ("second@clinic.example", "final", "sent"),
            ("second@clinic.example", "final", "sent"),
            ("account@ca.example", "escalation", "sent"),
            ("account@ca.example", "escalation", "sent"),
            ("account@ca.example", "escalation", "sent"),
            ("operations@ca.example", "escalation", "sent"),
            ("operations@ca.example", "escalation", "sent"),
            ("lead@ca.example", "escalation", "sent"),
        ]
    )


@pytest.mark.server
def test_next_contact_is_told_at_once_when_the_first_address_bounces(
    story: Story,
) -> None:
    story.live(until=LAUNCH + timedelta(minutes=10))

    assert ("second@clinic.example", "initial", "sent") in story.notices()
    escalation = table(Escalation)
    with reading(story.c.engine) as connection:
        (row,) = connection.execute(select(escalation)).all()
    assert (row.cause, row.state) == ("unreachable", "told")


@pytest.mark.server
def test_i2_revocation_is_on_time_when_mail_is_broken(story: Story) -> None:
    class Broken:
        def send(self, messages: object) -> Iterator[object]:
            raise RuntimeError(messages)

    story.c = Collaborators(
        **{
            name: getattr(story.c, name)
            for name in Collaborators.__slots__
            if name != "mailer"
        },
        mailer=Broken(),  # type: ignore[arg-type]
    )
    revocation, incident = table(Revocation), table(Incident)
    with reading(story.c.engine) as connection:
        starts = connection.execute(
            select(incident.c.revocation_starts_at)
        ).scalar_one()

    first = advance(story.c)
    story.clock.step_to(starts)
    second = advance(story.c)

    assert first.problems == ["mail"]
    assert second.counts["revoked"] == 3
    with reading(story.c.engine) as connection:
        states = connection.execute(select(revocation.c.state)).scalars().all()
    assert set(states) == {"published"}
