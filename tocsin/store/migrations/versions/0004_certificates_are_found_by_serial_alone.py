"""Certificates are found as ACME clients name them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the serials; make room for what passes the ACME front."""
    op.create_table(
        "issued_certificate",
        sa.Column("authority_key", sa.String(length=128), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "authority_key", "serial", name=op.f("pk_issued_certificate")
        ),
    )
    op.create_index(
        op.f("ix_affected_certificate_serial"), "affected_certificate", ["serial"]
    )


def downgrade() -> None:
    """Do without."""
    op.drop_table("issued_certificate")
    op.drop_index(
        op.f("ix_affected_certificate_serial"), table_name="affected_certificate"
    )
