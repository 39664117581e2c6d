"""Withdrawals and court orders, and what lets nobody have one without two officers."""

import sqlalchemy as sa
from alembic import op

from tocsin.store.migrations.checks import allow_states

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_STATES = "'scheduled', 'submitted', 'revoked', 'published'"

# By whose link a signature was given: one that was mailed to the signer's own address,
# and that was used.
_SIGNED = (
    "EXISTS (SELECT 1 FROM office_mail m WHERE m.id = NEW.{one}_mail_id"
    " AND m.address_key = NEW.{one}_key AND m.used_at IS NOT NULL"
    " AND m.state NOT IN ('planned', 'printed', 'unlisted', 'too-many'))"
)
_DOCUMENT_IS_THERE = (
    "(NEW.kind <> 'order' OR EXISTS (SELECT 1 FROM scope_document d"
    " WHERE d.change_id = NEW.id AND d.sha256 = NEW.document_sha256))"
)
_BOTH_SIGNED = " AND ".join(
    (_SIGNED.format(one="first"), _SIGNED.format(one="second"), _DOCUMENT_IS_THERE)
)
_AGREED = (
    "EXISTS (SELECT 1 FROM scoped_certificate c"
    " JOIN scope_change s ON s.id = c.change_id"
    " WHERE c.certificate_id = NEW.certificate_id"
    " AND s.incident_id = NEW.incident_id AND s.state = 'agreed'"
    " AND s.kind = '{kind}'{further})"
)
_CAN_CHANGE = "OLD.state IN ('scheduled', 'submitted') AND OLD.lease_owner IS NULL"
_WITHDRAWAL = _AGREED.format(kind="withdrawal", further="")
_ORDER = _AGREED.format(kind="order", further=" AND s.ends_at >= NEW.restrained_until")

