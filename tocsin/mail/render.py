"""From a template and a context to what a person reads; the context is an interface."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

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
from markupsafe import Markup, escape

from models.terms import NoticeKind
from tocsin.errors import BadInput, Broken
from tocsin.mail.language import (
    LANGUAGE_FILE,
    Instant,
    Language,
    negotiate,
    read_language,
)
from tocsin.mail.wrapping import wrap

PARTS = ("subject.txt", "body.txt", "body.html")

EVENT = "event.txt"
"""A language's text for the calendar: the title in the first line, the rest below."""

SHARED = "_base"
"""The folder of what all languages share."""

_SOURCES = ("txt", "html", "toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLine:
    """One certificate: its first name, its serial number in hex, its last day."""

    name: str
    serial: str
    not_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeContext:
    """
    What a notice to a subscriber may use; operators' own templates build on it.

    Args:
        incident_title: What the incident is called in public.
        circumstance: Why certificates are revoked, as the rule puts it.
        source: The rule, such as "TLS BR 4.9.1.1 (12)".
        subscriber: The organisation.
        contact_name: The person; may be empty.
        certificates: The first few; never empty.
        more: How many there are beyond those; the attachment lists all.
        total: How many there are.
        without_csr: Of those, how many still lack a CSR.
        is_revoked: They are revoked already: the reader learns of it late.
        revocation: When their revocation starts.
        deadline: By when it is published; cannot move.
        link: Where to answer.
        ca_name: Who writes.
        ca_phone: Whom to call, day and night.
        ca_site: The CA's own site, to check that this is real.

    """

    incident_title: str
    circumstance: str
    source: str
    subscriber: str
    contact_name: str
    certificates: tuple[CertificateLine, ...]
    more: int
    total: int
    without_csr: int
    is_revoked: bool
    revocation: Instant
    deadline: Instant
    link: str
    ca_name: str
    ca_phone: str
    ca_site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalContext:
    """
    What may be used to say that certificates are not revoked after all.

    Args:
        incident_title: What the incident is called in public.
        subscriber: The organisation.
        contact_name: The person; may be empty.
        certificates: The first few that were withdrawn; never empty.
        more: How many there are beyond those; the attachment lists all.
        total: How many were withdrawn.
        remaining: Certificates of the subscriber that are still affected.
        reason: Why they were withdrawn, in the officers' words, without a full stop.
        link: The subscriber's page.
        ca_name: Who writes.
        ca_phone: Whom to call, day and night.
        ca_site: The CA's own site, to check that this is real.

    """

    incident_title: str
    subscriber: str
    contact_name: str
    certificates: tuple[CertificateLine, ...]
    more: int
    total: int
    remaining: int
    reason: str
    link: str
    ca_name: str
    ca_phone: str
    ca_site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationLine:
    """One subscriber who needs a person: why, since when, and how much is at stake."""

    subscriber: str
    sector: str
    cause: str
    step: str
    certificates: int
    missing: int
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationContext:
    """
    What a message to the CA's own people may use.

    Args:
        incident_title: What the incident is called.
        contact_name: The reader; may be empty.
        role: Why it is them, such as "account manager".
        rows: Subscribers, the largest first; never empty.
        more: How many there are beyond those.
        total: How many there are.
        revocation: When revocation starts.
        deadline: By when it is published.
        incident: Its key, by which the dashboards are found.
        link: Where the reader sees whom to call, and says that they are on it.

    """

    incident_title: str
    contact_name: str
    role: str
    rows: tuple[EscalationLine, ...]
    more: int
    total: int
    revocation: Instant
    deadline: Instant
    incident: str
    link: str


AnyContext = NoticeContext | WithdrawalContext | EscalationContext
"""What one kind of notice or another may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a calendar shows of a notice."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The three parts of a message, as text, and what goes into a calendar."""

    subject: str
    text: str
    html: str
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One kind of notice in one language, compiled."""

    language: Language
    subject: Template
    text: Template
    html: Template
    event: Template | None


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

    @classmethod
    def from_files(cls, directory: Path | None = None) -> "TemplateSet":
        """Use the templates that come with Tocsin, the operator's own before them."""
        loaders: list[BaseLoader] = [PackageLoader("templates", "email")]
        if directory is not None:
            loaders.insert(0, FileSystemLoader(directory))
        return cls(ChoiceLoader(loaders))

    @classmethod
    def from_files_alone(cls, directory: Path) -> "TemplateSet":
        """Use an operator's own templates and nothing else, to see which they are."""
        return cls(FileSystemLoader(directory))

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
            path = f"{tag}/{LANGUAGE_FILE}"
            text = self._source(path) if path in self._files else None
            self._languages[tag] = read_language(tag, text, file=path)
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
            language = self.language(tag)
            environment = _environment(self._loader)
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
            self._environments[tag] = environment
        return self._environments[tag]

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
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    try:
        return Rendered(
            subject=" ".join(wording.subject.render(values).split()),
            text=wording.text.render(values),
            html=wording.html.render(values),
            event=_event(wording.event, values) if is_in_calendar else None,
        )
    except TemplateNotFound as error:
        raise Broken(f"there is no template {error.name}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, KeyError) as error:
        # What a template does with a value fails as Python does.
        raise Broken(f"template {kind} ({wording.language.tag}): {error}") from error


def _event(template: Template | None, values: Mapping[str, object]) -> Event | None:
    if template is None:
        return None
    title, _, text = template.render(values).partition("\n")
    return Event(title=title.strip(), text=text.strip())


def _host(name: str) -> Markup:
    """Write a host's name so that a narrow window breaks it at its dots."""
    # What is replaced is escaped; Markup's own replace takes five times as long.
    return Markup(str(escape(name)).replace(".", "<wbr>."))  # noqa: S704


def _environment(loader: BaseLoader) -> Environment:
    return Environment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"], default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        # A set of templates stays as it was read; looking again costs a fifth.
        auto_reload=False,
    )
