"""Files what a subscriber did, once, and lets it take effect when it can no longer be undone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter

import structlog
from sqlalchemy import Connection, Engine

from models.terms import IncidentState, ReplacementState, ReplyId, ReplyKind
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.intake.csr.weak_keys import KeyBlocklist
from tocsin.links import LinkClaims
from tocsin.phrases import phrase
from tocsin.steps.reply_acts import ReplyAct
from tocsin.steps.reply_effects import take_effect
from tocsin.steps.reply_filing import filing_of
from tocsin.steps.scene import Scene
from tocsin.store import audit, replies
from tocsin.store.outreach import look_now
from tocsin.store.replies import FiledReply
from tocsin.store.revocations import bring_forward
from tocsin.store.session import writing

log = structlog.get_logger()

_SOURCE = "a link acts for its owner"
_STATE_AFTER = {
    ReplyKind.REPLACED: ReplacementState.REPLACED,
    ReplyKind.NO_LONGER_REQUIRED: ReplacementState.NO_LONGER_REQUIRED,
}


class Overtaken(Refused):
    """Somebody else did something since the page was made; nothing was done."""


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


def take_reply(
    engine: Engine,
    *,
    claims: LinkClaims,
    act: ReplyAct,
    nonce: str,
    clock: Clock,
    grace_within: timedelta,
    mail_domain: str,
    blocklist: KeyBlocklist | None = None,
    seen: ReplyId | None = None,
) -> Taken:
    """
    File a reply, in one transaction with its act on record (I5).

    Args:
        engine: The database.
        claims: Of the link; whether its contact is still one is checked here.
        act: What the subscriber does.
        nonce: One form, one reply (I4).
        clock: Tells now.
        grace_within: How long an act can be undone that brings revocation forward, or
            calls a person.
        mail_domain: Of the Message-IDs of what is planned by it.
        blocklist: Keys known to be compromised, where the CA keeps such a list.
        seen: The last reply that its page was made from; None: there was no page.

    Raises:
        Overtaken: Somebody did something since: show it first.
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
        if seen is not None and seen < replies.latest_reply(
            connection, subscriber=claims.subscriber
        ):
            raise Overtaken(
                phrase("somebody did something meanwhile"), source="nobody unseen"
            )
        filing = filing_of(act, connection, claims, now=now, grace_within=grace_within)
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
            message=filing.message,
            phone=filing.phone,
        )
        if reply is None:
            raise Refused(phrase("this form belongs to somebody else"), source=_SOURCE)
        detail = take_effect(
            act,
            connection,
            Scene(
                claims=claims,
                standing=standing,
                reply=reply,
                mail_domain=mail_domain,
                blocklist=blocklist,
                now=now,
            ),
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
    leaves = detail.get("contact_removed") == claims.contact
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


def _taken(
    reply: ReplyId, effective_at: datetime, *, is_new: bool, link_lives: bool = True
) -> Taken:
    return Taken(
        reply=reply, is_new=is_new, effective_at=effective_at, link_lives=link_lives
    )