# Table, event, when to look, what must be true then ("false": never), sentence. The
# first condition is cheap: only rows that a decision touches cost a query.
GUARDS = (
    # A decision is frozen at its first signature, and agreed by two.
    (
        "scope_change",
        "INSERT",
        "true",
        "NEW.state = 'proposed' AND NEW.first_at IS NULL AND NEW.second_at IS NULL",
        "I1: a withdrawal or an order begins as a proposal",
    ),
    (
        "scope_change",
        "UPDATE",
        (
            "NEW.incident_id <> OLD.incident_id OR NEW.kind <> OLD.kind"
            " OR NEW.reason <> OLD.reason OR NEW.court <> OLD.court"
            " OR NEW.reference <> OLD.reference"
            " OR NEW.granted_until <> OLD.granted_until"
            " OR NEW.document_sha256 <> OLD.document_sha256"
            " OR NEW.document_name <> OLD.document_name"
            " OR NEW.proposed_by <> OLD.proposed_by"
            " OR NEW.proposed_at <> OLD.proposed_at"
        ),
        "false",
        "I1: what was proposed stays as it is",
    ),
    (
        "scope_change",
        "UPDATE",
        "NEW.ends_at > OLD.ends_at",
        "false",
        "I1: the end of an order never moves later",
    ),
    *(
        (
            "scope_change",
            "UPDATE",
            (
                f"OLD.{one}_at IS NOT NULL AND (NEW.{one}_at IS NULL"
                f" OR NEW.{one}_at <> OLD.{one}_at OR NEW.{one}_by <> OLD.{one}_by"
                f" OR NEW.{one}_key <> OLD.{one}_key"
                f" OR NEW.{one}_mail_id IS NULL"
                f" OR NEW.{one}_mail_id <> OLD.{one}_mail_id)"
            ),
            "false",
            "I5: a signature stays",
        )
        for one in ("first", "second")
    ),
    (
        "scope_change",
        "UPDATE",
        "OLD.state <> 'proposed' AND NEW.state <> OLD.state",
        "false",
        "I1: what was agreed, refused or has lapsed stays so",
    ),
    (
        "scope_change",
        "UPDATE",
        "NEW.state = 'agreed' AND OLD.state <> 'agreed'",
        _BOTH_SIGNED,
        "I1: two officers sign, each by a link to their own mailbox",
    ),
    ("scope_change", "DELETE", "true", "false", "I5: a proposal is never deleted"),
    (
        "scoped_certificate",
        "INSERT",
        "true",
        (
            "NEW.outcome = 'open' AND EXISTS (SELECT 1 FROM scope_change s"
            " JOIN affected_certificate a ON a.id = NEW.certificate_id"
            " WHERE s.id = NEW.change_id AND s.first_at IS NULL"
            " AND s.state = 'proposed' AND s.incident_id = a.incident_id)"
        ),
        "I1: certificates are named before the first signature",
    ),
    (
        "scoped_certificate",
        "UPDATE",
        (
            "NEW.change_id <> OLD.change_id OR NEW.certificate_id <> OLD.certificate_id"
            " OR OLD.outcome <> 'open'"
        ),
        "false",
        "I1: certificates are named before the first signature",
    ),
    ("scoped_certificate", "DELETE", "true", "false", "I5: a name is never taken away"),
    (
        "scope_document",
        "INSERT",
        "true",
        (
            "EXISTS (SELECT 1 FROM scope_change s WHERE s.id = NEW.change_id"
            " AND s.first_at IS NULL AND s.document_sha256 = NEW.sha256)"
        ),
        "I1: the document is handed in before the first signature",
    ),
    ("scope_document", "UPDATE", "true", "false", "I5: a document stays as it is"),
    ("scope_document", "DELETE", "true", "false", "I5: a document stays as it is"),
    # What an agreed decision may do to a revocation, and nothing else can.
    (
        "revocation",
        "INSERT",
        (
            "NEW.state = 'withdrawn' OR NEW.withdrawn_at IS NOT NULL"
            " OR NEW.restrained_until IS NOT NULL"
        ),
        "false",
        "I1: two officers withdraw or restrain, afterwards",
    ),
    (
        "revocation",
        "UPDATE",
        "NEW.state = 'withdrawn' AND OLD.state <> 'withdrawn'",
        f"{_CAN_CHANGE} AND NEW.withdrawn_at IS NOT NULL AND {_WITHDRAWAL}",
        "I1: two officers withdraw, and only what was not revoked",
    ),
    (
        "revocation",
        "UPDATE",
        "OLD.state = 'withdrawn' AND NEW.state NOT IN ('withdrawn', 'revoked')",
        "false",
        "I1: a withdrawal stays, unless the CA has revoked it",
    ),
    (
        "revocation",
        "UPDATE",
        (
            "(OLD.withdrawn_at IS NOT NULL AND (NEW.withdrawn_at IS NULL"
            " OR NEW.withdrawn_at <> OLD.withdrawn_at))"
            " OR (OLD.withdrawn_at IS NULL AND NEW.withdrawn_at IS NOT NULL"
            " AND NEW.state <> 'withdrawn')"
        ),
        "false",
        "I1: the instant of a withdrawal is its own",
    ),
    (
        "revocation",
        "UPDATE",
        (
            "NEW.restrained_until IS NOT NULL AND (OLD.restrained_until IS NULL"
            " OR NEW.restrained_until > OLD.restrained_until)"
        ),
        f"{_CAN_CHANGE} AND {_ORDER}",
        "I1: two officers put a court order in force",
    ),
    (
        "revocation",
        "UPDATE",
        "OLD.restrained_until IS NOT NULL AND NEW.restrained_until IS NULL",
        "false",
        "I5: that an order restrained it stays on record",
    ),
    # I1 for what the engine goes by: nothing can hide behind another due time.
    (
        "revocation",
        "UPDATE",
        (
            "NEW.state = 'scheduled' AND NEW.due_at > OLD.due_at"
            " AND NEW.due_at > NEW.revocation_time"
            " AND (NEW.restrained_until IS NULL OR NEW.due_at > NEW.restrained_until)"
        ),
        "false",
        "I1: what is scheduled is due at its revocation time",
    ),
)


def upgrade() -> None:
    """Create what decisions are kept in, then what guards them."""
    allow_states("revocation", f"{_STATES}, 'withdrawn'")
    for name in ("withdrawn_at", "restrained_until"):
        op.add_column(
            "revocation", sa.Column(name, sa.DateTime(timezone=True), nullable=True)
        )
    op.create_index(
        "ix_revocation_restrained_until",
        "revocation",
        ["restrained_until"],
        unique=False,
        sqlite_where=sa.text("restrained_until IS NOT NULL"),
        postgresql_where=sa.text("restrained_until IS NOT NULL"),
    )
    _create_tables()
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for number, guard in enumerate(GUARDS):
        (_guard_postgresql if is_postgresql else _guard_sqlite)(number, *guard)


