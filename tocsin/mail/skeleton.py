"""Assembles messages from a skeleton: building each one from scratch costs 70 times as much."""

import csv
import io
import re
from collections.abc import Iterable
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from functools import lru_cache

from tocsin.mail.calendar import CalendarFile
from tocsin.mail.encoding import BOUNDARY, LINE, base64_lines, body_of
from tocsin.mail.render import CertificateLine, Rendered

_LIST_NAME = "certificates.csv"
_CALENDAR_NAME = "revocation.ics"
_MARKS = ("@@TEXT@@", "@@HTML@@", "@@LIST@@", "@@CALENDAR@@")
# Needs no quotes and no encoding; whatever else an address may be is left to a parser.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 '-]*[A-Za-z0-9]")
# What a cell must not begin with, or a spreadsheet would compute it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def assemble(
    rendered: Rendered,
    *,
    language: str,
    sender_name: str,
    sender_address: str,
    recipient_name: str,
    recipient_address: str,
    message_id: str,
    references: str | None,
    date: datetime,
    reply_to: str | None = None,
    certificates: bytes | None = None,
    calendar: CalendarFile | None = None,
) -> bytes:
    """
    Return a message as the bytes to send, lines ended by CRLF.

    Headers that carry what people wrote are encoded by the standard library; a line
    break in any of them cannot reach the message.

    Args:
        rendered: What it says.
        language: Of what it says, BCP 47.
        sender_name: Shown as the sender.
        sender_address: The sender.
        recipient_name: Shown as the recipient; may be empty.
        recipient_address: The recipient.
        message_id: In angle brackets; the same for each repetition (I4).
        references: The thread's root; the same for one incident and contact.
        date: When it was planned, so that a repetition has the same bytes.
        reply_to: Where people's answers go; None: to the sender.
        certificates: A CSV of all certificates.
        calendar: The revocation, or that it is off, as iCalendar.

    """
    headers = [_address("From", sender_name, sender_address)]
    if reply_to:
        headers.append(_address("Reply-To", "", reply_to))
    headers += [
        _address("To", recipient_name, recipient_address),
        _subject(rendered.subject),
        _date(date),
        _token("Message-ID", message_id),
    ]
    if references:
        headers += [_token("References", references), _token("In-Reply-To", references)]
    text = rendered.text_body or body_of(rendered.text)
    html = rendered.html_body or body_of(rendered.html)
    bodies = [text.content, html.content]
    if certificates is not None:
        bodies.append(base64_lines(certificates))
    # Its lines are short, and none begins like one that a server would change.
    is_calendar_plain = calendar is not None and calendar.content.isascii()
    if calendar is not None:
        bodies.append(
            calendar.content if is_calendar_plain else base64_lines(calendar.content)
        )
    pieces = _skeleton(
        language=language,
        is_text_plain=text.is_plain,
        is_html_plain=html.is_plain,
        has_list=certificates is not None,
        method=None if calendar is None else calendar.method,
        is_calendar_plain=is_calendar_plain,
    )
    message = [*headers, pieces[0]]
    for body, piece in zip(bodies, pieces[1:], strict=True):
        message += [body, piece]
    return b"".join(message)


