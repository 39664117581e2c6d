"""What an officer sees before launching: what came in, what will happen, what people will read."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from tocsin.policy.progress import spell_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the timetable."""

    at: datetime
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Something of the input that needs an officer's eye; row 0 is the whole file."""

    file: str
    row: int
    field: str
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleNotice:
    """The first notice of a kind, as a real contact of this incident would read it."""

    kind: str
    recipient: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """
    What ``reports/preview.md`` may use.

    Args:
        incident: The draft's key.
        title: Its title.
        circumstance: The rule's text.
        source: Where the rule stands.
        reason: The CRLReason's name.
        zone: The zone that instants are shown in, beside UTC.
        made_aware_at: When the clock started.
        deadline: By when everything is published.
        is_past: The deadline lies behind: revocation starts at launch, late.
        entries: What came in; equals the sum of the next three.
        accepted: Entries that contributed.
        duplicates: Entries that added nothing.
        set_aside: Entries that could not be used.
        certificates: Distinct certificates.
        certificates_of_nobody: Without any known subscriber.
        certificates_without_contact: Whose subscriber has no contact.
        subscribers: How many.
        subscribers_without_contacts: Of those, with nobody to write to.
        contacts: People to write to, the CA's own included.
        contacts_duplicate: Rows of the directory whose address was there before.
        contacts_without_address: Rows that name a subscriber and no address.
        contacts_set_aside: Rows that could not be used.
        directory_rows: The sum of contacts and the last three (I3).
        notes: What was detected, and warnings.
        asides: The first of what was set aside.
        plan: Why revocation starts when it does.
        starts_at: When it starts.
        timetable: What will happen, by instant.
        notices: Samples.

    """

    incident: str
    title: str
    circumstance: str
    source: str
    reason: str
    zone: str
    made_aware_at: datetime
    deadline: datetime
    is_past: bool
    entries: int
    accepted: int
    duplicates: int
    set_aside: int
    certificates: int
    certificates_of_nobody: int
    certificates_without_contact: int
    subscribers: int
    subscribers_without_contacts: int
    contacts: int
    contacts_duplicate: int
    contacts_without_address: int
    contacts_set_aside: int
    directory_rows: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    asides: tuple[Aside, ...]
    plan: str
    starts_at: datetime
    timetable: tuple[Moment, ...]
    notices: tuple[SampleNotice, ...]


def preview_markdown(preview: Preview) -> str:
    """Render a preview as Markdown, for the terminal and the Prefect UI alike."""
    zone = ZoneInfo(preview.zone)
    environment = Environment(
        loader=PackageLoader("templates", "reports"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown; _cell takes care of what is foreign
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["instant"] = lambda instant: _instant(instant, zone)
    environment.filters["cell"] = _cell
    environment.filters["count"] = lambda number: f"{number:,}"
    fields = {name: getattr(preview, name) for name in asdict(preview)}
    left = preview.deadline - preview.starts_at
    return environment.get_template("preview.md").render(
        **fields, left=spell_duration(left) if left > timedelta(0) else ""
    )


def _instant(instant: datetime, zone: ZoneInfo) -> str:
    local = instant.astimezone(zone)
    if zone.key == "UTC":
        return f"{local:%a %Y-%m-%d %H:%M} UTC"
    return f"{local:%a %Y-%m-%d %H:%M %Z} ({instant:%m-%d %H:%M} UTC)"


def _cell(text: object) -> str:
    """Make foreign text safe for one cell of a Markdown table."""
    flat = " ".join(str(text).split())
    return flat.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
