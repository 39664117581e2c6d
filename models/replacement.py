"""What was issued in place of affected certificates, for its owners to fetch."""

from datetime import datetime

from sqlalchemy import LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import instant


class ReplacementChain(SQLModel, table=True):
    """The issuers' certificates that a server sends along with a new one."""

    __tablename__ = "replacement_chain"

    sha256: str = Field(primary_key=True, max_length=64)
    pem: str = Field(sa_type=Text)


class Replacement(SQLModel, table=True):
    """One new certificate that supersedes one affected certificate."""

    __tablename__ = "replacement"
    __table_args__ = (UniqueConstraint("certificate_id", "sha256"),)

    id: int | None = Field(default=None, primary_key=True)
    certificate_id: int = Field(foreign_key="affected_certificate.id")
    sha256: str = Field(max_length=64, index=True)
    serial: str = Field(max_length=64)  # hex, lower case, whole octets
    not_after: datetime | None = instant(nullable=True)
    recorded_at: datetime = instant()
    chain_sha256: str | None = Field(
        default=None, foreign_key="replacement_chain.sha256"
    )
    der: bytes = Field(sa_type=LargeBinary)


class IssuedCertificate(SQLModel, table=True):
    """When a certificate is valid that passed the ACME front; affected or not."""

    __tablename__ = "issued_certificate"

    authority_key: str = Field(primary_key=True, max_length=128)  # hex
    serial: str = Field(primary_key=True, max_length=64)
    not_before: datetime = instant()
    not_after: datetime = instant()
