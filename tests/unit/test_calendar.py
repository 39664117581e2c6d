"""The calendar file: what a strict reader reads back is what was meant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from tocsin.mail.calendar import Entry, calendar_file, cancellation_file
from tocsin.mail.render import Event

REVOCATION = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)
LAUNCH = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVENT = Event(
    title="Revoked: mail.clinic.example, and 97 more; all",
    text="First line\nSecond, with a \\ and a ;\n\n陳大文" + "長" * 80,
)
ENTRY = Entry(
    uid="20260302-abc.7@bounces.ca.example",
    sequence=3600,
    stamp=LAUNCH,
    organiser_name='Example "CA", Ltd; Hong Kong',
    organiser_address="certificates@ca.example",
    language="en",
)


def published(entry: Entry = ENTRY, event: Event = EVENT) -> bytes:
    file = calendar_file(entry, event, at=REVOCATION)
    assert file.method == "PUBLISH"
    return file.content


def read(content: bytes) -> Any:
    return Calendar.from_ical(content)


def test_everything_reads_back_as_it_was_meant() -> None:
    calendar = read(published())

    (event,) = calendar.events
    assert calendar["METHOD"] == "PUBLISH"
    assert (event["UID"], event["SEQUENCE"]) == (ENTRY.uid, 3600)
    assert event.start == REVOCATION
    assert event["DTSTAMP"].dt == LAUNCH
    assert str(event["SUMMARY"]) == EVENT.title
    assert str(event["DESCRIPTION"]) == EVENT.text
    assert str(event["ORGANIZER"]) == "mailto:certificates@ca.example"
    assert event["TRANSP"] == "TRANSPARENT"
    assert not calendar.errors
    assert not event.errors


def test_same_entry_is_taken_out_when_nothing_is_revoked_after_all() -> None:
    later = ENTRY._replace(sequence=7200)

    file = cancellation_file(later, title="Not revoked, after all; 長" + "長" * 40)

    calendar = read(file.content)
    (event,) = calendar.events
    assert file.method == calendar["METHOD"] == "CANCEL"
    assert (event["UID"], event["SEQUENCE"]) == (ENTRY.uid, 7200)
    assert event["STATUS"] == "CANCELLED"
    assert event["DTSTAMP"].dt == LAUNCH
    assert str(event["SUMMARY"]).startswith("Not revoked, after all; 長長")
    assert str(event["ORGANIZER"]) == "mailto:certificates@ca.example"
    assert event.walk("VALARM") == []
    assert max(map(len, file.content.split(b"\r\n"))) <= 75
    assert not calendar.errors
    assert not event.errors


def test_instants_are_in_utc() -> None:
    content = published()

    assert b"DTSTART:20260307T030000Z\r\n" in content
    assert b"TZID" not in content


@pytest.mark.parametrize(
    ("left", "alarms"),
    [
        (timedelta(days=4), [24, 4, 1]),
        (timedelta(hours=20), [4, 1]),
        (timedelta(hours=3), [1]),
        (timedelta(minutes=30), []),
    ],
)
def test_alarms_ring_before_and_none_whose_time_has_passed(
    left: timedelta, alarms: list[int]
) -> None:
    late = ENTRY._replace(stamp=REVOCATION - left)

    (event,) = read(published(late)).events

    assert [alarm["TRIGGER"].dt for alarm in event.walk("VALARM")] == [
        -timedelta(hours=hours) for hours in alarms
    ]


ANY = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\x85"
    ),
    max_size=300,
)


@given(ANY, ANY, ANY)
def test_text_of_any_kind_reads_back_in_lines_that_are_short_enough(
    title: str, text: str, name: str
) -> None:
    content = published(
        ENTRY._replace(organiser_name=name), Event(title=title, text=text)
    )

    lines = content.split(b"\r\n")
    assert max(map(len, lines)) <= 75
    for line in lines:
        line.decode("utf-8")  # no character is cut in two
    (event,) = read(content).events
    assert (str(event["SUMMARY"]), str(event["DESCRIPTION"])) == (title, text)


@given(st.sampled_from(["\r\n", "\n", "\r", "\x0b", "\u2028", "\x00"]))
def test_line_break_in_a_text_adds_no_property(line_break: str) -> None:
    attack = f"Clinic{line_break}ATTENDEE:mailto:everybody@clinic.example"

    content = published(
        ENTRY._replace(organiser_name=attack), Event(title=attack, text=attack)
    )

    assert b"\r\nATTENDEE" not in content
    (event,) = read(content).events
    assert "ATTENDEE" not in event
