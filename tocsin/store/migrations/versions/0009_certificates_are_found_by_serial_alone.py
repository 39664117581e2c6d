"""Certificates are found by serial alone, as ACME clients name them."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the serials."""
    op.create_index(
        op.f("ix_affected_certificate_serial"), "affected_certificate", ["serial"]
    )


def downgrade() -> None:
    """Do without."""
    op.drop_index(
        op.f("ix_affected_certificate_serial"), table_name="affected_certificate"
    )
