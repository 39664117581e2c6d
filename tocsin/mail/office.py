"""What the desk writes to the CA's own people: a way in, a call for a second officer."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from models.terms import OfficeMailKind
from tocsin.mail.render import Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """
    One instant, written out.

    Args:
        local: Weekday, date and time in the zone of the CA's office, with its name.
        utc: The same in UTC; empty where that is the zone.

    """

    local: str
    utc: str


def when(at: datetime, zone: str) -> When:
    """Write an instant out for the CA's own people; ``zone`` is an IANA name."""
    local, utc = at.astimezone(ZoneInfo(zone)), at.astimezone(UTC)
    return When(
        local=f"{local:%A} {local.day} {local:%B %Y, %H:%M %Z}",
        utc="" if not local.utcoffset() else f"{utc:%A} {utc.day} {utc:%B, %H:%M} UTC",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInContext:
    """
    What a mail with a link may use.

    Args:
        name: The reader's.
        link: Where to press the button.
        until: From then on it is dead.
        ca_name: Who writes.

    """

    name: str
    link: str
    until: When
    ca_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalContext:
    """
    What a call for a second officer may use.

    Args:
        name: The reader's.
        asked_by: Who asks.
        title: The incident's.
        deadline: By when everything is published.
        link: The draft at the desk; whoever opens it signs in first.
        ca_name: Who writes.

    """

    name: str
    asked_by: str
    title: str
    deadline: When
    link: str
    ca_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeContext:
    """
    What a call for a signature under a withdrawal or a court order may use.

    Args:
        name: The reader's.
        kind: "withdrawal" or "order".
        asked_by: Who has signed; empty: nobody yet.
        title: The incident's.
        total: How many certificates it names.
        reason: Why, in the proposer's words.
        effects: What it would do, in sentences.
        link: Where to read it, and to sign or refuse: the reader's own.
        until: From then on the link is dead.
        ca_name: Who writes.

    """

    name: str
    kind: str
    asked_by: str
    title: str
    total: int
    reason: str
    effects: tuple[str, ...]
    link: str
    until: When
    ca_name: str


OfficeContext = SignInContext | ApprovalContext | ScopeContext
"""What one mail of the desk or another may use."""

_KINDS = {
    SignInContext: OfficeMailKind.SIGN_IN,
    ApprovalContext: OfficeMailKind.APPROVAL,
    ScopeContext: OfficeMailKind.SCOPE,
}


def render_office_mail(context: OfficeContext) -> Rendered:
    """Write one mail of the desk, in English: its readers are the CA's own people."""
    environment = Environment(
        loader=PackageLoader("templates", "office"),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    kind = _KINDS[type(context)]
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    subject, text, html = (
        environment.get_template(f"{kind}/{part}").render(values)
        for part in ("subject.txt", "body.txt", "body.html")
    )
    return Rendered(subject=" ".join(subject.split()), text=text, html=html)
