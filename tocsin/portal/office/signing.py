"""Coming in and going out: a link to one's own mailbox, a button, a session."""

import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from tocsin.errors import Refused
from tocsin.portal.forms import Problem, Submitted, read_form
from tocsin.portal.office.context import (
    CONFLICT,
    FORBIDDEN,
    MENDABLE,
    NOT_FOUND,
    OK,
    READ,
    SEE_OTHER,
    Office,
    Sent,
    StaleForm,
    TheOffice,
    TheVisitor,
    came_from_elsewhere,
)
from tocsin.steps.office_mail import send_office_mail
from tocsin.steps.sign_in import (
    DESK,
    WrongBrowser,
    ask_for_link,
    come_in,
    find_way_in,
    page_of_the_desk,
    show_out,
    who_is_in,
)

_LONGEST_ADDRESS = 320
_SMALL = 20_000


def add_signing_routes(router: APIRouter) -> None:
    """Add what leads in and out; what only reads changes nothing (I6)."""
    router.add_api_route(f"{DESK}/sign-in", _form, methods=READ)
    router.add_api_route(f"{DESK}/sign-in", _ask, methods=["POST"])
    router.add_api_route(f"{DESK}/in/{{token}}", _door, methods=READ)
    router.add_api_route(f"{DESK}/in/{{token}}", _enter, methods=["POST"])
    router.add_api_route(f"{DESK}/out", _leave, methods=["POST"])


def sign_in_page(
    office: Office,
    request: Request,
    *,
    status: int = OK,
    problems: tuple[Problem, ...] = (),
    address: str = "",
    leads_to: str | None = None,
) -> Response:
    """Ask who comes, in the same words for whoever is not in."""
    wanted = request.url.path if request.method in READ else DESK
    return office.render(
        "sign-in",
        None,
        status=status,
        problems=problems,
        address=address,
        leads_to=page_of_the_desk(leads_to or wanted),
        was_sent=request.method not in READ and status == FORBIDDEN,
        from_elsewhere=request.method in READ
        and request.headers.get("sec-fetch-site") == "cross-site",
    )


def send_soon(office: Office) -> None:
    """
    Send what is planned, beside the answer and not before it.

    Who asks for a link must not learn from the time it takes whether there is one.
    """
    office.background.start(
        "office-mail",
        lambda: send_office_mail(
            office.engine,
            office.mailer,
            office.links,
            office.sender,
            office.officers(),
            zone=office.settings.zone,
            clock=office.clock,
        ),
    )


def _form(office: TheOffice, request: Request) -> Response:
    return sign_in_page(office, request, leads_to=DESK)


async def _guest_form(request: Request) -> Submitted:
    if came_from_elsewhere(request):
        raise StaleForm
    return await read_form(request, most_bytes=_SMALL)


def _ask(
    office: TheOffice,
    request: Request,
    sent: Annotated[Submitted, Depends(_guest_form)],
) -> Response:
    address, leads_to = sent.one("address"), sent.one("leads_to")
    if "@" not in address or len(address) > _LONGEST_ADDRESS:
        problem = Problem(
            field="address", message="Enter your own address, like name@ca.example."
        )
        return sign_in_page(
            office,
            request,
            status=MENDABLE,
            problems=(problem,),
            address=address[:_LONGEST_ADDRESS],
            leads_to=leads_to,
        )
    browser = request.cookies.get(office.browser_cookie) or secrets.token_urlsafe(24)
    valid = timedelta(minutes=office.settings.officer_link_minutes)
    ask_for_link(
        office.engine,
        office.officers(),
        address=address,
        client=_client(request),
        browser=browser,
        leads_to=leads_to,
        clock=office.clock,
        valid_within=valid,
    )
    send_soon(office)
    response = office.render(
        "asked", None, minutes=office.settings.officer_link_minutes
    )
    # For longer than the link, so that a second request leaves the first one working.
    office.set_cookie(response, office.browser_cookie, browser, 2 * valid)
    return response


def _door(office: TheOffice, token: str) -> Response:
    try:
        way = find_way_in(
            office.engine, office.links, office.officers(), token, clock=office.clock
        )
    except Refused:
        return _dead(office)
    return office.render(
        "door", None, officer=way.officer, token=token, until=way.mail.expires_at
    )


def _enter(office: TheOffice, token: str, request: Request) -> Response:
    if came_from_elsewhere(request):
        raise StaleForm
    officers = office.officers()
    stays = timedelta(minutes=office.settings.officer_session_minutes)
    try:
        admitted = come_in(
            office.engine,
            office.links,
            officers,
            token,
            browser=request.cookies.get(office.browser_cookie, ""),
            client=_client(request),
            clock=office.clock,
            stays_within=stays,
        )
    except WrongBrowser:
        return office.render("elsewhere", None, status=CONFLICT)
    except Refused:
        secret = request.cookies.get(office.session_cookie, "")
        if who_is_in(office.engine, officers, secret, clock=office.clock):
            # Pressed twice: the first time has let them in.
            return RedirectResponse(DESK, status_code=SEE_OTHER)
        return _dead(office)
    response = RedirectResponse(admitted.leads_to, status_code=SEE_OTHER)
    office.set_cookie(response, office.session_cookie, admitted.secret, stays)
    return response


def _leave(office: TheOffice, visitor: TheVisitor, sent: Sent) -> Response:
    office.check_form(visitor, "out", sent)
    show_out(office.engine, visitor, clock=office.clock)
    response = RedirectResponse(f"{DESK}/sign-in", status_code=SEE_OTHER)
    response.delete_cookie(
        office.session_cookie,
        path="/",
        secure=office.is_protected,
        httponly=True,
        samesite="strict",
    )
    return response


def _dead(office: Office) -> Response:
    return office.render("dead", None, status=NOT_FOUND)


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
