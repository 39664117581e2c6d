"""Assembles messages from a skeleton: building each one from scratch costs 70 times as much."""

import base64
import csv
import io
from collections.abc import Iterable
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

from tocsin.mail.render import CertificateLine, Rendered

_LINE = 76
_LIST_NAME = "certificates.csv"
_MARKS = ("@@TEXT@@", "@@HTML@@", "@@LIST@@")
# What a cell must not begin with, or a spreadsheet would compute it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def assemble(
    rendered: Rendered,
    *,
    sender_name: str,
    sender_address: str,
    recipient_name: str,
    recipient_address: str,
    message_id: str,
    references: str | None,
    date: datetime,
    attachment: bytes | None = None,
) -> bytes:
    """
    Return a message as the bytes to send, lines ended by CRLF.

    Headers that carry what people wrote are encoded by the standard library; a line
    break in any of them cannot reach the message.

    Args:
        rendered: What it says.
        sender_name: Shown as the sender.
        sender_address: The sender.
        recipient_name: Shown as the recipient; may be empty.
        recipient_address: The recipient.
        message_id: In angle brackets; the same for each repetition (I4).
        references: The thread's root; the same for one incident and contact.
        date: When it was planned, so that a repetition has the same bytes.
        attachment: A CSV of all certificates.

    """
    headers = _address("From", sender_name, sender_address)
    headers += _address("To", recipient_name, recipient_address)
    headers += _header("Subject", rendered.subject)
    headers += f"Date: {format_datetime(date)}\r\n".encode("ascii")
    headers += _token("Message-ID", message_id)
    if references:
        headers += _token("References", references)
        headers += _token("In-Reply-To", references)
    # RFC 3834: nobody's vacation notice needs to answer this.
    headers += b"Auto-Submitted: auto-generated\r\n"
    pieces = _skeleton(has_list=attachment is not None)
    bodies = [rendered.text.encode("utf-8"), rendered.html.encode("utf-8")]
    if attachment is not None:
        bodies.append(attachment)
    message = [headers, pieces[0]]
    for body, piece in zip(bodies, pieces[1:], strict=True):
        message += [_base64(body), piece]
    return b"".join(message)


def certificate_list(certificates: Iterable[CertificateLine]) -> bytes:
    """Return a CSV that opens in a spreadsheet as it is: BOM, CRLF, no formulas."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(["name", "serial number (hex)", "valid until"])
    rows.writerows(
        # Quotes and colons keep a serial from being taken for a number.
        [_cell(line.name), _octets(line.serial), line.not_after]
        for line in certificates
    )
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8")


@lru_cache(maxsize=2)
def _skeleton(*, has_list: bool) -> tuple[bytes, ...]:
    """Let the standard library build the frame once; return what lies around bodies."""
    frame = EmailMessage(policy=SMTP)
    frame.set_content(_MARKS[0], cte="base64", charset="utf-8")
    frame.add_alternative(_MARKS[1], subtype="html", cte="base64", charset="utf-8")
    if has_list:
        frame.add_attachment(
            _MARKS[2].encode("ascii"),
            maintype="text",
            subtype="csv",
            filename=_LIST_NAME,
        )
    rest = frame.as_bytes()
    pieces = []
    for mark in _MARKS[: 3 if has_list else 2]:
        # set_content ends a text with a line break, add_attachment leaves bytes alone.
        for body in (
            mark.encode("ascii") + b"\n",
            mark.encode("ascii") + b"\r\n",
            mark.encode("ascii"),
        ):
            encoded = base64.encodebytes(body).replace(b"\n", b"\r\n")
            if encoded in rest:
                before, rest = rest.split(encoded, 1)
                pieces.append(before)
                break
    pieces.append(rest)
    return tuple(pieces)


def _base64(body: bytes) -> bytes:
    encoded = base64.b64encode(body)
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return b"\r\n".join(lines) + b"\r\n"


def _header(name: str, value: str) -> bytes:
    return SMTP.fold_binary(name, SMTP.header_store_parse(name, _flat(value))[1])


@lru_cache(maxsize=1024)  # the sender's is the same in every message
def _address(name: str, shown: str, address: str) -> bytes:
    box = Address(display_name=_flat(shown), addr_spec=_flat(address))
    value = SMTP.header_store_parse(name, box)[1]
    return SMTP.fold_binary(name, value)


def _token(name: str, value: str) -> bytes:
    return f"{name}: {_flat(value)}\r\n".encode("ascii")


def _flat(value: str) -> str:
    return " ".join(value.split())


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _octets(serial: str) -> str:
    return ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
