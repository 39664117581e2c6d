"""Which certificate a host presented when somebody said that it had been replaced."""

from datetime import datetime

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel

from models.base import instant


class WireCheck(SQLModel, table=True):
    """One look at one host, for one affected certificate."""

    __tablename__ = "wire_check"
    __table_args__ = (
        Index("ix_wire_check_subscriber_id_checked_at", "subscriber_id", "checked_at"),
        Index("ix_wire_check_certificate_id", "certificate_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    subscriber_id: int = Field(foreign_key="subscriber.id")
    contact_id: int = Field(foreign_key="contact.id")  # who agreed to it
    certificate_id: int = Field(foreign_key="affected_certificate.id")
    checked_at: datetime = instant()
    host: str = Field(max_length=253)
    finding: str = Field(max_length=24)
    sha256: str = Field(default="", max_length=64)  # of what was presented
    serial: str = Field(default="", max_length=64)
    subject: str = Field(default="", sa_type=Text)
    issuer: str = Field(default="", sa_type=Text)
    not_after: datetime | None = instant(nullable=True)
