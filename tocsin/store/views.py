"""What a subscriber's page shows, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from models.terms import (
    UNSETTLED,
    CertificateId,
    Circumstance,
    ContactId,
    ContactState,
    IncidentId,
    IncidentState,
    ReplacementId,
    ReplacementState,
    ReplyId,
    ReplyKind,
    ReplyState,
    RevocationState,
    SubscriberId,
)


class Selection(StrEnum):
    """Which of a subscriber's certificates."""

    ALL = "all"
    WITHOUT_REPLACEMENT = "without-replacement"  # a CSR still makes sense
    REVOCABLE_EARLY = "revocable-early"  # of those, the ones still scheduled


class Standing(StrEnum):
    """How far the replacement of a certificate is, as its owner filters by it."""

    ANY = ""
    NO_CSR = "no-csr"
    CSR = "csr"
    ISSUED = "issued"
    SETTLED = "settled"  # replaced, or no longer required


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """
    Which certificates of a selection somebody wants to see.

    Args:
        find: Part of a name, or the serial number; empty: any.
        standing: How far they are.

    """

    find: str = ""
    standing: Standing = Standing.ANY

    @property
    def is_on(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.find or self.standing)


NO_FILTER = Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateView:
    """
    One certificate as its owner sees it.

    Args:
        certificate: Its key.
        serial: Lower-case hex.
        subject: As text; empty where only the serial is known.
        names: DNS names.
        not_after: UTC; None where only the serial is known.
        replacement_state: How far its replacement is.
        revocation_state: None where no revocation is planned yet.
        revocation_time: Planned instant, UTC.
        revoked_at: When the CA said so, UTC.
        published_at: When it was seen in public, UTC.
        csrs: How many CSRs were handed in for it.
        replacement: The newest that was issued for it; None where there is none.
        withdrawn_at: When two officers took it out: it is not revoked. UTC.
        restrained_until: When the court order over it ends, UTC; None: there is none.

    """

    certificate: CertificateId
    serial: str
    subject: str
    names: tuple[str, ...]
    not_after: datetime | None
    replacement_state: ReplacementState
    revocation_state: RevocationState | None
    revocation_time: datetime | None
    revoked_at: datetime | None
    published_at: datetime | None
    csrs: int
    replacement: ReplacementId | None
    withdrawn_at: datetime | None = None
    restrained_until: datetime | None = None

    @property
    def title(self) -> str:
        """What its owner knows it by."""
        if self.names:
            return self.names[0]
        return self.subject or f"serial number {self.serial}"

    @property
    def is_revoked(self) -> bool:
        """Whether the CA has revoked it."""
        return self.revocation_state in (
            RevocationState.REVOKED,
            RevocationState.PUBLISHED,
        )

    @property
    def can_be_revoked_early(self) -> bool:
        """Whether it makes sense to say that it is no longer in use."""
        return (
            self.revocation_state is RevocationState.SCHEDULED
            and self.replacement_state in UNSETTLED
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactView:
    """A contact as the colleagues see them; removed ones stay in the record only."""

    contact: ContactId
    rank: int
    name: str
    email: str
    phone: str
    state: ContactState
    named_by_reply: bool
    disowned_at: datetime | None = None
    waits_since: datetime | None = None
    confirmed_at: datetime | None = None
    instead_of: ContactId | None = None
    came_back: bool = False

    @property
    def is_unconfirmed(self) -> bool:
        """Whether nothing but the mail that asks is sent to the address."""
        return self.state is ContactState.UNCONFIRMED


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyView:
    """What somebody of the subscriber did."""

    reply: ReplyId
    kind: ReplyKind
    state: ReplyState
    received_at: datetime
    effective_at: datetime
    certificates: tuple[CertificateId, ...]
    contact: ContactId
    contact_name: str
    contact_rank: int = 1
    message: str = ""
    phone: str = ""

    @property
    def can_be_undone(self) -> bool:
        """Whether it has not had its effect yet."""
        return self.state is ReplyState.PENDING

    @property
    def brings_forward(self) -> bool:
        """Whether certificates are revoked early when it takes effect."""
        return self.kind in (ReplyKind.REPLACED, ReplyKind.NO_LONGER_REQUIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """
    A subscriber's certificates, counted; each pair of states sums to ``all`` (I3).

    Args:
        all: How many there are.
        without_csr: Nothing was handed in for them.
        with_csr: A CSR was handed in.
        issued: A replacement was issued and is not reported as installed.
        replaced: Reported as replaced.
        given_up: Reported as no longer required.
        waiting: To be revoked, and not revoked yet.
        revoked: Revoked, or published as revoked.
        published: Of those, seen in public.
        withdrawn: Listed wrongly: not revoked at all.

    """

    all: int
    without_csr: int
    with_csr: int
    issued: int
    replaced: int
    given_up: int
    waiting: int
    revoked: int
    published: int
    withdrawn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberView:
    """
    A subscriber's page.

    Args:
        incident: Its key.
        title: The incident's, as the officer wrote it.
        circumstance: Why the certificates must be revoked.
        state: Only a running incident takes replies.
        is_drill: Nothing is really revoked (I8).
        made_aware_at: When the clock started, UTC.
        deadline: By then revocation is published, UTC.
        closed_at: UTC; None while it runs.
        rule_pack: The rules frozen at launch, TOML; may be empty before.
        subscriber: Its key.
        name: The organisation.
        zone: IANA name of the reader's zone.
        language: BCP 47.
        acknowledged_at: When somebody first answered, UTC.
        totals: All certificates, counted.
        next_revocation_time: The earliest that is still ahead or being worked on.
        certificates: One page of the selection asked for.
        selected: How many certificates the selection has that the filter lets through.
        filter: Which of them are shown.
        page: Which page, counted from 1.
        pages: How many there are.
        contacts: By rank.
        replies: The latest first, and all that can be undone.
        read_at: The instant of the view, UTC.

    """

    incident: IncidentId
    title: str
    circumstance: Circumstance
    state: IncidentState
    is_drill: bool
    made_aware_at: datetime
    deadline: datetime
    closed_at: datetime | None
    rule_pack: str
    subscriber: SubscriberId
    name: str
    zone: str
    language: str
    acknowledged_at: datetime | None
    totals: Totals
    next_revocation_time: datetime | None
    certificates: tuple[CertificateView, ...]
    selected: int
    filter: Filter
    page: int
    pages: int
    contacts: tuple[ContactView, ...]
    replies: tuple[ReplyView, ...]
    read_at: datetime

    @property
    def takes_replies(self) -> bool:
        """Whether acts still make sense."""
        return self.state is IncidentState.RUNNING

    @property
    def latest(self) -> ReplyId:
        """The last reply that this page was made from; 0: there was none."""
        return max((reply.reply for reply in self.replies), default=ReplyId(0))

    def since(self, seen: ReplyId) -> tuple[ReplyView, ...]:
        """Return what somebody did after a page was made, the latest first."""
        return tuple(reply for reply in self.replies if reply.reply > seen)

    @property
    def pending(self) -> Mapping[CertificateId, ReplyView]:
        """Certificates about which a reply waits for the end of its grace period."""
        return {
            certificate: reply
            for reply in self.replies
            if reply.can_be_undone and reply.brings_forward
            for certificate in reply.certificates
        }
