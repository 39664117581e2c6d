"""When ACME clients are told to renew (RFC 9773)."""

import base64
from contextlib import suppress
from datetime import timedelta

import pytest
from factories import DEADLINE, LAUNCH
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import BadInput
from tocsin.policy.renewal import (
    affected_renewal,
    ordinary_renewal,
    parse_identifier,
    retry_after,
)


def test_identifier_of_the_standards_example_is_read() -> None:
    # RFC 9773, 4.1: the worked example.
    read = parse_identifier("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")

    assert read.authority_key.hex() == "69885b6b87464041e1b37b847ba0ae2cde01c8d4"
    assert read.serial == 0x87654321


@given(st.binary(min_size=1, max_size=20), st.integers(0, 2**159))
def test_identifier_is_read_whatever_key_and_serial(key: bytes, serial: int) -> None:
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    parts = (
        base64.urlsafe_b64encode(one).decode().rstrip("=") for one in (key, octets)
    )

    read = parse_identifier(".".join(parts))

    assert (read.authority_key, read.serial) == (key, serial)


@pytest.mark.parametrize(
    "text",
    ["", ".", "abc", "abc.", ".abc", "ab=.AA", "a b.AA", "é.AA", "A" * 200 + ".AA"],
)
def test_text_is_refused_when_it_is_no_identifier(text: str) -> None:
    with pytest.raises(BadInput):
        parse_identifier(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BadInput):
        assert parse_identifier(text).authority_key


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)))
def test_window_is_past_and_stays_where_it_is(later: timedelta) -> None:
    first = affected_renewal(launched_at=LAUNCH, deadline=DEADLINE, now=LAUNCH)
    then = affected_renewal(launched_at=LAUNCH, deadline=DEADLINE, now=LAUNCH + later)

    assert first.start < first.end < LAUNCH
    assert (then.start, then.end) == (first.start, first.end)


@given(st.timedeltas(min_value=timedelta(minutes=9), max_value=timedelta(days=7)))
def test_client_asks_several_times_before_the_deadline(left: timedelta) -> None:
    assert timedelta(minutes=1) <= retry_after(left) <= left / 8


def test_client_is_not_told_to_ask_without_pause_when_the_deadline_has_passed() -> None:
    assert retry_after(timedelta(days=-1)) == timedelta(minutes=1)


def test_certificate_that_is_not_affected_is_renewed_in_its_last_third() -> None:
    info = ordinary_renewal(
        not_before=LAUNCH,
        not_after=LAUNCH + timedelta(days=90),
        retry_after=timedelta(hours=3),
    )

    assert info.start == LAUNCH + timedelta(days=60)
    assert info.start < info.end < LAUNCH + timedelta(days=90)
