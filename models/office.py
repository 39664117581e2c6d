"""Who of the CA's own people may come in, and what they have under way before a launch."""

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, Index, Text
from sqlmodel import Field, SQLModel

from models.base import instant


class OfficeMail(SQLModel, table=True):
    """
    One link that somebody asked for, or one call for a second officer.

    An address is kept as its hash only: the officers' list says where mail goes, and
    what strangers type is nobody's business.
    """

    __tablename__ = "office_mail"
    __table_args__ = (
        CheckConstraint(
            "state IN ('planned', 'sending', 'sent', 'failed', 'unlisted', "
            "'too-many', 'printed')",
            name="state",
        ),
        Index("ix_office_mail_address_key_asked_at", "address_key", "asked_at"),
        Index("ix_office_mail_client_asked_at", "client", "asked_at"),
        Index("ix_office_mail_state", "state"),
    )

    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(max_length=16)
    incident_id: str | None = Field(default=None, max_length=32)
    address_key: str = Field(max_length=64)
    client: str = Field(max_length=64)  # where it was asked for; empty: by ourselves
    browser: str = Field(max_length=64)  # hash of what that browser holds; empty: any
    leads_to: str = Field(max_length=200)  # the page that was wanted
    state: str = Field(max_length=16)
    asked_at: datetime = instant()
    expires_at: datetime = instant()
    ended_at: datetime | None = instant(nullable=True)
    used_at: datetime | None = instant(nullable=True)
    detail: str = Field(default="", sa_type=Text)


class OfficeSession(SQLModel, table=True):
    """A while in which one person acts at the desk; rows stay, as the record of it."""

    __tablename__ = "office_session"
    __table_args__ = (Index("ix_office_session_address_key", "address_key"),)

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=64, unique=True)  # hash of what the browser holds
    mail_id: int = Field(foreign_key="office_mail.id", unique=True)  # a link, a session
    address_key: str = Field(max_length=64)
    name: str = Field(max_length=100)
    client: str = Field(max_length=64)
    started_at: datetime = instant()
    expires_at: datetime = instant()
    ended_at: datetime | None = instant(nullable=True)


class UsedForm(SQLModel, table=True):
    """A form at the desk that has done its act; sent again, it does nothing (I4)."""

    __tablename__ = "used_form"

    key: str = Field(primary_key=True, max_length=64)  # hash of its nonce
    content: str = Field(max_length=64)  # hash of what was entered
    leads_to: str = Field(max_length=200)  # the page that followed
    used_at: datetime = instant()


class Draft(SQLModel, table=True):
    """What the import of a draft reported, and whether its launch waits for somebody."""

    __tablename__ = "draft"

    incident_id: str = Field(primary_key=True, foreign_key="incident.id")
    imported: dict[str, object] = Field(default_factory=dict, sa_type=JSON)
    imported_at: datetime = instant()
    drafted_by: str = Field(max_length=120)
    asked_by: str | None = Field(default=None, max_length=120)
    asked_at: datetime | None = instant(nullable=True)
