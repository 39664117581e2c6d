"""From a template and a context to what a person reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    select_autoescape,
)
from markupsafe import Markup

from models.terms import NoticeKind
from tocsin.errors import BadInput, Broken
from tocsin.mail.blanks import (
    Filled,
    FormLoader,
    blankable,
    escaped,
    written_out,
)
from tocsin.mail.compiled import compiled_in
from tocsin.mail.contexts import (
    AnyContext,
    CertificateLine,
    ConfirmationContext,
    ContactsContext,
    EscalationContext,
    EscalationLine,
    NoticeContext,
    WithdrawalContext,
)
from tocsin.mail.encoding import Body
from tocsin.mail.forms import Forms
from tocsin.mail.language import (
    LANGUAGE_FILE,
    Language,
    negotiate,
    read_language,
)
from tocsin.mail.wrapping import wrap

__all__ = [
    "AnyContext",
    "CertificateLine",
    "ConfirmationContext",
    "ContactsContext",
    "EscalationContext",
    "EscalationLine",
    "NoticeContext",
    "Rendered",
    "TemplateSet",
    "WithdrawalContext",
    "render_notice",
]

PARTS = ("subject.txt", "body.txt", "body.html")

EVENT = "event.txt"
"""A language's text for the calendar: the title in the first line, the rest below."""

SHARED = "_base"
"""The folder of what all languages share."""

_SOURCES = ("txt", "html", "toml")


class Event(NamedTuple):
    """What a calendar shows of a notice."""

    title: str
    text: str


class Rendered(NamedTuple):
    """
    The three parts of a message, as text, and what goes into a calendar.

    Args:
        subject: One line.
        text: Plain.
        html: The same as HTML.
        event: For a calendar; None: nothing.
        text_body: The text as it is written in its part; None: nobody has, as yet.
        html_body: The same of the HTML.

    """

    subject: str
    text: str
    html: str
    event: Event | None = None
    text_body: Body | None = None
    html_body: Body | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One kind of notice in one language, compiled."""

    language: Language
    subject: Template
    text: Template
    html: Template
    event: Template | None


class _OwnFiles(FileSystemLoader):
    """An operator's own files, by whatever program they were saved."""

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        try:
            return super().get_source(environment, template)
        except UnicodeDecodeError as error:
            raise BadInput("not UTF-8: save it as that", file=template) from error


