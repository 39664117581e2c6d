"""Withdrawals and court orders: signed by two officers, in force at once, ended by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine

from models.terms import (
    CertificateId,
    NoticeKind,
    ScopeChangeId,
    ScopeKind,
    ScopeState,
)
from tocsin.clock import Clock
from tocsin.errors import BadInput, Refused
from tocsin.policy.effects import SendNotice
from tocsin.policy.office import Officer, Officers
from tocsin.policy.scope import (
    ScopeChange,
    Signature,
    Standing,
    minute,
    why_not_sign,
)
from tocsin.steps.proposals import (
    RULE,
    call,
    lapse,
    must_know,
    of_court,
    reason_of,
)
from tocsin.store import audit, intents, named, office, outreach, restraints, scope
from tocsin.store.session import writing

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """
    Somebody about to sign.

    Args:
        officer: Who, as the list has them now.
        mail: The mail to their own address by whose link they came; None: they came by
            a link that was printed at the machine, which proves no mailbox.

    """

    officer: Officer
    mail: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """
    What a signature did.

    Args:
        state: Where the proposal stands now.
        called: Officers who were written to, for the second signature.
        applied: Certificates that the decision has touched.
        too_late: Certificates that it could not touch any more.
        told: Contacts who are told.

    """

    state: ScopeState
    called: int = 0
    applied: int = 0
    too_late: int = 0
    told: int = 0


def sign(
    engine: Engine,
    change: ScopeChangeId,
    who: Signatory,
    officers: Officers,
    *,
    mail_domain: str,
    clock: Clock,
) -> Signed:
    """
    Sign a proposal: the first signature calls others, the second puts it in force.

    All of it is one transaction: killed anywhere, nothing or everything has happened.
    Signed twice by the same officer, it is left as it is.

    Args:
        engine: The database.
        change: Which proposal.
        who: Who signs, and by which mail they came.
        officers: The list as it is now: both have to be on it.
        mail_domain: Of the Message-IDs of what subscribers are told.
        clock: Tells now.

    Raises:
        BadInput: There is no such proposal.
        Refused: The signature does not count, and why.

    """
    now = clock.now()
    with writing(engine) as connection:
        known = must_know(scope.lock_change(connection, change=change))
        if _has_signed(known, who.officer):
            return Signed(state=known.state, applied=known.applied)
        why = why_not_sign(known, who.officer, officers)
        if why is not None:
            raise Refused(why, source=RULE)
        if who.mail is None:
            raise Refused(
                "you came in by a link that was printed at the machine: sign by a link "
                "that was mailed to your own address",
                source=RULE,
            )
        others = officers.other_persons(who.officer)
        if known.first is None and not others:
            raise Refused(
                "there is no second officer on the officers' list who could sign",
                source=RULE,
            )
        free = _free(connection, known, now=now)
        office.mark_used(connection, mail=who.mail, now=now)
        if not free:
            lapse(connection, known, now=now)
            return Signed(state=ScopeState.LAPSED)
        signature = Signature(by=who.officer.name, key=who.officer.key, at=now)
        place = "first" if known.first is None else "second"
        scope.record_signature(
            connection,
            change=change,
            place="first" if known.first is None else "second",
            signature=signature,
            mail=who.mail,
        )
        if place == "first":
            called = call(connection, known, others, now=now)
            audit.append(
                connection,
                incident=known.incident,
                at=now,
                actor=who.officer.actor,
                action=f"{known.kind}-signed",
                detail={"change": change, "called": called},
            )
            return Signed(state=ScopeState.PROPOSED, called=called)
        done = _put_in_force(
            connection, known, free, who.officer, mail_domain=mail_domain, now=now
        )
    log.warning(
        "Two officers have changed the scope of an incident",
        incident=known.incident,
        change=change,
        kind=known.kind.value,
        certificates=done.applied,
    )
    return done


def end_order(
    engine: Engine,
    change: ScopeChangeId,
    *,
    actor: str,
    why: str,
    clock: Clock,
    ends_at: datetime | None = None,
) -> int:
    """
    Lift a court order, or let it end earlier; one officer will do.

    What it kept from the CA is due when the last order over it ends.

    Args:
        engine: The database.
        change: Which order.
        actor: Who, as in the record of acts: "officer:<name>".
        why: Goes on record and into every report.
        clock: Tells now.
        ends_at: The new end, UTC; None: now.

    Returns:
        How many certificates are due earlier than before.

    Raises:
        BadInput: There is no such order, no reason, or the new end is not earlier.
        Refused: It is not in force.

    """
    reason, now = reason_of(why), clock.now()
    with writing(engine) as connection:
        known = must_know(scope.lock_change(connection, change=change))
        if known.ends_at is None or not known.is_in_force(now):
            raise Refused("there is no order in force", source=RULE)
        end = max(ends_at or now, now)
        if end >= known.ends_at:
            raise BadInput(
                f"the order ends {minute(known.ends_at)}, and its end moves earlier "
                "only: a longer one is a new order, with two officers",
                field="ends_at",
            )
        scope.record_end(
            connection,
            change=change,
            by=actor.removeprefix("officer:"),
            why=reason,
            now=now,
            ends_at=end,
        )
        eased = restraints.ease(connection, change=change)
        audit.append(
            connection,
            incident=known.incident,
            at=now,
            actor=actor,
            action="order-shortened",
            detail={
                "change": change,
                "ends_at": end.isoformat(),
                "certificates": eased,
                "reason": reason,
            },
        )
    log.warning("A court order ends earlier", incident=known.incident, change=change)
    return eased


def _put_in_force(
    connection: Connection,
    known: ScopeChange,
    free: Sequence[CertificateId],
    officer: Officer,
    *,
    mail_domain: str,
    now: datetime,
) -> Signed:
    listed = named.named_certificates(connection, change=known.change)
    late = sorted({one.certificate for one in listed} - set(free))
    told = 0
    if known.kind is ScopeKind.WITHDRAWAL:
        restraints.withdraw(connection, certificates=free, now=now)
    elif known.ends_at is not None:
        restraints.restrain(connection, certificates=free, until=known.ends_at)
    scope.record_outcomes(connection, change=known.change, applied=free, too_late=late)
    if known.kind is ScopeKind.WITHDRAWAL:
        told = _tell(connection, known, mail_domain=mail_domain, now=now)
    audit.append(
        connection,
        incident=known.incident,
        at=now,
        actor=officer.actor,
        action=f"{known.kind}-agreed",
        detail={
            "change": known.change,
            "first": known.first.by if known.first else "",
            "second": officer.name,
            "certificates": list(free),
            "too_late": late,
            "reason": known.proposal.reason,
            "contacts_told": told,
            **of_court(known.proposal, known.document_sha256),
        },
    )
    return Signed(
        state=ScopeState.AGREED, applied=len(free), too_late=len(late), told=told
    )


def _tell(
    connection: Connection, known: ScopeChange, *, mail_domain: str, now: datetime
) -> int:
    """Plan what subscribers are told, who were told that they would be revoked."""
    subscribers = named.subscribers_of(connection, change=known.change)
    contacts = outreach.told_contacts(connection, subscribers)
    intents.plan_notices(
        connection,
        [
            SendNotice(
                contact=contact,
                kind=NoticeKind.WITHDRAWAL,
                sequence=int(known.change),
            )
            for contact in contacts
        ],
        incident=known.incident,
        mail_domain=mail_domain,
        now=now,
    )
    # Escalations about them may have lost their cause.
    outreach.look_now(connection, subscribers, now=now)
    return len(contacts)


def _free(
    connection: Connection, known: ScopeChange, *, now: datetime
) -> list[CertificateId]:
    """Return what the decision can still touch; nothing where the order has ended."""
    if known.ends_at is not None and known.ends_at <= now:
        return []
    listed = named.named_certificates(connection, change=known.change)
    free = restraints.changeable(connection, [one.certificate for one in listed])
    if not free and any(one.standing is Standing.AT_THE_CA for one in listed):
        raise Refused(
            "the CA is being asked for them at this moment: see what it answers, and "
            "sign again if it does not revoke",
            source=RULE,
        )
    return free


def _has_signed(known: ScopeChange, officer: Officer) -> bool:
    return officer.key in {
        one.key for one in (known.first, known.second) if one is not None
    }
