"""A portal in the middle of an incident: mails have left, people have answered, a draft waits."""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
from factories import HOUR, LAUNCH, MADE_AWARE, insert_replacement
from fakes.launching import launch_listed
from fakes.lists import make_certificate, pem
from fakes.office import CHAN, LAM, OFFICERS, WONG, form_nonce, link_in
from fakes.scripted_relay import ScriptedRelay
from fakes.stack import wait_until
from fakes.walk import DIRECTORY, HOSTS
from fastapi import FastAPI
from portal_server import make_csr, nonce_in, running, visitor
from sqlalchemy import Engine, Row, inspect, select, text

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Reply
from models.replacement import Replacement
from models.subscriber import Contact, Subscriber
from models.terms import (
    CertificateId,
    Circumstance,
    ContactId,
    EscalationCause,
    EscalationTarget,
    IncidentId,
    OfficeMailState,
    SubscriberId,
)
from tocsin.ca.issuers import create_issuer, find_issuer
from tocsin.clock import SteppedClock
from tocsin.policy.effects import RaiseEscalation
from tocsin.portal.app import create_app, portal_config
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators, advance, next_due_at
from tocsin.steps.collaborators import open_collaborators
from tocsin.steps.outreach import put_on_record
from tocsin.store.session import reading, writing

FIRST, SECOND, HEAD = (
    "first@clinic.example",
    "second@clinic.example",
    "head@school.example",
)
THIRD, FOURTH = "third@clinic.example", "fourth@clinic.example"
"""Named during the incident: the one has confirmed the address, the other waits."""

ACCOUNT = "account@ca.example"
PUBLIC = "http://certificates.ca.example"
"""Where mails say that the portal is."""

_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_UNTIL = LAUNCH + 44 * HOUR
"""By then account managers were told of who does not answer."""
_WITHIN = 20.0

Snapshot = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What one subscriber has, as a stranger would like to see it."""

    subscriber: SubscriberId
    contact: ContactId
    token: str
    reply: int
    key: int
    certificates: Sequence[CertificateId]
    words: frozenset[str]

    @property
    def base(self) -> str:
        return f"/s/{self.token}"


@dataclass
class BusyPortal:
    """
    A running incident of a clinic and a school, and a draft that waits for an officer.

    Args:
        desk: Cookies of people at the desk, by what they are.
        gone: Cookies of people who were in once, by how that ended.
        tables: Names of all tables, once somebody asked for them.

    """

    c: Collaborators
    app: FastAPI
    settings: Settings
    clock: SteppedClock
    relay: ScriptedRelay
    address: str
    incident: IncidentId
    drafts: list[IncidentId] = field(default_factory=list)
    desk: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)

    @property
    def draft(self) -> IncidentId:
        """The incident that waits for a second officer."""
        return self.drafts[0]

    @property
    def engine(self) -> Engine:
        return self.c.engine

    @contextmanager
    def browser(self, cookie: str = "") -> Iterator[httpx.Client]:
        """Open a browser; redirects are looked at, not followed."""
        headers = {"Cookie": f"desk={cookie}"} if cookie else {}
        with visitor(self.address, headers=headers) as http:
            yield http

    def mails(self, to: str | None = None) -> list[EmailMessage]:
        return [
            message_from_bytes(taken.content, policy=policy.default)
            for taken in list(self.relay.taken)
            if to is None or taken.recipient == to
        ]

    def paths_in_mails(self, to: str | None = None) -> list[str]:
        """Return every address of the portal that a mail has in any of its parts."""
        found = {
            url.removeprefix(PUBLIC).rstrip(".,;")
            for mail in self.mails(to)
            for part in mail.walk()
            if part.get_content_maintype() == "text"
            for url in _URL.findall(_unfolded(part))
            if url.startswith(PUBLIC)
        }
        return sorted(found)

    def token_of(self, email: str, door: str = "/s/") -> str:
        """Return the token in the mails to somebody."""
        (path,) = {path for path in self.paths_in_mails(email) if path.startswith(door)}
        return path.removeprefix(door).partition("/")[0]

    def theirs(self, email: str) -> Theirs:
        """Return what the subscriber of a contact has."""
        contact = table(Contact)
        certificate = table(AffectedCertificate)
        reply, replacement = table(Reply), table(Replacement)
        with reading(self.engine) as connection:
            person = connection.execute(
                select(contact).where(contact.c.email == email)
            ).one()
            of = person.subscriber_id
            name = connection.execute(
                select(table(Subscriber).c.name).where(table(Subscriber).c.id == of)
            ).scalar_one()
            people = connection.execute(
                select(contact).where(contact.c.subscriber_id == of)
            ).all()
            owned = connection.execute(
                select(certificate).where(certificate.c.subscriber_id == of)
            ).all()
            replies = connection.execute(
                select(reply.c.id)
                .where(reply.c.subscriber_id == of, reply.c.state == "pending")
                .order_by(reply.c.id)
            ).scalars()
            issued = connection.execute(
                select(replacement).where(
                    replacement.c.certificate_id.in_([row.id for row in owned])
                )
            ).all()
            return Theirs(
                subscriber=SubscriberId(of),
                contact=ContactId(person.id),
                token=self.token_of(email),
                reply=replies.first() or 0,
                key=issued[0].id if issued else 0,
                certificates=[CertificateId(row.id) for row in owned],
                words=_words(name, people, owned)
                | {base64.b64encode(row.der).decode() for row in issued},
            )

    def snapshot(self) -> Snapshot:
        """Read every row of every table."""
        with reading(self.engine) as connection:
            self.tables = self.tables or inspect(connection).get_table_names()
            return {
                name: sorted(
                    repr(row)
                    for row in connection.execute(text(f"SELECT * FROM {name}"))  # noqa: S608
                )
                for name in self.tables
            }

    def way_in(self, http: httpx.Client, email: str) -> str:
        """Ask for a link to the desk and read it in the mail; returns its path."""
        self.app.state.office.background.wait(_WITHIN)  # other mail may be on its way
        before = len(self.mails(email))
        http.post("/desk/sign-in", data={"address": email, "leads_to": "/desk"})
        wait_until(
            lambda: len(self.mails(email)) > before, within=_WITHIN, what="a way in"
        )
        self.app.state.office.background.wait(_WITHIN)
        return link_in(self.mails(email)[-1])

    def sign_in(self, email: str) -> str:
        """Come in at the desk; returns the cookie."""
        with self.browser() as http:
            answer = http.post(self.way_in(http, email))
            assert answer.status_code == 303, answer.text
            return str(http.cookies["desk"])

    def do(self, http: httpx.Client, token: str, slug: str, **data: Any) -> None:
        """Fill in a subscriber's form, check it, press the button."""
        check = http.post(f"/s/{token}/{slug}/check", data=data)
        assert check.status_code == 200, check.text
        done = http.post(f"/s/{token}/{slug}", data=data | {"nonce": nonce_in(check)})
        assert done.status_code in (200, 303), done.text


