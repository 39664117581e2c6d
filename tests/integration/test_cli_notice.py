"""A notice looked at before anybody gets it, and a test through the relay."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from factories import (
    DEADLINE,
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_subscriber,
)
from fakes.planned import INCIDENT, LINKS, SENDER, TEMPLATES, Planned, plan_notices
from fakes.scripted_relay import ScriptedRelay
from icalendar import Calendar
from sqlalchemy import Engine, delete, func, select, update
from typer.testing import CliRunner, Result

from models.audit import Act
from models.base import table
from models.outreach import Notice
from models.revocation import Revocation
from models.subscriber import Subscriber
from models.terms import ContactId, IncidentId, NoticeKind
from tocsin.ca.embedded import EmbeddedCa
from tocsin.cli.notice import app
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput, Refused
from tocsin.links import SUBSCRIBER, Links, read_secrets
from tocsin.mail.messages import OutgoingMessage, SendKind, SendOutcome, Witness
from tocsin.mail.render import TemplateSet
from tocsin.policy.rules import shipped_rule_pack
from tocsin.steps.letters import Letter
from tocsin.steps.rehearse import preview_letter
from tocsin.store.incidents import freeze_templates
from tocsin.store.session import reading, writing


@dataclass
class KeepingMailer:
    """Takes everything and keeps it."""

    sent: list[OutgoingMessage] = field(default_factory=list)

    def send(
        self,
        messages: Iterable[OutgoingMessage],
        *,
        witness: Witness | None = None,  # noqa: ARG002
    ) -> Iterator[SendOutcome]:
        for message in messages:
            self.sent.append(message)
            yield SendOutcome(notice_id=message.notice_id, kind=SendKind.SENT)


@pytest.fixture
def planned(
    sqlite_engine: Engine,
    clock: SteppedClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Planned:
    """Return an incident with three contacts, where the command line finds it."""
    monkeypatch.setenv("TOCSIN_DATA_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("TOCSIN_PORTAL_URL", "https://portal.ca.example")
    monkeypatch.delenv("TOCSIN_TEMPLATE_DIRECTORY", raising=False)
    planned = plan_notices(
        sqlite_engine, clock, "a@clinic.example", "b@clinic.example", certificates=7
    )
    with writing(sqlite_engine) as connection:
        freeze_templates(connection, incident=INCIDENT, sources=TEMPLATES.sources())
        connection.execute(delete(table(Notice)))
    return planned


def tocsin_notice(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def previewed(planned: Planned, **changes: object) -> Letter | None:
    given: dict[str, object] = {
        "incident": INCIDENT,
        "contact": planned.contacts[0],
        "kind": NoticeKind.INITIAL,
        "language": None,
        "backend": EmbeddedCa(Path("nowhere"), clock=planned.clock),
        "templates": TEMPLATES,
        "links": LINKS,
        "sender": SENDER,
        "now": planned.clock.now(),
    } | changes
    return preview_letter(planned.engine, **given)  # type: ignore[arg-type]


def read(content: bytes) -> EmailMessage:
    return message_from_bytes(content, _class=EmailMessage, policy=policy.default)


def appointment_in(calendar: EmailMessage) -> Any:
    (event,) = Calendar.from_ical(calendar.get_content()).walk("VEVENT")
    return event


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def counted(engine: Engine, model: type) -> int:
    with reading(engine) as connection:
        return connection.execute(
            select(func.count()).select_from(table(model))
        ).scalar_one()


@pytest.mark.parametrize("kind", [NoticeKind.INITIAL, NoticeKind.FINAL])
@pytest.mark.parametrize("language", ["en", "zh-HK"])
def test_preview_is_the_very_message_that_is_sent_but_for_its_number(
    planned: Planned, kind: NoticeKind, language: str
) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Subscriber)).values(language=language))
    letter = previewed(planned, kind=kind)
    mailer = KeepingMailer()
    planned.plan(planned.contacts[:1], kind=kind)
    planned.send(mailer)

    assert letter is not None
    (sent,) = mailer.sent
    number = read(letter.message.content)["Message-ID"].encode()
    assert number in letter.message.content
    assert sent.content == letter.message.content.replace(
        number, read(sent.content)["Message-ID"].encode()
    )


def test_preview_writes_mail_and_page_and_records_nothing(
    planned: Planned, tmp_path: Path
) -> None:
    out = tmp_path / "preview"

    done = tocsin_notice(
        *("preview", INCIDENT, "--subscriber", "clinic 1"),
        *("--kind", "initial", "--out", str(out)),
    )

    assert done.exit_code == 0, done.output
    names = [f"initial-{planned.contacts[0]}-en.{kind}" for kind in ("eml", "html")]
    assert sorted(path.name for path in out.iterdir()) == names
    mail = read((out / names[0]).read_bytes())
    assert mail["To"] == "Chan Tai Man <a@clinic.example>"
    assert "Attached: certificates.csv, revocation.ics" in done.stdout
    page = mail.get_body(("html",))
    assert page is not None
    assert (out / names[1]).read_text("utf-8") == page.get_content().replace(
        "\r\n", "\n"
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert counted(planned.engine, Notice) == counted(planned.engine, Act) == 0


def token_in(out: Path) -> str:
    (file,) = out.glob("*.eml")
    text = text_of(read(file.read_bytes()))
    return text.partition("https://portal.ca.example/s/")[2].split()[0]


def test_link_in_a_preview_leads_nowhere(planned: Planned, tmp_path: Path) -> None:
    links = Links(read_secrets(tmp_path / "link-secrets"))

    tocsin_notice(
        *("preview", INCIDENT, "--contact", str(planned.contacts[0])),
        *("--kind", "final", "--out", str(tmp_path / "out")),
    )

    with pytest.raises(Refused, match="not valid"):
        links.read(token_in(tmp_path / "out"), purpose=SUBSCRIBER, now=LAUNCH)


def test_i5_working_link_is_made_when_asked_for_and_put_on_record(
    planned: Planned, tmp_path: Path
) -> None:
    done = tocsin_notice(
        *("preview", INCIDENT, "--contact", str(planned.contacts[0])),
        *("--kind", "final", "--out", str(tmp_path / "out"), "--with-working-link"),
    )

    assert done.exit_code == 0, done.output
    links = Links(read_secrets(tmp_path / "link-secrets"))
    claims = links.read(token_in(tmp_path / "out"), purpose=SUBSCRIBER, now=LAUNCH)
    assert claims.contact == planned.contacts[0]
    (act,) = planned.acts()
    assert (act.action, act.detail) == (
        "working-link-shown",
        {"contact": planned.contacts[0]},
    )


def test_preview_is_in_the_language_asked_for(planned: Planned) -> None:
    letter = previewed(planned, language="zh-TW")

    assert letter is not None
    mail = read(letter.message.content)
    assert mail["Content-Language"] == "zh-Hant"
    assert "香港時間" in mail["Subject"]
    assert "另有2張，見附件清單" in text_of(mail)  # noqa: RUF001
    certificates, calendar = mail.iter_attachments()
    assert isinstance(certificates, EmailMessage)
    assert isinstance(calendar, EmailMessage)
    heading = certificates.get_content().splitlines()[0].lstrip("\ufeff")
    assert heading == "名稱,序號（十六進制）,有效期至"  # noqa: RUF001
    event = appointment_in(calendar)
    assert str(event["SUMMARY"]).startswith("證書撤銷：host-1000")  # noqa: RUF001
    assert event["SUMMARY"].params["LANGUAGE"] == "zh-Hant"


def test_draft_is_shown_as_if_it_were_launched_now(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        draft = insert_incident(
            connection,
            id="draft",
            state="draft",
            launched_at=None,
            revocation_starts_at=None,
            rule_pack=shipped_rule_pack().text,
        )
        subscriber = insert_subscriber(connection, draft, "Ferry Company")
        contact = insert_contact(connection, draft, subscriber)
        insert_certificates(connection, draft, subscriber, 7, first_serial=0x9000)

    letter = previewed(planned, incident=draft, contact=contact)

    assert letter is not None
    text = text_of(read(letter.message.content))
    assert "7 TLS certificates of Ferry Company\nwill be REVOKED" in text
    assert "Saturday 7 March 2026" in text


def test_preview_says_so_when_there_is_nothing_to_say(
    planned: Planned, tmp_path: Path
) -> None:
    with writing(planned.engine) as connection:
        staff = insert_contact(
            connection, INCIDENT, None, "lead@ca.example", role="compliance-lead"
        )

    done = tocsin_notice(
        *("preview", INCIDENT, "--contact", str(staff)),
        *("--kind", "escalation", "--out", str(tmp_path / "out")),
    )

    assert done.exit_code == 1
    assert "nothing to say now" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("who", "complaint"),
    [
        ((), "exactly one of --contact and --subscriber"),
        (("--contact", "1", "--subscriber", "x"), "exactly one of"),
        (("--contact", "999"), "no contact 999"),
        (("--subscriber", "Hospital"), "no subscriber called 'Hospital'"),
        (("--subscriber", "clinic"), "several subscribers .* Clinic 1; Clinic 2"),
    ],
)
def test_preview_says_who_cannot_be_found(
    planned: Planned, tmp_path: Path, who: tuple[str, ...], complaint: str
) -> None:
    assert planned.contacts

    done = tocsin_notice(
        "preview", INCIDENT, "--kind", "final", "--out", str(tmp_path), *who
    )

    assert isinstance(done.exception, BadInput)
    with pytest.raises(BadInput, match=complaint):
        raise done.exception


def test_later_notice_replaces_the_appointment_of_an_earlier_one(
    planned: Planned,
) -> None:
    def appointment(contact: ContactId, kind: NoticeKind) -> tuple[str, int, object]:
        letter = previewed(planned, contact=contact, kind=kind, now=planned.clock.now())
        assert letter is not None
        *_, calendar = read(letter.message.content).iter_attachments()
        assert isinstance(calendar, EmailMessage)
        event = appointment_in(calendar)
        return str(event["UID"]), int(event["SEQUENCE"]), event["DTSTART"].dt

    one, other = planned.contacts
    first = appointment(one, NoticeKind.INITIAL)
    planned.step(days=1)
    later = appointment(one, NoticeKind.REMINDER)
    of_other = appointment(other, NoticeKind.REMINDER)

    assert first[0] == later[0] != of_other[0]
    assert first[1] < later[1] == timedelta(days=1).total_seconds()
    assert first[2] == later[2] == REVOCATION


def test_no_appointment_goes_along_when_revocation_is_over(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        connection.execute(update(table(Revocation)).values(state="published"))

    letter = previewed(planned, now=DEADLINE)

    assert letter is not None
    mail = read(letter.message.content)
    assert [part.get_filename() for part in mail.iter_attachments()] == [
        "certificates.csv"
    ]


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_test_goes_through_the_relay_marked_and_unrecorded(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, kind: NoticeKind
) -> None:
    with ScriptedRelay() as relay:
        monkeypatch.setenv("TOCSIN_SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("TOCSIN_SMTP_PORT", str(relay.port))

        done = tocsin_notice(
            "send-test", "--to", "me@ca.example", "--kind", kind.value,
            "--language", "zh-HK",
        )  # fmt: skip

    assert done.exit_code == 0, done.output
    (taken,) = relay.taken
    mail = read(taken.content)
    assert mail["To"] == "me@ca.example"
    assert mail["Subject"].startswith("【測試】")
    assert taken.recipient == "me@ca.example"
    assert counted(planned.engine, Notice) == counted(planned.engine, Act) == 0


def test_test_that_the_relay_refuses_fails_with_its_words(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned.contacts
    with ScriptedRelay(
        lambda asked: "550 5.1.1 nobody here" if asked.verb == "RCPT" else None
    ) as relay:
        monkeypatch.setenv("TOCSIN_SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("TOCSIN_SMTP_PORT", str(relay.port))

        done = tocsin_notice("send-test", "--to", "me@ca.example", "--kind", "final")

    assert done.exit_code == 1
    assert "Not sent (failed)" in done.output
    assert "550" in done.output


def test_test_goes_to_one_address() -> None:
    done = tocsin_notice(
        "send-test", "--to", "a@x.example,b@x.example", "--kind", "final"
    )

    assert isinstance(done.exception, BadInput)


def test_templates_of_a_running_incident_are_its_own(planned: Planned) -> None:
    changed = TEMPLATES.sources() | {"en/initial/subject.txt": "changed later"}

    letter = previewed(planned, templates=TemplateSet.from_sources(changed))

    assert letter is not None
    assert read(letter.message.content)["Subject"].startswith("Your certificates")


def test_incident_without_the_contact_shows_nothing(planned: Planned) -> None:
    with writing(planned.engine) as connection:
        insert_incident(connection, id="another")

    with pytest.raises(BadInput, match="no contact"):
        previewed(planned, incident=IncidentId("another"))
