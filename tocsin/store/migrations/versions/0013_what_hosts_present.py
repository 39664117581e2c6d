"""Which certificates hosts presented when they were said to have been replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the looks at hosts."""
    op.create_table(
        "wire_check",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=False),
        sa.Column("finding", sa.String(length=24), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        *(
            sa.ForeignKeyConstraint(
                [f"{name}_id"],
                [f"{to}.id"],
                name=op.f(f"fk_wire_check_{name}_id"),
            )
            for name, to in (
                ("incident", "incident"),
                ("subscriber", "subscriber"),
                ("contact", "contact"),
                ("certificate", "affected_certificate"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wire_check")),
    )
    op.create_index(
        "ix_wire_check_subscriber_id_checked_at",
        "wire_check",
        ["subscriber_id", "checked_at"],
        unique=False,
    )
    op.create_index(
        "ix_wire_check_certificate_id", "wire_check", ["certificate_id"], unique=False
    )


def downgrade() -> None:
    """Forget what was seen."""
    op.drop_table("wire_check")
