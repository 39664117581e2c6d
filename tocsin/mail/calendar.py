"""
The instant of revocation as an iCalendar file (RFC 5545), for people who live by one.

Written here and not by a library: one event of a dozen lines stands in every notice,
and icalendar takes 290 microseconds for it where this takes 10. It reads all that is
written here back in the tests.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from tocsin.mail.render import Event

_LONGEST = 75
"""Octets of a line without its end (RFC 5545, 3.1)."""

_REMIND_BEFORE = (timedelta(days=1), timedelta(hours=4), timedelta(hours=1))

_WITHIN_CHARACTER = range(0x80, 0xC0)
"""Octets that begin no character (UTF-8, RFC 3629, 3)."""

_HEAD = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Tocsin//Notices//EN\r\n"
_PUBLISH = _HEAD + b"METHOD:PUBLISH\r\nBEGIN:VEVENT\r\n"
_CANCEL = _HEAD + b"METHOD:CANCEL\r\nBEGIN:VEVENT\r\n"
_END = b"END:VEVENT\r\nEND:VCALENDAR\r\n"
_ALARM = b"BEGIN:VALARM\r\nACTION:DISPLAY\r\n"

# What no value may hold: RFC 5545, 3.1, CONTROL; the line break is written as \n.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


class CalendarFile(NamedTuple):
    """A calendar as it is attached, and what it asks for: its method (RFC 5546, 1.4)."""

    method: str
    content: bytes


class Entry(NamedTuple):
    """
    Which entry of a reader's calendar is meant.

    Args:
        uid: The same for all notices about one incident to one subscriber: a later
            one replaces the entry and adds none.
        sequence: Higher in each later one (RFC 5546, 2.1.4).
        stamp: When it was decided on, UTC, so that a repetition has the same bytes.
        organiser_name: Who says so; both methods need one (RFC 5546, 3.2.1, 3.2.5).
        organiser_address: Their address.
        language: Of the text, BCP 47.

    """

    uid: str
    sequence: int
    stamp: datetime
    organiser_name: str
    organiser_address: str
    language: str


def calendar_file(entry: Entry, event: Event, *, at: datetime) -> CalendarFile:
    """
    Put an instant into the reader's calendar, in place of what was there of it before.

    Args:
        entry: Which.
        event: The text.
        at: The instant, UTC; alarms before it whose time has passed are left out.

    """
    title = _text(event.title)
    words = f";LANGUAGE={entry.language}:"
    shown = _line(f"DESCRIPTION:{title}")
    content = b"".join(
        [
            _PUBLISH,
            *_named(entry),
            _instant("DTSTART", at),
            _line(f"SUMMARY{words}{title}"),
            _line(f"DESCRIPTION{words}{_text(event.text)}"),
            b"TRANSP:TRANSPARENT\r\n",  # an instant keeps nobody busy
            *(
                piece
                for trigger in _triggers(entry.stamp, at)
                for piece in (_ALARM, shown, trigger)
            ),
            _END,
        ]
    )
    return CalendarFile("PUBLISH", content)


def cancellation_file(entry: Entry, *, title: str) -> CalendarFile:
    """Take an entry out of the reader's calendar again; the title says why."""
    content = b"".join(
        [
            _CANCEL,
            *_named(entry),
            _line(f"SUMMARY;LANGUAGE={entry.language}:{_text(title)}"),
            b"STATUS:CANCELLED\r\n",
            _END,
        ]
    )
    return CalendarFile("CANCEL", content)


def _named(entry: Entry) -> tuple[bytes, ...]:
    return (
        _line(f"UID:{_text(entry.uid)}"),
        _line(f"SEQUENCE:{entry.sequence}"),
        _instant("DTSTAMP", entry.stamp),
        _organiser(entry.organiser_name, entry.organiser_address),
    )


@lru_cache(maxsize=1024)  # as a rule the same in all notices of an incident
def _instant(name: str, at: datetime) -> bytes:
    return _line(f"{name}:{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")


@lru_cache(maxsize=64)
def _organiser(name: str, address: str) -> bytes:
    return _line(f'ORGANIZER;CN="{_parameter(name)}":mailto:{_flat(address)}')


@lru_cache(maxsize=1024)
def _triggers(stamp: datetime, at: datetime) -> tuple[bytes, ...]:
    """Return how each alarm ends; those whose time has passed are left out."""
    return tuple(
        _line(f"TRIGGER:-PT{before // timedelta(hours=1)}H") + b"END:VALARM\r\n"
        for before in _REMIND_BEFORE
        if at - before > stamp
    )


def _text(value: str) -> str:
    flat = _flat(value).replace("\\", "\\\\").replace(";", "\\;")
    return flat.replace(",", "\\,").replace("\n", "\\n")


def _parameter(value: str) -> str:
    """Write a quoted parameter; RFC 6868 for what could not stand in one."""
    return _flat(value).replace("^", "^^").replace('"', "^'").replace("\n", " ").strip()


def _flat(value: str) -> str:
    # Most are, but for their lines; to look costs a third of what changing does.
    if value.isprintable() or "".join(value.split("\n")).isprintable():
        return value
    return _CONTROL.sub(" ", value.replace("\r\n", "\n"))


def _line(words: str) -> bytes:
    """End a line, broken where it is too long and never inside a character."""
    line = words.encode("utf-8")
    if len(line) <= _LONGEST:
        return line + b"\r\n"
    parts, start, room = [], 0, _LONGEST
    while len(line) - start > room:
        end = start + room
        while line[end] in _WITHIN_CHARACTER:
            end -= 1
        parts.append(line[start:end])
        # The space that begins a continued line counts.
        start, room = end, _LONGEST - 1
    parts.append(line[start:])
    return b"\r\n ".join(parts) + b"\r\n"
