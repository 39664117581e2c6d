"""The calendar file: what a strict reader reads back is what was meant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from tocsin.mail.calendar import Appointment, calendar_file
from tocsin.mail.render import Event

REVOCATION = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)
LAUNCH = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVENT = Event(
    title="Revoked: mail.clinic.example, and 97 more; all",
    text="First line\nSecond, with a \\ and a ;\n\n陳大文" + "長" * 80,
)
APPOINTMENT = Appointment(
    uid="20260302-abc.7@bounces.ca.example",
    sequence=3600,
    stamp=LAUNCH,
    at=REVOCATION,
    organiser_name='Example "CA", Ltd; Hong Kong',
    organiser_address="certificates@ca.example",
    language="en",
    event=EVENT,
)


def read(content: bytes) -> Any:
    return Calendar.from_ical(content)


def test_everything_reads_back_as_it_was_meant() -> None:
    calendar = read(calendar_file(APPOINTMENT))

    (event,) = calendar.events
    assert calendar["METHOD"] == "PUBLISH"
    assert (event["UID"], event["SEQUENCE"]) == (APPOINTMENT.uid, 3600)
    assert event.start == REVOCATION
    assert event["DTSTAMP"].dt == LAUNCH
    assert str(event["SUMMARY"]) == EVENT.title
    assert str(event["DESCRIPTION"]) == EVENT.text
    assert str(event["ORGANIZER"]) == "mailto:certificates@ca.example"
    assert event["TRANSP"] == "TRANSPARENT"
    assert not calendar.errors
    assert not event.errors


def test_instants_are_in_utc() -> None:
    content = calendar_file(APPOINTMENT)

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
    late = APPOINTMENT._replace(stamp=REVOCATION - left)

    (event,) = read(calendar_file(late)).events

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
    content = calendar_file(
        APPOINTMENT._replace(organiser_name=name, event=Event(title=title, text=text))
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

    content = calendar_file(
        APPOINTMENT._replace(
            organiser_name=attack,
            event=Event(title=attack, text=attack),
        )
    )

    assert b"\r\nATTENDEE" not in content
    (event,) = read(content).events
    assert "ATTENDEE" not in event
