"""Replacements are kept for their owners."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for what was issued, and find CSRs by their keys."""
    op.create_table(
        "replacement_chain",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_replacement_chain")),
    )
    op.create_table(
        "replacement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("chain_sha256", sa.String(length=64), nullable=True),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["affected_certificate.id"],
            name=op.f("fk_replacement_certificate_id"),
        ),
        sa.ForeignKeyConstraint(
            ["chain_sha256"],
            ["replacement_chain.sha256"],
            name=op.f("fk_replacement_chain_sha256"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replacement")),
        sa.UniqueConstraint(
            "certificate_id",
            "sha256",
            name=op.f("uq_replacement_certificate_id_sha256"),
        ),
    )
    op.create_index(op.f("ix_replacement_sha256"), "replacement", ["sha256"])
    op.add_column("csr", sa.Column("spki_sha256", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_csr_spki_sha256"), "csr", ["spki_sha256"])


def downgrade() -> None:
    """Forget them."""
    op.drop_index(op.f("ix_csr_spki_sha256"), table_name="csr")
    op.drop_column("csr", "spki_sha256")
    op.drop_table("replacement")
    op.drop_table("replacement_chain")
