"""What a subscriber writes by link, and that they ask for a person of the CA."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what was written, and who asked for a person."""
    op.add_column(
        "reply", sa.Column("message", sa.Text(), nullable=False, server_default="")
    )
    op.add_column(
        "reply",
        sa.Column("phone", sa.String(length=64), nullable=False, server_default=""),
    )
    for name, column in _INSTANTS:
        op.add_column(
            name, sa.Column(column, sa.DateTime(timezone=True), nullable=True)
        )


def downgrade() -> None:
    """Forget what was written: a database before it has no place for it."""
    for name, column in reversed(_INSTANTS):
        op.drop_column(name, column)
    op.drop_column("reply", "phone")
    op.drop_column("reply", "message")


_INSTANTS = (
    ("subscriber", "disowned_at"),
    ("subscriber", "help_asked_at"),
    ("contact", "disowned_at"),
)
