"""Who is on the officers' list, and how often a link may be asked for."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.terms import OfficeMailState, OfficeRole
from tocsin.intake.officers import read_officers
from tocsin.policy.office import (
    LINKS_PER_ADDRESS,
    LINKS_PER_CLIENT,
    Officer,
    address_key,
    state_of_request,
)
from tocsin.steps.sign_in import DESK, page_of_the_desk

CHAN = Officer(name="Chan Tai Man", email="chan@ca.example", role=OfficeRole.OFFICER)


def listed(tmp_path: Path, *rows: str, header: str = "name,email,role") -> Path:
    file = tmp_path / "officers.csv"
    file.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return file


def test_officers_and_managers_are_read_when_each_has_a_row(tmp_path: Path) -> None:
    officers = read_officers(
        listed(
            tmp_path,
            "Chan Tai Man,chan@CA.example,officer",
            "Wong Ka Yan,wong@ca.example,Manager",
        )
    )

    assert officers.problems == ()
    assert officers.people == (
        CHAN,
        Officer(name="Wong Ka Yan", email="wong@ca.example", role=OfficeRole.MANAGER),
    )
    assert [one.may_launch for one in officers.people] == [True, False]


def test_list_is_read_when_a_spreadsheet_wrote_it(tmp_path: Path) -> None:
    file = tmp_path / "officers.csv"
    file.write_bytes(
        "\ufeffName;E-mail;Role\r\n陳大文;chan@ca.example;officer\r\n".encode()
    )

    (officer,) = read_officers(file).people

    assert officer.name == "陳大文"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("Lee,lee@ca.example,boss", "row 3, field role: 'boss' is no role"),
        ("Lee,lee.ca.example,officer", "row 3, field email: no '@'"),
        (",lee@ca.example,officer", "row 3, field name: a name"),
        ("Lee,CHAN@ca.example,officer", "row 3, field email: this address stands"),
        ("chan tai man,c@ca.example,officer", "row 3, field name: this name stands"),
    ],
)
def test_row_lets_nobody_in_and_is_named_when_it_cannot_be_used(
    tmp_path: Path, row: str, problem: str
) -> None:
    officers = read_officers(
        listed(tmp_path, "Chan Tai Man,chan@ca.example,officer", row)
    )

    assert officers.people == (CHAN,)
    (found,) = officers.problems
    assert problem in found


def test_nobody_comes_in_when_the_list_is_something_else(tmp_path: Path) -> None:
    officers = read_officers(listed(tmp_path, "1,2", header="issuer,serial"))

    assert officers.people == ()
    assert "missing: name, email, role" in officers.problems[0]


@given(st.emails())
def test_address_is_found_when_it_is_spelt_otherwise(address: str) -> None:
    spelt = f" {address.swapcase()} "

    assert address_key(spelt) == address_key(address)


def test_link_is_refused_when_it_is_asked_for_too_often() -> None:
    def state(of_address: int, of_client: int) -> OfficeMailState:
        return state_of_request(CHAN, of_address=of_address, of_client=of_client)

    assert state(0, 0) is OfficeMailState.PLANNED
    assert state(LINKS_PER_ADDRESS - 1, LINKS_PER_CLIENT - 1) is OfficeMailState.PLANNED
    assert state(LINKS_PER_ADDRESS, 0) is OfficeMailState.TOO_MANY
    assert state(0, LINKS_PER_CLIENT) is OfficeMailState.TOO_MANY
    assert state_of_request(None, of_address=0, of_client=0) is OfficeMailState.UNLISTED


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "https://evil.example/desk",
        "/desk/../s/x",
        "/deskevil",
        "/desk\\evil",
        "/desk/in/token",
        "/desk/" + "a" * 300,
        "/desk?x=//evil",
        "/desk\r\nLocation: x",
    ],
)
def test_nobody_is_led_elsewhere_after_signing_in(elsewhere: str) -> None:
    assert page_of_the_desk(elsewhere) == DESK


def test_page_that_was_wanted_is_led_to() -> None:
    page = "/desk/i/20240318-a1b2c3/s/17"

    assert page_of_the_desk(page) == page
