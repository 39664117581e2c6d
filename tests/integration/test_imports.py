import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from factories import LAUNCH, insert_certificates, insert_incident
from fakes.lists import ISSUER, NOT_BEFORE, make_certificate, name, pem
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, func, insert, select
from ways import EVERY_WAY

from models.base import table
from models.incident import AffectedCertificate, CertificateBody, Entry, Issuer
from models.subscriber import Contact, Subscriber
from models.terms import IncidentId
from tocsin.errors import Broken, Refused
from tocsin.names import canonical_key, parse_name
from tocsin.steps.intake import Imported, import_incident
from tocsin.store.imports import clear_draft, draft_figures, findings
from tocsin.store.session import open_engine, reading, writing

CERTIFICATE = table(AffectedCertificate)
SUBSCRIBER = table(Subscriber)
DRAFT = IncidentId("draft")
HEADER = "issuer,serial,subscriber\n"
DIRECTORY = "subscriber,email,domains,zone,rank,role\n"


@pytest.fixture
def draft(engine: Engine) -> Engine:
    with writing(engine) as connection:
        insert_incident(connection, id=DRAFT, state="draft")
    return engine


def write(folder: Path, content: bytes | str, file: str) -> Path:
    path = folder / file
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def run(engine: Engine, *paths: Path, directory: Path | None = None) -> Imported:
    imported = import_incident(
        engine,
        incident=DRAFT,
        certificates=paths,
        directory=directory,
        default_zone="Asia/Hong_Kong",
        now=LAUNCH,
    )
    # I3
    assert imported.entries == (
        imported.accepted + imported.duplicates + imported.set_aside
    )
    assert imported.directory_rows == (
        imported.contacts
        + imported.contacts_duplicate
        + imported.contacts_set_aside
        + imported.without_address
    )
    return imported


def owners(connection: Connection) -> dict[str, str | None]:
    """Return serial to the name of the subscriber."""
    return {
        row.serial: row.name
        for row in connection.execute(
            select(CERTIFICATE.c.serial, SUBSCRIBER.c.name)
            .join(
                SUBSCRIBER, SUBSCRIBER.c.id == CERTIFICATE.c.subscriber_id, isouter=True
            )
            .where(CERTIFICATE.c.incident_id == DRAFT)
        )
    }


def row(serial: str, subscriber: str = "") -> str:
    return f'"{ISSUER}",{serial},{subscriber}\n'


@pytest.mark.parametrize("precertificate_first", [True, False])
def test_precertificate_and_certificate_are_one_certificate(
    draft: Engine, tmp_path: Path, *, precertificate_first: bool
) -> None:
    final = make_certificate(7, dns_names=("final.example",))
    poisoned = make_certificate(7, dns_names=("poisoned.example",), precertificate=True)
    both = [poisoned, final] if precertificate_first else [final, poisoned]
    # Two files, and many others between them: another batch.
    paths = [write(tmp_path, der, f"{n}.der") for n, der in enumerate(both)]

    imported = run(draft, *paths)

    assert (imported.entries, imported.accepted, imported.certificates) == (2, 2, 1)
    with reading(draft) as connection:
        stored = connection.execute(select(CERTIFICATE)).one()
        body = connection.execute(select(table(CertificateBody))).one()
    assert stored.serial == "07"
    assert stored.dns_names == ["final.example"]
    assert body.der == final
    assert stored.precertificate_sha256
    assert stored.certificate_sha256
    assert stored.not_before == NOT_BEFORE


def test_merging_does_not_depend_on_batches(draft: Engine, tmp_path: Path) -> None:
    final = make_certificate(1)
    many = "".join(row(f"{serial:x}") for serial in range(0x10, 0x10 + 2_500))
    paths = [
        write(tmp_path, row("01", "Big Bank").join([HEADER, many]), "1.csv"),
        write(tmp_path, pem([final, make_certificate(1, precertificate=True)]), "2"),
        write(tmp_path, pem([final]), "3.pem"),
    ]

    imported = run(draft, *paths)

    assert (imported.entries, imported.certificates) == (2_504, 2_501)
    assert (imported.accepted, imported.duplicates) == (2_503, 1)
    with reading(draft) as connection:
        stored = connection.execute(
            select(CERTIFICATE).where(CERTIFICATE.c.serial == "01")
        ).one()
        entries = connection.execute(
            select(func.count()).where(table(Entry).c.certificate_id == stored.id)
        ).scalar()
    assert entries == 4
    assert stored.claimed_by == "Big Bank"
    assert stored.organisation == "Harbour Clinic"
    assert stored.spki_sha256
    assert stored.precertificate_sha256


