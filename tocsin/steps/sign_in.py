"""Lets the CA's own people in by a link to their own mailbox, and shows them out."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from models.terms import (
    ContactId,
    IncidentId,
    OfficeMailKind,
    OfficeMailState,
    SubscriberId,
)
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.links import LinkClaims, Links
from tocsin.policy.office import (
    COUNTED_WITHIN,
    Officer,
    Officers,
    address_key,
    state_of_request,
)
from tocsin.store import office
from tocsin.store.office import MailToOfficer
from tocsin.store.session import reading, writing

log = structlog.get_logger()

SIGN_IN = "officer-sign-in"
"""The purpose of the link in such a mail."""

DESK = "/desk"
_PAGE = re.compile(r"/desk(?:/[A-Za-z0-9_-]+){0,6}")
_LONGEST_PAGE = 200
_LONGEST_CLIENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """
    Somebody who is in.

    Args:
        officer: Who, as the list has them now.
        session: The key of their session.
        until: When it ends, UTC.

    """

    officer: Officer
    session: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """A link that works: whom it lets in, and where they wanted to go."""

    officer: Officer
    mail: MailToOfficer


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """
    Somebody has come in.

    Args:
        secret: What their browser holds from now on; nothing else has it.
        officer: Who.
        until: When it ends, UTC.
        leads_to: The page they wanted.

    """

    secret: str
    officer: Officer
    until: datetime
    leads_to: str


def ask_for_link(
    engine: Engine,
    officers: Officers,
    *,
    address: str,
    client: str,
    browser: str,
    leads_to: str,
    clock: Clock,
    valid_within: timedelta,
) -> None:
    """
    Put on record that somebody wants to come in; ``send_office_mail`` does the rest.

    Whoever asks learns nothing from it: an address on the list and any other take the
    same way and the same time.

    Args:
        engine: The database.
        officers: The list.
        address: As typed.
        client: Where it was typed, such as an IP address.
        browser: What that browser holds: its link works nowhere else.
        leads_to: The page that was wanted.
        clock: Tells now.
        valid_within: How long the link works.

    """
    now = clock.now()
    key = address_key(address)
    with writing(engine) as connection:
        office.lock_requests(connection)
        of_address, of_client = office.requests_since(
            connection,
            address_key=key,
            client=client[:_LONGEST_CLIENT],
            since=now - COUNTED_WITHIN,
        )
        state = state_of_request(
            officers.find(key), of_address=of_address, of_client=of_client
        )
        if state is OfficeMailState.TOO_MANY:
            # Nothing is kept of it: a flood must not fill the disk.
            log.warning("Too many links were asked for", client_requests=of_client)
            return
        office.record_mail(
            connection,
            kind=OfficeMailKind.SIGN_IN,
            address_key=key,
            state=state,
            asked_at=now,
            expires_at=now + valid_within,
            client=client[:_LONGEST_CLIENT],
            browser=_hash(browser),
            leads_to=page_of_the_desk(leads_to),
        )


def print_link(
    engine: Engine, links: Links, officer: Officer, *, clock: Clock, valid: timedelta
) -> str:
    """Make a link for whoever sits at the machine; it works in any browser, once."""
    now = clock.now()
    with writing(engine) as connection:
        mail = office.record_mail(
            connection,
            kind=OfficeMailKind.SIGN_IN,
            address_key=officer.key,
            state=OfficeMailState.PRINTED,
            asked_at=now,
            expires_at=now + valid,
        )
    return path_in(links, mail, now + valid)


def path_in(links: Links, mail: int, expires_at: datetime) -> str:
    """Return the address of a way in, without the host."""
    token = links.sign(
        LinkClaims(
            incident=IncidentId(""),
            subscriber=SubscriberId(0),
            contact=ContactId(mail),
            purpose=SIGN_IN,
            generation=0,
            expires_at=expires_at,
        )
    )
    return f"{DESK}/in/{token}"


def find_way_in(
    engine: Engine, links: Links, officers: Officers, token: str, *, clock: Clock
) -> WayIn:
    """
    Say whom a link would let in; changes nothing (I6).

    Raises:
        Refused: It lets nobody in (any more): in the same words, whatever is wrong.

    """
    with reading(engine) as connection:
        return _way_in(connection, links, officers, token, now=clock.now())


def come_in(
    engine: Engine,
    links: Links,
    officers: Officers,
    token: str,
    *,
    browser: str,
    client: str,
    clock: Clock,
    stays_within: timedelta,
) -> Admitted:
    """
    Let somebody in by a link: once, and in the browser that asked for it.

    Raises:
        Refused: The link lets nobody in (any more), or not from here.

    """
    now = clock.now()
    secret = secrets.token_urlsafe(32)
    with writing(engine) as connection:
        way = _way_in(connection, links, officers, token, now=now)
        if way.mail.browser and way.mail.browser != _hash(browser):
            raise WrongBrowser
        is_first = office.start_session(
            connection,
            mail=way.mail.mail,
            key=_hash(secret),
            address_key=way.officer.key,
            name=way.officer.name,
            client=client[:_LONGEST_CLIENT],
            now=now,
            expires_at=now + stays_within,
        )
        if not is_first:
            raise _dead()
    log.info("Somebody came in at the officers' desk", mail=way.mail.mail)
    return Admitted(
        secret=secret,
        officer=way.officer,
        until=now + stays_within,
        leads_to=page_of_the_desk(way.mail.leads_to),
    )


def who_is_in(
    engine: Engine, officers: Officers, secret: str, *, clock: Clock
) -> Visitor | None:
    """Return who holds this: in, not shown out, and still on the list."""
    if not secret:
        return None
    with reading(engine) as connection:
        found = office.find_session(connection, key=_hash(secret), now=clock.now())
    officer = officers.find(found.address_key) if found else None
    if found is None or officer is None:
        return None
    return Visitor(officer=officer, session=found.session, until=found.expires_at)


def show_out(engine: Engine, visitor: Visitor, *, clock: Clock) -> None:
    """End a session."""
    with writing(engine) as connection:
        office.end_session(connection, session=visitor.session, now=clock.now())


def show_out_everywhere(engine: Engine, email: str, *, clock: Clock) -> int:
    """End all sessions of a person and kill their links; say how many sessions."""
    with writing(engine) as connection:
        return office.end_sessions_of(
            connection, address_key=address_key(email), now=clock.now()
        )


def page_of_the_desk(path: str) -> str:
    """Return a page of the desk, the first one where it is none: never elsewhere."""
    is_page = len(path) <= _LONGEST_PAGE and _PAGE.fullmatch(path)
    return path if is_page and not path.startswith(f"{DESK}/in") else DESK


class WrongBrowser(Refused):
    """The link works, and only in the browser in which it was asked for."""

    def __init__(self) -> None:
        super().__init__("this link was asked for in another browser", source="I6")


def _way_in(
    connection: Connection,
    links: Links,
    officers: Officers,
    token: str,
    *,
    now: datetime,
) -> WayIn:
    claims = links.read(token, purpose=SIGN_IN, now=now)
    mail = office.find_mail(connection, mail=int(claims.contact))
    officer = officers.find(mail.address_key) if mail else None
    if (
        mail is None
        or officer is None
        or mail.kind is not OfficeMailKind.SIGN_IN
        or mail.used_at is not None
        or mail.expires_at <= now
    ):
        raise _dead()
    return WayIn(officer=officer, mail=mail)


def _dead() -> Refused:
    return Refused("this link is not valid (any more)", source="I6")


def _hash(text: str) -> str:
    """Hash what a browser holds; of nothing, nothing."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
