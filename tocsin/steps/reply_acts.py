"""What a subscriber can do through a link, as values."""

from dataclasses import dataclass
from enum import StrEnum

from models.terms import CertificateId, ContactId, ReplyId


class AcknowledgeChoice(StrEnum):
    """What a person says who has read the notice."""

    MINE = "mine"
    PASSED_ON = "passed-on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """Somebody has read the notice and says who will act."""

    choice: AcknowledgeChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrFor:
    """A CSR, PEM, and the certificates it is to replace."""

    pem: str
    certificates: tuple[CertificateId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitCsrs:
    """CSRs are handed in; the newest for a certificate counts."""

    csrs: tuple[CsrFor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportReplaced:
    """These certificates are in use nowhere any more: they may be revoked early."""

    certificates: tuple[CertificateId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportNoLongerRequired:
    """These certificates need no replacement: they may be revoked early."""

    certificates: tuple[CertificateId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeContact:
    """
    A contact is named.

    Args:
        name: Of the person or role.
        email: Their address.
        phone: May be empty.
        instead_of: Who leaves the list; None to add only.

    """

    name: str
    email: str
    phone: str
    instead_of: ContactId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A reply is taken back that has had no effect yet."""

    reply: ReplyId


ReplyAct = (
    Acknowledge
    | SubmitCsrs
    | ReportReplaced
    | ReportNoLongerRequired
    | ChangeContact
    | Undo
)
