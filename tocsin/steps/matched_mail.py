"""Finds whose a message is; what only who got the notice can have written comes first."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.errors import Refused
from tocsin.links import SUBSCRIBER, LinkClaims, Links
from tocsin.mail.incoming import Incoming
from tocsin.store.bounces import KnownNotice, find_notices

_MOST_ADDRESSES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A message, and whose it is."""

    mail: Incoming
    notice: KnownNotice | None
    known_by: str

    @property
    def is_proven(self) -> bool:
        """Whether only somebody who got the notice could have named it."""
        return self.known_by in {"verp", "message-id", "link"}


def match_mail(
    connection: Connection, mails: Sequence[Incoming], *, links: Links, now: datetime
) -> list[Matched]:
    """Find whose each message is: what only we can have written comes first."""
    claims = {
        mail.fingerprint: found
        for mail in mails
        if (found := _claims(mail, links, now=now)) is not None
    }
    ids = {
        one for mail in mails for one in mail.named.message_ids + mail.named.loose_ids
    }
    notices = find_notices(
        connection,
        verp_tokens={mail.named.verp_token for mail in mails if mail.named.verp_token},
        message_ids=ids,
        addresses={address for mail in mails for address in _addresses(mail)},
        contacts={found.contact for found in claims.values()},
    )
    index = _Index(notices)
    return [index.match(mail, claims.get(mail.fingerprint)) for mail in mails]


class _Index:
    """Notices by everything that can name them; the newest of a contact first."""

    def __init__(self, notices: Iterable[KnownNotice]) -> None:
        self._by_token: dict[str, KnownNotice] = {}
        self._by_id: dict[str, KnownNotice] = {}
        self._by_address: dict[str, dict[int, KnownNotice]] = defaultdict(dict)
        self._by_contact: dict[int, KnownNotice] = {}
        for notice in notices:
            self._by_token[notice.verp_token] = notice
            self._by_id[notice.message_id] = notice
            self._by_address[notice.email].setdefault(notice.notice_id, notice)
            self._by_contact.setdefault(notice.contact, notice)

    def match(self, mail: Incoming, claims: LinkClaims | None) -> Matched:
        named = mail.named
        if found := self._by_token.get(named.verp_token or ""):
            # The return path first: the other server cannot have changed it.
            return Matched(mail=mail, notice=found, known_by="verp")
        for message_id in named.message_ids + named.loose_ids:
            if found := self._by_id.get(message_id):
                return Matched(mail=mail, notice=found, known_by="message-id")
        if claims and (found := self._by_contact.get(claims.contact)):
            return Matched(mail=mail, notice=found, known_by="link")
        for address in _addresses(mail):
            if candidates := list(self._by_address.get(address, {}).values()):
                # Of several that went there, one that has not come back yet.
                waiting = [one for one in candidates if not one.came_back]
                notice = (waiting or candidates)[0]
                return Matched(mail=mail, notice=notice, known_by="address")
        return Matched(mail=mail, notice=None, known_by="")


def _addresses(mail: Incoming) -> tuple[str, ...]:
    """Return the addresses that can tell whose a message is."""
    if mail.bounce is not None:
        return mail.bounce.recipients[:_MOST_ADDRESSES]
    return (mail.named.sender,) if mail.named.sender else ()


def _claims(mail: Incoming, links: Links, *, now: datetime) -> LinkClaims | None:
    """Return what a link of ours stands for that the message quotes."""
    for token in mail.named.link_tokens:
        try:
            return links.read(token, purpose=SUBSCRIBER, now=now)
        except Refused:
            continue
    return None