def downgrade() -> None:
    """Fail where a certificate is withdrawn: the schema before does not know that."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for number, (table, *_) in enumerate(GUARDS):
        name = _name(number, table)
        op.execute(
            f"DROP TRIGGER {name} ON {table}"
            if is_postgresql
            else f"DROP TRIGGER {name}"
        )
        if is_postgresql:
            op.execute(f"DROP FUNCTION {name}()")
    for table in ("scope_document", "scoped_certificate", "scope_change"):
        op.drop_table(table)
    op.drop_index("ix_revocation_restrained_until", table_name="revocation")
    op.drop_column("revocation", "restrained_until")
    op.drop_column("revocation", "withdrawn_at")
    allow_states("revocation", _STATES)


def _name(number: int, table: str) -> str:
    return f"scope_guard_{number}_{table}"


def _guard_sqlite(  # noqa: PLR0917 - a line of the table above
    number: int, table: str, event: str, looks: str, must: str, sentence: str
) -> None:
    op.execute(
        f"CREATE TRIGGER {_name(number, table)} BEFORE {event} ON {table} "
        f"WHEN ({looks}) AND NOT ({must}) "
        f"BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
    )


def _guard_postgresql(  # noqa: PLR0917 - a line of the table above
    number: int, table: str, event: str, looks: str, must: str, sentence: str
) -> None:
    name = _name(number, table)
    # A trigger's own condition cannot hold a query.
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NOT ({must}) THEN RAISE EXCEPTION '{sentence}'; END IF; RETURN NEW; "
        "END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW "
        f"WHEN ({looks}) EXECUTE FUNCTION {name}()"
    )


def _create_tables() -> None:
    op.create_table(
        "scope_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("court", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("granted_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("document_name", sa.String(length=200), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("form", sa.String(length=64), nullable=False),
        sa.Column("proposed_by", sa.String(length=120), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        *(
            column
            for one in ("first", "second")
            for column in (
                sa.Column(f"{one}_by", sa.String(length=120), nullable=False),
                sa.Column(f"{one}_key", sa.String(length=64), nullable=False),
                sa.Column(f"{one}_mail_id", sa.Integer(), nullable=True),
                sa.Column(f"{one}_at", sa.DateTime(timezone=True), nullable=True),
                sa.ForeignKeyConstraint(
                    [f"{one}_mail_id"],
                    ["office_mail.id"],
                    name=op.f(f"fk_scope_change_{one}_mail_id"),
                ),
            )
        ),
        sa.Column("ended_by", sa.String(length=120), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_why", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('withdrawal', 'order')", name=op.f("ck_scope_change_kind")
        ),
        sa.CheckConstraint(
            "state IN ('proposed', 'agreed', 'refused', 'lapsed')",
            name=op.f("ck_scope_change_state"),
        ),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_scope_change_reason")),
        sa.CheckConstraint(
            "kind <> 'order' OR (court <> '' AND reference <> ''"
            " AND document_sha256 <> '' AND granted_until IS NOT NULL"
            " AND ends_at IS NOT NULL AND ends_at <= granted_until)",
            name=op.f("ck_scope_change_order_is_whole"),
        ),
        sa.CheckConstraint(
            "kind = 'order' OR (granted_until IS NULL AND ends_at IS NULL)",
            name=op.f("ck_scope_change_withdrawal_has_no_end"),
        ),
        sa.CheckConstraint(
            "state <> 'agreed' OR (first_at IS NOT NULL AND second_at IS NOT NULL"
            " AND first_mail_id <> second_mail_id AND first_key <> second_key"
            " AND lower(first_by) <> lower(second_by))",
            name=op.f("ck_scope_change_two_officers"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name=op.f("fk_scope_change_incident_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scope_change")),
        sa.UniqueConstraint("form", name=op.f("uq_scope_change_form")),
    )
    op.create_index("ix_scope_change_incident_id", "scope_change", ["incident_id"])
    op.create_index("ix_scope_change_state", "scope_change", ["state"])
    op.create_table(
        "scoped_certificate",
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('open', 'applied', 'too-late')",
            name=op.f("ck_scoped_certificate_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["change_id"],
            ["scope_change.id"],
            name=op.f("fk_scoped_certificate_change_id"),
        ),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["affected_certificate.id"],
            name=op.f("fk_scoped_certificate_certificate_id"),
        ),
        sa.PrimaryKeyConstraint(
            "change_id", "certificate_id", name=op.f("pk_scoped_certificate")
        ),
    )
    op.create_index(
        "ix_scoped_certificate_certificate_id",
        "scoped_certificate",
        ["certificate_id"],
    )
    op.create_table(
        "scope_document",
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["change_id"],
            ["scope_change.id"],
            name=op.f("fk_scope_document_change_id"),
        ),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_scope_document")),
    )
