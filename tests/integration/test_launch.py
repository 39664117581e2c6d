"""From a list of files to a launched incident, and every way it can be refused."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from factories import HOUR, LAUNCH, MADE_AWARE
from sqlalchemy import Engine, func, select

from models.base import table
from models.incident import Entry
from models.revocation import Revocation
from models.terms import Circumstance, IncidentId, IncidentState
from tocsin.ca.embedded import EmbeddedCa
from tocsin.ca.issuers import create_issuer
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput, Refused
from tocsin.mail.render import TemplateSet
from tocsin.reports.preview import preview_markdown
from tocsin.settings import Settings
from tocsin.steps.intake import Imported
from tocsin.steps.launch import (
    Launched,
    LaunchRequest,
    draft_incident,
    launch_incident,
    read_rulebook,
)
from tocsin.steps.preview import preview_incident
from tocsin.store import audit
from tocsin.store.incidents import frozen_templates, read_incident
from tocsin.store.session import reading

pytestmark = pytest.mark.one_database

DIRECTORY = """subscriber,sector,zone,domains,name,email,phone,rank,role
Harbour Clinic,Health,Asia/Hong_Kong,clinic.example,Chan Tai Man,admin@clinic.example,+852 5550 0100,1,
Harbour Clinic,Health,Asia/Hong_Kong,,Lee Siu Ling,second@clinic.example,,2,
Ferry Company,Transport,Asia/Hong_Kong,ferry.example,,,,,
,,,,Compliance,lead@ca.example,,,compliance-lead
"""
ISSUER = "CN=Test Issuing CA,O=Example CA,C=HK"


class Desk:
    """An officer's desk: files, a CA, and the steps in order."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.clock = SteppedClock(LAUNCH)
        self.settings = Settings(data_directory=folder)
        create_issuer(
            folder / "ca",
            name="Test Issuing CA",
            organisation="Example CA",
            country="HK",
            now=LAUNCH,
        )
        self.backend = EmbeddedCa(folder / "ca", clock=self.clock)
        self.templates = TemplateSet.from_files()
        (folder / "list.csv").write_text(
            "issuer,serial,subscriber\n"
            f'"{ISSUER}",1001,Harbour Clinic\n'
            f'"{ISSUER}",10:02,harbour  clinic\n'
            f'"{ISSUER}",1003,Ferry Company\n'
            f'"{ISSUER}",1003,Ferry Company\n'
            f'"{ISSUER}",1.23E+35,Ferry Company\n',
            "utf-8",
        )
        (folder / "directory.csv").write_text(DIRECTORY, "utf-8")

    def request(self) -> LaunchRequest:
        return LaunchRequest(
            title="CPS URI",
            circumstance=Circumstance.MISISSUED,
            made_aware_at=MADE_AWARE,
            certificates=[self.folder / "list.csv"],
            directory=self.folder / "directory.csv",
            zone="Asia/Hong_Kong",
        )

    def draft(self, **changes: object) -> tuple[IncidentId, Imported]:
        return draft_incident(
            self.engine,
            replace(self.request(), **changes),  # type: ignore[arg-type]
            rulebook=read_rulebook(self.settings),
            clock=self.clock,
        )

    def preview(self, incident: IncidentId, imported: Imported) -> str:
        return preview_markdown(
            preview_incident(
                self.engine,
                incident=incident,
                imported=imported,
                backend=self.backend,
                templates=self.templates,
                settings=self.settings,
                now=self.clock.now(),
            )
        )

    def launch(self, incident: IncidentId) -> Launched:
        return launch_incident(
            self.engine,
            incident=incident,
            backend=self.backend,
            templates=self.templates.sources(),
            actor="officer",
            clock=self.clock,
        )

    def count(self, model: type) -> int:
        with reading(self.engine) as connection:
            return connection.execute(
                select(func.count()).select_from(table(model))
            ).scalar_one()


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path)


def test_every_certificate_is_scheduled_before_the_deadline_when_launched(
    desk: Desk,
) -> None:
    incident, _ = desk.draft()

    launched = desk.launch(incident)

    assert launched.certificates == 3
    assert desk.count(Revocation) == 3
    assert LAUNCH < launched.plan.starts_at < launched.deadline
    assert launched.deadline == MADE_AWARE + timedelta(hours=120)
    assert launched.milestones[-1].key == "deadline"
    with reading(desk.engine) as connection:
        record = read_incident(connection, incident=incident)
        frozen = frozen_templates(connection, incident=incident)
        (act,) = audit.acts(connection, incident=incident)
    assert record.state is IncidentState.RUNNING
    assert frozen == desk.templates.sources()  # I7
    assert act.detail["certificates"] == 3


