"""Forms at the officers' desk that have done their act: each does it once."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; what exists is left alone."""
    op.create_table(
        "used_form",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("leads_to", sa.String(length=200), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_used_form")),
    )


def downgrade() -> None:
    """Drop the table: forms that are open could do their act once more."""
    op.drop_table("used_form")
