"""The link by which one officer, and nobody else, signs one proposal."""

from dataclasses import dataclass

from sqlalchemy import Engine

from models.terms import (
    ContactId,
    IncidentId,
    OfficeMailKind,
    ScopeChangeId,
    SubscriberId,
)
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.links import LinkClaims, Links
from tocsin.policy.office import Officers
from tocsin.steps.scope import Signatory
from tocsin.steps.sign_in import DESK
from tocsin.store import office
from tocsin.store.office import MailToOfficer
from tocsin.store.session import reading

SIGN = "officer-scope-change"
"""The purpose of the link in such a mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayToSign:
    """A link that works: who signs by it, and what."""

    who: Signatory
    change: ScopeChangeId


def change_of(mail: MailToOfficer) -> ScopeChangeId:
    """Return the number of the proposal that a mail is about; 0: about none."""
    number = mail.leads_to.rpartition("/scope/")[2]
    return ScopeChangeId(int(number) if number.isdecimal() else 0)


def path_to_sign(links: Links, mail: MailToOfficer) -> str:
    """Return the address by which the mail's reader signs, without the host."""
    token = links.sign(
        LinkClaims(
            incident=mail.incident or IncidentId(""),
            subscriber=SubscriberId(0),
            contact=ContactId(mail.mail),
            purpose=SIGN,
            generation=int(change_of(mail)),
            expires_at=mail.expires_at,
        )
    )
    return f"{DESK}/sign/{token}"


def find_way_to_sign(
    engine: Engine, links: Links, officers: Officers, token: str, *, clock: Clock
) -> WayToSign:
    """
    Say who would sign what by a link; changes nothing (I6).

    Raises:
        Refused: It does not work (any more): in the same words, whatever is wrong.

    """
    now = clock.now()
    claims = links.read(token, purpose=SIGN, now=now)
    with reading(engine) as connection:
        mail = office.find_mail(connection, mail=int(claims.contact))
    officer = officers.find(mail.address_key) if mail else None
    if (
        mail is None
        or officer is None
        or mail.kind is not OfficeMailKind.SCOPE
        or mail.expires_at <= now
        or change_of(mail) != claims.generation
    ):
        raise Refused("this link is not valid (any more)", source="I6")
    return WayToSign(
        who=Signatory(officer=officer, mail=mail.mail), change=change_of(mail)
    )
