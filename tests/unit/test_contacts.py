from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.terms import ContactRole
from tocsin.errors import BadInput
from tocsin.intake.contacts import parse_address, read_directory
from tocsin.policy.entries import FileNote, ParsedContact, SetAside

HEADER = "subscriber,sector,language,zone,domains,name,email,phone,rank,role\n"


def read(
    folder: Path, content: str | bytes
) -> tuple[list[ParsedContact], list[SetAside]]:
    path = folder / "directory.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    items = [item for item in read_directory(path) if not isinstance(item, FileNote)]
    return (
        [item for item in items if isinstance(item, ParsedContact)],
        [item for item in items if isinstance(item, SetAside)],
    )


def test_a_row_is_one_contact(tmp_path: Path) -> None:
    (contact,), set_aside = read(
        tmp_path,
        HEADER + "Harbour  Clinic,Medical,zh_HK,Asia/Hong_Kong,"
        '"*.Clinic.example; clinic.hk",Chan Tai Man,chan@Clinic.example,'
        "+852 5550 0100,secondary,\n",
    )

    assert not set_aside
    assert contact == ParsedContact(
        file=str(tmp_path / "directory.csv"),
        row=2,
        subscriber="Harbour Clinic",
        sector="Medical",
        language="zh-HK",
        zone="Asia/Hong_Kong",
        domains=("clinic.example", "clinic.hk"),
        name="Chan Tai Man",
        email="chan@clinic.example",
        phone="+852 5550 0100",
        rank=2,
    )


def test_only_subscriber_and_email_are_needed(tmp_path: Path) -> None:
    (contact,), set_aside = read(tmp_path, "Organisation;E-Mail\nA;a@b.example\n")

    assert not set_aside
    assert (contact.subscriber, contact.email) == ("A", "a@b.example")
    assert (contact.zone, contact.language, contact.rank) == ("", "", None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "big5"])
def test_directories_come_out_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    text = "subscriber\temail\tname\r\n醫院管理局\ta@b.example\t陳大文\r\n"

    (contact,), _ = read(tmp_path, text.encode(encoding))

    assert (contact.subscriber, contact.name) == ("醫院管理局", "陳大文")


@pytest.mark.parametrize(
    ("row", "field", "word"),
    [
        ('A,,,,,,"a@b.example\nBcc: x@y.example",,,', "email", "line break"),
        ('A,,,,,,"a@b.example\n",,,', "email", "line break"),
        ("A,,,,,,a@b.exa\x07mple,,,", "email", "control character"),
        ("A,,,,,,a.b.example,,,", "email", "no '@'"),
        ("A,,,,,,Chan <a@b.example>,,,", "email", "without name"),
        ('A,,,,,,"a@b.example, c@b.example",,,', "email", "one address"),
        ("A,,,,,,a@,,,", "email", "host name"),
        ("A,,,,,,陳@b.example,,,", "email", "characters"),
        ("A,,,Mars/Olympus,,,a@b.example,,,", "zone", "no time zone"),
        ("A,,klingonese,,,,a@b.example,,,", "language", "no language"),
        ("A,,,,not a domain!,,a@b.example,,,", "domains", "no domain"),
        ("A,,,,,,a@b.example,,first,", "rank", "no rank"),
        ("A,,,,,,a@b.example,,,boss", "role", "no role"),
        (f"A,{'x' * 81},,,,,a@b.example,,,", "sector", "longer than 80"),
    ],
)
def test_an_unusable_contact_is_set_aside_and_its_subscriber_kept(
    tmp_path: Path, row: str, field: str, word: str
) -> None:
    (contact,), set_aside = read(tmp_path, HEADER + row + "\n")

    assert not set_aside
    assert (contact.subscriber, contact.email) == ("A", None)
    assert contact.problem is not None
    assert (contact.problem.row, contact.problem.field) == (2, field)
    assert word in contact.problem.finding


def test_what_can_be_used_of_a_row_is_kept(tmp_path: Path) -> None:
    (contact,), _ = read(
        tmp_path, HEADER + "A,Banking,,Asia/Hong_Kong,a.example,,nobody,,,\n"
    )

    assert contact.problem is not None
    assert (contact.sector, contact.zone) == ("Banking", "Asia/Hong_Kong")
    assert contact.domains == ("a.example",)


def test_a_subscriber_without_an_address_is_kept(tmp_path: Path) -> None:
    (contact,), set_aside = read(tmp_path, HEADER + "A,,,,,,,,,\n")

    assert (contact.subscriber, contact.email) == ("A", None)
    assert contact.problem is None
    assert not set_aside


def test_the_cas_own_staff_have_a_role_and_no_subscriber(tmp_path: Path) -> None:
    (contact,), (problem,) = read(
        tmp_path,
        HEADER
        + ",,,,,Duty,duty@ca.example,,,Operations Manager\n"
        + ",,,,,Nobody,nobody@ca.example,,,\n",
    )

    assert contact.subscriber is None
    assert contact.role is ContactRole.OPERATIONS_MANAGER
    assert (problem.row, problem.field) == (3, "subscriber")


@pytest.mark.parametrize("content", ["", "name,number\nA,1\n", HEADER])
def test_a_file_that_is_no_directory_is_set_aside(tmp_path: Path, content: str) -> None:
    contacts, (problem,) = read(tmp_path, content)

    assert not contacts
    assert problem.finding


def test_a_missing_directory_is_set_aside(tmp_path: Path) -> None:
    (problem,) = list(read_directory(tmp_path / "nothing.csv"))

    assert isinstance(problem, SetAside)


def test_an_international_host_is_written_in_ascii() -> None:
    assert parse_address("a@香港.example") == "a@xn--j6w193g.example"


@given(st.text(max_size=40))
def test_an_address_never_carries_more_than_itself(text: str) -> None:
    try:
        address = parse_address(text)
    except BadInput:
        return

    assert address.isascii()
    assert address.isprintable()
    assert address.count("@") == 1
    assert " " not in address
