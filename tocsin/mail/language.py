"""A language is a folder: its words and date patterns are read, not programmed."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.core import get_global, parse_locale
from babel.dates import format_datetime, get_timezone_name
from babel.numbers import format_decimal

from models.terms import Circumstance, ContactRole, EscalationCause
from tocsin.errors import BadInput

FALLBACK = "en"
"""The language of a notice whose own is not to be had."""

LANGUAGE_FILE = "language.toml"

_ZONE = "{zone}"
_REMEMBERED = 4096
"""Instants and numbers that stand in many notices are written out once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """
    One instant, written out for a reader.

    Args:
        local: Weekday, date and time in the reader's zone, with its name.
        utc: The same in UTC.
        iso: For machines.

    """

    local: str
    utc: str
    iso: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageData:
    """
    What stands in a folder's ``language.toml``; absent, Babel's own patterns are used.

    Args:
        locale: Whose names of months, plural rules and direction; as Babel knows it.
            Empty: the folder's name.
        local: CLDR pattern of an instant in the reader's zone; ``'{zone}'`` for its
            name.
        utc: CLDR pattern of an instant in UTC.
        utc_time: The same, of its time alone.
        day: CLDR pattern of a date.
        zone: How zones are named: ``short`` (HKT) or ``long`` (Hong Kong Time).
        words: Single words that the layout needs.
        columns: Headings of the attached list: name, serial number, end.
        circumstances: Why certificates are revoked. Absent: as the rule pack has it.
        causes: Why a subscriber needs a person.
        roles: What the CA's own people are called.

    """

    locale: str = ""
    local: str = "EEEE d MMMM y, HH:mm '{zone}'"
    utc: str = "EEEE d MMMM, HH:mm 'UTC'"
    utc_time: str = "HH:mm 'UTC'"
    day: str = "d MMMM y"
    zone: str = "short"
    words: Mapping[str, str]
    columns: tuple[str, str, str] = ("name", "serial number (hex)", "valid until")
    circumstances: Mapping[str, str]
    causes: Mapping[str, str]
    roles: Mapping[str, str]


class Language:
    """
    One language, and how it writes numbers, instants and words.

    Args:
        tag: BCP 47, the folder's name.
        data: What the folder says of it.

    """

    def __init__(self, tag: str, data: LanguageData) -> None:
        self.tag = tag
        self.data = data
        self.locale = _locale(tag, data)
        self.direction: str = self.locale.text_direction
        # Of each object its own: it lives as long as its templates.
        self.number = lru_cache(_REMEMBERED)(self._number)
        self.instant = lru_cache(_REMEMBERED)(self._instant)
        self._form = lru_cache(_REMEMBERED)(self.locale.plural_form)

    def plural(self, number: int, **forms: str) -> str:
        """
        Return the form that goes with a number, by the language's rules.

        Args:
            number: How many.
            forms: By CLDR's categories: one, few, many, ...; ``other`` is needed.

        """
        return forms.get(self._form(number)) or forms["other"]

    def circumstance(self, circumstance: Circumstance, *, otherwise: str) -> str:
        """Say why certificates are revoked; as the rule pack does where we cannot."""
        return self.data.circumstances.get(circumstance.value, otherwise)

    def cause(self, cause: EscalationCause) -> str:
        """Say why a subscriber needs a person."""
        return self.data.causes.get(cause.value) or cause.value.replace("-", " ")

    def role(self, role: ContactRole) -> str:
        """Say what one of the CA's own people is."""
        return self.data.roles.get(role.value) or role.value.replace("-", " ")

    @property
    def name(self) -> str:
        """What its readers call it."""
        return self.data.words.get("name") or self.locale.get_display_name() or self.tag

    def day(self, at: datetime, zone: str) -> str:
        """Write out the date of an instant in a zone."""
        return format_datetime(
            at.astimezone(ZoneInfo(zone)), self.data.day, locale=self.locale
        )

    def utc_time(self, at: datetime) -> str:
        """Write out the time of an instant in UTC."""
        return format_datetime(at, self.data.utc_time, tzinfo=UTC, locale=self.locale)

    @property
    def test_mark(self) -> str:
        """What stands before the subject of a test."""
        return self.data.words.get("test") or "[TEST] "

    def _number(self, number: int) -> str:
        return format_decimal(number, locale=self.locale)

    def _instant(self, at: datetime, zone: str) -> Instant:
        local = at.astimezone(ZoneInfo(zone))
        return Instant(
            local=format_datetime(local, self.data.local, locale=self.locale).replace(
                _ZONE, self._zone(local)
            ),
            utc=format_datetime(at, self.data.utc, tzinfo=UTC, locale=self.locale),
            iso=at.astimezone(UTC).isoformat(timespec="seconds"),
        )

    def _zone(self, local: datetime) -> str:
        short = local.tzname() or ""
        if short == "UTC":
            return short
        if self.data.zone == "long":
            return get_timezone_name(local.tzinfo, locale=self.locale)
        # Where a zone has no letters of its own the database has "-03".
        return short if short.isalpha() else f"UTC{local.isoformat()[-6:]}"


