"""From a template and a context to what a person reads; the context is an interface."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
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

from models.terms import NoticeKind
from tocsin.errors import Broken

FALLBACK = "en"
"""The language of a notice whose own is not to be had."""

PARTS = ("subject.txt", "body.txt", "body.html")


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
class CertificateLine:
    """One certificate: its first name, its serial number in hex, its end."""

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
        prefect_hint: Where the dashboards are.

    """

    incident_title: str
    contact_name: str
    role: str
    rows: tuple[EscalationLine, ...]
    more: int
    total: int
    revocation: Instant
    deadline: Instant
    prefect_hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The three parts of a message, as text."""

    subject: str
    text: str
    html: str


class TemplateSet:
    """
    The templates of all notices.

    Args:
        loader: Where their sources come from.

    """

    def __init__(self, loader: BaseLoader) -> None:
        self._environment = Environment(
            loader=loader,
            undefined=StrictUndefined,
            autoescape=select_autoescape(["html"], default=False),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )

    @classmethod
    def from_files(cls, directory: Path | None = None) -> "TemplateSet":
        """Use the templates that come with Tocsin, the operator's own before them."""
        loaders: list[BaseLoader] = [PackageLoader("templates", "email")]
        if directory is not None:
            loaders.insert(0, FileSystemLoader(directory))
        return cls(ChoiceLoader(loaders))

    @classmethod
    def from_sources(cls, sources: Mapping[str, str]) -> "TemplateSet":
        """Use templates as they were frozen (I7)."""
        return cls(DictLoader(dict(sources)))

    def sources(self) -> dict[str, str]:
        """Return every template's source by its path, to freeze."""
        loader = self._environment.loader
        if loader is None:
            raise Broken("templates without a loader")
        return {
            path: loader.get_source(self._environment, path)[0]
            for path in self._environment.list_templates(extensions=["txt", "html"])
        }

    def languages(self) -> list[str]:
        """Return the languages there are folders for."""
        paths = self._environment.list_templates(extensions=["txt"])
        return sorted({path.split("/")[0] for path in paths} - {"_base"})

    def part(self, kind: NoticeKind, language: str, part: str) -> Template:
        """Return one part of one kind, in the fallback language where need be."""
        return self._environment.select_template(
            [f"{language}/{kind}/{part}", f"{FALLBACK}/{kind}/{part}"]
        )


def instant(at: datetime, zone: str, language: str) -> Instant:
    """Write an instant out for a reader in a zone, in a language."""
    try:
        locale = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        locale = Locale.parse(FALLBACK)
    local = at.astimezone(ZoneInfo(zone))
    pattern = "EEEE d MMMM yyyy, HH:mm"
    return Instant(
        local=f"{format_datetime(local, pattern, locale=locale)} {local:%Z}",
        utc=f"{format_datetime(at, 'EEEE d MMMM, HH:mm', tzinfo=UTC, locale=locale)} UTC",
        iso=at.astimezone(UTC).isoformat(timespec="seconds"),
    )


def render_notice(
    templates: TemplateSet,
    *,
    kind: NoticeKind,
    language: str,
    context: NoticeContext | EscalationContext,
) -> Rendered:
    """
    Render one message.

    Raises:
        Broken: A template is missing, or uses what the context does not have.

    """
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    try:
        subject, text, html = (
            templates.part(kind, language, part).render(values) for part in PARTS
        )
    except TemplateNotFound as error:
        raise Broken(f"there is no template {error.name}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        # What a template does with a value fails as Python does.
        raise Broken(f"template {kind} ({language}): {error}") from error
    return Rendered(subject=" ".join(subject.split()), text=text, html=html)


def check_templates(templates: TemplateSet) -> Iterator[str]:
    """Render each template against each sample; yield what is wrong, in words."""
    for language in templates.languages():
        for kind in NoticeKind:
            for name, context in sample_contexts(kind).items():
                where = f"{language}/{kind} with {name}"
                try:
                    rendered = render_notice(
                        templates, kind=kind, language=language, context=context
                    )
                except Broken as error:
                    yield f"{where}: {error}"
                    continue
                yield from (f"{where}: {word}" for word in _missing(rendered, context))


def sample_contexts(kind: NoticeKind) -> dict[str, NoticeContext | EscalationContext]:
    """Return contexts to try a kind with: few and many certificates, odd names."""
    at = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)
    revocation = instant(at, "Asia/Hong_Kong", FALLBACK)
    deadline = instant(at + timedelta(hours=6), "Asia/Hong_Kong", FALLBACK)
    if kind is NoticeKind.ESCALATION:
        line = EscalationLine(
            subscriber="Harbour Clinics <& Partners>",
            sector="Medical and Health",
            cause="CSR missing",
            step="Operations managers take over missing CSRs",
            certificates=98,
            missing=97,
            since=revocation.local,
        )
        return {
            f"{total} subscribers": EscalationContext(
                incident_title="CPS URI that is not http",
                contact_name="Lee Siu Ling",
                role="operations manager",
                rows=(line,) * min(total, 50),
                more=max(0, total - 50),
                total=total,
                revocation=revocation,
                deadline=deadline,
                prefect_hint="http://127.0.0.1:4200/artifacts",
            )
            for total in (1, 240)
        }
    certificate = CertificateLine(
        name="appointments.clinics.example", serial="4f03a2", not_after="2026-12-31"
    )
    return {
        f"{total} certificates{', revoked' * is_revoked}": NoticeContext(
            incident_title="CPS URI that is not http",
            circumstance="It was not issued in accordance with the Baseline "
            "Requirements or the CA's CP/CPS",
            source="TLS BR 4.9.1.1 (12)",
            subscriber="Harbour Clinics <& Partners>",
            contact_name=name,
            certificates=(certificate,) * min(total, 5),
            more=max(0, total - 5),
            total=total,
            without_csr=total,
            is_revoked=is_revoked,
            revocation=revocation,
            deadline=deadline,
            link="https://certificates.ca.example/s/eyJpbmNpZGVudCI6MX0.c2lnbmF0dXJl",
            ca_name="Example CA",
            ca_phone="+852 5550 0100",
            ca_site="www.ca.example",
        )
        for is_revoked in (False, True)
        for total, name in ((1, ""), (98, "Chan Tai Man"), (500, "陳大文"))
    }


def _missing(
    rendered: Rendered, context: NoticeContext | EscalationContext
) -> Iterator[str]:
    """Yield what a reader could not do without and does not get."""
    if not rendered.subject:
        yield "the subject is empty"
    needed = {"the revocation's instant": context.revocation.local}
    if isinstance(context, NoticeContext):
        needed |= {
            "the link": context.link,
            "the phone number": context.ca_phone,
            "the first certificate": context.certificates[0].name,
            "the same instant in UTC": context.revocation.utc,
        }
    for what, value in needed.items():
        if value not in rendered.text:
            yield f"{what} is not in body.txt"
        if value not in rendered.html:
            yield f"{what} is not in body.html"
