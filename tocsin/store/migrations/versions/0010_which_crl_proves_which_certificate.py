"""Where certificates say that their CRL is, and what was seen of those not proven yet."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep both; what was imported before has no place of its own."""
    op.create_table(
        "crl_place",
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("urls", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["affected_certificate.id"],
            name=op.f("fk_crl_place_certificate_id"),
        ),
        sa.PrimaryKeyConstraint("certificate_id", name=op.f("pk_crl_place")),
    )
    op.add_column("revocation", sa.Column("sighting", sa.String(16), nullable=True))


def downgrade() -> None:
    """Forget both."""
    op.drop_column("revocation", "sighting")
    op.drop_table("crl_place")