def read_language(tag: str, text: str | None, *, file: str | None = None) -> Language:
    """
    Read what a folder says of its language.

    Args:
        tag: The folder's name.
        text: Its ``language.toml``; None: it has none.
        file: Where that stands, for messages.

    Raises:
        BadInput: Not TOML, an unknown key, a pattern or locale that does not work.

    """
    try:
        data = tomllib.loads(text or "")
        language = Language(tag, _data(data, file))
        # A pattern that does not work shows here and not in a notice.
        sample = datetime(2026, 3, 7, 3, tzinfo=UTC)
        language.instant(sample, "Asia/Hong_Kong")
        language.day(sample, "Asia/Hong_Kong")
        language.utc_time(sample)
        language.number(1000)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"not TOML: {error}", file=file) from error
    except UnknownLocaleError as error:
        raise BadInput(
            f"{error}: write one that Babel knows, which lends its months and rules",
            file=file,
            field="locale",
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"a value does not work: {error}", file=file) from error
    return language


def negotiate(wanted: str, available: Iterable[str]) -> str:
    """Return the available language that a reader of ``wanted`` reads, else English."""
    return readable(wanted, available) or FALLBACK


def readable(wanted: str, available: Iterable[str]) -> str | None:
    """
    Return the available language that a reader of ``wanted`` reads; None: there is none.

    The same language in the same script: a reader in Hong Kong (``zh-HK``) reads
    ``zh-Hant``, one in Beijing (``zh-CN``) does not. By CLDR's likely subtags
    (UTS 35); nobody lists countries here.
    """
    tags = sorted(available, key=lambda tag: (len(tag), tag))
    for tag in tags:
        if tag.casefold() == wanted.casefold():
            return tag
    reads = _likely(wanted)
    same = [tag for tag in tags if reads and (_likely(tag) or ())[:2] == reads[:2]]
    nearest = [tag for tag in same if _likely(tag) == reads]
    return next(iter(nearest or same), None)


def _likely(tag: str) -> tuple[str, str, str] | None:
    """Return language, script and territory, those not said filled in."""
    try:
        language, territory, script, *_ = parse_locale(tag, sep="-")
    except ValueError:
        return None
    likely: Mapping[str, str] = get_global("likely_subtags")
    for known in ((script, territory), (None, territory), (script, None), (None, None)):
        found = likely.get("_".join(part for part in (language, *known) if part))
        if found is not None:
            _, its_territory, its_script, *_ = parse_locale(found)
            return (
                language,
                script or its_script or "",
                territory or its_territory or "",
            )
    return None


def _locale(tag: str, data: LanguageData) -> Locale:
    return Locale.parse(data.locale or tag, sep="_" if "_" in data.locale else "-")


def _data(data: dict[str, Any], file: str | None) -> LanguageData:
    dates, rest = data.pop("dates", {}), data
    known = {field.name for field in fields(LanguageData)}
    tables = ("words", "circumstances", "causes", "roles")
    for key in {*dates, *rest} - known:
        raise BadInput("no such key", file=file, field=key)
    given: dict[str, Any] = {**{table: {} for table in tables}, **rest, **dates}
    for key in tables:
        if not all(isinstance(value, str) for value in given[key].values()):
            raise BadInput("write words as text", file=file, field=key)
    if given.get("zone", "short") not in ("short", "long"):
        raise BadInput("write short or long", file=file, field="zone")
    if "columns" in given:
        name, serial, until = given["columns"]
        given["columns"] = (name, serial, until)
    return LanguageData(**given)
