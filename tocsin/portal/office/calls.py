"""Calling at the desk: the sheet, the words to say, and what came of a call."""

from collections.abc import Mapping

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from models.terms import CallOutcome
from tocsin.errors import BadInput, Refused
from tocsin.intake.contacts import parse_address
from tocsin.policy.figures import IncidentSummary
from tocsin.portal.forms import Problem, Submitted
from tocsin.portal.office.context import (
    CONFLICT,
    MENDABLE,
    OK,
    READ,
    SEE_OTHER,
    Office,
    Sent,
    TheIncident,
    TheOffice,
    TheVisitor,
)
from tocsin.portal.office.subscribers import TheSubscriber, subscriber_path
from tocsin.reports.calls import Speaker, what_to_say
from tocsin.steps.calls import NewContact, log_call
from tocsin.steps.sign_in import DESK, Visitor
from tocsin.store.calls import call_sheet
from tocsin.store.session import reading
from tocsin.store.views import SubscriberView

_SHEET = f"{DESK}/i/{{incident}}/calls"
_CALL = f"{DESK}/i/{{incident}}/s/{{subscriber}}/call"
_SHOWN = 200
_LONGEST_NAME = 200
_LONGEST_PHONE = 64
_FIELDS = ("outcome", "note", "name", "email", "phone")


def add_call_routes(router: APIRouter) -> None:
    """Add the call sheet and the form about a call; logging one is a POST (I6)."""
    router.add_api_route(_SHEET, _sheet, methods=READ)
    router.add_api_route(_CALL, _form, methods=READ)
    router.add_api_route(_CALL, _log, methods=["POST"])


def _sheet(office: TheOffice, visitor: TheVisitor, summary: TheIncident) -> Response:
    with reading(office.engine) as connection:
        sheet = call_sheet(connection, incident=summary.incident, limit=_SHOWN)
    speaker = Speaker(
        ca_name=office.settings.ca_name,
        ca_phone=office.settings.ca_phone,
        ca_site=office.settings.ca_site,
    )
    return office.render(
        "calls",
        visitor,
        zone=summary.zone,
        summary=summary,
        sheet=sheet,
        words_for={
            row.subscriber: what_to_say(row, speaker, deadline=sheet.deadline)
            for row in sheet.rows
        },
    )


def _form(
    office: TheOffice, visitor: TheVisitor, summary: TheIncident, view: TheSubscriber
) -> Response:
    return _page(office, visitor, summary, view)


def _log(
    office: TheOffice,
    visitor: TheVisitor,
    summary: TheIncident,
    view: TheSubscriber,
    sent: Sent,
) -> Response:
    form = office.check_form(
        visitor, _form_of(view), sent, leads_to=f"{subscriber_path(view)}#calls"
    )
    values = {name: sent.one(name) for name in _FIELDS}
    outcome = next((one for one in CallOutcome if one.value == values["outcome"]), None)
    contact, problems = _contact_of(sent)
    if outcome is None:
        problem = Problem(field="outcome", message="Say what came of the call.")
        problems = (problem, *problems)
    if problems or outcome is None:
        return _page(
            office,
            visitor,
            summary,
            view,
            values=values,
            problems=problems,
            status=MENDABLE,
        )
    try:
        log_call(
            office.engine,
            incident=view.incident,
            subscriber=str(view.subscriber),
            outcome=outcome,
            note=values["note"],
            caller=visitor.officer.name,
            new_contact=contact,
            clock=office.clock,
            form=form,
        )
    except (BadInput, Refused) as error:
        return _page(
            office,
            visitor,
            summary,
            view,
            values=values,
            problems=(Problem(field="check", message=f"{error}."),),
            status=CONFLICT,
        )
    return RedirectResponse(form.leads_to, status_code=SEE_OTHER)


def _contact_of(sent: Submitted) -> tuple[NewContact | None, tuple[Problem, ...]]:
    name = " ".join(sent.one("name").split())
    email, phone = sent.one("email"), sent.one("phone")
    if not email:
        if not (name or phone):
            return None, ()
        message = "Enter their address, too, or leave all three out."
        return None, (Problem(field="email", message=message),)
    try:
        email = parse_address(email)
    except BadInput as error:
        message = f"Enter an address like name@example.org: {error.message}"
        return None, (Problem(field="email", message=message),)
    if len(name) > _LONGEST_NAME or len(phone) > _LONGEST_PHONE:
        problem = Problem(field="name", message="Enter a shorter name or number.")
        return None, (problem,)
    return NewContact(name=name, email=email, phone=phone), ()


def _page(
    office: Office,
    visitor: Visitor,
    summary: IncidentSummary,
    view: SubscriberView,
    *,
    values: Mapping[str, object] | None = None,
    problems: tuple[Problem, ...] = (),
    status: int = OK,
) -> Response:
    return office.render(
        "call",
        visitor,
        status=status,
        zone=summary.zone,
        summary=summary,
        view=view,
        base=subscriber_path(view),
        values={**dict.fromkeys(_FIELDS, ""), **(values or {})},
        problems=problems,
        form=_form_of(view),
    )


def _form_of(view: SubscriberView) -> str:
    return f"call:{view.incident}:{view.subscriber}"
