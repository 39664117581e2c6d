"""The call sheet on paper: whom to ask for, what to say, and room for what came of it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from models.terms import ContactState, UnreachableReason
from tocsin.policy.calls import CallSheet, SheetContact, SheetRow

# What a cell must not begin with, or a spreadsheet would compute it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_HEADINGS = (
    "number",
    "subscriber",
    "sector",
    "certificates",
    "why",
    "call",
    "phone",
    "role",
    "also",
    "their time zone",
    "revoked from (their time)",
    "what to say",
    "last call",
    "outcome",
    "note",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who is calling: how the CA calls itself, and its own number and site."""

    ca_name: str
    ca_phone: str
    ca_site: str


def what_to_say(row: SheetRow, speaker: Speaker, *, deadline: datetime) -> str:
    """Return the words for one call: who, what, when, and what is asked for."""
    hosts = ", ".join(row.first_names)
    more = row.certificates - len(row.first_names)
    certificates = (
        f"The TLS certificate for {hosts}"
        if row.certificates == 1
        else f"{row.certificates:,} TLS certificates of {row.name}, such as {hosts}"
        if more > 0
        else f"The TLS certificates for {hosts}"
    )
    when = _in_zone(row.revocation_time, row.zone)
    bad = [one.email for one in row.contacts if one.state is ContactState.UNREACHABLE]
    asked = (
        f"Our mail does not get through to {', '.join(bad)}. "
        if bad
        else "Our mails have not been answered. "
    )
    return (
        f"This is {speaker.ca_name}. I am calling about {row.name}. "
        f"{certificates} will be revoked from {when}; browsers will then refuse "
        f"{'that host' if row.certificates == 1 else 'those hosts'}. "
        f"The date is set by rules that bind every public CA (published by "
        f"{_in_zone(deadline, row.zone)}), and cannot be moved by anybody. "
        f"{asked}"
        "Who looks after these servers? Please give me a name, a mail address and a "
        "number: the mail with the link comes within minutes. "
        f"To be sure that this call is real, look at {speaker.ca_site} or call "
        f"{speaker.ca_phone}. I will never ask for a password or a private key."
    )


def sheet_csv(sheet: CallSheet, speaker: Speaker) -> bytes:
    """Return a CSV that opens in a spreadsheet as it is: BOM, CRLF, no formulas."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_HEADINGS)
    writer.writerows(
        [_cell(value) for value in _values(row, speaker, sheet.deadline)]
        for row in sheet.rows
    )
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8")


def _values(row: SheetRow, speaker: Speaker, deadline: datetime) -> Iterator[str]:
    first = row.contacts[0] if row.contacts else None
    yield str(row.subscriber)
    yield row.name
    yield row.sector
    yield str(row.certificates)
    yield "; ".join(row.why)
    yield first.name if first else ""
    yield first.phone if first else ""
    yield _described(first) if first else ""
    yield "; ".join(
        f"{one.name} {one.phone} ({_described(one)})".strip()
        for one in row.contacts[1:]
    )
    yield row.zone
    yield _in_zone(row.revocation_time, row.zone)
    yield what_to_say(row, speaker, deadline=deadline)
    yield (
        f"{row.last.called_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC by {row.last.caller}: "
        f"{row.last.outcome}"
        if row.last
        else ""
    )
    # Two columns to fill in by hand.
    yield ""
    yield row.last.note if row.last else ""


def _described(contact: SheetContact) -> str:
    """Say who a contact is, and why mail does not reach them."""
    place = "primary contact" if contact.rank == 1 else f"contact {contact.rank}"
    return f"{place}, {contact.email}: {_why_not(contact)}"


def _why_not(contact: SheetContact) -> str:
    if contact.state is ContactState.UNCONFIRMED:
        return "not confirmed yet: not written to"
    if contact.state is ContactState.ACTIVE:
        return "mail came back for now" if contact.came_back else "mail gets through"
    match contact.reason:
        case UnreachableReason.REFUSED:
            return "address refused"
        case UnreachableReason.BOUNCED:
            return "mail came back"
        case UnreachableReason.LEFT:
            return "has left, says an automatic answer"
        case None:
            return "mail does not get through"


def _in_zone(at: datetime, zone: str) -> str:
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%A %d %B %Y, %H:%M} {local:%Z}"


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
