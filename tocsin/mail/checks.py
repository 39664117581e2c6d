"""What is wrong with templates, found before the first mail and said in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from itertools import islice

from models.terms import NoticeKind
from tocsin.errors import BadInput, Broken
from tocsin.mail.language import FALLBACK, LANGUAGE_FILE, Language
from tocsin.mail.render import (
    EVENT,
    PARTS,
    SHARED,
    AnyContext,
    ContactsContext,
    EscalationContext,
    NoticeContext,
    Rendered,
    TemplateSet,
    WithdrawalContext,
    render_notice,
)
from tocsin.mail.samples import sample_contexts
from tocsin.mail.wrapping import columns, wrap

LONGEST_LINE = 78
"""Columns: RFC 5322, 2.1.1. A line that holds nothing but a link may be longer."""

FIRST_SCREEN = 32
"""Lines: what a phone shows of a mail, with one movement of the thumb."""

_PHONE = 42
"""Columns of such a phone, in letters of 16 px."""

_VOID = frozenset(
    ("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr")
)
_LEFT_ALONE = frozenset(("style", "title"))
_INLINE = frozenset(
    ("a", "b", "i", "em", "strong", "span", "bdi", "code", "small", "wbr")
)
_FORBIDDEN = frozenset(("script", "form", "iframe", "object", "embed", "link", "base"))


def check_templates(templates: TemplateSet) -> tuple[str, ...]:
    """
    Render each notice in each language; return what is wrong, in words.

    That takes a second. Of the same sources it is found out once: who looks at a preview
    again does not wait for it again.
    """
    try:
        sources = templates.sources()
    except BadInput as error:
        return (str(error),)
    return _check_sources(tuple(sources.items()))


@lru_cache(maxsize=4)
def _check_sources(sources: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(_check(TemplateSet.from_sources(dict(sources))))


def _check(templates: TemplateSet) -> Iterator[str]:
    languages = templates.languages()
    yield from _unknown(templates)
    for tag in languages:
        try:
            language = templates.language(tag)
            templates.environment(tag)
        except BadInput as error:
            yield f"{tag}/{LANGUAGE_FILE}: {error}"
            continue
        yield from (f"{path}: not there" for path in _missing_files(templates, tag))
        for kind in NoticeKind:
            if all(f"{tag}/{kind}/{part}" in templates.files for part in PARTS):
                yield from _check_kind(templates, kind, language)


def untranslated(templates: TemplateSet) -> dict[str, tuple[NoticeKind, ...]]:
    """Return, by language, the kinds it lacks: their readers get them in English."""
    return {
        tag: lacking
        for tag in templates.languages()
        if (
            lacking := tuple(
                kind for kind in NoticeKind if not _parts(templates, tag, kind)
            )
        )
        and tag != FALLBACK
    }


def _parts(templates: TemplateSet, tag: str, kind: NoticeKind) -> list[str]:
    paths = [f"{tag}/{kind}/{part}" for part in PARTS]
    return [path for path in paths if path in templates.files]


def _missing_files(templates: TemplateSet, tag: str) -> Iterator[str]:
    for path in (f"{tag}/{LANGUAGE_FILE}", f"{tag}/{EVENT}"):
        if path not in templates.files:
            yield path
    for kind in NoticeKind:
        parts = _parts(templates, tag, kind)
        # English has all kinds; another language has a kind whole or not at all.
        if parts or tag == FALLBACK:
            for part in PARTS:
                if f"{tag}/{kind}/{part}" not in parts:
                    yield f"{tag}/{kind}/{part}"


def _unknown(templates: TemplateSet) -> Iterator[str]:
    """Yield folders that no notice is read from: a slip in a name, mostly."""
    kinds = {kind.value for kind in NoticeKind}
    for path in sorted(templates.files):
        tag, *between, name = path.split("/")
        if tag == SHARED or not between:
            continue
        if between[0] not in kinds:
            yield f"{path}: there is no kind of notice called {between[0]}"
        elif name not in PARTS:
            yield f"{path}: not a part of a notice; those are {', '.join(PARTS)}"


def _check_kind(
    templates: TemplateSet, kind: NoticeKind, language: Language
) -> Iterator[str]:
    for name, context in sample_contexts(kind, language).items():
        where = f"{language.tag}/{kind} with {name}"
        try:
            rendered = render_notice(
                templates,
                kind=kind,
                language=language.tag,
                context=context,
                is_in_calendar=isinstance(context, NoticeContext),
            )
        except Broken as error:
            yield f"{where}: {error}"
            continue
        page = _Page(rendered.html)
        for words in (
            *_missing(rendered, page, context),
            *_too_long(rendered.text),
            *page.problems(language.tag),
        ):
            yield f"{where}: {words}"


def _missing(rendered: Rendered, page: "_Page", context: AnyContext) -> Iterator[str]:
    """Yield what a reader could not do without and does not get, or gets too late."""
    if not rendered.subject:
        yield "the subject is empty"
    needed: dict[str, str] = {}
    if isinstance(context, NoticeContext | EscalationContext):
        needed["the revocation's instant"] = context.revocation.local
    if isinstance(context, NoticeContext):
        needed["the same instant in UTC"] = context.revocation.utc
    if isinstance(context, NoticeContext | WithdrawalContext):
        needed["the first certificate"] = context.certificates[0].name
    if isinstance(context, ContactsContext) and context.what != "removed":
        needed["whom it is about"] = context.person
    if not isinstance(context, EscalationContext):
        needed |= {"the link": context.link, "the phone number": context.ca_phone}
        if rendered.event is not None and not rendered.event.title:
            yield f"the first line of {EVENT} is empty"
    yield from _misplaced("body.txt", rendered.text, needed)
    yield from _misplaced("body.html", page.text, needed)
    if context.link and context.link not in page.links:
        yield "nothing in body.html leads to the link"


def _misplaced(part: str, text: str, needed: Mapping[str, str]) -> Iterator[str]:
    lines = (
        row
        for line in text.splitlines()
        for row in ([line] if _is_link(line) else wrap(line, _PHONE).splitlines())
    )
    seen = "".join("".join(islice(lines, FIRST_SCREEN)).split())
    for what, value in needed.items():
        if value not in text:
            yield f"{what} is not in {part}"
        elif "".join(value.split()) not in seen:
            yield f"{what} is not on the first screen of {part}"


def _too_long(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if columns(line) > LONGEST_LINE and not _is_link(line):
            yield (
                f"line {number} of body.txt has {columns(line)} columns, "
                f"{LONGEST_LINE} at most: {line[:30]}..."
            )


def _is_link(line: str) -> bool:
    return line.strip().startswith("https://") and " " not in line.strip()


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    line: int


class _Page(HTMLParser):
    """Reads HTML as a strict reader would: what is opened is closed, in its order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[_Open] = []
        self._found: list[str] = []
        self._words: list[str] = []
        self._lang: str | None = None
        self.links: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """What a reader sees, a line for each block."""
        lines = ("".join(self._words)).splitlines()
        return "\n".join(" ".join(line.split()) for line in lines if line.strip())

    def problems(self, tag: str) -> Iterator[str]:
        """Yield what a mail program might trip over."""
        yield from (f"body.html: {found}" for found in self._found)
        yield from (
            f"body.html: <{one.tag}> of line {one.line} is never closed"
            for one in self._open
        )
        if self._lang != tag:
            yield f'body.html: <html lang="{tag}"> is needed, for the right signs'

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See what is opened and what it refers to."""
        line = self.getpos()[0]
        given = dict(attrs)
        if tag == "html":
            self._lang = given.get("lang")
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag in _FORBIDDEN or any(name.startswith("on") for name in given):
            self._found.append(f"line {line}: <{tag}> works in no mail program")
        if "src" in given or "background" in given or "srcset" in given:
            self._found.append(f"line {line}: <{tag}> loads something from elsewhere")
        if tag not in _VOID:
            self._open.append(_Open(tag, line))
        if tag not in _INLINE:
            self._words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """See what is closed."""
        if tag not in _INLINE:
            self._words.append("\n")
        if self._open and self._open[-1].tag == tag:
            self._open.pop()
            return
        self._found.append(f"line {self.getpos()[0]}: </{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        """Keep what a reader sees."""
        inside = self._open[-1].tag if self._open else ""
        if inside == "style" and ("url(" in data or "@import" in data):
            self._found.append("its style loads something from elsewhere")
        if inside not in _LEFT_ALONE:
            self._words.append(data.replace("\n", " "))