def test_spellings_of_one_certificate_are_duplicates(
    draft: Engine, tmp_path: Path
) -> None:
    other = "CN=Test e-Cert SSL CA,O=HONGKONG POST,C=hk"
    content = HEADER + "".join(
        f'"{issuer}",{serial},\n'
        for issuer in (ISSUER, other)
        for serial in ("0A:BC", "0xabc", "00 0a bc", "ABC")
    )

    imported = run(draft, write(tmp_path, content, "list.csv"))

    assert (imported.certificates, imported.duplicates) == (1, 7)
    with reading(draft) as connection:
        issuer = connection.execute(select(table(Issuer))).one()
    assert issuer.key == canonical_key(parse_name(ISSUER))


def test_different_certificates_with_one_serial_are_reported(
    draft: Engine, tmp_path: Path
) -> None:
    ders = [make_certificate(3), make_certificate(3, dns_names=("other.example",))]

    imported = run(draft, write(tmp_path, pem(ders), "list.pem"))

    assert (imported.certificates, imported.conflicts) == (1, 1)
    with reading(draft) as connection:
        (finding,) = findings(connection, incident=DRAFT, limit=10)
    assert "another certificate has the same issuer and serial" in finding.finding
    assert finding.outcome == "duplicate"


def test_a_certificate_claimed_by_two_subscribers_is_reported(
    draft: Engine, tmp_path: Path
) -> None:
    content = HEADER + row("01", "Big Bank") + row("1", "Small Bank")
    content += row("02", "Big Bank") + row("02", "BIG  bank")

    imported = run(draft, write(tmp_path, content, "list.csv"))

    assert (imported.certificates, imported.conflicts) == (2, 1)
    with reading(draft) as connection:
        assert owners(connection) == {"01": "Big Bank", "02": "Big Bank"}
        (finding,) = findings(connection, incident=DRAFT, limit=10)
    assert finding.row == 3
    assert "claimed by two subscribers" in finding.finding


def test_bad_input_of_every_kind_is_set_aside_and_nothing_else(
    draft: Engine, tmp_path: Path
) -> None:
    good = pem([make_certificate(1)])
    listed = "issuer;serial\n" + "".join(
        f'"{ISSUER}";{serial}\n' for serial in ("02", "1.23E+35", "0x1G", "")
    )
    paths = [
        write(tmp_path, "", "empty.pem"),
        write(tmp_path, good + good[:200], "truncated.pem"),
        write(tmp_path, "Name,Number\nA,1\n", "wrong-header.csv"),
        write(tmp_path, ("\ufeff" + listed).encode("utf-16-le"), "excel.csv"),
        write(
            tmp_path,
            "crt.sh ID,Logged At,Not Before,Not After,Issuer Name\n1,a,b,c,CN=x\n",
            "crt.csv",
        ),
        tmp_path / "missing",
    ]

    imported = run(draft, *paths)

    assert (imported.accepted, imported.set_aside) == (2, 8)
    assert len(imported.problems) == 8
    with reading(draft) as connection:
        found = findings(connection, incident=DRAFT, limit=100)
        figures = draft_figures(connection, incident=DRAFT, now=LAUNCH)
    assert len(found) == figures.set_aside == 8
    assert {Path(finding.file).name for finding in found} == {
        "empty.pem",
        "truncated.pem",
        "wrong-header.csv",
        "excel.csv",
        "crt.csv",
        "missing",
    }
    in_excel = [finding for finding in found if finding.file.endswith("excel.csv")]
    assert [finding.row for finding in in_excel] == [3, 4, 5]
    assert all(finding.finding.startswith("serial: ") for finding in in_excel)


