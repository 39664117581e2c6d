"""How an act of a subscriber goes on record: as what, about which certificates, from when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from sqlalchemy import Connection

from models.terms import CertificateId, ReplyKind, ReplyState
from tocsin.errors import Refused
from tocsin.links import LinkClaims
from tocsin.phrases import phrase
from tocsin.steps.reply_acts import (
    Acknowledge,
    AskAgain,
    AskExtension,
    AskHelp,
    ChangeContact,
    ConfirmAddress,
    NotMine,
    RemoveContact,
    ReplyAct,
    ReportNoLongerRequired,
    ReportReplaced,
    SubmitCsrs,
    Undo,
)
from tocsin.store import pages, replies

_SOURCE = "a link acts for its owner"

BRINGS_FORWARD = frozenset((ReplyKind.REPLACED, ReplyKind.NO_LONGER_REQUIRED))
"""What moves a revocation earlier when it takes effect; nothing moves one later (I1)."""

_ABOUT_CONTACTS = {
    ChangeContact: ReplyKind.CHANGE_CONTACT,
    RemoveContact: ReplyKind.REMOVE_CONTACT,
    AskAgain: ReplyKind.ASK_AGAIN,
    ConfirmAddress: ReplyKind.CONFIRM_ADDRESS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """
    What of a reply goes on record.

    Args:
        kind: What it is.
        certificates: Which it is about.
        state: Pending as long as it can be undone.
        effective_at: Until then, UTC.
        message: What they wrote to the CA's officers.
        phone: Where they want to be called.

    """

    kind: ReplyKind
    certificates: tuple[CertificateId, ...]
    state: ReplyState
    effective_at: datetime
    message: str = ""
    phone: str = ""


def filing_of(
    act: ReplyAct,
    connection: Connection,
    claims: LinkClaims,
    *,
    now: datetime,
    grace_within: timedelta,
) -> Filing:
    """
    Say how an act is filed.

    Raises:
        Refused: It makes no sense (any more), or is about somebody else's certificate.

    """
    kind = ReplyKind.ACKNOWLEDGE
    certificates: tuple[CertificateId, ...] = ()
    message = phone = ""
    can_be_undone = False
    match act:
        case Acknowledge():
            pass
        case ChangeContact() | RemoveContact() | AskAgain() | ConfirmAddress():
            kind = _ABOUT_CONTACTS[type(act)]
        case SubmitCsrs():
            kind = ReplyKind.SUBMIT_CSR
            certificates = tuple(
                sorted({key for csr in act.csrs for key in csr.certificates})
            )
        case ReportReplaced() | ReportNoLongerRequired():
            kind = (
                ReplyKind.REPLACED
                if isinstance(act, ReportReplaced)
                else ReplyKind.NO_LONGER_REQUIRED
            )
            certificates = _still_open(connection, claims, act.certificates)
            can_be_undone = True
        case NotMine():
            kind = ReplyKind.NOT_MINE
            certificates = tuple(sorted(set(act.certificates)))
            message = act.message
            can_be_undone = True
        case AskHelp():
            kind = ReplyKind.ASK_HELP
            message, phone = act.message, act.phone
            can_be_undone = True
        case AskExtension():
            kind = ReplyKind.ASK_EXTENSION
            message = act.message
        case Undo():
            kind = ReplyKind.UNDO
            filed = replies.find_reply(
                connection,
                incident=claims.incident,
                subscriber=claims.subscriber,
                reply=act.reply,
            )
            certificates = filed.certificates if filed else ()
    return Filing(
        kind=kind,
        certificates=certificates,
        state=ReplyState.PENDING if can_be_undone else ReplyState.APPLIED,
        effective_at=now + grace_within if can_be_undone else now,
        message=message,
        phone=phone,
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
            if reply.kind in BRINGS_FORWARD
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
