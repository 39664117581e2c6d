"""The tables of one incident, end to end, and what the database refuses to do."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table, then the triggers."""
    op.create_table(
        "bounce",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=True),
        sa.Column("permanent", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_bounce")),
    )
    op.create_index(op.f("ix_bounce_notice_id"), "bounce", ["notice_id"], unique=False)
    op.create_table(
        "incident",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("circumstance", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.Column("is_drill", sa.Boolean(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("made_aware_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("drafted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("launched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revocation_starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("rule_pack", sa.Text(), nullable=False),
        sa.Column("ladder", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('draft', 'running', 'closed')", name=op.f("ck_incident_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    op.create_index(op.f("ix_incident_state"), "incident", ["state"], unique=False)
    op.create_table(
        "issuer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuer")),
        sa.UniqueConstraint("key", name=op.f("uq_issuer_key")),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "act",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_act_incident_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_act")),
        sa.UniqueConstraint(
            "incident_id", "number", name=op.f("uq_act_incident_id_number")
        ),
    )
    op.create_table(
        "entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("finding", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_entry_incident_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
    )
    op.create_index(
        op.f("ix_entry_certificate_id"), "entry", ["certificate_id"], unique=False
    )
    op.create_index(
        "ix_entry_incident_id_outcome",
        "entry",
        ["incident_id", "outcome"],
        unique=False,
    )
    op.create_table(
        "frozen_template",
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name=op.f("fk_frozen_template_incident_id"),
        ),
        sa.PrimaryKeyConstraint("incident_id", "path", name=op.f("pk_frozen_template")),
    )
    op.create_table(
        "proof",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("crl_number", sa.Integer(), nullable=True),
        sa.Column("crl_sha256", sa.String(length=64), nullable=False),
        sa.Column("crl_this_update", sa.DateTime(timezone=True), nullable=False),
        sa.Column("crl_entries", sa.Integer(), nullable=False),
        sa.Column("ocsp_produced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ocsp_answers", sa.Integer(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issuer_id"], ["issuer.id"], name=op.f("fk_proof_issuer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proof")),
    )
    op.create_table(
        "subscriber",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sector", sa.String(length=80), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("ladder_position", sa.Integer(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_subscriber_incident_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber")),
        sa.UniqueConstraint(
            "incident_id", "key", name=op.f("uq_subscriber_incident_id_key")
        ),
    )
    op.create_index(
        "ix_subscriber_incident_id_look_at",
        "subscriber",
        ["incident_id", "look_at"],
        unique=False,
    )
    op.create_table(
        "affected_certificate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("organisation", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("dns_names", sa.JSON(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("precertificate_sha256", sa.String(length=64), nullable=True),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=True),
        sa.Column("spki_sha256", sa.String(length=64), nullable=True),
        sa.Column("replacement_state", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name=op.f("fk_affected_certificate_incident_id"),
        ),
        sa.ForeignKeyConstraint(
            ["issuer_id"], ["issuer.id"], name=op.f("fk_affected_certificate_issuer_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_affected_certificate_subscriber_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_affected_certificate")),
        sa.UniqueConstraint(
            "incident_id",
            "issuer_id",
            "serial",
            name=op.f("uq_affected_certificate_incident_id_issuer_id_serial"),
        ),
    )
    op.create_index(
        "ix_affected_certificate_incident_id_replacement_state",
        "affected_certificate",
        ["incident_id", "replacement_state"],
        unique=False,
    )
    op.create_index(
        "ix_affected_certificate_issuer_id_serial",
        "affected_certificate",
        ["issuer_id", "serial"],
        unique=False,
    )
    op.create_index(
        "ix_affected_certificate_subscriber_id_replacement_state",
        "affected_certificate",
        ["subscriber_id", "replacement_state"],
        unique=False,
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=True),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("phone", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("named_by_reply", sa.Boolean(), nullable=False),
        sa.Column("token_generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_contact_incident_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_contact_subscriber_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
        sa.UniqueConstraint(
            "incident_id",
            "subscriber_id",
            "email",
            name=op.f("uq_contact_incident_id_subscriber_id_email"),
        ),
    )
    op.create_index(
        "ix_contact_subscriber_id_rank",
        "contact",
        ["subscriber_id", "rank"],
        unique=False,
    )
    op.create_table(
        "escalation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=24), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('raised', 'told', 'raised-further', 'ended')",
            name=op.f("ck_escalation_state"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_escalation_incident_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_escalation_subscriber_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalation")),
        sa.UniqueConstraint(
            "incident_id",
            "subscriber_id",
            "cause",
            "level",
            name=op.f("uq_escalation_incident_id_subscriber_id_cause_level"),
        ),
    )
    op.create_index(
        "ix_escalation_incident_id_state",
        "escalation",
        ["incident_id", "state"],
        unique=False,
    )
    op.create_index(
        "ix_escalation_subscriber_id", "escalation", ["subscriber_id"], unique=False
    )
    op.create_table(
        "subscriber_domain",
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name=op.f("fk_subscriber_domain_incident_id"),
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_subscriber_domain_subscriber_id"),
        ),
        sa.PrimaryKeyConstraint(
            "incident_id", "domain", name=op.f("pk_subscriber_domain")
        ),
    )
    op.create_index(
        op.f("ix_subscriber_domain_subscriber_id"),
        "subscriber_domain",
        ["subscriber_id"],
        unique=False,
    )
    op.create_table(
        "certificate_body",
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["affected_certificate.id"],
            name=op.f("fk_certificate_body_certificate_id"),
        ),
        sa.PrimaryKeyConstraint("certificate_id", name=op.f("pk_certificate_body")),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("contact_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("verp_token", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("possibly_repeated", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'sending', 'sent', 'failed', 'bounced', 'superseded')",
            name=op.f("ck_notice_state"),
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contact.id"], name=op.f("fk_notice_contact_id")
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_notice_incident_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint(
            "incident_id",
            "contact_id",
            "kind",
            "sequence",
            name=op.f("uq_notice_incident_id_contact_id_kind_sequence"),
        ),
        sa.UniqueConstraint("message_id", name=op.f("uq_notice_message_id")),
        sa.UniqueConstraint("verp_token", name=op.f("uq_notice_verp_token")),
    )
    op.create_index("ix_notice_contact_id", "notice", ["contact_id"], unique=False)
    op.create_index(
        "ix_notice_state_due_at", "notice", ["state", "due_at"], unique=False
    )
    op.create_table(
        "reply",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("certificate_ids", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'applied', 'undone')", name=op.f("ck_reply_state")
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contact.id"], name=op.f("fk_reply_contact_id")
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_reply_incident_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_reply_subscriber_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reply")),
        sa.UniqueConstraint("nonce", name=op.f("uq_reply_nonce")),
    )
    op.create_index(
        op.f("ix_reply_incident_id"), "reply", ["incident_id"], unique=False
    )
    op.create_index(
        "ix_reply_state_effective_at", "reply", ["state", "effective_at"], unique=False
    )
    op.create_index("ix_reply_subscriber_id", "reply", ["subscriber_id"], unique=False)
    op.create_table(
        "revocation",
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("planned_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revocation_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=24), nullable=True),
        sa.Column("answer_detail", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ca_revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_reason", sa.Integer(), nullable=True),
        sa.Column("proof_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('scheduled', 'submitted', 'revoked', 'published')",
            name=op.f("ck_revocation_state"),
        ),
        sa.CheckConstraint(
            "revocation_time <= planned_time", name=op.f("ck_revocation_never_later")
        ),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["affected_certificate.id"],
            name=op.f("fk_revocation_certificate_id"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_revocation_incident_id")
        ),
        sa.ForeignKeyConstraint(
            ["issuer_id"], ["issuer.id"], name=op.f("fk_revocation_issuer_id")
        ),
        sa.ForeignKeyConstraint(
            ["proof_id"], ["proof.id"], name=op.f("fk_revocation_proof_id")
        ),
        sa.PrimaryKeyConstraint("certificate_id", name=op.f("pk_revocation")),
    )
    op.create_index(
        "ix_revocation_incident_id_state",
        "revocation",
        ["incident_id", "state"],
        unique=False,
    )
    op.create_index(
        "ix_revocation_state_due_at", "revocation", ["state", "due_at"], unique=False
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.Column("smtp_code", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("fk_attempt_notice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index(
        op.f("ix_attempt_notice_id"), "attempt", ["notice_id"], unique=False
    )
    op.create_table(
        "csr",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reply_id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["affected_certificate.id"],
            name=op.f("fk_csr_certificate_id"),
        ),
        sa.ForeignKeyConstraint(
            ["reply_id"], ["reply.id"], name=op.f("fk_csr_reply_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_csr")),
        sa.UniqueConstraint(
            "certificate_id", "sha256", name=op.f("uq_csr_certificate_id_sha256")
        ),
    )
    op.create_index(op.f("ix_csr_reply_id"), "csr", ["reply_id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


# What the database itself refuses, whatever the program says: table, event, condition
# ("true" refuses always), sentence.
GUARDS = (
    # I1: a revocation time only moves earlier, and a revocation is never taken away.
    (
        "revocation",
        "UPDATE",
        (
            "NEW.revocation_time > OLD.revocation_time"
            " OR NEW.planned_time > OLD.planned_time"
        ),
        "I1: a revocation time never moves later",
    ),
    ("revocation", "DELETE", "true", "I1: a revocation is never deleted"),
    (
        "revocation",
        "UPDATE",
        "OLD.state = 'published' AND NEW.state <> 'published'",
        "I9: what was published stays published",
    ),
    # I1: nor does the deadline itself.
    (
        "incident",
        "UPDATE",
        "NEW.deadline > OLD.deadline AND OLD.state <> 'draft'",
        "I1: a deadline never moves later",
    ),
    # I7: what was frozen at launch stays.
    (
        "incident",
        "UPDATE",
        (
            "OLD.state <> 'draft' AND (NEW.rule_pack <> OLD.rule_pack"
            " OR NEW.ladder <> OLD.ladder OR NEW.reason <> OLD.reason"
            " OR NEW.state = 'draft')"
        ),
        "I7: rules and ladder are frozen at launch",
    ),
    # I5: the record is only ever added to.
    ("act", "UPDATE", "true", "I5: the record is never changed"),
    ("act", "DELETE", "true", "I5: the record is never shortened"),
)


def _guard_sqlite() -> None:
    for number, (table, event, condition, sentence) in enumerate(GUARDS):
        op.execute(
            f"CREATE TRIGGER guard_{number}_{table} BEFORE {event} ON {table} "
            f"WHEN {condition} BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
        )


def _guard_postgresql() -> None:
    for number, (table, event, condition, sentence) in enumerate(GUARDS):
        name = f"guard_{number}_{table}"
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
            f"BEGIN RAISE EXCEPTION '{sentence}'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW "
            f"WHEN ({condition}) EXECUTE FUNCTION {name}()"
        )