def test_certificates_find_their_subscribers(draft: Engine, tmp_path: Path) -> None:
    directory = DIRECTORY + (
        "Harbour  CLINIC,a@clinic.example,,Europe/London,,\n"
        "Big Bank,b@bank.example,bank.example,,,\n"
        "Card Unit,c@bank.example,cards.bank.example,,,\n"
    )
    certificates = [
        make_certificate(1, dns_names=("www.bank.example",)),  # organisation first
        make_certificate(2, organisation="Elsewhere", dns_names=("a.bank.example",)),
        make_certificate(3, organisation=None, dns_names=("*.cards.bank.example",)),
        make_certificate(4, organisation=None, dns_names=("notbank.example",)),
        make_certificate(5, organisation="Newcomer", dns_names=("new.example",)),
        make_certificate(6, organisation="Newcomer", dns_names=("x.bank.example",)),
    ]
    claims = HEADER + row("07", "Card unit") + row("08", "Unheard Of") + row("09")
    claims += row("02", "Unheard of")

    imported = run(
        draft,
        write(tmp_path, pem(certificates), "list.pem"),
        write(tmp_path, claims, "claims.csv"),
        directory=write(tmp_path, directory, "directory.csv"),
    )

    with reading(draft) as connection:
        assert owners(connection) == {
            "01": "Harbour CLINIC",
            "02": "Unheard Of",
            "03": "Card Unit",
            "04": None,
            "05": "Newcomer",
            "06": "Big Bank",
            "07": "Card Unit",
            "08": "Unheard Of",
            "09": None,
        }
        figures = draft_figures(connection, incident=DRAFT, now=LAUNCH)
        zones = {row.name: row.zone for row in connection.execute(select(SUBSCRIBER))}
    assert imported.of_nobody == figures.without_subscriber == 2
    assert figures.subscribers == imported.subscribers == 5
    assert figures.subscribers_without_contacts == 2  # Unheard Of, Newcomer
    assert figures.without_contact == 5
    assert zones["Harbour CLINIC"] == "Europe/London"
    assert zones["Newcomer"] == "Asia/Hong_Kong"


def test_contacts_are_imported_once_and_ranked(draft: Engine, tmp_path: Path) -> None:
    directory = DIRECTORY + (
        "Big Bank,one@bank.example,,,,\n"
        "Big Bank,ONE@bank.example,,,2,\n"
        "BIG BANK,two@bank.example,,,,\n"
        "Big Bank,nine@bank.example,,,9,\n"
        '"Big Bank","bad@bank.example\nBcc: x@y.example",,,,\n'
        "Silent Ltd,,silent.example,,,\n"
        ",duty@ca.example,,,,operations-manager\n"
        ",Duty@ca.example,,,,operations-manager\n"
        ",nobody@ca.example,,,,\n"
        "Thief Ltd,t@thief.example,silent.example,,,\n"
    )

    imported = run(
        draft,
        write(tmp_path, HEADER + row("01", "Silent Ltd"), "list.csv"),
        directory=write(tmp_path, directory, "directory.csv"),
    )

    assert imported.directory_rows == 10
    assert imported.contacts == 5
    assert imported.contacts_duplicate == 2
    assert imported.contacts_set_aside == 2
    assert imported.without_address == 1
    assert [(problem.row, problem.field) for problem in imported.problems] == [
        (6, "email"),
        (10, "subscriber"),
    ]
    assert any("silent.example was given to another" in n for n in imported.notes)
    contact = table(Contact)
    with reading(draft) as connection:
        ranks = connection.execute(
            select(contact.c.email, contact.c.rank)
            .where(contact.c.role == "subscriber")
            .order_by(contact.c.id)
        )
        assert [tuple(each) for each in ranks] == [
            ("one@bank.example", 1),
            ("two@bank.example", 2),
            ("nine@bank.example", 9),
            ("t@thief.example", 1),
        ]
        figures = draft_figures(connection, incident=DRAFT, now=LAUNCH)
    assert (figures.contacts, figures.staff) == (4, 1)
    assert figures.subscribers_without_contacts == 1
    assert figures.without_contact == 1


def test_ranks_and_duplicates_hold_across_batches(
    draft: Engine, tmp_path: Path
) -> None:
    rows = "".join(f"Big Bank,p{n}@bank.example,,,,\n" for n in range(2_100))

    imported = run(
        draft,
        write(tmp_path, HEADER + row("01"), "list.csv"),
        directory=write(tmp_path, DIRECTORY + rows + rows, "directory.csv"),
    )

    assert (imported.contacts, imported.contacts_duplicate) == (2_100, 2_100)
    contact = table(Contact)
    with reading(draft) as connection:
        ranks = connection.execute(
            select(contact.c.rank).order_by(contact.c.id)
        ).scalars()
        assert list(ranks) == list(range(1, 2_101))


