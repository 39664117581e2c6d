"""ACME Renewal Information (RFC 9773): automated subscribers hear without a mail."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from models.terms import Circumstance, IncidentId
from tocsin.errors import BadInput
from tocsin.policy.renewal import RenewalInfo
from tocsin.portal.desk import DeadLink, TheDesk, rule_of
from tocsin.steps.renewal import AffectedRenewal, renewal_of
from tocsin.store.renewal import public_incident
from tocsin.store.session import reading

RENEWAL_INFO = "/renewal-info"
_READ = ["GET", "HEAD"]
_MALFORMED = 400
_NOT_FOUND = 404


def add_renewal_routes(router: APIRouter) -> None:
    """Add what anybody may ask, without a link; nothing of it changes anything (I6)."""
    router.add_api_route(f"{RENEWAL_INFO}/{{identifier}}", _renewal, methods=_READ)
    router.add_api_route("/incident/{incident}", _explanation, methods=_READ)


def affected_answer(affected: AffectedRenewal, *, explanation: str) -> Response:
    """Tell a client to renew at once, and where a person reads why."""
    return renewal_answer(
        affected.info, explanationURL=f"{explanation}/{affected.incident}"
    )


def renewal_answer(info: RenewalInfo, **more: str) -> Response:
    """Return what RFC 9773, 4.2 prescribes."""
    return JSONResponse(
        {
            "suggestedWindow": {
                "start": f"{info.start:%Y-%m-%dT%H:%M:%SZ}",
                "end": f"{info.end:%Y-%m-%dT%H:%M:%SZ}",
            },
        }
        | more,
        headers={"Retry-After": f"{info.retry_after.total_seconds():.0f}"},
    )


def problem(kind: str, detail: str, *, status: int) -> Response:
    """Return an ACME problem document (RFC 8555, 6.7)."""
    return JSONResponse(
        {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail},
        status_code=status,
        media_type="application/problem+json",
    )


def _renewal(desk: TheDesk, identifier: str) -> Response:
    try:
        affected = renewal_of(desk.engine, identifier=identifier, clock=desk.clock)
    except BadInput as error:
        return problem("malformed", error.message, status=_MALFORMED)
    if affected is None:
        return problem("malformed", "not an affected certificate.", status=_NOT_FOUND)
    return affected_answer(affected, explanation=f"{desk.config.public_url}/incident")


def _explanation(desk: TheDesk, incident: str) -> Response:
    """Explain an incident to whoever reads an ACME client's log."""
    with reading(desk.engine) as connection:
        found = public_incident(connection, incident=IncidentId(incident))
    if found is None:
        raise DeadLink
    rule = rule_of(found.rule_pack, Circumstance(found.circumstance))
    return desk.pages.render(
        "incident",
        {"config": desk.config, "problems": (), "incident": found, "rule": rule},
        asked=desk.asked,
        now=desk.clock.now(),
    )