def test_i3_preview_accounts_for_every_entry_and_says_what_is_odd(desk: Desk) -> None:
    shown = desk.preview(*desk.draft())

    assert "| accepted | 3 |" in shown
    assert "| duplicates | 1 |" in shown
    assert "| set aside | 1 |" in shown
    assert "| **total** | **5** |" in shown
    assert "1.23E+35" in shown
    assert "1 subscriber without any contact" in shown
    assert "Nobody in the directory is account-manager, operations-manager" in shown
    assert "Revocation of 3 certificates starts" in shown
    assert "will be REVOKED" in shown
    assert "does not know the issuer" not in shown
    assert desk.count(Entry) == 5


def test_i3_preview_accounts_for_every_row_of_the_directory(desk: Desk) -> None:
    with (desk.folder / "directory.csv").open("a", encoding="utf-8") as directory:
        directory.write("Harbour Clinic,,,,Again,ADMIN@clinic.example,,3,\n")
        directory.write("Harbour Clinic,,,,Wong,no address,,4,\n")

    shown = desk.preview(*desk.draft())

    assert "| contacts, your own people included | 3 |" in shown
    assert "| without an address | 1 |" in shown
    assert "| set aside | 1 |" in shown.partition("Rows of the directory")[2]
    assert "| **total** | **6** |" in shown


def test_nothing_is_due_when_a_draft_was_only_previewed(desk: Desk) -> None:
    desk.preview(*desk.draft())

    assert desk.count(Revocation) == 0


def test_i7_second_launch_of_one_draft_is_refused(desk: Desk) -> None:
    incident, _ = desk.draft()
    desk.launch(incident)

    with pytest.raises(Refused, match="launched before"):
        desk.launch(incident)
    assert desk.count(Revocation) == 3


def test_revocation_starts_at_once_and_says_it_is_late_when_the_deadline_has_passed(
    desk: Desk,
) -> None:
    incident, imported = desk.draft(made_aware_at=LAUNCH - timedelta(days=9))

    shown = desk.preview(incident, imported)
    launched = desk.launch(incident)

    assert "LATE: the deadline has passed" in shown
    assert launched.plan.is_late
    assert launched.plan.starts_at == LAUNCH


def test_made_aware_time_in_the_future_is_refused(desk: Desk) -> None:
    with pytest.raises(BadInput, match="lies in the future") as caught:
        desk.draft(made_aware_at=LAUNCH + HOUR)
    assert caught.value.field == "made-aware"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": "  "}, "title"),
        ({"made_aware_at": MADE_AWARE.replace(tzinfo=None)}, "made-aware"),
        ({"zone": "Hong Kong"}, "zone"),
        ({"certificates": []}, "certificates"),
    ],
)
def test_request_is_refused_with_its_field_when_it_cannot_be_an_incident(
    desk: Desk, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(BadInput) as caught:
        desk.draft(**changes)
    assert caught.value.field == field


def test_missing_file_is_named_when_there_is_none(desk: Desk) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.pem"):
        desk.draft(certificates=[desk.folder / "nowhere.pem"])


def test_launch_is_refused_when_there_is_no_certificate(desk: Desk) -> None:
    (desk.folder / "empty.pem").write_bytes(b"")
    incident, imported = desk.draft(certificates=[desk.folder / "empty.pem"])

    with pytest.raises(Refused, match="no certificate"):
        desk.launch(incident)
    assert imported.set_aside == 1


def test_overlap_is_shown_when_a_second_incident_lists_the_same_certificates(
    desk: Desk,
) -> None:
    first, _ = desk.draft()
    desk.launch(first)

    shown = desk.preview(*desk.draft(title="Another"))

    assert f"3 certificates also in incident {first}" in shown


def test_unknown_issuer_is_shown_when_the_ca_cannot_revoke_there(desk: Desk) -> None:
    (desk.folder / "list.csv").write_text("issuer,serial\nCN=Somebody Else,1001\n")

    shown = desk.preview(*desk.draft())

    assert "does not know the issuer" in shown
