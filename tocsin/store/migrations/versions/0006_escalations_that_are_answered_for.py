"""Escalations that somebody acknowledges, alarms beside mail, one live one a cause."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LIVE = sa.text("state IN ('raised', 'told', 'acknowledged')")
_LIVE_OF_INCIDENT = sa.text(
    "subscriber_id IS NULL AND state IN ('raised', 'told', 'acknowledged')"
)


def upgrade() -> None:
    """Widen the escalation, add the alarm, and what a subscriber's CSR came to."""
    # Where the same cause was live at two levels, the higher one goes on.
    op.execute(
        "UPDATE escalation SET state = 'raised-further' WHERE state IN ('raised', "
        "'told') AND EXISTS (SELECT 1 FROM escalation AS higher WHERE "
        "higher.incident_id = escalation.incident_id AND "
        "higher.subscriber_id = escalation.subscriber_id AND "
        "higher.cause = escalation.cause AND higher.level > escalation.level AND "
        "higher.state IN ('raised', 'told'))"
    )
    with op.batch_alter_table("escalation") as batch:
        batch.alter_column("subscriber_id", existing_type=sa.Integer(), nullable=True)
        batch.add_column(
            sa.Column("raised_times", sa.Integer(), nullable=False, server_default="1")
        )
        batch.add_column(
            sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True)
        )
        batch.add_column(
            sa.Column("acknowledged_by", sa.String(length=120), nullable=True)
        )
        if op.get_bind().dialect.name == "postgresql":
            # SQLite's copy of the table leaves the old one behind by itself.
            batch.drop_constraint(op.f("ck_escalation_state"), type_="check")
        batch.create_check_constraint(
            op.f("ck_escalation_state"),
            "state IN ('raised', 'told', 'acknowledged', 'raised-further', 'ended')",
        )
    op.create_index(
        "uq_escalation_live",
        "escalation",
        ["incident_id", "subscriber_id", "cause"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_index(
        "uq_escalation_live_of_incident",
        "escalation",
        ["incident_id", "cause"],
        unique=True,
        sqlite_where=_LIVE_OF_INCIDENT,
        postgresql_where=_LIVE_OF_INCIDENT,
    )
    op.create_table(
        "alarm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("possibly_repeated", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'sending', 'sent', 'failed', 'superseded')",
            name=op.f("ck_alarm_state"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_alarm_incident_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm")),
        sa.UniqueConstraint(
            "incident_id",
            "number",
            "channel",
            name=op.f("uq_alarm_incident_id_number_channel"),
        ),
    )
    op.create_index("ix_alarm_state_due_at", "alarm", ["state", "due_at"], unique=False)
    op.add_column(
        "subscriber",
        sa.Column("csr_refused_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index(
        "ix_subscriber_incident_id_ladder_position",
        "subscriber",
        ["incident_id", "ladder_position"],
        unique=False,
    )
