"""The schedule that nothing can hold, and the proof that it was kept."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Text, text
from sqlmodel import Field, SQLModel

from models.base import instant


class Revocation(SQLModel, table=True):
    """
    One certificate's revocation. Knows nothing of people (I2).

    ``revocation_time`` only ever moves earlier (I1): a CHECK bounds it by what was
    planned at launch, and a trigger (see the first migration) refuses a later one.
    ``withdrawn_at`` and ``restrained_until`` are what two officers decided; triggers
    (see migration 0009) refuse them without both signatures.
    """

    __tablename__ = "revocation"
    __table_args__ = (
        CheckConstraint(
            "state IN ('scheduled', 'submitted', 'revoked', 'published', 'withdrawn')",
            name="state",
        ),
        CheckConstraint("revocation_time <= planned_time", name="never_later"),
        Index("ix_revocation_state_due_at", "state", "due_at"),
        Index("ix_revocation_incident_id_state", "incident_id", "state"),
        Index(
            "ix_revocation_restrained_until",
            "restrained_until",
            sqlite_where=text("restrained_until IS NOT NULL"),
            postgresql_where=text("restrained_until IS NOT NULL"),
        ),
    )

    certificate_id: int = Field(primary_key=True, foreign_key="affected_certificate.id")
    incident_id: str = Field(foreign_key="incident.id")
    issuer_id: int = Field(foreign_key="issuer.id")
    serial: str = Field(max_length=64)
    reason: int
    state: str = Field(max_length=16)
    planned_time: datetime = instant()
    revocation_time: datetime = instant()
    due_at: datetime = instant()  # revocation time, or the next attempt, or next proof
    lease_owner: str | None = Field(default=None, max_length=64)
    lease_until: datetime | None = instant(nullable=True)
    attempts: int = 0
    answer: str | None = Field(default=None, max_length=24)
    answer_detail: str | None = Field(default=None, sa_type=Text)
    submitted_at: datetime | None = instant(nullable=True)
    revoked_at: datetime | None = instant(nullable=True)  # when the CA answered
    ca_revoked_at: datetime | None = instant(nullable=True)  # what the CA says
    published_at: datetime | None = instant(nullable=True)
    published_reason: int | None = None
    sighting: str | None = Field(default=None, max_length=16)  # until it is published
    proof_id: int | None = Field(default=None, foreign_key="proof.id")
    withdrawn_at: datetime | None = instant(nullable=True)
    restrained_until: datetime | None = instant(nullable=True)  # by a court order


class Proof(SQLModel, table=True):
    """What was read from the CA's publication, as evidence for many certificates."""

    __tablename__ = "proof"

    id: int | None = Field(default=None, primary_key=True)
    issuer_id: int = Field(foreign_key="issuer.id")
    read_at: datetime = instant()
    crl_number: int | None = None
    crl_sha256: str = Field(max_length=64)
    crl_this_update: datetime = instant()
    crl_entries: int
    ocsp_produced_at: datetime | None = instant(nullable=True)
    ocsp_answers: int = 0
    published: int  # certificates this evidence proves
