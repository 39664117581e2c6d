"""Notices held for an officer, and pauses of sending."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STATES = "'planned', 'sending', 'sent', 'failed', 'bounced', 'superseded'"


def upgrade() -> None:
    """Allow the new states, keep the pauses."""
    _allow(f"{_STATES}, 'held', 'given-up'")
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
    _allow(_STATES)


def _allow(states: str) -> None:
    """Change which states a notice may be in."""
    check = f"state IN ({states})"
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_notice_state"), "notice", type_="check")
        op.create_check_constraint(op.f("ck_notice_state"), "notice", check)
        return
    # SQLite cannot alter a constraint, and a table that others refer to cannot be
    # made anew under foreign keys. Its manual's way for a change that leaves the rows
    # as they are: https://www.sqlite.org/lang_altertable.html, section 7.
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    before = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'notice'"
    ).scalar_one()
    after, count = re.subn(r"(?<=CHECK \()state IN \([^)]*\)", check, before)
    if count != 1:
        message = "the table of notices has not the constraint that was expected"
        raise RuntimeError(message)
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = 'notice'",
        (after,),
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
