"""What templates may use; operators' own build on it, so it only ever grows."""

from dataclasses import dataclass
from typing import NamedTuple

from tocsin.mail.language import Instant


class CertificateLine(NamedTuple):
    """One certificate: its first name, its serial number in hex, its last day."""

    name: str
    serial: str
    not_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FromTheCA:
    """
    What every mail to somebody outside the CA may use.

    Args:
        ca_name: Who writes.
        ca_phone: Whom to call, day and night.
        ca_site: The CA's own site, to check that this is real.

    """

    ca_name: str
    ca_phone: str
    ca_site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeContext(FromTheCA):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalContext(FromTheCA):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationContext(FromTheCA):
    """
    What may be used to ask an address whether it is right; its reader is a stranger.

    Args:
        subscriber: The organisation whose contact they would be.
        link: Where they say yes, or that it is not them.

    """

    subscriber: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsContext(FromTheCA):
    """
    What may be used to say that who gets our mails was changed.

    Args:
        incident_title: What the incident is called in public.
        subscriber: The organisation.
        contact_name: The reader; may be empty.
        what: "named", "added", "confirmed", "declined" or "removed".
        by: By whose link; a name, or an address that is made unreadable.
        person: Whom it is about, likewise.
        address: Their address, made unreadable.
        leaves: Who leaves the list by it, or would; empty: nobody.
        is_reader: It is the reader who leaves, or left.
        link: The subscriber's page; empty for who has left.

    """

    incident_title: str
    subscriber: str
    contact_name: str
    what: str
    by: str
    person: str
    address: str
    leaves: str
    is_reader: bool
    link: str


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


AnyContext = (
    NoticeContext
    | WithdrawalContext
    | EscalationContext
    | ConfirmationContext
    | ContactsContext
)
"""What one kind of notice or another may use."""