class TemplateSet:
    """
    The templates of all notices, and the languages they are in.

    Args:
        loader: Where their sources come from.

    """

    def __init__(self, loader: BaseLoader) -> None:
        self._loader = loader
        self._files = frozenset(_environment(loader).list_templates(_SOURCES))
        self._environments: dict[str, Environment] = {}
        self._languages: dict[str, Language] = {}
        self._wordings: dict[tuple[NoticeKind, str], Wording] = {}
        self._forms = Forms(self._with_blanks, {"host": _broken_at_dots})

    @classmethod
    def from_files(cls, directory: Path | None = None) -> "TemplateSet":
        """Use the templates that come with Tocsin, the operator's own before them."""
        loaders: list[BaseLoader] = [PackageLoader("templates", "email")]
        if directory is not None:
            loaders.insert(0, _OwnFiles(directory))
        return cls(ChoiceLoader(loaders))

    @classmethod
    def from_files_alone(cls, directory: Path) -> "TemplateSet":
        """Use an operator's own templates and nothing else, to see which they are."""
        return cls(_OwnFiles(directory))

    @classmethod
    def from_sources(cls, sources: Mapping[str, str]) -> "TemplateSet":
        """Use templates as they were frozen (I7)."""
        return cls(DictLoader(dict(sources)))

    @property
    def files(self) -> frozenset[str]:
        """The paths of all sources."""
        return self._files

    def sources(self) -> dict[str, str]:
        """Return every source by its path, to freeze."""
        return {path: self._source(path) for path in sorted(self._files)}

    def languages(self) -> list[str]:
        """Return the languages there are folders for."""
        return sorted({path.split("/")[0] for path in self._files} - {SHARED})

    def language(self, tag: str) -> Language:
        """
        Return what a folder says of its language.

        Raises:
            BadInput: What it says does not work.

        """
        if tag not in self._languages:
            self._languages[tag] = read_language(
                tag, self._language_source(tag), file=f"{tag}/{LANGUAGE_FILE}"
            )
        return self._languages[tag]

    def wording(self, kind: NoticeKind, wanted: str) -> Wording:
        """
        Return a kind in the language that a reader of ``wanted`` reads, else in English.

        All parts are in one language, with its dates and numbers.

        Raises:
            Broken: There is no such template, or it cannot be compiled.

        """
        found = self._wordings.get((kind, wanted))
        if found is None:
            complete = [
                tag
                for tag in self.languages()
                if all(f"{tag}/{kind}/{part}" in self._files for part in PARTS)
            ]
            found = self._compile(kind, negotiate(wanted, complete))
            self._wordings[kind, wanted] = found
        return found

    def environment(self, tag: str) -> Environment:
        """Return a language's templates, with its numbers and words at hand."""
        if tag not in self._environments:
            self._environments[tag] = self._furnished(self._loader, tag)
        return self._environments[tag]

    def fill(
        self, kind: NoticeKind, wording: Wording, context: NoticeContext, *, parts: int
    ) -> Sequence[Filled] | None:
        """
        Return the first parts of a notice from its form; None: there cannot be one.

        Args:
            kind: Which.
            wording: Its templates.
            context: What it says.
            parts: How many: subject, text, HTML, event.

        """
        tag = wording.language.tag
        paths = (*(f"{tag}/{kind}/{part}" for part in PARTS), f"{tag}/{EVENT}")
        return self._forms.fill(tag, paths[:parts], context)

    def _with_blanks(self, tag: str) -> Environment:
        environment = self._furnished(
            FormLoader(self._loader), tag, finalize=written_out
        )
        environment.filters["host"] = blankable("host", _host)
        return environment

    def _furnished(
        self,
        loader: BaseLoader,
        tag: str,
        *,
        finalize: Callable[..., Any] | None = None,
    ) -> Environment:
        language = self.language(tag)
        environment = _environment(
            loader,
            finalize=finalize,
            bytecode_cache=compiled_in(
                f"{tag} {self._language_source(tag)}", with_blanks=finalize is not None
            ),
        )
        environment.globals.update(
            lang=language.tag,
            dir=language.direction,
            words=language.data.words,
            plural=language.plural,
        )
        environment.filters["number"] = language.number
        environment.filters["host"] = _host
        # What is wrapped is the same in all notices of an incident.
        environment.filters["wrap"] = lru_cache(256)(wrap)
        return environment

    def _compile(self, kind: NoticeKind, tag: str) -> Wording:
        try:
            environment = self.environment(tag)
            subject, text, html = (
                environment.get_template(f"{tag}/{kind}/{part}") for part in PARTS
            )
            event = f"{tag}/{EVENT}"
            return Wording(
                language=self.language(tag),
                subject=subject,
                text=text,
                html=html,
                event=environment.get_template(event) if event in self._files else None,
            )
        except TemplateNotFound as error:
            raise Broken(f"there is no template {error.name}") from error
        except (TemplateError, BadInput) as error:
            raise Broken(f"template {kind} ({tag}): {error}") from error

    def _language_source(self, tag: str) -> str | None:
        path = f"{tag}/{LANGUAGE_FILE}"
        return self._source(path) if path in self._files else None

    def _source(self, path: str) -> str:
        return self._loader.get_source(_environment(self._loader), path)[0]


def render_notice(
    templates: TemplateSet,
    *,
    kind: NoticeKind,
    language: str,
    context: AnyContext,
    is_in_calendar: bool = False,
) -> Rendered:
    """
    Render one message.

    Args:
        templates: Those of the incident.
        kind: Which.
        language: The reader's; English where there is none of it.
        context: What it says; its dates in the language that ``wording`` found.
        is_in_calendar: Say it for a calendar, too.

    Raises:
        Broken: A template is missing, or uses what the context does not have.

    """
    wording = templates.wording(kind, language)
    event = wording.event if is_in_calendar else None
    parts = [wording.subject, wording.text, wording.html, *([event] if event else [])]
    try:
        texts = None
        if isinstance(context, NoticeContext):
            texts = templates.fill(kind, wording, context, parts=len(parts))
        if texts is None:
            values = {one.name: getattr(context, one.name) for one in fields(context)}
            texts = [Filled(part.render(values), None) for part in parts]
    except TemplateNotFound as error:
        raise Broken(f"there is no template {error.name}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, KeyError) as error:
        # What a template does with a value fails as Python does.
        raise Broken(f"template {kind} ({wording.language.tag}): {error}") from error
    return Rendered(
        subject=" ".join(texts[0].text.split()),
        text=texts[1].text,
        html=texts[2].text,
        event=_event(texts[3].text) if event else None,
        text_body=texts[1].body,
        html_body=texts[2].body,
    )


def _event(words: str) -> Event:
    title, _, text = words.partition("\n")
    return Event(title=title.strip(), text=text.strip())


def _host(name: str) -> Markup:
    return Markup(_broken_at_dots(name))  # noqa: S704 - escaped


def _broken_at_dots(name: str) -> str:
    """Write a host's name so that a narrow window breaks it at its dots."""
    return escaped(name).replace(".", "<wbr>.")


def _environment(loader: BaseLoader, **options: Any) -> Environment:
    return Environment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"], default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        # A set of templates stays as it was read; looking again costs a fifth.
        auto_reload=False,
        **options,
    )
