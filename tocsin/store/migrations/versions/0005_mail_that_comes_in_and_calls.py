"""What comes in by mail and what came of calls; why a contact cannot be reached."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")


def upgrade() -> None:
    """Add the tables of mail and calls, and columns that say why."""
    op.add_column(
        "bounce",
        sa.Column(
            "reason",
            sa.String(length=24),
            nullable=False,
            server_default=_EMPTY,
        ),
    )
    op.add_column(
        "bounce",
        sa.Column(
            "known_by",
            sa.String(length=16),
            nullable=False,
            server_default=_EMPTY,
        ),
    )
    op.add_column(
        "contact",
        sa.Column(
            "state_reason",
            sa.String(length=16),
            nullable=False,
            server_default=_EMPTY,
        ),
    )
    # Mail that came back is known by the address, too.
    op.create_index("ix_contact_address", "contact", [sa.text("lower(email)")])
    op.create_table(
        "mail_reply",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("known_by", sa.String(length=16), nullable=False),
        sa.Column("incident_id", sa.String(length=32), nullable=True),
        sa.Column("subscriber_id", sa.Integer(), nullable=True),
        sa.Column("contact_id", sa.Integer(), nullable=True),
        sa.Column("notice_id", sa.Integer(), nullable=True),
        sa.Column("sender", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("is_cut", sa.Boolean(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("attachments", sa.JSON(), nullable=False),
        sa.Column("answered_with", sa.String(length=24), nullable=False),
        sa.CheckConstraint(
            "kind IN ('delay', 'confirmation', 'complaint', 'absence', 'departure', "
            "'challenge', 'automatic', 'person')",
            name=op.f("ck_mail_reply_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_mail_reply_incident_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_mail_reply_subscriber_id"),
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contact.id"], name=op.f("fk_mail_reply_contact_id")
        ),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("fk_mail_reply_notice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_reply")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_mail_reply_fingerprint")),
    )
    op.create_index(
        "ix_mail_reply_incident_id_received_at",
        "mail_reply",
        ["incident_id", "received_at"],
    )
    op.create_index("ix_mail_reply_contact_id", "mail_reply", ["contact_id"])
    op.create_index("ix_mail_reply_subscriber_id", "mail_reply", ["subscriber_id"])
    op.create_table(
        "call",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(length=32), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("caller", sa.String(length=120), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_call_incident_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_call_subscriber_id")
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contact.id"], name=op.f("fk_call_contact_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call")),
    )
    op.create_index(
        "ix_call_incident_id_subscriber_id", "call", ["incident_id", "subscriber_id"]
    )
    op.create_index("ix_call_subscriber_id", "call", ["subscriber_id"])


def downgrade() -> None:
    """Take them away, and what was filed with them."""
    op.drop_table("call")
    op.drop_table("mail_reply")
    op.drop_index("ix_contact_address", table_name="contact")
    op.drop_column("contact", "state_reason")
    op.drop_column("bounce", "known_by")
    op.drop_column("bounce", "reason")
