"""What letters of all kinds are written from: who writes, about what, and by which link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from models.terms import (
    ContactRole,
    IncidentId,
    NoticeKind,
    ReplyId,
    ScopeChangeId,
    SubscriberId,
)
from tocsin.links import SUBSCRIBER, LinkClaims
from tocsin.mail.render import SHARED, CertificateLine, Rendered, TemplateSet
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


def templates_of(frozen: Mapping[str, str]) -> TemplateSet:
    """
    Return an incident's templates as they were frozen (I7).

    A kind of notice that came with a later version was not frozen: it is the shipped
    one, or an incident under way could not say what it has to.
    """
    later = [
        kind for kind in NoticeKind if not any(f"/{kind}/" in path for path in frozen)
    ]
    added = {
        path: text
        for path, text in TemplateSet.from_files().sources().items()
        if any(f"/{kind}/" in path or f"{SHARED}/{kind}." in path for kind in later)
    }
    return TemplateSet.from_sources({**added, **frozen} if frozen else frozen)


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
    calendar: bytes | None = None
    escalations: tuple[int, ...] = ()


def claims_in(
    notice: ClaimedNotice,
    record: IncidentRecord,
    subscriber: SubscriberId,
    *,
    purpose: str = SUBSCRIBER,
) -> LinkClaims:
    """Return what the link in a letter stands for."""
    return LinkClaims(
        incident=notice.incident,
        subscriber=subscriber,
        contact=notice.to.contact,
        purpose=purpose,
        generation=notice.to.token_generation,
        expires_at=record.deadline + LINK_VALID_WITHIN,
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
