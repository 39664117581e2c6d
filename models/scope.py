"""What two officers decide about named certificates: withdrawals and court orders."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from models.base import instant


class ScopeChange(SQLModel, table=True):
    """
    A withdrawal or a court order, from its proposal on; rows stay, as the record of it.

    Triggers (see migration 0009) freeze what is proposed at the first signature, and
    let nothing be agreed without two different officers, each by a link that was sent
    to a mailbox of their own. ``ends_at`` only ever moves earlier.
    """

    __tablename__ = "scope_change"
    __table_args__ = (
        CheckConstraint("kind IN ('withdrawal', 'order')", name="kind"),
        CheckConstraint(
            "state IN ('proposed', 'agreed', 'refused', 'lapsed')", name="state"
        ),
        CheckConstraint("reason <> ''", name="reason"),
        CheckConstraint(
            "kind <> 'order' OR (court <> '' AND reference <> ''"
            " AND document_sha256 <> '' AND granted_until IS NOT NULL"
            " AND ends_at IS NOT NULL AND ends_at <= granted_until)",
            name="order_is_whole",
        ),
        CheckConstraint(
            "kind = 'order' OR (granted_until IS NULL AND ends_at IS NULL)",
            name="withdrawal_has_no_end",
        ),
        CheckConstraint(
            "state <> 'agreed' OR (first_at IS NOT NULL AND second_at IS NOT NULL"
            " AND first_mail_id <> second_mail_id AND first_key <> second_key"
            " AND lower(first_by) <> lower(second_by))",
            name="two_officers",
        ),
        Index("ix_scope_change_incident_id", "incident_id"),
        Index("ix_scope_change_state", "state"),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    kind: str = Field(max_length=16)
    state: str = Field(max_length=16)
    reason: str = Field(sa_type=Text)
    court: str = Field(default="", sa_type=Text)
    reference: str = Field(default="", sa_type=Text)
    granted_until: datetime | None = instant(nullable=True)  # as signed
    ends_at: datetime | None = instant(nullable=True)  # as shortened since
    document_name: str = Field(default="", max_length=200)
    document_sha256: str = Field(default="", max_length=64)
    form: str = Field(max_length=64, unique=True)  # one form, one proposal (I4)
    proposed_by: str = Field(max_length=120)  # an actor, as in the record of acts
    proposed_at: datetime = instant()
    # The two signatures: name on the officers' list, hash of the address, and the mail
    # to that address by whose link it was given.
    first_by: str = Field(default="", max_length=120)
    first_key: str = Field(default="", max_length=64)
    first_mail_id: int | None = Field(default=None, foreign_key="office_mail.id")
    first_at: datetime | None = instant(nullable=True)
    second_by: str = Field(default="", max_length=120)
    second_key: str = Field(default="", max_length=64)
    second_mail_id: int | None = Field(default=None, foreign_key="office_mail.id")
    second_at: datetime | None = instant(nullable=True)
    ended_by: str = Field(default="", max_length=120)  # refused, lapsed or lifted
    ended_at: datetime | None = instant(nullable=True)
    ended_why: str = Field(default="", sa_type=Text)


class ScopedCertificate(SQLModel, table=True):
    """One certificate that a decision names, and what the decision did to it."""

    __tablename__ = "scoped_certificate"
    __table_args__ = (
        CheckConstraint("outcome IN ('open', 'applied', 'too-late')", name="outcome"),
        Index("ix_scoped_certificate_certificate_id", "certificate_id"),
    )

    change_id: int = Field(primary_key=True, foreign_key="scope_change.id")
    certificate_id: int = Field(primary_key=True, foreign_key="affected_certificate.id")
    outcome: str = Field(max_length=16)


class ScopeDocument(SQLModel, table=True):
    """The order itself, as it was handed in; kept apart so that lists stay narrow."""

    __tablename__ = "scope_document"

    change_id: int = Field(primary_key=True, foreign_key="scope_change.id")
    media_type: str = Field(max_length=40)
    sha256: str = Field(max_length=64)
    content: bytes = Field(sa_type=LargeBinary)
