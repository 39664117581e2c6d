"""What was said to people, what they said back, and who was told of silence."""

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import instant


class Notice(SQLModel, table=True):
    """One message of one kind to one contact about one incident (I4)."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("incident_id", "contact_id", "kind", "sequence"),
        CheckConstraint(
            "state IN ('planned', 'sending', 'sent', 'failed', 'bounced', "
            "'superseded', 'held', 'given-up')",
            name="state",
        ),
        Index("ix_notice_state_due_at", "state", "due_at"),
        Index("ix_notice_contact_id", "contact_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    contact_id: int = Field(foreign_key="contact.id")
    kind: str = Field(max_length=24)
    sequence: int
    state: str = Field(max_length=16)
    planned_at: datetime = instant()
    due_at: datetime = instant()  # when to try (again)
    message_id: str = Field(max_length=200, unique=True)
    verp_token: str = Field(max_length=40, unique=True)
    attempts: int = 0
    possibly_repeated: int = 0  # sendings whose end nobody saw, sent again
    lease_owner: str | None = Field(default=None, max_length=64)
    lease_until: datetime | None = instant(nullable=True)
    sent_at: datetime | None = instant(nullable=True)
    bounced_at: datetime | None = instant(nullable=True)


class Attempt(SQLModel, table=True):
    """One SMTP conversation about one notice, and how it ended."""

    __tablename__ = "attempt"

    id: int | None = Field(default=None, primary_key=True)
    notice_id: int = Field(foreign_key="notice.id", index=True)
    ended_at: datetime = instant()
    outcome: str = Field(max_length=24)
    smtp_code: int | None = None
    detail: str = Field(default="", sa_type=Text)


class SendingPause(SQLModel, table=True):
    """A while in which notices wait because too much went wrong; one at a time lasts."""

    __tablename__ = "sending_pause"
    __table_args__ = (
        CheckConstraint(
            "cause IN ('relay-unreachable', 'relay-refuses', 'addresses-refused')",
            name="cause",
        ),
        Index(
            "uq_sending_pause_live",
            "is_live",
            unique=True,
            sqlite_where=text("is_live"),
            postgresql_where=text("is_live"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    is_live: bool
    cause: str = Field(max_length=24)
    detail: dict[str, int] = Field(default_factory=dict, sa_type=JSON)  # attempts
    paused_at: datetime = instant()
    probe_at: datetime = instant()  # when one message is tried (again)
    probes: int = 0
    alarmed_at: datetime | None = instant(nullable=True)
    resumed_at: datetime | None = instant(nullable=True)
    resumed_by: str = Field(default="", max_length=120)
    reason: str = Field(default="", sa_type=Text)


class Bounce(SQLModel, table=True):
    """A message that came back, filed once however often it is read."""

    __tablename__ = "bounce"

    fingerprint: str = Field(primary_key=True, max_length=64)
    received_at: datetime = instant()
    notice_id: int | None = Field(default=None, index=True)
    permanent: bool
    status: str = Field(default="", max_length=16)
    reason: str = Field(default="", max_length=24)
    known_by: str = Field(default="", max_length=16)  # what told which notice it was
    detail: str = Field(default="", sa_type=Text)


class Reply(SQLModel, table=True):
    """A subscriber's act through a signed link."""

    __tablename__ = "reply"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'applied', 'undone')", name="state"),
        Index("ix_reply_state_effective_at", "state", "effective_at"),
        Index("ix_reply_subscriber_id", "subscriber_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id", index=True)
    subscriber_id: int = Field(foreign_key="subscriber.id")
    contact_id: int = Field(foreign_key="contact.id")
    kind: str = Field(max_length=24)
    state: str = Field(max_length=16)
    nonce: str = Field(max_length=64, unique=True)  # one form, one reply (I4)
    received_at: datetime = instant()
    effective_at: datetime = instant()  # after the grace period
    message: str = Field(  # what they wrote to the CA; for its officers alone
        default="", sa_type=Text, sa_column_kwargs={"server_default": ""}
    )
    phone: str = Field(  # where they want to be called
        default="", max_length=64, sa_column_kwargs={"server_default": ""}
    )
    certificate_ids: list[int] = Field(default_factory=list, sa_type=JSON)


