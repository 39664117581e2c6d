"""What scripts send and get: the words of the interface, which OpenAPI describes."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.terms import ContactState, ReplacementState, RevocationState
from tocsin.portal.ask_forms import LONGEST_MESSAGE

_MOST_CSRS = 1_000
_LONGEST_CSR = 100_000
_MOST_CERTIFICATES = 10_000
LARGEST_KEY = 2**63 - 1

_Key = Annotated[int, Field(ge=1, le=LARGEST_KEY)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CertificateOut(_Model):
    """One affected certificate."""

    id: int
    names: list[str]
    serial: str = Field(description="Hex, lower case, whole octets.")
    not_after: datetime | None
    replacement_state: ReplacementState
    revocation_state: RevocationState | None
    revocation_time: datetime | None = Field(
        description="When it is revoked, UTC; it can only become earlier."
    )
    csrs: int = Field(description="How many CSRs were handed in for it.")
    replacement: int | None = Field(
        description="The newest certificate issued in its place; fetch it by this key."
    )


class CertificatesOut(_Model):
    """A page of the subscriber's affected certificates."""

    incident: str
    subscriber: str
    deadline: datetime
    takes_replies: bool
    total: int
    page: int
    pages: int
    certificates: list[CertificateOut]


class ContactOut(_Model):
    """Somebody who gets our mails, or is asked whether they want to."""

    id: int
    name: str
    address: str = Field(description="To be recognised, not to be used.")
    is_you: bool = Field(description="The link is theirs.")
    state: ContactState = Field(
        description="`unconfirmed`: nothing but the mail that asks is sent there."
    )
    waits_since: datetime | None
    confirmed_at: datetime | None
    instead_of: int | None = Field(description="Who leaves once it is confirmed.")


class ContactsOut(_Model):
    """The subscriber's contacts, by rank."""

    contacts: list[ContactOut]


class CsrsIn(_Model):
    """CSRs to hand in."""

    csrs: list[Annotated[str, Field(max_length=_LONGEST_CSR)]] = Field(
        min_length=1,
        max_length=_MOST_CSRS,
        description="PEM, one in each text; matched to certificates by their names.",
    )
    certificate: _Key | None = Field(
        default=None,
        description="Which certificate they are for; leave it out to match by names.",
    )


class FindingOut(_Model):
    """One thing to say about a CSR."""

    code: str
    refuses: bool
    message: str


class CsrOut(_Model):
    """What became of one CSR."""

    number: int = Field(description="Its place in what was sent, from 1.")
    sha256: str | None
    names: list[str]
    certificates: list[int] = Field(description="Those it was handed in for.")
    findings: list[FindingOut]


class CsrsOut(_Model):
    """What became of all of them; none is lost."""

    reply: int | None = Field(description="Null where none could be used.")
    handed_in: list[CsrOut]
    refused: list[CsrOut]


class CertificatesIn(_Model):
    """The certificates a report is about."""

    certificates: list[_Key] = Field(min_length=1, max_length=_MOST_CERTIFICATES)


class ReportOut(_Model):
    """A report that takes effect later."""

    reply: int
    effective_at: datetime = Field(
        description="Then the certificates are revoked early; until then it can be "
        "undone on the page."
    )


class NotMineIn(_Model):
    """What is somebody else's."""

    certificates: list[_Key] = Field(
        default_factory=list,
        max_length=_MOST_CERTIFICATES,
        description="Which certificates; leave them out where you are not the right "
        "person at all.",
    )
    message: str = Field(
        default="", max_length=LONGEST_MESSAGE, description="Whose it is, if known."
    )


class HelpIn(_Model):
    """What stands in the way."""

    message: str = Field(min_length=1, max_length=LONGEST_MESSAGE)
    phone: str = Field(
        min_length=5, max_length=40, description="Where a person can call you."
    )


class AskedOut(_Model):
    """Something that the CA's people were told; no revocation moves by it."""

    reply: int
    can_be_undone_until: datetime = Field(description="On the page.")


class ProblemOut(_Model):
    """What stands in the way (RFC 9457)."""

    title: str
    detail: str