def differences(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    """Return the rows that came, went or changed, by table."""
    return {
        name: sorted(set(before.get(name, ())) ^ set(after.get(name, ())))
        for name in before | after
        if before.get(name) != after.get(name)
    }


@contextmanager
def busy_portal(
    folder: Path, *, database_url: str | None = None
) -> Iterator[BusyPortal]:
    """Serve a portal, live through two days of an incident, and leave it there."""
    clock = SteppedClock(LAUNCH)
    _lay_files(folder)
    with ScriptedRelay() as relay:
        settings = Settings(
            data_directory=folder,
            database_url=database_url,
            zone="Asia/Hong_Kong",
            ca_name="Example CA",
            smtp_host="127.0.0.1",
            smtp_port=relay.port,
            bounce_maildir=folder / "bounces",
            portal_url=PUBLIC,
            portal_requests_per_minute=1_000_000,
            max_upload_bytes=200_000,
            launch_needs_second_officer=True,
        )
        with open_collaborators(settings, clock=clock, owner="busy portal") as c:
            incident = launch_listed(
                c,
                settings,
                circumstance=Circumstance.MISISSUED,
                made_aware_at=MADE_AWARE,
            )
            app = create_app(
                c.engine, c.links, portal_config(settings), clock, settings=settings
            )
            with running(app) as address:
                world = BusyPortal(
                    c=c,
                    app=app,
                    settings=settings,
                    clock=clock,
                    relay=relay,
                    address=address,
                    incident=incident,
                )
                _live(world)
                yield world
                app.state.office.background.wait(_WITHIN)


def _lay_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    key = create_issuer(
        folder / "ca", name="Walk CA", organisation="Example CA", now=MADE_AWARE
    )
    issuer = find_issuer(folder / "ca", key)
    assert issuer is not None

    def certificates(hosts: Sequence[str], first: int) -> bytes:
        return pem(
            make_certificate(
                first + number,
                organisation=None,
                dns_names=(host,),
                issuer=issuer.certificate.subject,
            )
            for number, host in enumerate(hosts)
        )

    (folder / "list.pem").write_bytes(certificates(HOSTS, 0x1000))
    (folder / "draft.pem").write_bytes(certificates(("www.pier.example",), 0x3000))
    (folder / "directory.csv").write_text(DIRECTORY, "utf-8")
    (folder / "officers.csv").write_text(
        OFFICERS + "Gone Away,gone@ca.example,officer\n", "utf-8"
    )


def _live(world: BusyPortal) -> None:
    """Let two days pass: notices, silence, an escalation; then people answer."""
    world.gone["expired"] = world.sign_in(LAM)
    while True:
        assert advance(world.c).problems == []
        following = next_due_at(world.engine)
        if following is None or following > _UNTIL:
            break
        world.clock.step_to(max(following, world.clock.now()))
    clinic, school = world.theirs(FIRST), world.theirs(HEAD)
    with writing(world.engine) as connection:
        insert_replacement(connection, clinic.certificates[1], der=b"clinic's new one")
        insert_replacement(connection, school.certificates[0], der=b"school's new one")
    with world.browser() as http:
        world.do(
            http,
            world.token_of(SECOND),
            "contact",
            name="Ng Wai Man",
            email=THIRD,
            phone="",
            instead_of=str(world.theirs(SECOND).contact),
        )
        assert advance(world.c).problems == []
        _confirm(world, http, THIRD)
        world.do(
            http,
            clinic.token,
            "contact",
            name="Mok Siu Wai",
            email=FOURTH,
            phone="",
            instead_of="nobody",
        )
        world.do(http, clinic.token, "acknowledge", choice="mine")
        world.do(http, clinic.token, "csr", csr=make_csr("mail.clinic.example"))
        for one in (clinic, school):
            world.do(http, one.token, "replaced", certificate=str(one.certificates[0]))
    assert advance(world.c).problems == []
    with writing(world.engine) as connection:
        put_on_record(
            connection,
            [
                RaiseEscalation(
                    subscriber=one.subscriber,
                    cause=EscalationCause.CSR_REFUSED,
                    level=20,
                    step="Somebody helps",
                    targets=(EscalationTarget.ACCOUNT_MANAGER,),
                )
                for one in (clinic, school)
            ],
            incident=world.incident,
            telling=world.c.telling,
            now=world.clock.now(),
        )
    _work_at_the_desk(world)


def _confirm(world: BusyPortal, http: httpx.Client, email: str) -> None:
    """Say yes as whoever reads this address does."""
    page = f"/c/{world.token_of(email, '/c/')}"
    check = http.post(f"{page}/check", data={"choice": "yes"})
    done = http.post(page, data={"choice": "yes", "nonce": nonce_in(check)})
    assert done.status_code == 303, done.text


def _work_at_the_desk(world: BusyPortal) -> None:
    world.gone["off the list"] = world.sign_in("gone@ca.example")
    world.settings.officers.write_text(OFFICERS, "utf-8")
    world.gone["signed out"] = world.sign_in(WONG)
    with world.browser(world.gone["signed out"]) as http:
        nonce = form_nonce(http.get("/desk"), "/desk/out")
        assert http.post("/desk/out", data={"nonce": nonce}).status_code == 303
    world.desk["officer"] = world.sign_in(CHAN)
    world.desk["manager"] = world.sign_in(WONG)
    with world.browser(world.desk["officer"]) as http:
        opened = http.post(
            "/desk/new",
            data={
                "nonce": form_nonce(http.get("/desk/new"), "/desk/new"),
                "title": "A second incident",
                "circumstance": "misissued",
                "made_aware": "2026-03-03T17:00",
                "zone": "Asia/Hong_Kong",
            },
            files={
                "certificates": (
                    "draft.pem",
                    io.BytesIO(
                        (world.settings.data_directory / "draft.pem").read_bytes()
                    ),
                )
            },
        )
        assert opened.status_code == 303, opened.text
        path = opened.headers["location"]
        world.drafts.append(IncidentId(path.rpartition("/")[2]))
        asked = http.post(
            f"{path}/launch",
            data={
                "nonce": form_nonce(http.get(path), f"{path}/launch"),
                "certificates": "1",
            },
        )
        assert asked.status_code == 303, asked.text
    with world.browser() as http:
        world.way_in(http, LAM)  # a link that nobody has used yet
    world.app.state.office.background.wait(_WITHIN)
    with reading(world.engine) as connection:
        states = connection.execute(text("SELECT state FROM office_mail")).scalars()
        assert set(states) == {OfficeMailState.SENT.value}


def _unfolded(part: EmailMessage) -> str:
    content = part.get_content()
    assert isinstance(content, str)
    # A calendar folds its lines (RFC 5545, 3.1).
    return re.sub(r"\r?\n[ \t]", "", content) if _is_calendar(part) else content


def _is_calendar(part: EmailMessage) -> bool:
    return part.get_content_subtype() == "calendar"


def _words(
    name: str, people: Sequence[Row[Any]], owned: Sequence[Row[Any]]
) -> frozenset[str]:
    """Return what names a subscriber, its people and its hosts, and nobody else."""
    return frozenset(
        word
        for word in (
            name,
            *(one.email for one in people),
            *(one.phone for one in people),
            *(host for one in owned for host in one.dns_names),
        )
        if len(word) > 5
    )
