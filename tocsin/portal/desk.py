"""What every page needs: who came, through which link, and what they may see."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Engine

from models.terms import (
    CertificateId,
    Circumstance,
    IncidentState,
    ReplacementId,
    ReplyId,
)
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.intake.csr.weak_keys import KeyBlocklist
from tocsin.links import SUBSCRIBER, LinkClaims, Links
from tocsin.policy.rules import Rule, parse_rule_pack, shipped_rule_pack
from tocsin.portal.asked import NOTHING_ASKED, Asked, asked_by
from tocsin.portal.render import Pages
from tocsin.steps.confirmations import AnswerForAddress
from tocsin.steps.escalations import Take
from tocsin.steps.reply_acts import ReplyAct
from tocsin.store import contacts, pages, replacements, replies
from tocsin.store.replacements import IssuedReplacement
from tocsin.store.session import reading
from tocsin.store.views import (
    NO_FILTER,
    CertificateView,
    Filter,
    ReplyView,
    Selection,
    SubscriberView,
)
from tocsin.store.wire import WireView, latest_checks
from tocsin.wire import Wire

SignedAct = ReplyAct | Take | AnswerForAddress
"""What the nonce of a check page can be good for."""

_LONGEST_KEY = 18
_DIGITS = 7
_FORM_WITHIN = timedelta(hours=12)
"""How long a page with a form can lie open; a link lives longer."""


class DeadLink(Exception):  # noqa: N818 - named for what it is
    """The link is forged, expired, revoked or not ours: nobody is told which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalConfig:
    """
    What the portal says and allows.

    Args:
        ca_name: How the CA signs.
        ca_phone: Whom a subscriber calls.
        ca_site: The CA's own site, written out.
        grace_within: How long an act can be undone that brings revocation forward.
        max_upload_bytes: Largest upload, in all its files.
        requests_per_minute: Of one link; of one client address five times as many.
        public_url: Where people reach the portal, without a trailing slash.
        mail_domain: Domain of the Message-IDs of what is written because of an act.
        key_blocklist: Keys known to be compromised, where the CA keeps such a list.
        wire: Looks which certificates hosts present; None: nobody does.
        wire_checks_per_hour: Hosts of one subscriber that are looked at, at most.

    """

    ca_name: str
    ca_phone: str
    ca_site: str
    grace_within: timedelta
    max_upload_bytes: int
    requests_per_minute: int
    public_url: str
    mail_domain: str
    key_blocklist: KeyBlocklist | None = None
    wire: Wire | None = None
    wire_checks_per_hour: int = 60


