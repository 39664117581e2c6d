"""Keys of affected certificates are found, whoever hands in a CSR with one."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the keys."""
    op.create_index(
        op.f("ix_affected_certificate_spki_sha256"),
        "affected_certificate",
        ["spki_sha256"],
    )


def downgrade() -> None:
    """Do without."""
    op.drop_index(
        op.f("ix_affected_certificate_spki_sha256"), table_name="affected_certificate"
    )
