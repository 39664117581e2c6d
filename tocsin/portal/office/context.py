"""What every page of the desk needs: who is in, what they may do, and what it acts with."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, cast

import structlog
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Engine

from models.terms import ContactId, IncidentId, SubscriberId
from tocsin.ca.backend import CaBackend
from tocsin.ca.factory import open_ca
from tocsin.clock import Clock
from tocsin.errors import BadInput, Refused
from tocsin.intake.officers import read_officers
from tocsin.links import LinkClaims, Links
from tocsin.mail.messages import Mailer
from tocsin.policy.figures import IncidentSummary
from tocsin.policy.office import Officers
from tocsin.portal.forms import Submitted, read_form
from tocsin.portal.office.background import Background, Imports
from tocsin.portal.render import Pages
from tocsin.settings import Settings
from tocsin.steps.letters import Sender
from tocsin.steps.once import see_unused
from tocsin.steps.sign_in import DESK, Visitor, who_is_in
from tocsin.store.drafts import WaitingLaunch, waiting_launches
from tocsin.store.forms import SentForm
from tocsin.store.session import reading
from tocsin.store.summaries import incident_summary

log = structlog.get_logger()

READ = ["GET", "HEAD"]
OK = 200
SEE_OTHER = 303
FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
TOO_LARGE = 413
UNAVAILABLE = 503
MENDABLE = 422

_LONGEST_KEY = 18
_FORM_BYTES = 1_000_000


class SignInFirst(Exception):  # noqa: N818 - named for what it asks
    """Nobody is in: which page, and why, is not told."""


class NotYours(Exception):  # noqa: N818 - named for what it is
    """A manager's session, and only an officer may do this."""


class StaleForm(Exception):  # noqa: N818 - named for what it is
    """The form was not sent from its own page in this session, or it is too old."""


class NotThere(Exception):  # noqa: N818 - named for what it is
    """There is no such incident, subscriber or page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """
    The desk's collaborators.

    Args:
        engine: The database.
        links: Signs ways in and forms.
        settings: What the operator set.
        clock: Tells now.
        pages: Renders.
        mailer: The relay.
        sender: Who the mail comes from.
        background: Work that no answer waits for.
        imports: Lists that are being read.

    """

    engine: Engine
    links: Links
    settings: Settings
    clock: Clock
    pages: Pages
    mailer: Mailer
    sender: Sender
    background: Background
    imports: Imports

    def backend(self) -> CaBackend:
        """
        Open the CA that a launch is planned for; only when it is needed.

        Raises:
            BadInput: Its settings are wrong; pages that need no CA do not care.

        """
        return open_ca(self.settings, clock=self.clock).backend

    @property
    def is_protected(self) -> bool:
        """Whether people reach it by HTTPS: then cookies travel by nothing else."""
        return self.settings.public_portal.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """The name of what a session is known by."""
        return self._cookie("desk")

    @property
    def browser_cookie(self) -> str:
        """The name of what a browser is known by that asked for a link."""
        return self._cookie("desk-asked")

    def officers(self) -> Officers:
        """Read the list as it is now: who was taken off it is out."""
        path = self.settings.officers
        if not path.exists():
            return Officers(people=(), problems=("there is no officers' list",))
        officers = read_officers(path)
        if officers.problems:
            log.error(
                "The officers' list has rows that cannot be used: "
                "`tocsin officer check` names them",
                rows=len(officers.problems),
            )
        return officers

    def set_cookie(
        self, response: HTMLResponse | Any, name: str, value: str, lives: timedelta
    ) -> None:
        """Give a browser something to hold that no script and no other site can use."""
        response.set_cookie(
            name,
            value,
            max_age=int(lives.total_seconds()),
            path="/",
            secure=self.is_protected,
            httponly=True,
            samesite="strict",
        )

    def render(
        self,
        name: str,
        visitor: Visitor | None,
        *,
        status: int = OK,
        zone: str | None = None,
        **context: object,
    ) -> HTMLResponse:
        """Render a page of the desk, in the CA's zone unless told otherwise."""
        waiting: tuple[WaitingLaunch, ...] = ()
        if visitor is not None:
            with reading(self.engine) as connection:
                waiting = waiting_launches(connection)
        return self.pages.render(
            f"desk/{name}",
            {
                "config": self.settings,
                "visitor": visitor,
                "waiting": waiting,
                "problems": (),
                "nonce_for": lambda form: self.sign_form(visitor, form),
                **context,
            },
            zone=zone or self.settings.zone,
            now=self.clock.now(),
            status=status,
        )

    def sign_form(self, visitor: Visitor | None, form: str) -> str:
        """Return the nonce of a form: good for it alone, in this session alone."""
        if visitor is None:
            return ""
        return self.links.sign(
            LinkClaims(
                incident=IncidentId(""),
                subscriber=SubscriberId(0),
                contact=ContactId(visitor.session),
                purpose=_purpose(form),
                generation=secrets.randbits(62),
                expires_at=visitor.until,
            )
        )

    def check_form(
        self, visitor: Visitor, form: str, sent: Submitted, *, leads_to: str = DESK
    ) -> SentForm:
        """
        See that a form comes from its own page, and has not done its act yet.

        Args:
            visitor: Who sent it.
            form: Which form it is.
            sent: What was sent.
            leads_to: The page that follows its act.

        Returns:
            What the act is done once by (I4).

        Raises:
            StaleForm: It does not come from its own page.
            DoneBefore: It has done its act.

        """
        nonce = sent.one("nonce")
        try:
            claims = self.links.read(
                nonce, purpose=_purpose(form), now=self.clock.now()
            )
        except Refused:
            raise StaleForm from None
        if int(claims.contact) != visitor.session:
            raise StaleForm
        once = SentForm(key=_hash(nonce), content=_content(sent), leads_to=leads_to)
        see_unused(self.engine, once)
        return once

    def _cookie(self, name: str) -> str:
        # Browsers refuse this prefix from anywhere but the host itself by HTTPS.
        return f"__Host-{name}" if self.is_protected else name


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _content(sent: Submitted) -> str:
    """Hash what was entered, files included."""
    files = [(name, hashlib.sha256(data).hexdigest()) for name, data in sent.files]
    return _hash(repr((sorted(sent.fields.items()), files)))


