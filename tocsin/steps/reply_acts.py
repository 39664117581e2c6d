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
class RemoveContact:
    """A contact gets no more mails; or one that was named is not wanted after all."""

    contact: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAgain:
    """An address that waits for its confirmation gets the mail for it once more."""

    contact: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmAddress:
    """Somebody says that our mails reach the right person at their own address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMine:
    """
    Somebody says that these certificates, or all of it, are somebody else's.

    Args:
        certificates: Which; empty: the sender is not the right person at all.
        message: Whose they think it is, or anything else; may be empty.
        named: Who should get our mails, where they know; added to the list.

    """

    certificates: tuple[CertificateId, ...]
    message: str = ""
    named: ChangeContact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskHelp:
    """
    Somebody wants a person of the CA to call.

    Args:
        message: What stands in the way.
        phone: Where they want to be called.

    """

    message: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskExtension:
    """Somebody asks for more time, and says why; there is none."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A reply is taken back that has had no effect yet."""

    reply: ReplyId


ContactAct = ChangeContact | RemoveContact | AskAgain | ConfirmAddress
"""What a subscriber changes about who gets our mails."""

ReplyAct = (
    Acknowledge
    | SubmitCsrs
    | ReportReplaced
    | ReportNoLongerRequired
    | ContactAct
    | NotMine
    | AskHelp
    | AskExtension
    | Undo
)