def certificate_list(
    certificates: Iterable[CertificateLine], *, columns: tuple[str, str, str]
) -> bytes:
    """
    Return a CSV that opens in a spreadsheet as it is: BOM, CRLF, no formulas.

    Args:
        certificates: All of them.
        columns: The headings of name, serial number and end, in the reader's language.

    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow([_cell(column) for column in columns])
    rows.writerows(
        # Quotes and colons keep a serial from being taken for a number.
        [_cell(line.name), _octets(line.serial), line.not_after]
        for line in certificates
    )
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8")


@lru_cache(maxsize=64)
def _skeleton(
    *,
    language: str,
    is_text_plain: bool,
    is_html_plain: bool,
    has_list: bool,
    method: str | None,
    is_calendar_plain: bool,
) -> tuple[bytes, ...]:
    """Let the standard library build the frame once; return what lies around bodies."""
    frame = EmailMessage(policy=SMTP)
    # RFC 3834: nobody's vacation notice needs to answer this.
    frame["Auto-Submitted"] = "auto-generated"
    frame.set_content(
        _MARKS[0], cte="7bit" if is_text_plain else "base64", charset="utf-8"
    )
    frame.add_alternative(
        _MARKS[1],
        subtype="html",
        cte="7bit" if is_html_plain else "base64",
        charset="utf-8",
    )
    if has_list:
        frame.add_attachment(
            _MARKS[2].encode("ascii"),
            maintype="text",
            subtype="csv",
            filename=_LIST_NAME,
            params={"charset": "utf-8"},
        )
    if method is not None:
        # An attachment and no alternative: nobody is invited, and the words are read.
        frame.add_attachment(
            _MARKS[3],
            subtype="calendar",
            cte="7bit" if is_calendar_plain else "base64",
            charset="utf-8",
            filename=_CALENDAR_NAME,
            params={"method": method},  # as within it (RFC 6047, 2.4)
        )
    # Last: each part that is added takes the headers of this name along.
    frame["Content-Language"] = language
    # No body that is left as it is holds these; a repetition has the same.
    multiparts = (part for part in frame.walk() if part.is_multipart())
    for number, part in enumerate(multiparts):
        part.set_boundary(f"{BOUNDARY}{number}")
    rest = frame.as_bytes()
    pieces = []
    for mark, is_there in zip(
        _MARKS, (True, True, has_list, method is not None), strict=True
    ):
        if not is_there:
            continue
        plain = mark.encode("ascii")
        # A text is ended with a line break, bytes are left alone.
        for encoded in (
            plain + b"\r\n",
            base64_lines(plain + b"\n"),
            base64_lines(plain + b"\r\n"),
            base64_lines(plain),
        ):
            if encoded in rest:
                before, rest = rest.split(encoded, 1)
                pieces.append(before)
                break
    pieces.append(rest)
    return tuple(pieces)


def _subject(value: str) -> bytes:
    flat = _flat(value)
    # ASCII that looks encoded would be decoded by whoever reads it.
    if flat.isascii() and flat.isprintable() and "=?" not in flat:
        # Header folds it as well, in ten times the time.
        lines, rest, start = [], f"Subject: {flat}", len("Subject: ")
        while len(rest) > LINE and (end := rest.rfind(" ", start, LINE + 1)) > 0:
            lines.append(rest[:end])
            rest, start = rest[end:], 1  # behind the space that begins it
        if len(rest) <= LINE:
            return "\r\n".join([*lines, rest, ""]).encode("ascii")
    encoded = Header(flat, "utf-8", maxlinelen=LINE, header_name="Subject").encode(
        linesep="\r\n"
    )
    return f"Subject: {encoded}\r\n".encode("ascii")


@lru_cache(maxsize=1024)  # the sender's is the same in every message
def _address(name: str, shown: str, address: str) -> bytes:
    shown = _flat(shown)
    if _PLAIN_ADDRESS.fullmatch(address) and "=?" not in shown:
        # formataddr writes a plain name as it is, in ten times the time.
        is_plain = _PLAIN_NAME.fullmatch(shown)
        box = f"{shown} <{address}>" if is_plain else formataddr((shown, address))
        value = f"{name}: {box}"
        if len(value) <= LINE:
            return f"{value}\r\n".encode("ascii")
    # Long names have to be folded: the slow way, a tenth of a millisecond.
    parsed = Address(display_name=shown, addr_spec=_flat(address))
    return SMTP.fold_binary(name, SMTP.header_store_parse(name, parsed)[1])


@lru_cache(maxsize=64)  # planned together, and so at the same instant
def _date(date: datetime) -> bytes:
    return f"Date: {format_datetime(date)}\r\n".encode("ascii")


def _token(name: str, value: str) -> bytes:
    return f"{name}: {_flat(value)}\r\n".encode("ascii")


def _flat(value: str) -> str:
    return " ".join(value.split())


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _octets(serial: str) -> str:
    return ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