def test_i4_an_import_that_died_half_way_is_run_again_with_the_same_figures(
    draft: Engine, tmp_path: Path
) -> None:
    content = HEADER + "".join(row(f"{serial:x}") for serial in range(16, 2_516))
    listed = write(tmp_path, content, "list.csv")
    directory = write(
        tmp_path, DIRECTORY + "Harbour Clinic,a@clinic.example,,,,\n", "directory.csv"
    )

    def die(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_incident(
            draft,
            incident=DRAFT,
            certificates=[listed],
            directory=directory,
            default_zone="UTC",
            now=LAUNCH,
            progress=die,
        )
    with reading(draft) as connection:
        half = draft_figures(connection, incident=DRAFT, now=LAUNCH)
    again = run(draft, listed, directory=directory)

    assert (half.entries, half.contacts) == (2_000, 1)
    assert (again.entries, again.accepted, again.contacts) == (2_500, 2_500, 1)
    with reading(draft) as connection:
        figures = draft_figures(connection, incident=DRAFT, now=LAUNCH)
    assert (figures.entries, figures.certificates, figures.contacts) == (
        2_500,
        2_500,
        1,
    )


def test_a_launched_incident_is_not_imported_again(
    engine: Engine, tmp_path: Path
) -> None:
    with writing(engine) as connection:
        insert_incident(connection, id=DRAFT, state="running")

    with pytest.raises(Refused):
        run(engine, write(tmp_path, HEADER + row("01"), "list.csv"))


def test_clearing_a_draft_leaves_other_incidents_alone(
    draft: Engine, tmp_path: Path
) -> None:
    with writing(draft) as connection:
        other = insert_incident(connection, id="other", state="running")
        insert_certificates(connection, other, None, 3)
    run(draft, write(tmp_path, pem([make_certificate(1)]), "list.pem"))

    with writing(draft) as connection:
        while clear_draft(connection, incident=DRAFT):
            pass

    with reading(draft) as connection:
        left = connection.execute(select(CERTIFICATE.c.incident_id)).scalars().all()
        bodies = connection.execute(
            select(func.count()).select_from(table(CertificateBody))
        ).scalar()
    assert (left, bodies) == (["other"] * 3, 0)


def test_overlaps_with_running_incidents_are_counted(
    draft: Engine, tmp_path: Path
) -> None:
    key = canonical_key(parse_name(ISSUER))
    with writing(draft) as connection:
        for number, state in enumerate(("running", "closed")):
            other = insert_incident(
                connection, id=state, state=state, title=f"The {state} one"
            )
            insert_certificates(
                connection, other, None, 3, issuer_key=key, first_serial=0x1000 + number
            )

    run(
        draft,
        write(tmp_path, HEADER + row("1001") + row("1002") + row("1003"), "list.csv"),
    )

    with reading(draft) as connection:
        (overlap,) = draft_figures(connection, incident=DRAFT, now=LAUNCH).overlaps
    assert (overlap.incident, overlap.title) == ("running", "The running one")
    assert overlap.certificates == 2


def test_preview_figures_say_what_an_officer_has_to_know(
    draft: Engine, tmp_path: Path
) -> None:
    certificates = [
        make_certificate(1, precertificate=True),
        make_certificate(2, not_after=LAUNCH.replace(day=1)),
        make_certificate(3, issuer=name("Unknown CA")),
    ]

    run(draft, write(tmp_path, pem(certificates), "list.pem"))

    with reading(draft) as connection:
        figures = draft_figures(connection, incident=DRAFT, now=LAUNCH)
    assert figures.precertificates_only == 1
    assert figures.already_expired == 1
    assert [(each.name, each.certificates) for each in figures.issuers] == [
        (ISSUER, 2),
        ("CN=Unknown CA", 1),
    ]


def test_progress_is_told_after_each_batch(draft: Engine, tmp_path: Path) -> None:
    told: list[int] = []
    content = HEADER + "".join(row(f"{serial:x}") for serial in range(16, 4_517))

    import_incident(
        draft,
        incident=DRAFT,
        certificates=[write(tmp_path, content, "list.csv")],
        directory=None,
        default_zone="UTC",
        now=LAUNCH,
        progress=told.append,
    )

    assert told == [2_000, 4_000, 4_501]


def test_many_remarks_and_problems_are_cut_but_all_are_on_record(
    draft: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    for number in range(203):
        write(folder, HEADER + row("zz"), f"{number:03}.csv")

    imported = run(draft, folder)

    assert imported.set_aside == 203
    assert len(imported.problems) == 200
    assert len(imported.notes) == 201
    assert imported.notes[-1].startswith("3 further")
    with reading(draft) as connection:
        assert len(findings(connection, incident=DRAFT, limit=1_000)) == 203


def test_i3_figures_that_do_not_add_up_stop_the_import(
    draft: Engine, tmp_path: Path
) -> None:
    def meddle(_: int) -> None:
        with writing(draft) as connection:
            connection.execute(
                insert(table(Entry)).values(
                    incident_id=DRAFT, file="x", row=1, outcome="accepted"
                )
            )

    with pytest.raises(Broken, match="does not add up"):
        import_incident(
            draft,
            incident=DRAFT,
            certificates=[write(tmp_path, HEADER + row("01"), "list.csv")],
            directory=None,
            default_zone="UTC",
            now=LAUNCH,
            progress=meddle,
        )


def test_texts_that_a_database_refuses_are_cleaned(
    draft: Engine, tmp_path: Path
) -> None:
    texts = ["Nul\x00Bank", "half a \ud800 pair", "line\nfeed", "x" * 5_000]
    listed = [
        {"issuer": f"CN={text[:40]}", "serial": "01", "subscriber": text}
        for text in texts
    ]

    imported = run(draft, write(tmp_path, json.dumps(listed), "list.json"))

    assert (imported.accepted, imported.certificates) == (4, 4)
    with reading(draft) as connection:
        names = connection.execute(select(SUBSCRIBER.c.name)).scalars().all()
    assert sorted(names) == ["Nul Bank", "half a pair", "line feed", "x" * 5_000]


# Two issuers, few serials: identities collide as often as possible.
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([ISSUER, "CN=Other CA", "", "Other CA"]),
        st.sampled_from(["01", "0x01", "00:02", "3", "zz", "1.2E+30", ""]),
        st.sampled_from(["", "Big Bank", "big  bank", "Small Bank"]),
        st.sampled_from(["", "certificate", "precertificate", "odd"]),
        st.sampled_from(["", "aa" * 32, "bb" * 32, "cc"]),
    ),
    max_size=25,
)


