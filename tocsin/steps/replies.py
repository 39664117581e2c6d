"""Files what a subscriber did, once, and lets it take effect when it can no longer be undone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter

import structlog
from sqlalchemy import Connection, Engine

from models.terms import (
    CertificateId,
    IncidentState,
    ReplacementState,
    ReplyId,
    ReplyKind,
    ReplyState,
)
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.intake.csr.weak_keys import KeyBlocklist
from tocsin.links import LinkClaims
from tocsin.phrases import phrase
from tocsin.steps.contacts import change_contact
from tocsin.steps.csrs import file_csrs
from tocsin.steps.reply_acts import (
    Acknowledge,
    ChangeContact,
    ReplyAct,
    ReportNoLongerRequired,
    ReportReplaced,
    SubmitCsrs,
    Undo,
)
from tocsin.store import audit, pages, replies
from tocsin.store.outreach import look_now
from tocsin.store.replies import FiledReply, Standing
from tocsin.store.revocations import bring_forward
from tocsin.store.session import writing

log = structlog.get_logger()

_SOURCE = "a link acts for its owner"
_STATE_AFTER = {
    ReplyKind.REPLACED: ReplacementState.REPLACED,
    ReplyKind.NO_LONGER_REQUIRED: ReplacementState.NO_LONGER_REQUIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """
    A reply on record.

    Args:
        reply: Its key.
        is_new: False where the same form had been sent before.
        effective_at: When it takes effect, UTC.
        link_lives: Whether the sender's own link still works.

    """

    reply: ReplyId
    is_new: bool
    effective_at: datetime
    link_lives: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """
    What came of replies whose grace period was over.

    Args:
        applied: Replies.
        brought_forward: Revocations that moved earlier.

    """

    applied: int
    brought_forward: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filing:
    """What of a reply goes on record, and into which words."""

    kind: ReplyKind
    certificates: tuple[CertificateId, ...]
    state: ReplyState
    effective_at: datetime


def take_reply(
    engine: Engine,
    *,
    claims: LinkClaims,
    act: ReplyAct,
    nonce: str,
    clock: Clock,
    grace_within: timedelta,
    blocklist: KeyBlocklist | None = None,
) -> Taken:
    """
    File a reply, in one transaction with its act on record (I5).

    Args:
        engine: The database.
        claims: Of the link; whether its contact is still one is checked here.
        act: What the subscriber does.
        nonce: One form, one reply (I4).
        clock: Tells now.
        grace_within: How long an act can be undone that brings revocation forward.
        blocklist: Keys known to be compromised, where the CA keeps such a list.

    Raises:
        Refused: The link is dead, the incident does not run, a certificate is not the
            subscriber's, or the act makes no sense (any more).

    """
    now = clock.now()
    with writing(engine) as connection:
        replies.lock_subscriber(connection, subscriber=claims.subscriber)
        standing = replies.standing(connection, claims=claims)
        known = replies.reply_with_nonce(
            connection, subscriber=claims.subscriber, nonce=nonce
        )
        if known is not None:
            return _taken(known.reply, known.effective_at, is_new=False)
        if standing.state is not IncidentState.RUNNING:
            raise Refused(
                phrase("this incident takes no replies any more"),
                source="the incident is over",
            )
        filing = _filing(act, connection, claims, now=now, grace_within=grace_within)
        reply = replies.file_reply(
            connection,
            incident=claims.incident,
            subscriber=claims.subscriber,
            contact=claims.contact,
            kind=filing.kind,
            state=filing.state,
            certificates=filing.certificates,
            nonce=nonce,
            now=now,
            effective_at=filing.effective_at,
        )
        if reply is None:
            raise Refused(phrase("this form belongs to somebody else"), source=_SOURCE)
        detail = _take_effect(
            act,
            connection,
            claims,
            standing=standing,
            reply=reply,
            blocklist=blocklist,
            now=now,
        )
        audit.append(
            connection,
            incident=claims.incident,
            at=now,
            actor=f"contact:{claims.contact}",
            action="reply-received",
            detail={
                "reply": reply,
                "kind": filing.kind.value,
                "subscriber": claims.subscriber,
                "certificates": list(filing.certificates),
                "effective_at": filing.effective_at.isoformat(),
            }
            | detail,
        )
    log.info(
        "Reply received",
        incident=claims.incident,
        contact=claims.contact,
        kind=filing.kind.value,
        certificates=len(filing.certificates),
    )
    leaves = isinstance(act, ChangeContact) and act.instead_of == claims.contact
    return _taken(reply, filing.effective_at, is_new=True, link_lives=not leaves)


def apply_due_replies(engine: Engine, clock: Clock, *, batch: int) -> Applied:
    """
    Let replies take effect whose grace period is over, one batch in one transaction.

    Revocation times only move earlier (I1); certificates under way are left alone.
    """
    now = clock.now()
    with writing(engine) as connection:
        due = replies.pending_replies_due(connection, now=now, limit=batch)
        moved = 0
        # In the order of their names: two processes never wait for each other.
        for incident, group in groupby(
            sorted(due, key=attrgetter("incident", "reply")), key=attrgetter("incident")
        ):
            filed = list(group)
            brought = _apply(connection, filed, now=now)
            moved += brought
            audit.append(
                connection,
                incident=incident,
                at=now,
                actor="engine",
                action="replies-applied",
                detail={
                    "replies": [reply.reply for reply in filed],
                    "brought_forward": brought,
                },
            )
    if due:
        log.info("Replies applied", replies=len(due), brought_forward=moved)
    return Applied(applied=len(due), brought_forward=moved)


def _apply(
    connection: Connection, filed: Sequence[FiledReply], *, now: datetime
) -> int:
    brought = 0
    for kind, state in _STATE_AFTER.items():
        certificates = sorted(
            set(
                chain.from_iterable(
                    reply.certificates for reply in filed if reply.kind is kind
                )
            )
        )
        replies.set_replacement_state(
            connection, certificates=certificates, state=state
        )
        brought += bring_forward(connection, certificates=certificates, to=now)
    replies.mark_applied(connection, replies=[reply.reply for reply in filed])
    # Policy plans anew: nobody is reminded of what is done.
    look_now(connection, sorted({reply.subscriber for reply in filed}), now=now)
    return brought


def _filing(
    act: ReplyAct,
    connection: Connection,
    claims: LinkClaims,
    *,
    now: datetime,
    grace_within: timedelta,
) -> _Filing:
    """Say how an act is filed, and refuse one that makes no sense."""
    kind = ReplyKind.ACKNOWLEDGE
    certificates: tuple[CertificateId, ...] = ()
    match act:
        case Acknowledge():
            pass
        case ChangeContact():
            kind = ReplyKind.CHANGE_CONTACT
        case SubmitCsrs():
            kind = ReplyKind.SUBMIT_CSR
            certificates = tuple(
                sorted({key for csr in act.csrs for key in csr.certificates})
            )
        case ReportReplaced() | ReportNoLongerRequired():
            return _Filing(
                kind=ReplyKind.REPLACED
                if isinstance(act, ReportReplaced)
                else ReplyKind.NO_LONGER_REQUIRED,
                certificates=_still_open(connection, claims, act.certificates),
                state=ReplyState.PENDING,
                effective_at=now + grace_within,
            )
        case Undo():
            kind = ReplyKind.UNDO
            filed = replies.find_reply(
                connection,
                incident=claims.incident,
                subscriber=claims.subscriber,
                reply=act.reply,
            )
            certificates = filed.certificates if filed else ()
    return _Filing(
        kind=kind,
        certificates=certificates,
        state=ReplyState.APPLIED,
        effective_at=now,
    )


def _still_open(
    connection: Connection, claims: LinkClaims, certificates: Sequence[CertificateId]
) -> tuple[CertificateId, ...]:
    """Return the certificates, all of which can still be revoked early."""
    wanted = frozenset(certificates)
    views = pages.certificates_of(
        connection,
        incident=claims.incident,
        subscriber=claims.subscriber,
        certificates=sorted(wanted),
    )
    if not wanted or len(views) != len(wanted):
        raise Refused(phrase("one of the certificates is not yours"), source=_SOURCE)
    pending = frozenset(
        chain.from_iterable(
            reply.certificates
            for reply in replies.pending_replies(
                connection, subscriber=claims.subscriber
            )
        )
    )
    done = [
        view.title
        for view in views
        if not view.can_be_revoked_early or view.certificate in pending
    ]
    if done:
        raise Refused(
            phrase("%(name)s has been reported or revoked meanwhile", name=done[0]),
            source="somebody was faster",
        )
    return tuple(sorted(wanted))


def _take_effect(
    act: ReplyAct,
    connection: Connection,
    claims: LinkClaims,
    *,
    standing: Standing,
    reply: ReplyId,
    blocklist: KeyBlocklist | None,
    now: datetime,
) -> dict[str, object]:
    """Do what an act does at once, and return what else its record says."""
    detail: dict[str, object] = {}
    match act:
        case Acknowledge():
            detail = {"choice": act.choice.value}
        case SubmitCsrs():
            detail = {
                "csrs": file_csrs(
                    act,
                    connection,
                    claims,
                    standing=standing,
                    reply=reply,
                    blocklist=blocklist,
                    now=now,
                )
            }
        case ReportReplaced() | ReportNoLongerRequired():
            pass
        case ChangeContact():
            return _change_contact(act, connection, claims, now=now)
        case Undo():
            if not replies.undo(
                connection,
                incident=claims.incident,
                subscriber=claims.subscriber,
                reply=act.reply,
            ):
                raise Refused(
                    phrase("it can no longer be undone"),
                    source="it has had its effect",
                )
            return {"undone": act.reply}
    # Whoever hands something in has read the notice. Somebody who only names another
    # person has not said so for that person.
    replies.acknowledge(connection, subscriber=claims.subscriber, now=now)
    look_now(connection, [claims.subscriber], now=now)
    return detail


def _change_contact(
    act: ChangeContact, connection: Connection, claims: LinkClaims, *, now: datetime
) -> dict[str, object]:
    """Name a contact, who is told at once; let another go."""
    added = change_contact(
        connection,
        incident=claims.incident,
        subscriber=claims.subscriber,
        change=act,
    )
    look_now(connection, [claims.subscriber], now=now)
    return {"contact_added": added, "contact_removed": act.instead_of}


def _taken(
    reply: ReplyId, effective_at: datetime, *, is_new: bool, link_lives: bool = True
) -> Taken:
    return Taken(
        reply=reply, is_new=is_new, effective_at=effective_at, link_lives=link_lives
    )