class ContactChange(SQLModel, table=True):
    """Whom a reply about contacts is about; the reply says who did what and when."""

    __tablename__ = "contact_change"

    reply_id: int = Field(primary_key=True, foreign_key="reply.id")
    contact_id: int = Field(foreign_key="contact.id", index=True)
    leaves_id: int | None = Field(  # in whose place; at once, or once it is confirmed
        default=None, foreign_key="contact.id"
    )
    had_effect: bool  # the list is another one by it; else it waits


class Csr(SQLModel, table=True):
    """A certificate signing request for one affected certificate."""

    __tablename__ = "csr"
    __table_args__ = (UniqueConstraint("certificate_id", "sha256"),)

    id: int | None = Field(default=None, primary_key=True)
    reply_id: int = Field(foreign_key="reply.id", index=True)
    certificate_id: int = Field(foreign_key="affected_certificate.id")
    sha256: str = Field(max_length=64)
    pem: str = Field(sa_type=Text)
    spki_sha256: str | None = Field(  # of its key; None for those filed before 26.11
        default=None, max_length=64, index=True
    )
    findings: list[str] = Field(default_factory=list, sa_type=JSON)
    received_at: datetime = instant()


_LIVE = text("state IN ('raised', 'told', 'acknowledged')")
_LIVE_OF_INCIDENT = text(
    "subscriber_id IS NULL AND state IN ('raised', 'told', 'acknowledged')"
)


class Escalation(SQLModel, table=True):
    """Something due did not happen, and somebody is told."""

    __tablename__ = "escalation"
    __table_args__ = (
        UniqueConstraint("incident_id", "subscriber_id", "cause", "level"),
        CheckConstraint(
            "state IN ('raised', 'told', 'acknowledged', 'raised-further', 'ended')",
            name="state",
        ),
        Index("ix_escalation_incident_id_state", "incident_id", "state"),
        Index("ix_escalation_subscriber_id", "subscriber_id"),
        # Exactly one live escalation for each cause; the database refuses a second.
        Index(
            "uq_escalation_live",
            "incident_id",
            "subscriber_id",
            "cause",
            unique=True,
            sqlite_where=_LIVE,
            postgresql_where=_LIVE,
        ),
        # No subscriber is equal to no other one, so the incident's own need theirs.
        Index(
            "uq_escalation_live_of_incident",
            "incident_id",
            "cause",
            unique=True,
            sqlite_where=_LIVE_OF_INCIDENT,
            postgresql_where=_LIVE_OF_INCIDENT,
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    subscriber_id: int | None = Field(  # None: it is about the whole incident
        default=None, foreign_key="subscriber.id"
    )
    cause: str = Field(max_length=24)
    level: int  # position on the ladder
    step: str = Field(max_length=80)  # the step's name, for people
    state: str = Field(max_length=16)
    targets: list[str] = Field(default_factory=list, sa_type=JSON)
    raised_at: datetime = instant()  # the last time
    raised_times: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    told_at: datetime | None = instant(nullable=True)
    acknowledged_at: datetime | None = instant(nullable=True)  # the last time
    acknowledged_by: str | None = Field(default=None, max_length=120)
    ended_at: datetime | None = instant(nullable=True)


class Alarm(SQLModel, table=True):
    """
    One alarm to one channel beside mail (I4).

    A channel is known by the hash of its address: the address itself is a secret.
    """

    __tablename__ = "alarm"
    __table_args__ = (
        UniqueConstraint("incident_id", "number", "channel"),
        CheckConstraint(
            "state IN ('planned', 'sending', 'sent', 'failed', 'superseded')",
            name="state",
        ),
        Index("ix_alarm_state_due_at", "state", "due_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    incident_id: str = Field(foreign_key="incident.id")
    number: int  # of the incident, from 1
    channel: str = Field(max_length=16)
    state: str = Field(max_length=16)
    planned_at: datetime = instant()
    due_at: datetime = instant()  # when to try (again)
    attempts: int = 0
    possibly_repeated: int = 0  # tries whose end nobody saw, made again
    lease_owner: str | None = Field(default=None, max_length=64)
    lease_until: datetime | None = instant(nullable=True)
    ended_at: datetime | None = instant(nullable=True)
