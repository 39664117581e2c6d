"""Escalations at the desk: what waits for a person, and who takes it."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from models.terms import EscalationState
from tocsin.policy.escalations import IN_WORDS
from tocsin.policy.figures import IncidentSummary
from tocsin.policy.ladder import parse_ladder
from tocsin.policy.progress import spell_duration
from tocsin.portal.escalations import parse_seen
from tocsin.portal.forms import Problem
from tocsin.portal.office.context import (
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
from tocsin.steps.escalations import acknowledge
from tocsin.steps.once import see_unused
from tocsin.steps.sign_in import DESK, Visitor
from tocsin.store.escalations import Seen, escalations_of
from tocsin.store.incidents import read_incident
from tocsin.store.session import reading

_BASE = f"{DESK}/i/{{incident}}/escalations"
_SHOWN = 200
_TICK = Problem(field="escalation", message="Tick what you are on.")
_FASTER = Problem(
    field="check",
    message="Somebody else has taken these meanwhile, or they have ended or come back. "
    "Look again.",
)


def add_escalation_routes(router: APIRouter) -> None:
    """Add the page of escalations; taking one is a POST (I6)."""
    router.add_api_route(_BASE, _list, methods=READ)
    router.add_api_route(_BASE, _take, methods=["POST"])


def _list(office: TheOffice, visitor: TheVisitor, summary: TheIncident) -> Response:
    return _page(office, visitor, summary)


def _take(
    office: TheOffice, visitor: TheVisitor, summary: TheIncident, sent: Sent
) -> Response:
    form = office.check_form(
        visitor,
        _form_of(summary),
        sent,
        leads_to=f"{DESK}/i/{summary.incident}/escalations#taken",
    )
    seen = parse_seen(sent.every("escalation"))
    if sent.one("all") == "1":
        with reading(office.engine) as connection:
            seen = tuple(
                Seen(escalation=one.escalation, raised_times=one.raised_times)
                for one in escalations_of(connection, incident=summary.incident)
                if one.state is not EscalationState.ACKNOWLEDGED
            )
    if not seen:
        # Where it was pressed twice at once, the other one took them all.
        see_unused(office.engine, form)
        return _page(office, visitor, summary, problems=(_TICK,), status=MENDABLE)
    taken = acknowledge(
        office.engine,
        seen,
        incident=summary.incident,
        by=visitor.officer.name,
        actor=visitor.officer.actor,
        clock=office.clock,
        form=form,
    )
    if not taken.escalations:
        return _page(office, visitor, summary, problems=(_FASTER,), status=MENDABLE)
    return RedirectResponse(form.leads_to, status_code=SEE_OTHER)


def _page(
    office: Office,
    visitor: Visitor,
    summary: IncidentSummary,
    *,
    problems: tuple[Problem, ...] = (),
    status: int = OK,
) -> Response:
    with reading(office.engine) as connection:
        live = escalations_of(connection, incident=summary.incident)
        ladder = read_incident(connection, incident=summary.incident).ladder
    return office.render(
        "escalations",
        visitor,
        status=status,
        zone=summary.zone,
        summary=summary,
        problems=problems,
        free=[one for one in live if one.state is not EscalationState.ACKNOWLEDGED],
        taken=[one for one in live if one.state is EscalationState.ACKNOWLEDGED],
        shown=_SHOWN,
        causes=IN_WORDS,
        within=spell_duration(parse_ladder(ladder).acknowledged_for) if ladder else "",
        form=_form_of(summary),
    )


def _form_of(summary: IncidentSummary) -> str:
    return f"escalations:{summary.incident}"
