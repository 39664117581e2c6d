"""The desk as a part of the portal: its routes, and its answers to who may not."""

from functools import cache

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from tocsin.portal.office.calls import add_call_routes
from tocsin.portal.office.context import (
    CONFLICT,
    FORBIDDEN,
    NOT_FOUND,
    READ,
    SEE_OTHER,
    TOO_LARGE,
    NotThere,
    NotYours,
    Office,
    SignInFirst,
    StaleForm,
    TheVisitor,
)
from tocsin.portal.office.escalations import add_escalation_routes
from tocsin.portal.office.incidents import add_incident_routes
from tocsin.portal.office.notices import add_notice_routes
from tocsin.portal.office.opening import add_opening_routes
from tocsin.portal.office.scope import MOST_BYTES, PROPOSALS, add_scope_routes
from tocsin.portal.office.signing import add_signing_routes, sign_in_page
from tocsin.portal.office.subscribers import add_subscriber_routes
from tocsin.steps.once import DoneBefore
from tocsin.steps.sign_in import DESK, Visitor, who_is_in

UPLOADS = f"{DESK}/new"
"""Where an officer may send more than a subscriber."""


def upload_limits(officer_upload_bytes: int) -> dict[str, int]:
    """Return how many octets an officer may send, by address."""
    return {UPLOADS: officer_upload_bytes, PROPOSALS: MOST_BYTES}


def add_office(app: FastAPI, office: Office) -> None:
    """Add the officers' desk to the portal."""
    app.state.office = office
    app.router.routes.extend(_routes())
    app.add_exception_handler(SignInFirst, _sign_in_first)
    app.add_exception_handler(NotYours, _not_yours)
    app.add_exception_handler(StaleForm, _stale_form)
    app.add_exception_handler(DoneBefore, _done_before)
    app.add_exception_handler(NotThere, _not_there)


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Make what all desks of a process share: FastAPI takes long over each route."""
    router = APIRouter()
    add_signing_routes(router)
    add_opening_routes(router)
    add_incident_routes(router)
    add_escalation_routes(router)
    add_subscriber_routes(router)
    add_notice_routes(router)
    add_call_routes(router)
    add_scope_routes(router)
    router.add_api_route(f"{DESK}/{{rest:path}}", _nothing, methods=[*READ, "POST"])
    return tuple(router.routes)


def too_large(request: Request) -> Response | None:
    """Answer an officer who sent too much; None where it was not sent to the desk."""
    if not request.url.path.startswith(f"{DESK}/"):
        return None
    return _office(request).render("too-large", None, status=TOO_LARGE)


def _nothing(visitor: TheVisitor) -> Response:
    """Say that there is nothing, to whoever is in; others are asked who comes."""
    del visitor
    raise NotThere


def _sign_in_first(request: Request, _error: Exception) -> Response:
    return sign_in_page(_office(request), request, status=FORBIDDEN)


def _not_yours(request: Request, _error: Exception) -> Response:
    return _office(request).render("not-yours", _visitor(request), status=FORBIDDEN)


def _stale_form(request: Request, _error: Exception) -> Response:
    return _office(request).render("stale", _visitor(request), status=CONFLICT)


def _done_before(request: Request, error: Exception) -> Response:
    """Lead whoever pressed twice to where the first time led."""
    leads_to = error.leads_to if isinstance(error, DoneBefore) else None
    if leads_to is None:
        return _stale_form(request, error)
    return RedirectResponse(leads_to, status_code=SEE_OTHER)


def _not_there(request: Request, _error: Exception) -> Response:
    return _office(request).render("not-there", _visitor(request), status=NOT_FOUND)


def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


def _visitor(request: Request) -> Visitor | None:
    office = _office(request)
    return who_is_in(
        office.engine,
        office.officers(),
        request.cookies.get(office.session_cookie, ""),
        clock=office.clock,
    )
