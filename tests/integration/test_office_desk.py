"""The officers' desk over a real socket: what each may see and do, and what nobody can."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
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
from fakes.office import CHAN, LAM, WONG, OfficeWorld, form_nonce, office_world
from fakes.officers import Desk, lay_desk
from fakes.scope import Office, order
from fastapi.routing import APIRoute
from portal_server import LINKS, claims_for
from sqlalchemy import Engine, insert, select, update
from sqlmodel import SQLModel

from models.audit import Act
from models.base import table
from models.incident import AffectedCertificate, Entry, Incident
from models.mail import MailReply
from models.outreach import Escalation, Notice
from models.subscriber import Contact
from models.terms import (
    EscalationCause,
    IncidentId,
    IncidentState,
    NoticeKind,
    ScopeChangeId,
    SubscriberId,
)
from tocsin.ca.embedded import EmbeddedCa
from tocsin.clock import SteppedClock
from tocsin.errors import Refused
from tocsin.intake.officers import read_officers
from tocsin.mail.render import TemplateSet
from tocsin.policy.ladder import shipped_ladder
from tocsin.policy.rules import shipped_rule_pack
from tocsin.steps.drafts import Owner, give_owner
from tocsin.steps.launch import launch_incident
from tocsin.steps.outreach import Telling, plan_outreach
from tocsin.store.audit import check_chain
from tocsin.store.incidents import freeze_templates, read_incident
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.server

CERT = table(AffectedCertificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A desk with a running incident, another one, and an officer's files."""

    world: OfficeWorld
    incident: IncidentId
    subscriber: SubscriberId
    other: IncidentId
    others_subscriber: SubscriberId
    change: ScopeChangeId
    files: Desk

    @property
    def base(self) -> str:
        return f"/desk/i/{self.incident}"

    @property
    def at_subscriber(self) -> str:
        return f"{self.base}/s/{self.subscriber}"

    def fingerprint(self) -> str:
        """Hash every row of every table."""
        digest = hashlib.sha256()
        with reading(self.world.engine) as connection:
            for one in SQLModel.metadata.sorted_tables:
                rows = sorted(repr(row) for row in connection.execute(select(one)))
                digest.update(f"{one.name}{rows}".encode())
        return digest.hexdigest()

    def acts(self, incident: IncidentId) -> list[tuple[str, str]]:
        """Return who did what, in order."""
        act = table(Act)
        with reading(self.world.engine) as connection:
            assert check_chain(connection, incident=incident).is_intact
            return [
                (row.actor, row.action)
                for row in connection.execute(
                    select(act)
                    .where(act.c.incident_id == incident)
                    .order_by(act.c.number)
                )
            ]

    def open_form(self, http: httpx.Client, **changes: Any) -> httpx.Response:
        """Fill in the form that opens an incident, as a browser does."""
        page = http.get("/desk/new")
        data = {
            "nonce": form_nonce(page, "/desk/new"),
            "title": "Policy qualifier without http",
            "circumstance": "misissued",
            "made_aware": "2026-03-02T17:00",
            "zone": "Asia/Hong_Kong",
        } | changes
        files = data.pop("files", None)
        if files is None:
            files = [
                ("certificates", ("list.pem", self.files.certificates.read_bytes())),
                ("directory", ("people.csv", self.files.directory.read_bytes())),
            ]
        return http.post("/desk/new", data=data, files=files)

    def draft(self, http: httpx.Client, **changes: Any) -> IncidentId:
        """Open an incident as far as its preview."""
        answer = self.open_form(http, **changes)
        assert answer.status_code == 303, answer.text
        return IncidentId(answer.headers["location"].rpartition("/")[2])

    def launch(
        self, http: httpx.Client, incident: IncidentId, typed: str = "3"
    ) -> httpx.Response:
        action = f"/desk/i/{incident}/launch"
        nonce = form_nonce(http.get(f"/desk/i/{incident}"), action)
        return http.post(action, data={"nonce": nonce, "certificates": typed})

    def state(self, incident: IncidentId) -> IncidentState:
        with reading(self.world.engine) as connection:
            return read_incident(connection, incident=incident).state


