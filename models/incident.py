"""One incident and the certificates it is about."""

from datetime import datetime

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from models.base import instant


class Incident(SQLModel, table=True):
    """
    One mis-issuance or compromise: one list of certificates, one reason, one clock.

    Rule pack, ladder and templates are copies made at launch (I7).
    """

    __tablename__ = "incident"
    __table_args__ = (
        CheckConstraint("state IN ('draft', 'running', 'closed')", name="state"),
    )

    id: str = Field(primary_key=True, max_length=32)
    title: str = Field(sa_type=Text)
    state: str = Field(max_length=16, index=True)
    circumstance: str = Field(max_length=40)
    reason: int
    is_drill: bool = False
    zone: str = Field(max_length=64)
    made_aware_at: datetime = instant()
    deadline: datetime = instant()
    drafted_at: datetime = instant()
    launched_at: datetime | None = instant(nullable=True)
    revocation_starts_at: datetime | None = instant(nullable=True)
    closed_at: datetime | None = instant(nullable=True)
    plan: dict[str, object] = Field(default_factory=dict, sa_type=JSON)
    rule_pack: str = Field(sa_type=Text)
    ladder: str = Field(sa_type=Text)


class FrozenTemplate(SQLModel, table=True):
    """One template file as it was when the incident was launched (I7)."""

    __tablename__ = "frozen_template"

    incident_id: str = Field(primary_key=True, foreign_key="incident.id")
    path: str = Field(primary_key=True, max_length=200)
    source: str = Field(sa_type=Text)


class Issuer(SQLModel, table=True):
    """An issuing CA, known by its name in canonical form."""

    __tablename__ = "issuer"

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=64, unique=True)
    name: str = Field(sa_type=Text)


class Entry(SQLModel, table=True):
    """One entry of the list that came in, and what became of it (I3)."""

    __tablename__ = "entry"
    __table_args__ = (Index("ix_entry_incident_id_outcome", "incident_id", "outcome"),)

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    file: str = Field(sa_type=Text)
    row: int
    kind: str | None = Field(default=None, max_length=16)
    outcome: str = Field(max_length=16)  # accepted, duplicate or set-aside
    certificate_id: int | None = Field(default=None, index=True)
    sha256: str | None = Field(default=None, max_length=64)
    finding: str | None = Field(default=None, sa_type=Text)


class AffectedCertificate(SQLModel, table=True):
    """One certificate in scope, identified by issuer and serial."""

    __tablename__ = "affected_certificate"
    __table_args__ = (
        UniqueConstraint("incident_id", "issuer_id", "serial"),
        Index(
            "ix_affected_certificate_subscriber_id_replacement_state",
            "subscriber_id",
            "replacement_state",
        ),
        Index("ix_affected_certificate_issuer_id_serial", "issuer_id", "serial"),
        Index("ix_affected_certificate_spki_sha256", "spki_sha256"),
        Index("ix_affected_certificate_serial", "serial"),
        Index(
            "ix_affected_certificate_incident_id_replacement_state",
            "incident_id",
            "replacement_state",
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    issuer_id: int = Field(foreign_key="issuer.id")
    serial: str = Field(max_length=64)  # hex, lower case, whole octets
    subscriber_id: int | None = Field(default=None, foreign_key="subscriber.id")
    claimed_by: str | None = Field(default=None, sa_type=Text)
    organisation: str | None = Field(default=None, sa_type=Text)
    subject: str = Field(default="", sa_type=Text)
    dns_names: list[str] = Field(default_factory=list, sa_type=JSON)
    not_before: datetime | None = instant(nullable=True)
    not_after: datetime | None = instant(nullable=True)
    precertificate_sha256: str | None = Field(default=None, max_length=64)
    certificate_sha256: str | None = Field(default=None, max_length=64)
    spki_sha256: str | None = Field(default=None, max_length=64)
    replacement_state: str = Field(default="awaiting-csr", max_length=24)


class CertificateBody(SQLModel, table=True):
    """The certificate itself, kept apart so that lists stay narrow."""

    __tablename__ = "certificate_body"

    certificate_id: int = Field(primary_key=True, foreign_key="affected_certificate.id")
    der: bytes = Field(sa_type=LargeBinary)


class CrlPlace(SQLModel, table=True):
    """Where a certificate says that its CRL is; those that do not say have no row."""

    __tablename__ = "crl_place"

    certificate_id: int = Field(primary_key=True, foreign_key="affected_certificate.id")
    urls: str = Field(sa_type=Text)  # one a line, in the certificate's order
