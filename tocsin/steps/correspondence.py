"""What letters of all kinds are written from: who writes, about what, and by which link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, TypedDict

from models.terms import (
    ContactRole,
    IncidentId,
    NoticeKind,
    ReplyId,
    ScopeChangeId,
    SubscriberId,
)
from tocsin.links import CONFIRMATION, ESCALATION, SUBSCRIBER, LinkClaims, Links
from tocsin.mail.calendar import CalendarFile, Entry
from tocsin.mail.language import Language
from tocsin.mail.render import (
    SHARED,
    AnyContext,
    CertificateLine,
    Rendered,
    TemplateSet,
    render_notice,
)
from tocsin.store.contact_changes import Change
from tocsin.store.incidents import IncidentRecord
from tocsin.store.matters import (
    CertificateSample,
    ListedCertificate,
    LiveEscalation,
    WithdrawnSample,
)
from tocsin.store.outbox import ClaimedNotice

LINK_VALID_WITHIN = timedelta(days=90)
"""After the deadline: people look back at what they did."""

_PAGES = {SUBSCRIBER: "s", CONFIRMATION: "c", ESCALATION: "e"}
"""Where in the portal a link leads, by its purpose."""


def templates_of(frozen: Mapping[str, str]) -> TemplateSet:
    """
    Return an incident's templates as they were frozen (I7).

    A kind of notice that came with a later version was not frozen: it is the shipped
    one, with what it builds on, or an incident under way could not say what it has to.
    """
    later = [
        kind for kind in NoticeKind if not any(f"/{kind}/" in path for path in frozen)
    ]
    added = {
        path: text
        for path, text in TemplateSet.from_files().sources().items()
        if path.startswith(f"{SHARED}/") or any(f"/{kind}/" in path for kind in later)
    }
    return TemplateSet.from_sources({**added, **frozen} if frozen else frozen)


class Signature(TypedDict):
    """What every letter to somebody outside the CA says of the CA."""

    ca_name: str
    ca_phone: str
    ca_site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """
    Who the mail comes from.

    Args:
        address: The sender's address.
        name: The sender's name.
        bounce_domain: Domain of return paths.
        portal_url: Where subscribers answer, without a trailing slash.
        ca_name: How the CA calls itself.
        ca_phone: Whom to call, day and night.
        ca_site: The CA's own site.
        reply_to: Where people's answers go; None: to the sender.

    """

    address: str
    name: str
    bounce_domain: str
    portal_url: str
    ca_name: str
    ca_phone: str
    ca_site: str
    reply_to: str | None = None

    @property
    def signature(self) -> Signature:
        """What a letter says of the CA."""
        return {
            "ca_name": self.ca_name,
            "ca_phone": self.ca_phone,
            "ca_site": self.ca_site,
        }

    @property
    def mail_domain(self) -> str:
        """The domain of Message-IDs."""
        return self.address.rpartition("@")[2]

    def return_path(self, verp_token: str) -> str:
        """Return the envelope sender that tells the notice when it comes back."""
        return f"bounce+{verp_token}@{self.bounce_domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matters:
    """What a batch of notices is about, read together and once."""

    incidents: Mapping[IncidentId, IncidentRecord]
    samples: Mapping[SubscriberId, CertificateSample]
    escalations: Mapping[tuple[IncidentId, ContactRole], Sequence[LiveEscalation]]
    withdrawn: Mapping[tuple[ScopeChangeId, SubscriberId], WithdrawnSample] = field(
        default_factory=dict
    )
    contact_changes: Mapping[ReplyId, Change] = field(default_factory=dict)


class Written(NamedTuple):
    """What a letter says, and what goes along with it."""

    rendered: Rendered
    certificates: bytes | None = None
    calendar: CalendarFile | None = None
    escalations: tuple[int, ...] = ()


class Brief(NamedTuple):
    """
    What the writer of a letter is given.

    Args:
        notice: Which, and to whom.
        matters: What it is about.
        templates: Those of the incident.
        language: Of all of it: one that there are templates in.
        links: Signs the link in it.
        sender: Who it comes from.

    """

    notice: ClaimedNotice
    matters: Matters
    templates: TemplateSet
    language: Language
    links: Links
    sender: Sender

    @property
    def record(self) -> IncidentRecord:
        """The incident."""
        return self.matters.incidents[self.notice.incident]

    def link(self, subscriber: SubscriberId, *, purpose: str = SUBSCRIBER) -> str:
        """Return the address of the page where the reader acts."""
        claims = LinkClaims(
            incident=self.notice.incident,
            subscriber=subscriber,
            contact=self.notice.to.contact,
            purpose=purpose,
            generation=self.notice.to.token_generation,
            expires_at=self.record.deadline + LINK_VALID_WITHIN,
        )
        token = self.links.sign(claims)
        return f"{self.sender.portal_url}/{_PAGES[purpose]}/{token}"

    def entry(self, subscriber: SubscriberId) -> Entry:
        """Return what a calendar knows the revocation by, in all of a reader's mails."""
        launched_at = self.record.launched_at or self.notice.planned_at
        since_launch = self.notice.planned_at - launched_at
        return Entry(
            uid=f"{self.record.id}.{subscriber}@{self.sender.bounce_domain}",
            sequence=max(0, int(since_launch.total_seconds())),
            stamp=self.notice.planned_at,
            organiser_name=self.sender.name,
            organiser_address=self.sender.address,
            language=self.language.tag,
        )

    def render(self, context: AnyContext, *, is_in_calendar: bool = False) -> Rendered:
        """Put what the letter says into its words; ``Broken`` where they do not fit."""
        return render_notice(
            self.templates,
            kind=self.notice.kind,
            language=self.language.tag,
            context=context,
            is_in_calendar=is_in_calendar,
        )


def listed(certificates: Sequence[ListedCertificate]) -> tuple[CertificateLine, ...]:
    """Write certificates as a letter lists them."""
    return tuple(
        CertificateLine(
            name=one.name,
            serial=one.serial,
            not_after=_day(one.not_after) if one.not_after else "",
        )
        for one in certificates
    )


@lru_cache(maxsize=4096)  # most certificates end on the same few days
def _day(at: datetime) -> str:
    return at.date().isoformat()