def fill(world: OfficeWorld, folder: Path) -> Filled:
    with writing(world.engine) as connection:
        ladder = shipped_ladder(timedelta(days=5)).text
        rules = shipped_rule_pack().text
        incident = insert_incident(connection, ladder=ladder, rule_pack=rules)
        freeze_templates(
            connection, incident=incident, sources=TemplateSet.from_files().sources()
        )
        subscriber = insert_subscriber(connection, incident)
        insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 2)
        insert_revocations(connection, incident, certificates)
        other = insert_incident(
            connection, id="other-incident", title="Another one", ladder=ladder
        )
        others_subscriber = insert_subscriber(connection, other, "Other School")
        insert_contact(connection, other, others_subscriber, "head@school.example")
    return Filled(
        world=world,
        incident=incident,
        subscriber=subscriber,
        other=other,
        others_subscriber=others_subscriber,
        change=Office(
            engine=world.engine, clock=world.clock, incident=incident
        ).put_down(order(DEADLINE), certificates),
        files=lay_desk(folder / "files", embedded_ca=world.settings.embedded_ca),
    )


@pytest.fixture
def filled(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> Iterator[Filled]:
    with office_world(sqlite_engine, clock, tmp_path / "data") as world:
        yield fill(world, tmp_path)


@pytest.fixture
def officer(filled: Filled) -> Iterator[httpx.Client]:
    with filled.world.browser() as http:
        filled.world.sign_in(http, CHAN)
        yield http


@pytest.fixture
def manager(filled: Filled) -> Iterator[httpx.Client]:
    with filled.world.browser() as http:
        filled.world.sign_in(http, WONG)
        yield http


def addresses(filled: Filled) -> list[tuple[str, str]]:
    """Return every method and address of the desk that takes a session."""
    return [
        (
            method,
            route.path.replace("{rest:path}", "nothing").format(
                incident=filled.incident,
                subscriber=filled.subscriber,
                kind="order",
                change=filled.change,
                act="sign",
            ),
        )
        for route in filled.world.app.routes
        if isinstance(route, APIRoute) and route.path.startswith("/desk")
        for method in sorted(route.methods or ())
        # These have a link of their own; "test_office_scope.py" has those to sign.
        if not route.path.startswith(("/desk/sign-in", "/desk/in/", "/desk/sign/"))
    ]


def test_every_route_asks_who_comes_when_nobody_is_in(filled: Filled) -> None:
    before = filled.fingerprint()
    subscribers_token = LINKS.sign(
        claims_for(filled.incident, filled.subscriber, 1)  # type: ignore[arg-type]
    )
    held = {"none": "", "made up": "x" * 43, "a subscriber's": subscribers_token}
    with filled.world.browser() as http:
        for name, secret in held.items():
            for method, address in addresses(filled):
                answer = http.request(
                    method, address, headers={"Cookie": f"desk={secret}"}
                )
                assert answer.status_code == 403, (name, method, address)
                if method != "HEAD":
                    assert "Sign in to the officers" in answer.text
                assert "A test incident" not in answer.text
                assert "Harbour Clinic" not in answer.text

    assert len(addresses(filled)) > 20
    assert filled.fingerprint() == before


@pytest.mark.parametrize("how", ["expired", "off the list"])
def test_every_route_asks_who_comes_when_a_session_has_ended(
    filled: Filled, officer: httpx.Client, how: str
) -> None:
    page = officer.get(filled.at_subscriber + "/contact")
    nonce = form_nonce(page, f"{filled.at_subscriber}/contact")
    if how == "expired":
        filled.world.clock.step_to(LAUNCH + 3 * HOUR)
    else:
        filled.world.list_people("name,email,role\nLam,lam@ca.example,officer\n")
    before = filled.fingerprint()

    for method, address in addresses(filled):
        data = {"nonce": nonce} if method == "POST" else None
        answer = officer.request(method, address, data=data)
        assert answer.status_code == 403, (method, address)

    assert filled.fingerprint() == before


def test_i6_get_and_head_change_nothing_on_any_route(
    filled: Filled, officer: httpx.Client
) -> None:
    draft = filled.draft(officer)
    before = filled.fingerprint()

    for method, address in [*addresses(filled), ("GET", f"/desk/i/{draft}")]:
        if method in ("GET", "HEAD"):
            answer = officer.request(method, address)
            expected = 404 if address.endswith("nothing") else 200
            assert answer.status_code == expected, (method, address)

    assert filled.fingerprint() == before


def test_scanner_that_presses_every_button_untouched_changes_nothing(
    filled: Filled, officer: httpx.Client
) -> None:
    draft = filled.draft(officer)
    before = filled.fingerprint()
    for address in (
        f"/desk/i/{draft}",
        f"{filled.at_subscriber}/contact",
        f"{filled.at_subscriber}/call",
        f"{filled.base}/scope/{filled.change}",
        "/desk/new",
    ):
        page = officer.get(address).text
        forms = re.findall(
            r'<form[^>]*action="([^"]+)".*?name="nonce" value="([^"]+)"',
            page,
            re.DOTALL,
        )
        assert forms
        for action, nonce in forms:
            if action != "/desk/out":
                answer = officer.post(action, data={"nonce": nonce})
                assert answer.status_code == 422, action

    assert filled.fingerprint() == before


def test_form_does_nothing_when_it_is_not_from_its_own_page(
    filled: Filled, officer: httpx.Client
) -> None:
    draft = filled.draft(officer)
    contact = {
        "name": "Mallory",
        "email": "m@elsewhere.example",
        "instead_of": "nobody",
        "certificates": "3",
    }
    with filled.world.browser() as colleague:
        filled.world.sign_in(colleague, LAM)
        theirs = form_nonce(
            colleague.get(f"/desk/i/{draft}"), f"/desk/i/{draft}/launch"
        )
    ours = form_nonce(officer.get("/desk"), "/desk/out")
    before = filled.fingerprint()
    addresses = [
        f"{filled.at_subscriber}/contact",
        f"/desk/i/{draft}/launch",
        f"/desk/i/{draft}/owner",
        f"{filled.base}/escalations",
        f"{filled.at_subscriber}/call",
        "/desk/new",
        "/desk/out",
    ]
    for address in addresses:
        for nonce in (
            "",
            "made up",
            theirs,
            *([ours] if "/out" not in address else []),
        ):
            answer = officer.post(address, data=contact | {"nonce": nonce})
            assert answer.status_code == 409, (address, nonce)
            assert "Nothing was changed" in answer.text

    assert filled.fingerprint() == before
    assert not list((filled.world.settings.data_directory / "uploads").iterdir())


def test_form_does_nothing_when_another_site_sends_it(
    filled: Filled, officer: httpx.Client
) -> None:
    draft = filled.draft(officer)
    nonce = form_nonce(officer.get(f"/desk/i/{draft}"), f"/desk/i/{draft}/launch")

    answer = officer.post(
        f"/desk/i/{draft}/launch",
        data={"nonce": nonce, "certificates": "3"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert answer.status_code == 409
    assert filled.state(draft) is IncidentState.DRAFT


def test_what_there_is_not_is_not_found(filled: Filled, officer: httpx.Client) -> None:
    for address in (
        "/desk/i/elsewhere",
        f"{filled.base}/s/{filled.others_subscriber}",
        f"{filled.base}/s/0x1",
        f"{filled.base}/s/{'9' * 30}",
        f"/desk/i/{filled.other}/s/{filled.subscriber}/contact",
    ):
        answer = officer.get(address)
        assert answer.status_code == 404, address
        assert "There is no such page" in answer.text


def test_another_incidents_contact_is_out_of_reach(
    filled: Filled, officer: httpx.Client
) -> None:
    contact = table(Contact)
    with reading(filled.world.engine) as connection:
        theirs = connection.execute(
            select(contact.c.id).where(contact.c.incident_id == filled.other)
        ).scalar_one()
    action = f"{filled.at_subscriber}/contact"
    answer = officer.post(
        action,
        data={
            "nonce": form_nonce(officer.get(action), action),
            "name": "Wong",
            "email": "w@clinic.example",
            "instead_of": str(theirs),
        },
    )

    assert answer.status_code == 422


def test_manager_reads_everything_and_opens_nothing(
    filled: Filled, officer: httpx.Client, manager: httpx.Client
) -> None:
    draft = filled.draft(officer)
    before = filled.fingerprint()
    assert manager.get(filled.base).status_code == 200
    preview = manager.get(f"/desk/i/{draft}")
    assert preview.status_code == 200
    assert "/launch" not in preview.text

    for method, address in (
        ("GET", "/desk/new"),
        ("POST", "/desk/new"),
        ("POST", f"/desk/i/{draft}/launch"),
        ("POST", f"/desk/i/{draft}/owner"),
    ):
        answer = manager.request(method, address, data={"certificates": "3"})
        assert answer.status_code == 403, address
        assert "Only an officer" in answer.text

    assert filled.fingerprint() == before


def test_answers_are_stored_nowhere_and_tell_no_other_site(
    filled: Filled, officer: httpx.Client
) -> None:
    for address in (filled.base, filled.at_subscriber, "/desk/i/nothing", "/desk/new"):
        answer = officer.get(address)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_incident_is_launched_by_the_one_who_typed_the_number(
    engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    with office_world(engine, clock, tmp_path / "data") as world:
        filled = fill(world, tmp_path)
        with world.browser() as http:
            world.sign_in(http, CHAN)
            draft = filled.draft(http)
            page = http.get(f"/desk/i/{draft}").text
            assert "Harbour Clinic" in page
            assert "Saturday 7 March 2026, 17:00 HKT" in page
            wrong = filled.launch(http, draft, typed="2")
            right = filled.launch(http, draft, typed="3")

        assert wrong.status_code == 422
        assert right.headers["location"] == f"/desk/i/{draft}"
        assert filled.state(draft) is IncidentState.RUNNING
        assert filled.acts(draft)[-1] == ("officer:Chan Tai Man", "incident-launched")


def test_i4_launching_twice_launches_once(
    filled: Filled, officer: httpx.Client
) -> None:
    draft = filled.draft(officer)
    nonce = form_nonce(officer.get(f"/desk/i/{draft}"), f"/desk/i/{draft}/launch")
    send = {"nonce": nonce, "certificates": "3"}

    answers = [officer.post(f"/desk/i/{draft}/launch", data=send) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    launched = [act for act in filled.acts(draft) if act[1] == "incident-launched"]
    assert len(launched) == 1


def test_i4_same_form_sent_twice_opens_one_draft(
    filled: Filled, officer: httpx.Client
) -> None:
    nonce = form_nonce(officer.get("/desk/new"), "/desk/new")

    first = filled.draft(officer, nonce=nonce)
    second = filled.draft(officer, nonce=nonce)

    assert first == second


def test_files_are_named_as_the_officer_named_them_and_not_kept(
    filled: Filled, officer: httpx.Client
) -> None:
    rows = b"issuer,serial\nCN=Nobody,zz\n"
    draft = filled.draft(
        officer,
        files=[
            (
                "certificates",
                ("../../evil/list.pem", filled.files.certificates.read_bytes()),
            ),
            ("certificates", ("list.pem", rows)),
            ("certificates", ("C:\\Users\\chan\\三月.csv", rows)),
            ("directory", (".htaccess", filled.files.directory.read_bytes())),
        ],
    )
    entry = table(Entry)
    with reading(filled.world.engine) as connection:
        names = connection.execute(
            select(entry.c.file).where(entry.c.incident_id == draft).distinct()
        ).scalars()
        assert set(names) == {
            "certificates/list.pem",
            "certificates/2-list.pem",
            "certificates/三月.csv",
        }
    assert not list((filled.world.settings.data_directory / "uploads").iterdir())
    page = officer.get(f"/desk/i/{draft}").text
    assert "not hexadecimal" in page
    assert str(filled.world.settings.data_directory) not in page


def test_what_was_entered_is_shown_again_when_something_is_missing(
    filled: Filled, officer: httpx.Client
) -> None:
    answer = filled.open_form(
        officer, title="", made_aware="yesterday", zone="Atlantis/City"
    )

    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert "Choose the files again" in answer.text
    assert "list.pem" in answer.text
    assert 'value="Atlantis/City"' in answer.text
    assert "IANA time zone" in answer.text
    assert filled.open_form(officer, made_aware="2026-03-03T17:00").status_code == 422


def test_upload_is_refused_when_it_is_too_large(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    with office_world(
        sqlite_engine, clock, tmp_path / "data", officer_upload_bytes=10_000
    ) as world:
        filled = fill(world, tmp_path)
        with world.browser() as http:
            world.sign_in(http, CHAN)
            files = [("certificates", ("list.pem", b"x" * 20_000))]
            answer = filled.open_form(http, files=files)
            assert answer.status_code == 413
            assert "TOCSIN_OFFICER_UPLOAD_BYTES" in answer.text
            files = [("certificates", ("list.pem", b"x" * 800_000))]
            # Hung up on, so the answer may be lost behind what is still on its way.
            with contextlib.suppress(httpx.TransportError):
                assert filled.open_form(http, files=files).status_code == 413
        assert not list((world.settings.data_directory / "uploads").iterdir())


def test_nothing_is_taken_in_when_nobody_is_in(filled: Filled) -> None:
    with filled.world.browser() as http:
        answer = http.post(
            "/desk/new", files=[("certificates", ("list.pem", b"x" * 100_000))]
        )

    assert answer.status_code == 403
    assert not (filled.world.settings.data_directory / "uploads").exists()


def test_certificates_of_nobody_get_an_owner_who_is_written_to(
    filled: Filled, officer: httpx.Client
) -> None:
    rows = b"issuer,serial\nCN=Desk Test CA R1,0a\nCN=Desk Test CA R1,0b\n"
    draft = filled.draft(officer, files=[("certificates", ("list.csv", rows))])
    page = officer.get(f"/desk/i/{draft}")
    keys = re.findall(r'name="certificate" value="(\d+)"', page.text)
    assert len(keys) == 2
    action = f"/desk/i/{draft}/owner"
    data = {"nonce": form_nonce(page, action), "owner": "  Ferry   Company "}

    nothing = officer.post(action, data=data)
    lone_name = officer.post(action, data=data | {"all": "1", "name": "Ng"})
    one = officer.post(action, data=data | {"certificate": keys[0]})
    data["nonce"] = form_nonce(officer.get(f"/desk/i/{draft}"), action)
    again = officer.post(action, data=data | {"certificate": keys[0]})
    rest = officer.post(
        action,
        data=data | {"all": "1", "name": "Ng Siu Ling", "email": "ng@ferry.example"},
    )

    codes = [one.status_code for one in (nothing, lone_name, one, again, rest)]
    assert codes == [422, 422, 303, 422, 303]
    with reading(filled.world.engine) as connection:
        owners = connection.execute(
            select(CERT.c.subscriber_id).where(CERT.c.incident_id == draft)
        ).scalars()
        assert len(set(owners)) == 1
        contact = table(Contact)
        emails = connection.execute(
            select(contact.c.email).where(contact.c.incident_id == draft)
        ).scalars()
        assert list(emails) == ["ng@ferry.example"]
    assert filled.acts(draft) == [("officer:Chan Tai Man", "owner-given")] * 2


def test_owners_stay_as_they_are_when_the_incident_was_launched(
    filled: Filled,
) -> None:
    (chan, *_) = read_officers(filled.world.settings.officers).people

    with pytest.raises(Refused, match="launched meanwhile"):
        give_owner(
            filled.world.engine,
            incident=filled.incident,
            certificates=None,
            owner=Owner(name="Harbour Clinic"),
            by=chan,
            clock=filled.world.clock,
        )


def test_half_read_draft_cannot_be_launched(
    filled: Filled, officer: httpx.Client
) -> None:
    with writing(filled.world.engine) as connection:
        half = insert_incident(
            connection,
            id="half-read",
            state="draft",
            launched_at=None,
            revocation_starts_at=None,
        )
        insert_certificates(connection, half, None, 3, first_serial=0x9000)
    page = officer.get(f"/desk/i/{half}")

    assert "did not come to its end" in page.text
    assert "/launch" not in page.text


def test_page_says_what_is_missing_when_the_cas_settings_are_wrong(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> None:
    with (
        office_world(
            sqlite_engine, clock, tmp_path / "data", ca_backend="nowhere"
        ) as world,
        world.browser() as http,
    ):
        filled = fill(world, tmp_path)
        world.sign_in(http, CHAN)
        draft = filled.draft(http)
        page = http.get(f"/desk/i/{draft}")

        assert page.status_code == 503
        assert "The preview cannot be made" in page.text
        assert "nowhere" in page.text
        assert http.get(filled.base).status_code == 200


def test_contact_that_an_officer_corrects_is_written_to_with_the_next_cycle(
    filled: Filled, manager: httpx.Client
) -> None:
    plan_outreach(
        filled.world.engine,
        incident=filled.incident,
        telling=Telling(mail_domain="ca.example"),
        clock=filled.world.clock,
    )
    action = f"{filled.at_subscriber}/contact"
    page = manager.get(filled.at_subscriber)
    who = re.search(r"contact\?who=(\d+)", page.text)
    assert who
    form = manager.get(f"{action}?who={who[1]}")
    assert 'value="Chan Tai Man"' in form.text
    done = manager.post(
        action,
        data={
            "nonce": form_nonce(form, action),
            "name": "Chan Tai Man",
            "email": "chan.new@clinic.example",
            "phone": "+852 5550 0100",
            "instead_of": who[1],
        },
    )
    assert done.status_code == 303

    plan_outreach(
        filled.world.engine,
        incident=filled.incident,
        telling=Telling(mail_domain="ca.example"),
        clock=filled.world.clock,
    )

    notice, contact = table(Notice), table(Contact)
    with reading(filled.world.engine) as connection:
        told = connection.execute(
            select(contact.c.email)
            .join(notice, notice.c.contact_id == contact.c.id)
            .order_by(notice.c.id)
        ).scalars()
        assert list(told)[-1] == "chan.new@clinic.example"
    assert ("officer:Wong Ka Yan", "contact-corrected") in filled.acts(filled.incident)
    after = manager.get(filled.at_subscriber).text
    assert "chan.new@clinic.example" in after


def test_contact_keeps_the_rank_when_only_the_number_is_corrected(
    filled: Filled, manager: httpx.Client
) -> None:
    contact = table(Contact)
    with writing(filled.world.engine) as connection:
        insert_contact(
            connection, filled.incident, filled.subscriber, "b@clinic.example", rank=2
        )
    action = f"{filled.at_subscriber}/contact"
    manager.post(
        action,
        data={
            "nonce": form_nonce(manager.get(action), action),
            "name": "Chan Tai Man",
            "email": "admin@clinic.example",
            "phone": "+852 5550 0199",
            "instead_of": "nobody",
        },
    )

    with reading(filled.world.engine) as connection:
        row = connection.execute(
            select(contact.c.rank, contact.c.phone).where(
                contact.c.email == "admin@clinic.example"
            )
        ).one()
    assert tuple(row) == (1, "+852 5550 0199")


def test_nobody_of_a_closed_incident_is_corrected(
    filled: Filled, manager: httpx.Client
) -> None:
    action = f"{filled.at_subscriber}/contact"
    nonce = form_nonce(manager.get(action), action)
    with writing(filled.world.engine) as connection:
        incident = table(Incident)
        connection.execute(
            update(incident)
            .where(incident.c.id == filled.incident)
            .values(state="closed", closed_at=LAUNCH)
        )

    answer = manager.post(
        action,
        data={
            "nonce": nonce,
            "name": "Wong",
            "email": "w@clinic.example",
            "instead_of": "nobody",
        },
    )

    assert answer.status_code == 409
    assert "the incident is over" in answer.text


def test_notice_is_seen_as_a_contact_would_get_it_and_its_link_is_dead(
    filled: Filled, officer: httpx.Client
) -> None:
    draft = filled.draft(officer)
    key = re.search(
        r'/s/(\d+)">Harbour Clinic', officer.get(f"/desk/i/{draft}/subscribers").text
    )
    assert key
    base = f"/desk/i/{draft}/s/{key[1]}"
    before = filled.fingerprint()

    page = officer.get(f"{base}/notice?kind=final")
    saved = officer.get(f"{base}/notice.eml?kind=final")

    assert page.status_code == 200
    assert "www.clinic.example" in page.text
    assert "admin@clinic.example" in page.text
    assert saved.headers["content-type"] == "message/rfc822"
    mail = message_from_bytes(saved.content, policy=policy.default)
    assert "Chan Tai Man" in mail["To"]
    link = re.search(r"/s/[\w.-]+", page.text.partition("<pre>")[2])
    assert link
    assert officer.get(link[0]).status_code == 404
    assert filled.fingerprint() == before
    for kind in NoticeKind:
        if kind is not NoticeKind.ESCALATION:
            assert officer.get(f"{base}/notice?kind={kind}").status_code == 200, kind
    for nonsense in (
        "kind=escalation",
        "kind=x",
        "contact=999",
        "language=" + "x" * 40,
    ):
        assert officer.get(f"{base}/notice?{nonsense}").status_code == 404, nonsense


@pytest.fixture
def escalated(filled: Filled) -> Filled:
    """Two things wait for a person: one about a subscriber, one about all."""
    with writing(filled.world.engine) as connection:
        for subscriber, cause in (
            (filled.subscriber, EscalationCause.UNREACHABLE),
            (None, EscalationCause.FORECAST_LATE),
        ):
            connection.execute(
                insert(table(Escalation)).values(
                    incident_id=filled.incident,
                    subscriber_id=subscriber,
                    cause=cause.value,
                    level=0,
                    step="A step",
                    state="told",
                    targets=["compliance-lead"],
                    raised_at=LAUNCH,
                    raised_times=1,
                    told_at=LAUNCH,
                )
            )
    return filled


def test_escalation_is_taken_by_name_and_goes_on(
    escalated: Filled, manager: httpx.Client
) -> None:
    action = f"{escalated.base}/escalations"
    page = manager.get(action)
    assert "2 escalations wait for a person" in page.text
    assert "The whole incident" in page.text
    ticked = re.findall(r'name="escalation" value="([^"]+)"', page.text)
    nonce = form_nonce(page, action)

    nothing = manager.post(action, data={"nonce": nonce})
    stale = manager.post(action, data={"nonce": nonce, "escalation": "1.99"})
    taken = manager.post(action, data={"nonce": nonce, "escalation": ticked[0]})
    nonce = form_nonce(manager.get(action), action)
    again = manager.post(action, data={"nonce": nonce, "escalation": ticked[0]})
    rest = manager.post(action, data={"nonce": nonce, "all": "1"})

    answers = (nothing, stale, taken, again, rest)
    assert [one.status_code for one in answers] == [422, 422, 303, 422, 303]
    after = manager.get(action).text
    assert "No escalation waits for a person" in after
    assert after.count("Wong Ka Yan<span") == 2
    acts = escalated.acts(escalated.incident)
    assert acts[-2:] == [("officer:Wong Ka Yan", "escalations-acknowledged")] * 2
    assert "0 wait" in manager.get(escalated.base).text


def test_escalations_of_another_incident_are_not_taken(
    escalated: Filled, manager: httpx.Client
) -> None:
    page = manager.get(f"{escalated.base}/escalations")
    (ticked, *_) = re.findall(r'name="escalation" value="([^"]+)"', page.text)
    with writing(escalated.world.engine) as connection:
        connection.execute(
            insert(table(Escalation)).values(
                incident_id=escalated.other,
                subscriber_id=escalated.others_subscriber,
                cause=EscalationCause.UNREACHABLE.value,
                level=0,
                step="A step",
                state="told",
                targets=[],
                raised_at=LAUNCH,
                raised_times=1,
            )
        )
    action = f"/desk/i/{escalated.other}/escalations"
    nonce = form_nonce(manager.get(action), action)
    before = escalated.fingerprint()

    answer = manager.post(action, data={"nonce": nonce, "escalation": ticked})

    assert answer.status_code == 422
    assert escalated.fingerprint() == before


def test_call_is_logged_by_name_and_whom_it_named_is_written_to(
    filled: Filled, manager: httpx.Client
) -> None:
    contact = table(Contact)
    with writing(filled.world.engine) as connection:
        connection.execute(update(contact).values(state="unreachable"))
    sheet = manager.get(f"{filled.base}/calls").text
    assert "Harbour Clinic" in sheet
    assert "I will never ask for a password" in sheet
    action = f"{filled.at_subscriber}/call"
    data = {
        "nonce": form_nonce(manager.get(action), action),
        "outcome": "reached",
        "note": "Spoke to Ms Ng; she looks after the servers.",
        "name": "Ng Siu Ling",
        "email": "ng@clinic.example",
    }

    nothing = manager.post(action, data={"nonce": data["nonce"]})
    lone_name = manager.post(action, data=data | {"email": ""})
    logged = manager.post(action, data=data)

    codes = [one.status_code for one in (nothing, lone_name, logged)]
    assert codes == [422, 422, 303]
    assert filled.acts(filled.incident)[-1:] == [("officer:Wong Ka Yan", "call-logged")]
    page = manager.get(filled.at_subscriber).text
    assert "Spoke to Ms Ng" in page
    assert "ng@clinic.example" in page
    assert "Nobody there has answered yet" not in page


def test_mail_that_people_wrote_is_read_at_the_desk(
    filled: Filled, manager: httpx.Client
) -> None:
    mail: dict[str, Any] = {
        "received_at": LAUNCH,
        "way": "maildir",
        "kind": "person",
        "known_by": "return-path",
        "incident_id": filled.incident,
        "subscriber_id": filled.subscriber,
        "sender": "somebody@elsewhere.example",
        "subject": "Re: <b>More time</b>",
        "text": "We need until Monday.",
        "is_cut": False,
        "topics": ["extension"],
        "attachments": [],
        "answered_with": "no-extension",
    }
    unknown: dict[str, Any] = {
        "incident_id": None,
        "subscriber_id": None,
        "text": "Who are you?",
    }
    others: dict[str, Any] = {
        "incident_id": filled.other,
        "subscriber_id": filled.others_subscriber,
    }
    with writing(filled.world.engine) as connection:
        nothing: dict[str, Any] = {}
        for number, changes in enumerate(
            (nothing, unknown, others | {"text": "Theirs"})
        ):
            connection.execute(
                insert(table(MailReply)).values(
                    mail | changes | {"fingerprint": f"{number:064x}"}
                )
            )

    page = manager.get(f"{filled.base}/replies").text
    of_subscriber = manager.get(filled.at_subscriber).text

    assert "We need until Monday." in page
    assert "&lt;b&gt;More time" in page
    assert "asks for more time" in page
    assert "not the address we wrote to" in page
    assert "Who are you?" in page
    assert "by people nobody knows" in manager.get(filled.base).text
    assert "Theirs" not in page
    assert "We need until Monday." in of_subscriber
    assert "Who are you?" not in of_subscriber


@pytest.fixture
def careful(
    sqlite_engine: Engine, clock: SteppedClock, tmp_path: Path
) -> Iterator[Filled]:
    """A desk where a launch takes two officers."""
    with office_world(
        sqlite_engine, clock, tmp_path / "data", launch_needs_second_officer=True
    ) as world:
        yield fill(world, tmp_path)


def test_launch_takes_another_officer_where_two_are_needed(careful: Filled) -> None:
    with careful.world.browser() as first, careful.world.browser() as second:
        careful.world.sign_in(first, CHAN)
        careful.world.sign_in(second, LAM)
        draft = careful.draft(first)
        assert careful.launch(first, draft).status_code == 303
        assert careful.state(draft) is IncidentState.DRAFT
        alone = first.get(f"/desk/i/{draft}").text
        assert "Waiting for another officer" in alone
        assert f"/desk/i/{draft}/launch" not in alone
        loud = second.get("/desk").text
        assert "The clock runs and nothing is launched" in loud
        assert careful.launch(second, draft).status_code == 303

    assert careful.state(draft) is IncidentState.RUNNING
    assert careful.acts(draft) == [
        ("officer:Chan Tai Man", "second-officer-asked"),
        ("officer:Lam Siu Fong", "incident-launched"),
    ]


def test_one_officer_cannot_be_both(careful: Filled) -> None:
    with careful.world.browser() as http, careful.world.browser() as again:
        careful.world.sign_in(http, CHAN)
        careful.world.sign_in(again, CHAN)
        draft = careful.draft(http)
        nonces = [
            form_nonce(one.get(f"/desk/i/{draft}"), f"/desk/i/{draft}/launch")
            for one in (http, again, http)
        ]
        for one, nonce in zip((http, again, http), nonces, strict=True):
            one.post(
                f"/desk/i/{draft}/launch", data={"nonce": nonce, "certificates": "3"}
            )

    assert careful.state(draft) is IncidentState.DRAFT


def test_other_officers_are_called_when_a_launch_waits(careful: Filled) -> None:
    with careful.world.browser() as http:
        careful.world.sign_in(http, CHAN)
        draft = careful.draft(http)
        careful.launch(http, draft)
        careful.world.app.state.office.background.wait(20)

    (call,) = careful.world.mails_to(LAM)
    body = call.get_body(("plain",))
    assert body is not None
    assert f"/desk/i/{draft}" in body.get_content()
    assert "/desk/in/" not in body.get_content()
    assert careful.world.mails_to(WONG) == []


def test_launch_elsewhere_is_refused_where_two_are_needed(careful: Filled) -> None:
    with careful.world.browser() as http:
        careful.world.sign_in(http, CHAN)
        draft = careful.draft(http)

    with pytest.raises(Refused, match="officers' desk"):
        launch_incident(
            careful.world.engine,
            incident=draft,
            backend=EmbeddedCa(
                careful.world.settings.embedded_ca, clock=careful.world.clock
            ),
            templates=TemplateSet.from_files().sources(),
            actor="officer",
            clock=careful.world.clock,
            needs_second=True,
        )

    assert careful.state(draft) is IncidentState.DRAFT
