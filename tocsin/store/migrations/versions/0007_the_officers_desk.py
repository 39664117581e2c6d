"""The officers' desk: links, sessions, and drafts that wait for a second officer."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; what exists is left alone."""
    op.create_table(
        "office_mail",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("incident_id", sa.String(length=32), nullable=True),
        sa.Column("address_key", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("browser", sa.String(length=64), nullable=False),
        sa.Column("leads_to", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('planned', 'sending', 'sent', 'failed', 'unlisted', "
            "'too-many', 'printed')",
            name=op.f("ck_office_mail_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_office_mail")),
    )
    op.create_index(
        "ix_office_mail_address_key_asked_at",
        "office_mail",
        ["address_key", "asked_at"],
        unique=False,
    )
    op.create_index(
        "ix_office_mail_client_asked_at",
        "office_mail",
        ["client", "asked_at"],
        unique=False,
    )
    op.create_index("ix_office_mail_state", "office_mail", ["state"], unique=False)
    op.create_table(
        "office_session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("mail_id", sa.Integer(), nullable=False),
        sa.Column("address_key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["mail_id"],
            ["office_mail.id"],
            name=op.f("fk_office_session_mail_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_office_session")),
        sa.UniqueConstraint("key", name=op.f("uq_office_session_key")),
        sa.UniqueConstraint("mail_id", name=op.f("uq_office_session_mail_id")),
    )
    op.create_index(
        "ix_office_session_address_key",
        "office_session",
        ["address_key"],
        unique=False,
    )
    op.create_table(
        "draft",
        sa.Column("incident_id", sa.String(length=32), nullable=False),
        sa.Column("imported", sa.JSON(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("drafted_by", sa.String(length=120), nullable=False),
        sa.Column("asked_by", sa.String(length=120), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name=op.f("fk_draft_incident_id"),
        ),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_draft")),
    )