class Visitor(Protocol):
    """Whoever came through a link: a subscriber, or one of the CA's own people."""

    @property
    def claims(self) -> LinkClaims:
        """What their link stands for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request through a link that works."""

    token: str
    claims: LinkClaims
    view: SubscriberView

    @property
    def base(self) -> str:
        """The address of the subscriber's page, without the host."""
        return f"/s/{self.token}"

    @property
    def rule(self) -> Rule:
        """The rule behind the deadline, as frozen at launch."""
        return rule_of(self.view.rule_pack, self.view.circumstance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """
    The portal's collaborators.

    Args:
        engine: The database.
        links: Reads the links' tokens, signs forms.
        config: What it says and allows.
        clock: Tells now.
        pages: Renders.
        asked: In which language the answer to this request is wanted.

    """

    engine: Engine
    links: Links
    config: PortalConfig
    clock: Clock
    pages: Pages
    asked: Asked = NOTHING_ASKED

    def claims_of(self, token: str, *, purpose: str = SUBSCRIBER) -> LinkClaims:
        """
        Return what a link stands for; whether its contact left, nobody asked.

        Args:
            token: Of the link.
            purpose: What it has to be made for.

        Raises:
            DeadLink: It is forged, expired, or made for something else.

        """
        try:
            return self.links.read(token, purpose=purpose, now=self.clock.now())
        except Refused:
            raise DeadLink from None

    def open(
        self,
        token: str,
        *,
        page: int = 1,
        selection: Selection = Selection.ALL,
        wanted: Filter = NO_FILTER,
    ) -> Visit:
        """
        Let somebody in by their link.

        Raises:
            DeadLink: It does not work (any more).

        """
        now = self.clock.now()
        claims = self.claims_of(token)
        with reading(self.engine) as connection:
            if not contacts.contact_is_current(connection, claims=claims):
                raise DeadLink
            view = pages.subscriber_view(
                connection,
                incident=claims.incident,
                subscriber=claims.subscriber,
                now=now,
                page=page,
                selection=selection,
                wanted=wanted,
            )
        if view is None or view.state is IncidentState.DRAFT:
            raise DeadLink
        return Visit(token=token, claims=claims, view=view)

    def certificates(
        self, visit: Visit, certificates: Sequence[CertificateId]
    ) -> tuple[CertificateView, ...]:
        """Read those of the certificates that are the visitor's."""
        with reading(self.engine) as connection:
            return pages.certificates_of(
                connection,
                incident=visit.claims.incident,
                subscriber=visit.claims.subscriber,
                certificates=certificates,
            )

    def every(self, visit: Visit, selection: Selection) -> tuple[CertificateId, ...]:
        """Read the keys of all of a selection that the visitor filtered for."""
        with reading(self.engine) as connection:
            return pages.selected_certificates(
                connection,
                incident=visit.claims.incident,
                subscriber=visit.claims.subscriber,
                selection=selection,
                wanted=visit.view.filter,
            )

    def replacements(
        self, visit: Visit, replacement: ReplacementId | None = None
    ) -> list[IssuedReplacement]:
        """Read what was issued to the visitor's subscriber, all or one."""
        with reading(self.engine) as connection:
            return list(
                replacements.replacements_of(
                    connection,
                    incident=visit.claims.incident,
                    subscriber=visit.claims.subscriber,
                    replacement=replacement,
                )
            )

    def seen(
        self, certificates: Sequence[CertificateId]
    ) -> Mapping[CertificateId, WireView]:
        """Return what the hosts of these certificates presented when last looked at."""
        with reading(self.engine) as connection:
            return latest_checks(connection, certificates)

    def reply(self, visit: Visit, reply: ReplyId) -> ReplyView | None:
        """Return one of the visitor's replies; None where it is not theirs."""
        with reading(self.engine) as connection:
            return pages.reply_of(
                connection,
                incident=visit.claims.incident,
                subscriber=visit.claims.subscriber,
                reply=reply,
            )

    def reply_of_form(self, visit: Visit, nonce: str) -> ReplyId | None:
        """Return the reply that a form has made before."""
        with reading(self.engine) as connection:
            known = replies.reply_with_nonce(
                connection,
                subscriber=visit.claims.subscriber,
                nonce=_filed_under(nonce),
            )
        return known.reply if known else None

    def sign_form(self, visit: Visitor, act: SignedAct) -> str:
        """
        Return the nonce of a check page.

        It is good for this act by this contact only, on this state of things: what was
        shown is what is done.
        """
        seen = visit.view.latest if isinstance(visit, Visit) else 0
        token = self.links.sign(
            LinkClaims(
                incident=visit.claims.incident,
                subscriber=visit.claims.subscriber,
                contact=visit.claims.contact,
                purpose=_purpose(act, seen),
                generation=secrets.randbits(62),
                expires_at=self.clock.now() + _FORM_WITHIN,
            )
        )
        return f"{token}~{seen}" if seen else token

    def read_form(self, visit: Visitor, act: SignedAct, nonce: str) -> str | None:
        """Return what the reply is filed under; None where the check page was not this."""
        token, _, _ = nonce.partition("~")
        try:
            claims = self.links.read(
                token, purpose=_purpose(act, seen_on(nonce)), now=self.clock.now()
            )
        except Refused:
            return None
        is_theirs = (
            claims.incident == visit.claims.incident
            and claims.subscriber == visit.claims.subscriber
            and claims.contact == visit.claims.contact
        )
        return _filed_under(nonce) if is_theirs else None

    def context(self, visit: Visit, **more: object) -> Mapping[str, object]:
        """Return what every template gets."""
        nothing: Mapping[str, object] = {"problems": (), "news": ()}
        about = {"visit": visit, "view": visit.view, "config": self.config}
        return {**nothing, **about, **more}

    def render(
        self, visit: Visit, name: str, *, status: int = 200, **more: object
    ) -> HTMLResponse:
        """Render a page for the visitor, in their language and zone."""
        return self.pages.render(
            name,
            self.context(visit, **more),
            asked=self.asked,
            own=visit.view.language,
            zone=visit.view.zone,
            now=visit.view.read_at,
            status=status,
        )


def the_desk(request: Request) -> Desk:
    """Return the collaborators that a request was given."""
    return cast("Desk", request.app.state.desk)


async def _the_desk(request: Request) -> Desk:
    return replace(the_desk(request), asked=asked_by(request))


TheDesk = Annotated[Desk, Depends(_the_desk)]
"""What a route takes as an argument to get them; awaited, so that no thread is spent."""


def _filed_under(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


def seen_on(nonce: str) -> ReplyId:
    """Return the last reply that the page of a form was made from; 0: none."""
    _, _, seen = nonce.partition("~")
    is_key = seen.isascii() and seen.isdigit() and len(seen) <= _LONGEST_KEY
    return ReplyId(int(seen)) if is_key else ReplyId(0)


def page_number(text: str) -> int:
    """Read the number of a page of a list; the first where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else 1


def _purpose(act: SignedAct, seen: int) -> str:
    content = json.dumps([type(act).__name__, asdict(act), seen], sort_keys=True)
    return "form:" + hashlib.sha256(content.encode()).hexdigest()[:32]


@lru_cache(maxsize=32)
def rule_of(rule_pack: str, circumstance: Circumstance) -> Rule:
    """Return the rule behind a circumstance, as frozen at launch."""
    pack = parse_rule_pack(rule_pack) if rule_pack else shipped_rule_pack()
    return pack.rule(circumstance)
