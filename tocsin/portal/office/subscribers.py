"""One subscriber at the desk: certificates, people, what was said, and a contact put right."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse, Response

from models.terms import IncidentState, SubscriberId
from tocsin.errors import Refused
from tocsin.policy.escalations import IN_WORDS
from tocsin.policy.figures import IncidentSummary
from tocsin.portal.contact_forms import read_contact
from tocsin.portal.desk import page_number
from tocsin.portal.forms import Problem
from tocsin.portal.office.context import (
    CONFLICT,
    MENDABLE,
    OK,
    READ,
    SEE_OTHER,
    NotThere,
    Office,
    Sent,
    TheIncident,
    TheOffice,
    TheVisitor,
    parse_key,
)
from tocsin.steps.contacts import correct_contact
from tocsin.steps.reply_acts import ChangeContact
from tocsin.steps.sign_in import DESK, Visitor
from tocsin.store.calls import calls_to
from tocsin.store.desk import subscriber_history
from tocsin.store.mail import mail_replies
from tocsin.store.pages import subscriber_view
from tocsin.store.session import reading
from tocsin.store.views import SubscriberView
from tocsin.store.wire import latest_checks

_BASE = f"{DESK}/i/{{incident}}/s/{{subscriber}}"
_MAILS = 50
_EMPTY: Mapping[str, object] = {"name": "", "email": "", "phone": "", "instead_of": ""}


def add_subscriber_routes(router: APIRouter) -> None:
    """Add the pages about one subscriber."""
    router.add_api_route(_BASE, _subscriber, methods=READ)
    router.add_api_route(f"{_BASE}/contact", _contact, methods=READ)
    router.add_api_route(f"{_BASE}/contact", _correct, methods=["POST"])


def the_subscriber(
    office: TheOffice,
    visitor: TheVisitor,
    summary: TheIncident,
    subscriber: str,
    page: str = "1",
) -> SubscriberView:
    """
    Find the subscriber of an address.

    Raises:
        NotThere: The incident has none of that key.

    """
    del visitor
    with reading(office.engine) as connection:
        view = subscriber_view(
            connection,
            incident=summary.incident,
            subscriber=SubscriberId(parse_key(subscriber)),
            now=office.clock.now(),
            page=page_number(page),
        )
    if view is None:
        raise NotThere
    return view


TheSubscriber = Annotated[SubscriberView, Depends(the_subscriber)]


def subscriber_path(view: SubscriberView) -> str:
    """Return the address of a subscriber's page at the desk."""
    return f"{DESK}/i/{view.incident}/s/{view.subscriber}"


def _subscriber(
    office: TheOffice, visitor: TheVisitor, summary: TheIncident, view: TheSubscriber
) -> Response:
    with reading(office.engine) as connection:
        history = subscriber_history(
            connection, incident=view.incident, subscriber=view.subscriber
        )
        mails = mail_replies(
            connection,
            incident=view.incident,
            subscriber=view.subscriber,
            limit=_MAILS,
        )
        calls = calls_to(connection, [view.subscriber])
        seen = latest_checks(connection, [one.certificate for one in view.certificates])
    return office.render(
        "subscriber",
        visitor,
        zone=summary.zone,
        summary=summary,
        view=view,
        history=history,
        causes=IN_WORDS,
        mails=mails,
        calls=list(reversed(calls[view.subscriber])),
        seen=seen,
        base=subscriber_path(view),
    )


def _contact(
    office: TheOffice,
    visitor: TheVisitor,
    summary: TheIncident,
    view: TheSubscriber,
    who: str = "",
) -> Response:
    known = next((one for one in view.contacts if str(one.contact) == who), None)
    values = dict(_EMPTY)
    if known is not None:
        values |= {"name": known.name, "phone": known.phone, "instead_of": who}
    return _contact_page(office, visitor, summary, view, values=values)


def _correct(
    office: TheOffice,
    visitor: TheVisitor,
    summary: TheIncident,
    view: TheSubscriber,
    sent: Sent,
) -> Response:
    form = office.check_form(
        visitor, _form_of(view), sent, leads_to=f"{subscriber_path(view)}#contacts"
    )
    parsed = read_contact(sent, view.contacts)
    if not isinstance(parsed.act, ChangeContact):
        return _contact_page(
            office,
            visitor,
            summary,
            view,
            values=parsed.values,
            problems=parsed.problems,
            status=MENDABLE,
        )
    try:
        correct_contact(
            office.engine,
            incident=view.incident,
            subscriber=view.subscriber,
            change=parsed.act,
            by=visitor.officer,
            clock=office.clock,
            form=form,
        )
    except Refused as refusal:
        return _contact_page(
            office,
            visitor,
            summary,
            view,
            values=parsed.values,
            problems=(Problem(field="check", message=f"{refusal}."),),
            status=CONFLICT,
        )
    return RedirectResponse(form.leads_to, status_code=SEE_OTHER)


def _contact_page(
    office: Office,
    visitor: Visitor,
    summary: IncidentSummary,
    view: SubscriberView,
    *,
    values: Mapping[str, object],
    problems: tuple[Problem, ...] = (),
    status: int = OK,
) -> Response:
    return office.render(
        "contact",
        visitor,
        status=status,
        zone=summary.zone,
        summary=summary,
        view=view,
        base=subscriber_path(view),
        values={**_EMPTY, **values},
        problems=problems,
        form=_form_of(view),
        is_running=summary.state is IncidentState.RUNNING,
    )


def _form_of(view: SubscriberView) -> str:
    return f"contact:{view.incident}:{view.subscriber}"
