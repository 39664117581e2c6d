"""The directory of subscribers and their contacts; a notice to nobody helps nobody."""

import re
import zoneinfo
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from babel.core import Locale, UnknownLocaleError

from models.terms import ContactRole
from tocsin.errors import BadInput
from tocsin.intake.sources import Source, find_sources, whole_file
from tocsin.intake.tables import Columns, Row, read_table
from tocsin.policy.entries import (
    FileNote,
    ParsedContact,
    SetAside,
    without_controls,
)

T = TypeVar("T")

_COLUMNS = Columns(
    aliases={
        "subscriber": (
            "subscriber",
            "subscriber name",
            "organisation",
            "organization",
            "company",
            "customer",
            "account",
        ),
        "sector": ("sector", "industry"),
        "language": ("language", "lang", "locale"),
        "zone": ("zone", "time zone", "timezone", "tz"),
        "domains": ("domains", "domain"),
        "name": ("name", "contact", "contact name", "full name"),
        "email": ("email", "e mail", "email address", "e mail address", "mail"),
        "phone": ("phone", "telephone", "tel", "mobile", "phone number"),
        "rank": ("rank", "priority", "order", "contact type"),
        "role": ("role",),
    },
    required=(("subscriber",), ("email",)),
)
_RANKS = {"primary": 1, "secondary": 2, "tertiary": 3}
_LANGUAGES = {"english": "en", "chinese": "zh-Hant", "traditional chinese": "zh-Hant"}
_HIGHEST_RANK = 99
_WIDTHS = {"sector": 80, "phone": 64}  # of the columns in the database
_LONGEST_LANGUAGE = 16
_LONGEST_DOMAIN = 253
_LONGEST_ADDRESS = 254  # RFC 5321 4.5.3.1.3
_BLANKS = " \u00a0\u3000"
_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_HOST = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*"
)


def read_directory(
    path: Path, *, below: Path | None = None
) -> Iterator[ParsedContact | SetAside | FileNote]:
    """
    Read a CSV with one row per contact; every row is yielded once, in some form.

    ``below`` is that of ``find_sources``.
    """
    for found in find_sources([path], below=below):
        if not isinstance(found, Source):
            yield found
            continue
        try:
            yield from _read(found)
        except BadInput as error:
            yield SetAside(
                file=found.label,
                row=error.row or 0,
                field=error.field,
                finding=error.message,
            )
        except OSError as error:
            yield whole_file(found.label, f"cannot be read: {error.strerror}.")


def parse_address(text: str) -> str:
    """
    Read an e-mail address; the host in lower case and IDNA.

    Raises:
        BadInput: Mail cannot be sent there.

    """
    address = text.strip(_BLANKS)
    if not address.isprintable():
        raise BadInput(
            "a line break or control character in the address: give one address per "
            "row, on one line.",
            field="email",
        )
    local, at, host = address.rpartition("@")
    if not at:
        raise BadInput("no '@' in the address.", field="email")
    if "<" in address or "," in address or ";" in address or " " in address:
        raise BadInput(
            "more than an address: give one address per row, without name or brackets.",
            field="email",
        )
    if not _LOCAL_PART.fullmatch(local) or ".." in f".{local}.":
        raise BadInput(
            "characters before the '@' that not every relay takes.", field="email"
        )
    domain = _host(host)
    if domain is None or len(local) + 1 + len(domain) > _LONGEST_ADDRESS:
        raise BadInput("no host name after the '@'.", field="email")
    return f"{local}@{domain}"


def _read(source: Source) -> Iterator[ParsedContact | SetAside | FileNote]:
    with source.open() as stream:
        if not stream.read(1):
            raise BadInput("empty: nothing to read in it.", file=source.label)
    rows = 0
    for item in read_table(source, _COLUMNS):
        rows += isinstance(item, Row | SetAside)
        if isinstance(item, Row):
            yield _contact(source.label, item)
        elif isinstance(item, SetAside | FileNote):
            yield item
    if not rows:
        raise BadInput("a header and no rows.", file=source.label, row=2)


def _contact(label: str, row: Row) -> ParsedContact | SetAside:
    name = " ".join(without_controls(row.text("subscriber")).split())
    try:
        return _parsed(label, row, name or None)
    except BadInput as error:
        problem = SetAside(
            file=label, row=row.number, field=error.field, finding=error.message
        )
    if not name:
        return problem
    return ParsedContact(
        file=label,
        row=row.number,
        subscriber=name,
        sector=_where_good(lambda: _short(row, "sector"), ""),
        language=_where_good(lambda: parse_language(row.text("language")), ""),
        zone=_where_good(lambda: parse_zone(row.text("zone")), ""),
        domains=_where_good(lambda: _domains(row.text("domains")), ()),
        problem=problem,
    )