# Each example is an import into a database of its own: a third finds what all would.
@settings(max_examples=150 if EVERY_WAY else 50)
@given(entries=ENTRIES, split=st.integers(0, 25))
def test_i3_entries_are_accepted_duplicate_or_set_aside(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    entries: Sequence[tuple[str, str, str, str, str]],
    split: int,
) -> None:
    folder = tmp_path_factory.mktemp("mix")
    for file, part in (("1.csv", entries[:split]), ("2.csv", entries[split:])):
        lines = "".join(
            ",".join(f'"{cell}"' for cell in entry) + "\n" for entry in part
        )
        write(folder, "issuer,serial,subscriber,kind,sha256\n" + lines, file)
    engine = open_engine(f"sqlite:///{shutil.copy(sqlite_template, folder / 'it')}")
    with writing(engine) as connection:
        insert_incident(connection, id=DRAFT, state="draft")

    imported = run(engine, folder / "1.csv", folder / "2.csv")

    empty_files = sum(not part for part in (entries[:split], entries[split:]))
    filled = sum(any(entry) for entry in entries)
    assert imported.entries >= filled
    assert imported.entries <= len(entries) + empty_files + 2
    with reading(engine) as connection:
        identities = connection.execute(
            select(func.count()).select_from(CERTIFICATE)
        ).scalar()
        figures = draft_figures(connection, incident=DRAFT, now=LAUNCH)
    assert identities == imported.certificates <= imported.accepted
    assert figures.entries == imported.entries
    engine.dispose()
