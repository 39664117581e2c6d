"""Proposals to withdraw or restrain certificates: written down, shown, refused, overtaken."""

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
    OfficeMailKind,
    OfficeMailState,
    ScopeChangeId,
    ScopeState,
)
from tocsin.clock import Clock
from tocsin.errors import BadInput, Refused
from tocsin.policy.office import Officer
from tocsin.policy.scope import NamedCertificate, Proposal, ScopeChange, effects
from tocsin.steps.sign_in import DESK
from tocsin.store import audit, named, office, scope
from tocsin.store.incidents import read_incident
from tocsin.store.scope import Document
from tocsin.store.session import reading, writing

log = structlog.get_logger()

CALL_WITHIN = timedelta(days=1)
"""How long a link to a proposal works; the desk shows it after that, too."""

RULE = "TLS BR 9.16.3 and I1"
"""Where it is written that there is no other way."""

_LONGEST_ACTOR = 110


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
                source=RULE,
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
                **of_court(proposal, document.sha256 if document else ""),
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
        known = must_know(scope.lock_change(connection, change=change))
        return call(connection, known, officers, now=clock.now())


def refuse(
    engine: Engine, change: ScopeChangeId, by: Officer, *, why: str, clock: Clock
) -> bool:
    """
    Refuse a proposal, or take one's own back; False where it is not open any more.

    Raises:
        BadInput: There is no such proposal, or no reason is given.
        Refused: Whoever refuses is no officer.

    """
    reason = reason_of(why)
    if not by.may_launch:
        raise Refused("only an officer may refuse", source=RULE)
    now = clock.now()
    with writing(engine) as connection:
        known = must_know(scope.lock_change(connection, change=change))
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


def lapse_overtaken(engine: Engine, clock: Clock) -> int:
    """Let proposals lapse of which nothing is left to change; say how many."""
    now = clock.now()
    with reading(engine) as connection:
        found = named.overtaken_proposals(connection, now=now)
    lapsed = 0
    for change, _ in found:
        with writing(engine) as connection:
            known = must_know(scope.lock_change(connection, change=change))
            if known.state is ScopeState.PROPOSED:
                lapse(connection, known, now=now)
                lapsed += 1
    return lapsed


def page_of(change: ScopeChange) -> str:
    """Return the page of a proposal at the desk."""
    return f"{DESK}/i/{change.incident}/scope/{change.change}"


def lapse(connection: Connection, known: ScopeChange, *, now: datetime) -> None:
    """Put on record that nothing was left that a proposal could change."""
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


def call(
    connection: Connection,
    known: ScopeChange,
    officers: Sequence[Officer],
    *,
    now: datetime,
) -> int:
    """Plan a mail to each officer with a link to sign by; say how many."""
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


def must_know(known: ScopeChange | None) -> ScopeChange:
    """
    Return a proposal that has to be there.

    Raises:
        BadInput: It is not.

    """
    if known is None:
        raise BadInput("there is no such withdrawal or order")
    return known


def reason_of(why: str) -> str:
    """
    Return a reason as it goes on record.

    Raises:
        BadInput: None is given.

    """
    reason = " ".join(why.split())
    if not reason:
        raise BadInput("say why: it goes on record", field="reason")
    return reason


def of_court(proposal: Proposal, document_sha256: str) -> dict[str, str]:
    """Return what an act says of an order; nothing of a withdrawal."""
    if proposal.ends_at is None:
        return {}
    return {
        "court": proposal.court,
        "reference": proposal.reference,
        "ends_at": proposal.ends_at.isoformat(),
        "document_sha256": document_sha256,
    }
