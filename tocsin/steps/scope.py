"""Withdrawals and court orders: proposed, signed by two officers, in force at once, ended."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from models.terms import (
    CertificateId,
    IncidentId,
    IncidentState,
    NoticeKind,
    OfficeMailKind,
    OfficeMailState,
    ScopeChangeId,
    ScopeKind,
    ScopeState,
)
from tocsin.clock import Clock
from tocsin.errors import BadInput, Refused
from tocsin.policy.effects import SendNotice
from tocsin.policy.office import Officer, Officers
from tocsin.policy.scope import (
    NamedCertificate,
    Proposal,
    ScopeChange,
    Signature,
    Standing,
    effects,
    minute,
    why_not_sign,
)
from tocsin.steps.sign_in import DESK
from tocsin.store import audit, intents, named, office, outreach, restraints, scope
from tocsin.store.incidents import read_incident
from tocsin.store.scope import Document
from tocsin.store.session import reading, writing

log = structlog.get_logger()

CALL_WITHIN = timedelta(days=1)
"""How long a link to a proposal works; the desk shows it after that, too."""

_RULE = "TLS BR 9.16.3 and I1"
_LONGEST_ACTOR = 110


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
class Seen:
    """
    A proposal as somebody sees it who has to decide.

    Args:
        change: What is proposed, and where it stands.
        certificates: Those that it names, as they stand.
        effects: What it would do if it were agreed now.
        deadline: The incident's, UTC.
        title: The incident's.
        zone: The incident's.

    """

    change: ScopeChange
    certificates: tuple[NamedCertificate, ...]
    effects: tuple[str, ...]
    deadline: datetime
    title: str
    zone: str


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


def propose(
    engine: Engine,
    *,
    incident: IncidentId,
    proposal: Proposal,
    certificates: Sequence[CertificateId],
    document: Document | None,
    form: str,
    actor: str,
    clock: Clock,
) -> ScopeChangeId:
    """
    Write a proposal down; it has no effect, and nobody has signed it.

    Args:
        engine: The database.
        incident: A running one.
        proposal: What is proposed; ``check_proposal`` has nothing against it.
        certificates: Which certificates, by key.
        document: The court's order; None for a withdrawal.
        form: What sent it: the same form twice is one proposal (I4).
        actor: Who wrote it down.
        clock: Tells now.

    Raises:
        Refused: The incident is not running, or is a drill.

    """
    now = clock.now()
    key = hashlib.sha256(form.encode()).hexdigest()
    with writing(engine) as connection:
        known = scope.proposal_of_form(connection, form=key)
        if known is not None:
            return known
        record = read_incident(connection, incident=incident)
        if record.state is not IncidentState.RUNNING or record.is_drill:
            raise Refused(
                "nothing can be withdrawn or restrained: the incident is "
                f"{'a drill' if record.is_drill else record.state}",
                source=_RULE,
            )
        change = scope.record_proposal(
            connection,
            incident=incident,
            proposal=proposal,
            certificates=sorted(set(certificates)),
            document=document,
            form=key,
            proposed_by=actor[:_LONGEST_ACTOR],
            now=now,
        )
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=actor,
            action=f"{proposal.kind}-proposed",
            detail={
                "change": change,
                "certificates": sorted(set(certificates)),
                "reason": proposal.reason,
                **_of_court(proposal, document.sha256 if document else ""),
            },
        )
    log.warning("A change of scope is proposed", incident=incident, change=change)
    return change


def see(engine: Engine, change: ScopeChangeId, *, clock: Clock) -> Seen | None:
    """Return a proposal with what it would do now; None: there is none."""
    with reading(engine) as connection:
        known = scope.read_change(connection, change=change)
        if known is None:
            return None
        record = read_incident(connection, incident=known.incident)
        certificates = tuple(named.named_certificates(connection, change=change))
    would: tuple[str, ...] = ()
    if known.state is ScopeState.PROPOSED:
        would = tuple(
            effects(
                known.proposal,
                certificates,
                deadline=record.deadline,
                now=clock.now(),
            )
        )
    return Seen(
        change=known,
        certificates=certificates,
        effects=would,
        deadline=record.deadline,
        title=record.title,
        zone=record.zone,
    )


def call_officers(
    engine: Engine, change: ScopeChangeId, officers: Sequence[Officer], *, clock: Clock
) -> int:
    """Write to officers that a proposal waits for their signature; say how many."""
    with writing(engine) as connection:
        known = _known(scope.lock_change(connection, change=change))
        return _call(connection, known, officers, now=clock.now())


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
        known = _known(scope.lock_change(connection, change=change))
        if _has_signed(known, who.officer):
            return Signed(state=known.state, applied=known.applied)
        why = why_not_sign(known, who.officer, officers)
        if why is not None:
            raise Refused(why, source=_RULE)
        if who.mail is None:
            raise Refused(
                "you came in by a link that was printed at the machine: sign by a link "
                "that was mailed to your own address",
                source=_RULE,
            )
        others = officers.other_persons(who.officer)
        if known.first is None and not others:
            raise Refused(
                "there is no second officer on the officers' list who could sign",
                source=_RULE,
            )
        free = _free(connection, known, now=now)
        office.mark_used(connection, mail=who.mail, now=now)
        if not free:
            return _lapse(connection, known, now=now)
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
            called = _call(connection, known, others, now=now)
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


def refuse(
    engine: Engine, change: ScopeChangeId, by: Officer, *, why: str, clock: Clock
) -> bool:
    """
    Refuse a proposal, or take one's own back; False where it is not open any more.

    Raises:
        BadInput: There is no such proposal, or no reason is given.
        Refused: Whoever refuses is no officer.

    """
    reason = _reason(why)
    if not by.may_launch:
        raise Refused("only an officer may refuse", source=_RULE)
    now = clock.now()
    with writing(engine) as connection:
        known = _known(scope.lock_change(connection, change=change))
        if known.state is not ScopeState.PROPOSED:
            return False
        scope.record_end(
            connection,
            change=change,
            by=by.name,
            why=reason,
            now=now,
            state=ScopeState.REFUSED,
        )
        audit.append(
            connection,
            incident=known.incident,
            at=now,
            actor=by.actor,
            action=f"{known.kind}-refused",
            detail={"change": change, "reason": reason},
        )
    return True


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
    reason, now = _reason(why), clock.now()
    with writing(engine) as connection:
        known = _known(scope.lock_change(connection, change=change))
        if known.ends_at is None or not known.is_in_force(now):
            raise Refused("there is no order in force", source=_RULE)
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


def lapse_overtaken(engine: Engine, clock: Clock) -> int:
    """Let proposals lapse of which nothing is left to change; say how many."""
    now = clock.now()
    with reading(engine) as connection:
        found = named.overtaken_proposals(connection, now=now)
    lapsed = 0
    for change, _ in found:
        with writing(engine) as connection:
            known = _known(scope.lock_change(connection, change=change))
            if known.state is ScopeState.PROPOSED:
                _lapse(connection, known, now=now)
                lapsed += 1
    return lapsed


def page_of(change: ScopeChange) -> str:
    """Return the page of a proposal at the desk."""
    return f"{DESK}/i/{change.incident}/scope/{change.change}"


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
            **_of_court(known.proposal, known.document_sha256),
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
            source=_RULE,
        )
    return free


def _lapse(connection: Connection, known: ScopeChange, *, now: datetime) -> Signed:
    why = "nothing was left that it could change"
    scope.record_end(
        connection,
        change=known.change,
        by="",
        why=why,
        now=now,
        state=ScopeState.LAPSED,
    )
    audit.append(
        connection,
        incident=known.incident,
        at=now,
        actor="engine",
        action=f"{known.kind}-lapsed",
        detail={"change": known.change, "reason": why},
    )
    return Signed(state=ScopeState.LAPSED)


def _call(
    connection: Connection,
    known: ScopeChange,
    officers: Sequence[Officer],
    *,
    now: datetime,
) -> int:
    for officer in officers:
        office.record_mail(
            connection,
            kind=OfficeMailKind.SCOPE,
            incident=known.incident,
            address_key=officer.key,
            state=OfficeMailState.PLANNED,
            asked_at=now,
            expires_at=now + CALL_WITHIN,
            leads_to=page_of(known),
        )
    return len(officers)


def _has_signed(known: ScopeChange, officer: Officer) -> bool:
    return officer.key in {
        one.key for one in (known.first, known.second) if one is not None
    }


def _known(known: ScopeChange | None) -> ScopeChange:
    if known is None:
        raise BadInput("there is no such withdrawal or order")
    return known


def _reason(why: str) -> str:
    reason = " ".join(why.split())
    if not reason:
        raise BadInput("say why: it goes on record", field="reason")
    return reason


def _of_court(proposal: Proposal, document_sha256: str) -> dict[str, str]:
    if proposal.ends_at is None:
        return {}
    return {
        "court": proposal.court,
        "reference": proposal.reference,
        "ends_at": proposal.ends_at.isoformat(),
        "document_sha256": document_sha256,
    }
