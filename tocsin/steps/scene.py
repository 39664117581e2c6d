"""In which an act of a subscriber takes effect: whose link, when, and on what record."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import ReplyId
from tocsin.intake.csr.weak_keys import KeyBlocklist
from tocsin.links import LinkClaims
from tocsin.store.replies import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    In which an act takes effect.

    Args:
        claims: Of the link.
        standing: Of its incident.
        reply: Under which it was filed.
        mail_domain: Of the Message-IDs of what is planned by it.
        blocklist: Keys known to be compromised, where the CA keeps such a list.
        now: When, UTC.

    """

    claims: LinkClaims
    standing: Standing
    reply: ReplyId
    mail_domain: str
    blocklist: KeyBlocklist | None
    now: datetime