def _purpose(form: str) -> str:
    return f"office:{form}"


async def the_office(request: Request) -> Office:
    """Find the desk that a request is for."""
    return cast("Office", request.app.state.office)


TheOffice = Annotated[Office, Depends(the_office)]


def came_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site had it send this."""
    return request.headers.get("sec-fetch-site", "same-origin") not in (
        "same-origin",
        "none",
    )


def the_visitor(office: TheOffice, request: Request) -> Visitor:
    """
    Say who is in.

    Raises:
        SignInFirst: Nobody.
        StaleForm: Another site sent the form.

    """
    secret = request.cookies.get(office.session_cookie, "")
    visitor = who_is_in(office.engine, office.officers(), secret, clock=office.clock)
    if visitor is None:
        raise SignInFirst
    if request.method not in READ and came_from_elsewhere(request):
        raise StaleForm
    return visitor


TheVisitor = Annotated[Visitor, Depends(the_visitor)]


def the_officer(visitor: TheVisitor) -> Visitor:
    """
    Say which officer is in.

    Raises:
        NotYours: A manager is.

    """
    if not visitor.officer.may_launch:
        raise NotYours
    return visitor


TheOfficer = Annotated[Visitor, Depends(the_officer)]


async def _sent(request: Request, _visitor: TheVisitor) -> Submitted:
    # Only what somebody sends who is in is read at all.
    return await read_form(request, most_bytes=_FORM_BYTES)


Sent = Annotated[Submitted, Depends(_sent)]


def the_incident(
    office: TheOffice, visitor: TheVisitor, incident: str
) -> IncidentSummary:
    """
    Find the incident of an address.

    Raises:
        NotThere: There is none.

    """
    del visitor  # who is not in learns nothing, not even what there is not
    try:
        with reading(office.engine) as connection:
            return incident_summary(connection, incident=IncidentId(incident))
    except BadInput:
        raise NotThere from None


TheIncident = Annotated[IncidentSummary, Depends(the_incident)]


def parse_key(text: str) -> int:
    """
    Read an identifier out of an address.

    Raises:
        NotThere: It is none.

    """
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY):
        raise NotThere
    return int(text)
