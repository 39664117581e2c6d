"""Addresses that subscribers name wait until their holders confirm them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_INSTANTS = ("waits_since", "confirmed_at")


def upgrade() -> None:
    """Add who waits, since when, and what was changed; who is a contact stays one."""
    for name in _INSTANTS:
        op.add_column(
            "contact", sa.Column(name, sa.DateTime(timezone=True), nullable=True)
        )
    op.add_column("contact", sa.Column("instead_of_id", sa.Integer(), nullable=True))
    op.create_table(
        "contact_change",
        sa.Column("reply_id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.Integer(), nullable=False),
        sa.Column("leaves_id", sa.Integer(), nullable=True),
        sa.Column("had_effect", sa.Boolean(), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{to}.id"], name=op.f(f"fk_contact_change_{column}")
            )
            for column, to in (
                ("reply_id", "reply"),
                ("contact_id", "contact"),
                ("leaves_id", "contact"),
            )
        ),
        sa.PrimaryKeyConstraint("reply_id", name=op.f("pk_contact_change")),
    )
    op.create_index(
        "ix_contact_change_contact_id", "contact_change", ["contact_id"], unique=False
    )


def downgrade() -> None:
    """Forget it; who waits would be a contact without having said so."""
    op.execute("UPDATE contact SET state = 'removed' WHERE state = 'unconfirmed'")
    op.drop_table("contact_change")
    for name in ("instead_of_id", *reversed(_INSTANTS)):
        op.drop_column("contact", name)
