"""What people and their programs wrote back, and what came of calling them."""

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, Index, Text
from sqlmodel import Field, SQLModel

from models.base import instant


class MailReply(SQLModel, table=True):
    """A message that came in and is no failure, filed once however often it is read."""

    __tablename__ = "mail_reply"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('delay', 'confirmation', 'complaint', 'absence', 'departure', "
            "'challenge', 'automatic', 'person')",
            name="kind",
        ),
        Index("ix_mail_reply_incident_id_received_at", "incident_id", "received_at"),
        Index("ix_mail_reply_contact_id", "contact_id"),
        Index("ix_mail_reply_subscriber_id", "subscriber_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    fingerprint: str = Field(max_length=64, unique=True)  # SHA-256 of its bytes
    received_at: datetime = instant()  # when we read it
    way: str = Field(max_length=16)  # maildir, imap, pipe
    kind: str = Field(max_length=16)
    known_by: str = Field(default="", max_length=16)  # what told whose it is
    incident_id: str | None = Field(default=None, foreign_key="incident.id")
    subscriber_id: int | None = Field(default=None, foreign_key="subscriber.id")
    contact_id: int | None = Field(default=None, foreign_key="contact.id")
    notice_id: int | None = Field(default=None, foreign_key="notice.id")
    sender: str = Field(default="", max_length=320)
    subject: str = Field(default="", sa_type=Text)
    text: str = Field(default="", sa_type=Text)
    is_cut: bool = False
    topics: list[str] = Field(default_factory=list, sa_type=JSON)
    attachments: list[dict[str, object]] = Field(default_factory=list, sa_type=JSON)
    answered_with: str = Field(default="", max_length=24)  # a notice kind


class Call(SQLModel, table=True):
    """One call to a subscriber, and what came of it."""

    __tablename__ = "call"
    __table_args__ = (
        Index("ix_call_incident_id_subscriber_id", "incident_id", "subscriber_id"),
        Index("ix_call_subscriber_id", "subscriber_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    subscriber_id: int = Field(foreign_key="subscriber.id")
    called_at: datetime = instant()
    caller: str = Field(max_length=120)
    outcome: str = Field(max_length=16)
    note: str = Field(default="", sa_type=Text)
    # The contact that the call corrected or added.
    contact_id: int | None = Field(default=None, foreign_key="contact.id")
