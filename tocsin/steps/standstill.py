"""Tells the operations managers that the engine does not run as it should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import structlog
from sqlalchemy import Engine

from models.terms import ContactRole, NoticeId
from tocsin.clock import Clock
from tocsin.mail.messages import Mailer, OutgoingMessage, SendKind
from tocsin.steps.letters import Sender
from tocsin.store import audit, leases
from tocsin.store.session import reading, writing
from tocsin.store.staff import StaffMember, staff_of_running

log = structlog.get_logger()

TOLD_EVERY = timedelta(hours=1)
"""How often people hear of the same trouble while it lasts."""
_SENDS_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """
    What is wrong with the engine.

    Args:
        key: Which trouble; the same one is told once an hour.
        what: In a sentence.
        what_to_do: In a sentence or two.

    """

    key: str
    what: str
    what_to_do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """
    Who heard of it.

    Args:
        people: Operations managers of running incidents.
        sent: Mails that the relay took.
        is_repetition: They heard of it within the hour; nothing was sent.

    """

    people: int
    sent: int
    is_repetition: bool = False


def tell_standstill(
    engine: Engine,
    mailer: Mailer,
    sender: Sender,
    clock: Clock,
    *,
    standstill: Standstill,
    owner: str,
) -> Told:
    """
    Mail the operations managers of all running incidents.

    A lease is the intent: whoever holds it sends, and keeps it for an hour when the
    relay took the mail. Killed in between, it runs out after two minutes, and the next
    alarm sends the same message again, under the same Message-ID.

    Args:
        engine: The database.
        mailer: The relay.
        sender: Who the mail comes from.
        clock: Tells now.
        standstill: What is wrong.
        owner: Names this process in leases.

    """
    now = clock.now()
    with reading(engine) as connection:
        staff = staff_of_running(connection, role=ContactRole.OPERATIONS_MANAGER)
    recipients: Mapping[str, StaffMember] = {one.email: one for one in staff}
    if not recipients:
        return Told(people=0, sent=0)
    lease = f"standstill:{standstill.key}"
    # Not the process's own name, under which it could take the lease again.
    holder = f"{owner}@{now:%H%M%S}"[-64:]
    with writing(engine) as connection:
        if not leases.take_lease(
            connection, name=lease, owner=holder, now=now, within=_SENDS_WITHIN
        ):
            return Told(people=len(recipients), sent=0, is_repetition=True)
    messages = [
        OutgoingMessage(
            notice_id=NoticeId(number),
            sender=sender.address,
            recipient=person.email,
            content=_write(standstill, person, staff, sender, now=now),
        )
        for number, person in enumerate(recipients.values(), start=1)
    ]
    sent = sum(outcome.kind is SendKind.SENT for outcome in mailer.send(messages))
    log.error("Operations managers told", trouble=standstill.key, sent=sent)
    with writing(engine) as connection:
        if not sent:
            leases.drop_lease(connection, name=lease, owner=holder)
            return Told(people=len(recipients), sent=0)
        leases.take_lease(
            connection, name=lease, owner=holder, now=now, within=TOLD_EVERY
        )
        for incident in sorted({one.incident for one in staff}):
            audit.append(
                connection,
                incident=incident,
                at=now,
                actor="engine",
                action="standstill-told",
                detail={"trouble": standstill.key, "sent": sent},
            )
    return Told(people=len(recipients), sent=sent)


def _write(
    standstill: Standstill,
    person: StaffMember,
    staff: Sequence[StaffMember],
    sender: Sender,
    *,
    now: datetime,
) -> bytes:
    running = {one.incident: one.title for one in staff}
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(sender.name, addr_spec=sender.address)
    message["To"] = Address(" ".join(person.name.split()), addr_spec=person.email)
    message["Subject"] = f"Tocsin needs you: {standstill.what}"
    message["Date"] = format_datetime(now)
    domain = sender.address.rpartition("@")[2]
    message["Message-ID"] = f"<standstill-{standstill.key}-{now:%Y%m%d%H}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [
        standstill.what,
        "",
        standstill.what_to_do,
        "",
        (
            "Revocation does not wait for this: the guard revokes on time without it, as "
            "long as it runs. Notices, bounces, replies and escalations wait."
        ),
        "",
        "Running incidents:",
        *(f"- {' '.join(title.split())} ({key})" for key, title in running.items()),
        "",
        (
            "You get this as an operations manager of a running incident; while the "
            "trouble lasts, once an hour."
        ),
    ]
    message.set_content("\n".join(lines) + "\n")
    return message.as_bytes()
