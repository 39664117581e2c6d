"""How an incident stands and what needs a person: the pages that officers and managers read."""

from datetime import timedelta

from fastapi import APIRouter
from fastapi.responses import Response

from models.terms import EscalationState, IncidentState, ScopeState
from tocsin.policy.progress import incident_forecast
from tocsin.portal.desk import page_number
from tocsin.portal.office.context import (
    READ,
    TheIncident,
    TheOffice,
    TheVisitor,
)
from tocsin.portal.office.opening import draft_page
from tocsin.reports.status import certificate_lines, headline
from tocsin.steps.sign_in import DESK
from tocsin.store.calls import call_sheet
from tocsin.store.desk import latest_replies, list_subscribers
from tocsin.store.figures import incident_figures
from tocsin.store.mail import mail_replies
from tocsin.store.scope import list_changes
from tocsin.store.session import reading
from tocsin.store.summaries import list_incidents
from tocsin.store.timetable import timetable
from tocsin.store.worklists import (
    subscribers_owing_csr,
    unreachable,
)

_FRESH_WITHIN = timedelta(minutes=10)
"""After a launch its page says what happens next."""

_WORST = 200
"""Rows of a worklist; the rest is counted and found by the list of subscribers."""


def add_incident_routes(router: APIRouter) -> None:
    """Add the pages about incidents; all of them only read (I6)."""
    router.add_api_route(DESK, _incidents, methods=READ)
    router.add_api_route(f"{DESK}/i/{{incident}}", _incident, methods=READ)
    for name, page in (
        ("subscribers", _subscribers),
        ("csrs", _missing_csrs),
        ("replies", _replies),
    ):
        router.add_api_route(f"{DESK}/i/{{incident}}/{name}", page, methods=READ)


def _incidents(office: TheOffice, visitor: TheVisitor) -> Response:
    now = office.clock.now()
    with reading(office.engine) as connection:
        listed = list_incidents(connection)
        outlooks = {
            one.summary.incident: incident_forecast(
                incident_figures(connection, incident=one.summary.incident, now=now)
            )
            for one in listed
            if one.summary.state is IncidentState.RUNNING
        }
    return office.render("incidents", visitor, listed=listed, outlooks=outlooks)


def _incident(office: TheOffice, visitor: TheVisitor, summary: TheIncident) -> Response:
    if summary.state is IncidentState.DRAFT:
        return draft_page(office, visitor, summary)
    now = office.clock.now()
    with reading(office.engine) as connection:
        figures = incident_figures(connection, incident=summary.incident, now=now)
        moments = timetable(connection, incident=summary.incident, now=now)
        owing = subscribers_owing_csr(connection, incident=summary.incident, limit=5)
        lost = unreachable(connection, incident=summary.incident, limit=5)
        sheet = call_sheet(connection, incident=summary.incident, limit=1)
        mails = mail_replies(connection, incident=summary.incident, limit=1)
        changes = list_changes(connection, incident=summary.incident)
    outlook = incident_forecast(figures)
    return office.render(
        "incident",
        visitor,
        zone=summary.zone,
        summary=summary,
        figures=figures,
        headline=headline(figures),
        outlook=outlook,
        waiting_escalations=figures.escalations[EscalationState.RAISED]
        + figures.escalations[EscalationState.TOLD],
        taken_escalations=figures.escalations[EscalationState.ACKNOWLEDGED],
        is_fresh=summary.launched_at is not None
        and now - summary.launched_at < _FRESH_WITHIN,
        lines=certificate_lines(figures),
        timetable=moments,
        owing=owing,
        unreachable=lost,
        sheet=sheet,
        mails=mails,
        proposals=[one for one in changes if one.state is ScopeState.PROPOSED],
    )


def _subscribers(
    office: TheOffice,
    visitor: TheVisitor,
    summary: TheIncident,
    q: str = "",
    page: str = "1",
) -> Response:
    words = " ".join(q.split())[:200]
    with reading(office.engine) as connection:
        listed = list_subscribers(
            connection,
            incident=summary.incident,
            words=words,
            page=page_number(page),
        )
    return office.render(
        "subscribers",
        visitor,
        zone=summary.zone,
        summary=summary,
        listed=listed,
        sought=words,
    )


def _missing_csrs(
    office: TheOffice, visitor: TheVisitor, summary: TheIncident
) -> Response:
    with reading(office.engine) as connection:
        owing = subscribers_owing_csr(
            connection, incident=summary.incident, limit=_WORST
        )
    return office.render(
        "csrs", visitor, zone=summary.zone, summary=summary, owing=owing
    )


def _replies(office: TheOffice, visitor: TheVisitor, summary: TheIncident) -> Response:
    with reading(office.engine) as connection:
        replies = latest_replies(connection, incident=summary.incident, limit=_WORST)
        mails = mail_replies(connection, incident=summary.incident, limit=_WORST)
    return office.render(
        "replies",
        visitor,
        zone=summary.zone,
        summary=summary,
        replies=replies,
        mails=mails,
    )
