"""What is counted of an incident, and that the counts agree (I3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.terms import (
    LIVE_ESCALATIONS,
    CertificateId,
    Circumstance,
    ContactState,
    EscalationState,
    IncidentId,
    IncidentState,
    NoticeKind,
    NoticeState,
    Reason,
    ReplacementState,
    ReplyKind,
    RevocationState,
    Sighting,
)
from tocsin.errors import Broken


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentSummary:
    """
    An incident's name and instants, all UTC.

    Args:
        incident: Its key.
        title: For people.
        state: Where it stands.
        circumstance: Why it revokes.
        reason: The CRLReason that follows from the circumstance.
        is_drill: Nothing of it reaches a CA.
        zone: IANA zone of the people who run it.
        made_aware_at: When the clock started.
        deadline: By when everything is published.
        launched_at: None while it is a draft.
        revocation_starts_at: None while it is a draft.
        closed_at: None while something may become due.
        rate_per_second: Revocations per second that the plan counts on.
        publication_delay: From answer to visibility, as the plan counts on.

    """

    incident: IncidentId
    title: str
    state: IncidentState
    circumstance: Circumstance
    reason: Reason
    is_drill: bool
    zone: str
    made_aware_at: datetime
    deadline: datetime
    launched_at: datetime | None
    revocation_starts_at: datetime | None
    closed_at: datetime | None
    rate_per_second: float | None
    publication_delay: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedIncident:
    """An incident in a list of them."""

    summary: IncidentSummary
    certificates: int
    published: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeCount:
    """How many notices of one kind are in one state."""

    kind: NoticeKind
    state: NoticeState
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFigures:
    """
    Everything that is counted of one incident at one instant.

    Args:
        summary: Which incident.
        as_of: When it was counted, UTC.
        entries: Entries of the lists that came in.
        accepted: Entries that contributed something new of a certificate.
        duplicates: Entries that added nothing.
        set_aside: Entries that were not used, each with its reason on record.
        certificates: Affected certificates.
        unclaimed: Of those, how many no subscriber is known for.
        unscheduled: Of those, how many have no revocation time: a draft's.
        revocation: Certificates by revocation state; with ``unscheduled`` all of them.
        replacement: Certificates by replacement state.
        expired: Planned but expired: neither revoked nor valid any more.
        restrained: Neither revoked nor expired, and kept from the CA by a court order.
        restrained_overdue: Of those, how many are past their revocation time.
        restrained_until: When the last of these orders ends, UTC.
        published_before_deadline: Published by the deadline.
        published_late: Published after it.
        published_with_other_reason: Published under another reason than the
            incident's schedule says, as when the CA had revoked them before.
        sightings: Revoked and not published, by where they were seen when somebody last
            looked; those that nobody has looked for yet are left out.
        first_revoked_at: When the CA first answered, UTC.
        last_published_at: When the latest publication was seen, UTC.
        problems: Not yet revoked and the CA's last answer was not a good one, by it.
        subscribers: Organisations that hold at least one of them.
        subscribers_acknowledged: Of those, where somebody has answered in any way.
        contacts: The contacts of those subscribers, by state.
        notices: Notices by kind and state; zeros are left out.
        possibly_repeated: Sendings whose end nobody saw, sent again.
        replies: Replies that were not taken back, by kind.
        csrs: Signing requests on file.
        certificates_with_csr: Certificates that have at least one.
        escalations: Escalations by state.

    """

    summary: IncidentSummary
    as_of: datetime
    entries: int
    accepted: int
    duplicates: int
    set_aside: int
    certificates: int
    unclaimed: int
    unscheduled: int
    revocation: Mapping[RevocationState, int]
    replacement: Mapping[ReplacementState, int]
    expired: int
    published_before_deadline: int
    published_late: int
    published_with_other_reason: int
    first_revoked_at: datetime | None
    last_published_at: datetime | None
    problems: Mapping[str, int]
    subscribers: int
    subscribers_acknowledged: int
    contacts: Mapping[ContactState, int]
    notices: tuple[NoticeCount, ...]
    possibly_repeated: int
    replies: Mapping[ReplyKind, int]
    csrs: int
    certificates_with_csr: int
    escalations: Mapping[EscalationState, int]
    restrained: int = 0
    restrained_overdue: int = 0
    restrained_until: datetime | None = None
    sightings: Mapping[Sighting, int] = field(default_factory=dict)

    @property
    def published(self) -> int:
        """Certificates whose revocation the world can see (I9)."""
        return self.revocation[RevocationState.PUBLISHED]

    @property
    def withdrawn(self) -> int:
        """Certificates that were listed wrongly: two officers took them out."""
        return self.revocation[RevocationState.WITHDRAWN]

    @property
    def to_publish(self) -> int:
        """Certificates whose revocation has to be published: all but those withdrawn."""
        return self.certificates - self.withdrawn

    @property
    def not_looked_for(self) -> int:
        """Revoked certificates whose publication nobody has looked for yet."""
        return self.revocation[RevocationState.REVOKED] - sum(self.sightings.values())

    @property
    def refused_as_expired(self) -> int:
        """Certificates that the CA does not revoke because they have expired."""
        return self.problems.get("expired", 0)

    @property
    def unpublished(self) -> int:
        """Of those, how many the world cannot see as revoked, for whatever reason."""
        return self.to_publish - self.published

    @property
    def overdue(self) -> int:
        """Certificates that should be published and are not."""
        return self.unpublished if self.as_of > self.summary.deadline else 0

    @property
    def notices_sent(self) -> int:
        """Notices the relay took, those that came back included."""
        return self.notices_in(NoticeState.SENT) + self.notices_in(NoticeState.BOUNCED)

    def notices_in(self, state: NoticeState) -> int:
        """Count the notices in one state, whatever their kind."""
        return sum(entry.count for entry in self.notices if entry.state is state)

    @property
    def live_escalations(self) -> int:
        """Escalations that somebody still has to act on."""
        return sum(self.escalations[state] for state in LIVE_ESCALATIONS)


def check_figures(figures: IncidentFigures) -> IncidentFigures:
    """
    Return the figures when every sum agrees (I3).

    Raises:
        Broken: Names the sum that does not, with both sides.

    """
    published = figures.published_before_deadline + figures.published_late
    scheduled = figures.unscheduled + sum(figures.revocation.values())
    used = figures.accepted + figures.duplicates + figures.set_aside
    unsent = (
        figures.revocation[RevocationState.SCHEDULED]
        + figures.revocation[RevocationState.SUBMITTED]
    )
    if figures.restrained_overdue > figures.restrained or (
        figures.restrained + figures.expired > unsent
    ):
        raise Broken(
            f"incident {figures.summary.incident}: {figures.restrained} are restrained "
            f"and {figures.expired} expired, of {unsent} that are not revoked"
        )
    sums = (
        ("certificates by revocation state", figures.certificates, scheduled),
        (
            "certificates by replacement state",
            figures.certificates,
            sum(figures.replacement.values()),
        ),
        ("published before and after the deadline", figures.published, published),
        ("entries accepted, duplicate and set aside", figures.entries, used),
    )
    if figures.not_looked_for < 0:
        raise Broken(
            f"incident {figures.summary.incident}: more revoked certificates were seen "
            f"somewhere than there are: {-figures.not_looked_for} too many"
        )
    for name, whole, parts in sums:
        if whole != parts:
            raise Broken(
                f"incident {figures.summary.incident}: {name} are {parts} together, "
                f"and {whole} as a whole"
            )
    return figures


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRow:
    """
    One affected certificate as public reports list it; instants UTC.

    Args:
        certificate: Its key.
        precertificate_sha256: Hex; None where no precertificate is known.
        certificate_sha256: Hex; None where only issuer and serial are known.
        subject: RFC 4514 or as imported; may be empty.
        issuer: The issuer's name.
        not_before: None where only issuer and serial are known.
        not_after: As ``not_before``.
        serial: Lower-case hex, whole octets.
        dns_names: In the certificate's order.
        state: None while no revocation time is planned.
        revocation_time: The planned instant.
        revoked_at: The CA's own revocation time, else when it answered.
        reason: As published, else as planned.
        restrained_until: When the last court order over it ends; None: there was none.
        note: What two officers decided about it, for the report; empty: nothing.

    """

    certificate: CertificateId
    precertificate_sha256: str | None
    certificate_sha256: str | None
    subject: str
    issuer: str
    not_before: datetime | None
    not_after: datetime | None
    serial: str
    dns_names: tuple[str, ...]
    state: RevocationState | None
    revocation_time: datetime | None
    revoked_at: datetime | None
    reason: Reason
    restrained_until: datetime | None = None
    note: str = ""
