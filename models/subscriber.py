"""Who the certificates were issued to, and who is written to."""

from datetime import datetime

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import instant


class Subscriber(SQLModel, table=True):
    """An organisation as the directory knew it when the incident was launched."""

    __tablename__ = "subscriber"
    __table_args__ = (
        UniqueConstraint("incident_id", "key"),
        Index("ix_subscriber_incident_id_look_at", "incident_id", "look_at"),
        Index(
            "ix_subscriber_incident_id_ladder_position",
            "incident_id",
            "ladder_position",
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    key: str = Field(max_length=200)  # the name, case-folded, single spaces
    name: str = Field(sa_type=Text)
    sector: str = Field(default="", max_length=80)
    language: str = Field(default="en", max_length=16)
    zone: str = Field(max_length=64)
    ladder_position: int = 0  # steps of the ladder that were taken
    look_at: datetime | None = instant(nullable=True)  # when policy looks again
    acknowledged_at: datetime | None = instant(nullable=True)
    csr_refused_at: datetime | None = instant(nullable=True)  # no good one since
    # Last time somebody there said so; None: never, or it was seen to since.
    disowned_at: datetime | None = instant(nullable=True)
    help_asked_at: datetime | None = instant(nullable=True)


class SubscriberDomain(SQLModel, table=True):
    """A domain whose certificates belong to a subscriber."""

    __tablename__ = "subscriber_domain"

    incident_id: str = Field(primary_key=True, foreign_key="incident.id")
    domain: str = Field(primary_key=True, max_length=253)
    subscriber_id: int = Field(foreign_key="subscriber.id", index=True)


class Contact(SQLModel, table=True):
    """A person or role mailbox: a subscriber's, or one of the CA's own staff."""

    __tablename__ = "contact"
    __table_args__ = (
        UniqueConstraint("incident_id", "subscriber_id", "email"),
        Index("ix_contact_subscriber_id_rank", "subscriber_id", "rank"),
        # How many mails an address had, whichever incidents it is written to about.
        Index("ix_contact_address", text("lower(email)")),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    subscriber_id: int | None = Field(default=None, foreign_key="subscriber.id")
    role: str = Field(default="subscriber", max_length=24)
    rank: int  # 1 is the primary contact
    name: str = Field(default="", sa_type=Text)
    email: str = Field(max_length=320)
    phone: str = Field(default="", max_length=64)
    state: str = Field(default="active", max_length=16)
    state_reason: str = Field(default="", max_length=16)  # why it is unreachable
    named_by_reply: bool = False
    disowned_at: datetime | None = instant(nullable=True)  # "I am not the person"
    waits_since: datetime | None = instant(nullable=True)  # for its confirmation
    instead_of_id: int | None = None  # the contact that leaves once it is confirmed
    confirmed_at: datetime | None = instant(nullable=True)  # "this address is right"
    token_generation: int = 0  # raised when the contact leaves: old links die
