"""The record of acts that nothing rewrites."""

from datetime import datetime

from sqlalchemy import Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import instant


class Act(SQLModel, table=True):
    """
    Who did what, when and why; each line seals the one before it (I5).

    ``detail`` is canonical JSON text, stored as the bytes that were hashed.
    """

    __tablename__ = "act"
    __table_args__ = (UniqueConstraint("incident_id", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    number: int
    at: datetime = instant()
    actor: str = Field(max_length=120)
    action: str = Field(max_length=60)
    detail: str = Field(sa_type=Text)
    previous: str = Field(max_length=64)
    seal: str = Field(max_length=64)


class Lease(SQLModel, table=True):
    """Work that one process at a time may do, for a stated while."""

    __tablename__ = "lease"

    name: str = Field(primary_key=True, max_length=80)
    owner: str = Field(max_length=64)
    until: datetime = instant()
