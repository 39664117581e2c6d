"""Notices held for an officer, and pauses of sending."""

import sqlalchemy as sa
from alembic import op

from tocsin.store.migrations.checks import allow_states

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STATES = "'planned', 'sending', 'sent', 'failed', 'bounced', 'superseded'"


def upgrade() -> None:
    """Allow the new states, keep the pauses."""
    allow_states("notice", f"{_STATES}, 'held', 'given-up'")
    op.create_table(
        "sending_pause",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("is_live", sa.Boolean(), nullable=False),
        sa.Column("cause", sa.String(length=24), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("alarmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resumed_by", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "cause IN ('relay-unreachable', 'relay-refuses', 'addresses-refused')",
            name=op.f("ck_sending_pause_cause"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sending_pause")),
    )
    op.create_index(
        "uq_sending_pause_live",
        "sending_pause",
        ["is_live"],
        unique=True,
        sqlite_where=sa.text("is_live"),
        postgresql_where=sa.text("is_live"),
    )


def downgrade() -> None:
    """Fail where a notice is in a state that the schema before does not know."""
    op.drop_index("uq_sending_pause_live", table_name="sending_pause")
    op.drop_table("sending_pause")
    allow_states("notice", _STATES)