def _where_good(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except BadInput:
        return otherwise


def _parsed(label: str, row: Row, subscriber: str | None) -> ParsedContact:
    role = _role(row.text("role"))
    if subscriber is None and role is ContactRole.SUBSCRIBER:
        raise BadInput(
            "no subscriber in this row. Name one; for the CA's own staff write a role: "
            "account-manager, operations-manager or compliance-lead.",
            field="subscriber",
        )
    address = row.cells.get("email", "")
    email = parse_address(address) if address.strip() else None
    if subscriber is None and email is None:
        raise BadInput("one of the CA's own staff without an address.", field="email")
    return ParsedContact(
        file=label,
        row=row.number,
        subscriber=subscriber,
        sector=_short(row, "sector"),
        language=parse_language(row.text("language")),
        zone=parse_zone(row.text("zone")),
        domains=_domains(row.text("domains")),
        name=" ".join(without_controls(row.text("name")).split()),
        email=email,
        phone=_short(row, "phone"),
        rank=_rank(row.text("rank")),
        role=role,
    )


@lru_cache(maxsize=1024)
def parse_zone(text: str) -> str:
    """
    Check a time zone; empty stays empty.

    Raises:
        BadInput: There is no such zone.

    """
    if not text or text in zoneinfo.available_timezones():
        return text
    wanted = text.casefold().replace(" ", "_")
    for zone in zoneinfo.available_timezones():
        if zone.casefold() == wanted:
            return zone
    raise BadInput(
        f"'{without_controls(text)[:40]}' is no time zone: write one like "
        f"Asia/Hong_Kong, or leave it empty.",
        field="zone",
    )


@lru_cache(maxsize=1024)
def parse_language(text: str) -> str:
    """
    Check a language; empty stays empty.

    Raises:
        BadInput: There is no such language.

    """
    if not text:
        return ""
    tag = _LANGUAGES.get(text.casefold(), text).replace("_", "-")
    try:
        Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        tag = ""
    if not tag or len(tag) > _LONGEST_LANGUAGE:
        raise BadInput(
            f"'{without_controls(text)[:40]}' is no language: write a tag like en or "
            f"zh-Hant, or leave it empty.",
            field="language",
        )
    return tag


def _role(text: str) -> ContactRole:
    if not text:
        return ContactRole.SUBSCRIBER
    try:
        return ContactRole("-".join(text.casefold().replace("_", " ").split()))
    except ValueError:
        raise BadInput(
            f"'{without_controls(text)[:40]}' is no role: write account-manager, "
            f"operations-manager or compliance-lead, or leave it empty.",
            field="role",
        ) from None


def _rank(text: str) -> int | None:
    if not text:
        return None
    rank = _RANKS.get(text.casefold())
    if rank is None and text.isdecimal() and len(text) <= 2:  # noqa: PLR2004
        rank = int(text)
    if rank is None or not 1 <= rank <= _HIGHEST_RANK:
        raise BadInput(
            f"'{without_controls(text)[:40]}' is no rank: write 1, 2, 3, … or primary, "
            f"secondary, or leave it empty.",
            field="rank",
        )
    return rank


def _short(row: Row, column: str) -> str:
    text = " ".join(without_controls(row.text(column)).split())
    if len(text) > _WIDTHS[column]:
        raise BadInput(f"longer than {_WIDTHS[column]} characters.", field=column)
    return text


def _domains(text: str) -> tuple[str, ...]:
    domains = []
    for word in text.replace(";", " ").replace(",", " ").split():
        domain = _host(word.removeprefix("*.").removesuffix("."))
        if domain is None:
            raise BadInput(
                f"'{without_controls(word)[:60]}' is no domain: write them like "
                f"example.hk, separated by blanks.",
                field="domains",
            )
        domains.append(domain)
    return tuple(dict.fromkeys(domains))


def _host(text: str) -> str | None:
    """Return a host name in lower-case ASCII; None where it is none."""
    host = text.lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    if len(host) > _LONGEST_DOMAIN or not _HOST.fullmatch(host):
        return None
    return host
