"""The pages behind the one mail to somebody who was named: what it means, yes, or not me."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from models.terms import ContactState, IncidentState
from tocsin.errors import Refused
from tocsin.links import CONFIRMATION, LinkClaims
from tocsin.phrases import phrase
from tocsin.portal.desk import DeadLink, Desk, TheDesk
from tocsin.portal.forms import CHANGED_MEANWHILE, Problem, Submitted, read_submitted
from tocsin.steps.confirmations import (
    AnswerForAddress,
    Choice,
    answer_for_address,
    named_contact,
)
from tocsin.store.contacts import KnownContact, SubscriberName, subscriber_name
from tocsin.store.incidents import IncidentRecord, read_incident
from tocsin.store.session import reading

_READ = ["GET", "HEAD"]
_OK = 200
_SEE_OTHER = 303
_CONFLICT = 409
_MENDABLE = 422

_CHOOSE = Problem(field="choice", message=phrase("Say whether our mails are for you."))


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedVisit:
    """One request of somebody who was named as a contact, through their link."""

    token: str
    claims: LinkClaims
    contact: KnownContact
    of: SubscriberName
    record: IncidentRecord

    @property
    def base(self) -> str:
        """The address of the page, without the host."""
        return f"/c/{self.token}"

    @property
    def takes_answers(self) -> bool:
        """Whether there is still something to say."""
        return (
            self.record.state is IncidentState.RUNNING
            and self.contact.state is ContactState.UNCONFIRMED
        )


Sent = Annotated[Submitted, Depends(read_submitted)]


def add_confirmation_routes(router: APIRouter) -> None:
    """Add what stands behind the link of an address; reading changes nothing (I6)."""
    router.add_api_route("/c/{token}", _ask, methods=_READ)
    router.add_api_route("/c/{token}/check", _check, methods=["POST"])
    router.add_api_route("/c/{token}", _answer, methods=["POST"])


def _ask(desk: TheDesk, token: str) -> Response:
    return _page(desk, _open(desk, token))


def _check(desk: TheDesk, token: str, sent: Sent) -> Response:
    visit = _open(desk, token)
    if not visit.takes_answers:
        return _page(desk, visit)
    answer = _read(sent)
    if answer is None:
        return _page(desk, visit, _CHOOSE, status=_MENDABLE)
    return _check_page(desk, visit, answer)


def _answer(desk: TheDesk, token: str, sent: Sent) -> Response:
    visit = _open(desk, token)
    if visit.takes_answers:
        answer = _read(sent)
        if answer is None:
            return _page(desk, visit, _CHOOSE, status=_MENDABLE)
        nonce = desk.read_form(visit, answer, sent.one("nonce"))
        if nonce is None:
            return _check_page(desk, visit, answer, CHANGED_MEANWHILE)
        try:
            answer_for_address(
                desk.engine,
                claims=visit.claims,
                answer=answer,
                nonce=nonce,
                clock=desk.clock,
                mail_domain=desk.config.mail_domain,
            )
        except Refused:
            raise DeadLink from None
    # Said, now or before, by whichever press of the button: the page says what.
    return RedirectResponse(visit.base, status_code=_SEE_OTHER)


def _open(desk: Desk, token: str) -> NamedVisit:
    """
    Let somebody in who was named.

    Raises:
        DeadLink: Their link does not work (any more).

    """
    claims = desk.claims_of(token, purpose=CONFIRMATION)
    with reading(desk.engine) as connection:
        contact = named_contact(connection, claims=claims)
        if contact is None:
            raise DeadLink
        return NamedVisit(
            token=token,
            claims=claims,
            contact=contact,
            of=subscriber_name(connection, subscriber=claims.subscriber),
            record=read_incident(connection, incident=claims.incident),
        )


def _read(sent: Submitted) -> AnswerForAddress | None:
    try:
        return AnswerForAddress(choice=Choice(sent.one("choice")))
    except ValueError:
        return None


def _page(
    desk: Desk, visit: NamedVisit, *problems: Problem, status: int = _OK
) -> HTMLResponse:
    return _render(desk, visit, "named", problems=problems, status=status)


def _check_page(
    desk: Desk, visit: NamedVisit, answer: AnswerForAddress, *problems: Problem
) -> HTMLResponse:
    return _render(
        desk,
        visit,
        "named-check",
        status=_CONFLICT if problems else _OK,
        problems=problems,
        choice=answer.choice.value,
        carried=[("choice", answer.choice.value)],
        nonce=desk.sign_form(visit, answer),
    )


def _render(
    desk: Desk, visit: NamedVisit, name: str, *, status: int = _OK, **context: object
) -> HTMLResponse:
    return desk.pages.render(
        name,
        {"visit": visit, "config": desk.config} | context,
        asked=desk.asked,
        own=visit.of.language,
        zone=visit.of.zone,
        now=desk.clock.now(),
        status=status,
    )
