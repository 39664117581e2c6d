"""One withdrawal or court order at the desk, or by a link: signed, refused, lifted."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from models.terms import IncidentId, ScopeChangeId, ScopeKind
from tocsin.errors import BadInput, Refused
from tocsin.policy.figures import IncidentSummary
from tocsin.policy.scope import why_not_sign
from tocsin.portal.forms import Problem, Submitted, read_form
from tocsin.portal.office.context import (
    CONFLICT,
    MENDABLE,
    OK,
    READ,
    SEE_OTHER,
    NotThere,
    Office,
    Sent,
    StaleForm,
    TheIncident,
    TheOffice,
    TheOfficer,
    TheVisitor,
    came_from_elsewhere,
    parse_key,
)
from tocsin.portal.office.signing import send_soon
from tocsin.reports.scope import forum_message
from tocsin.steps.proposals import Seen, refuse, see
from tocsin.steps.scope import Signatory, end_order, sign
from tocsin.steps.sign_in import DESK, Visitor
from tocsin.steps.signing_links import WayToSign, find_way_to_sign
from tocsin.store.scope import (
    mail_of_session,
    read_document,
)
from tocsin.store.session import reading

_CHANGE = f"{DESK}/i/{{incident}}/scope/{{change}}"
_SIGN = f"{DESK}/sign/{{token}}"


def add_signature_routes(router: APIRouter) -> None:
    """Add what decides on a proposal; nothing of it by GET (I6)."""
    router.add_api_route(_CHANGE, _change, methods=READ)
    router.add_api_route(f"{_CHANGE}/document", _document, methods=READ)
    router.add_api_route(f"{_CHANGE}/{{act}}", _decide, methods=["POST"])
    router.add_api_route(_SIGN, _look, methods=READ)
    router.add_api_route(f"{_SIGN}/document", _document_by_link, methods=READ)
    router.add_api_route(_SIGN, _decide_by_link, methods=["POST"])


def _change(
    office: TheOffice, visitor: TheVisitor, summary: TheIncident, change: str
) -> Response:
    return _page(office, visitor, summary, _seen(office, summary, change))


def _page(
    office: Office,
    visitor: Visitor,
    summary: IncidentSummary,
    seen: Seen,
    *,
    problems: tuple[Problem, ...] = (),
    status: int = OK,
) -> Response:
    return office.render(
        "scope-change",
        visitor,
        status=status,
        zone=summary.zone,
        summary=summary,
        problems=problems,
        form=_form_of_change(seen),
        **_shown(office, seen),
        may_act=visitor.officer.may_launch,
        why_not=why_not_sign(seen.change, visitor.officer, office.officers()),
    )


def _shown(office: Office, seen: Seen) -> dict[str, object]:
    now = office.clock.now()
    is_in_force = seen.change.is_in_force(now)
    is_order = seen.change.kind is ScopeKind.ORDER
    return {
        "seen": seen,
        "change": seen.change,
        "is_in_force": is_in_force,
        "forum_message": forum_message(
            seen.change,
            ca_name=office.settings.ca_name,
            title=seen.title,
            deadline=seen.deadline,
        )
        if is_order
        else "",
    }


def _decide(  # noqa: PLR0917 - parts of an address and of a request
    office: TheOffice,
    visitor: TheOfficer,
    summary: TheIncident,
    change: str,
    act: str,
    sent: Sent,
) -> Response:
    seen = _seen(office, summary, change)
    office.check_form(visitor, _form_of_change(seen), sent)
    if act not in {"sign", "refuse", "end"}:
        raise NotThere
    with reading(office.engine) as connection:
        mail = mail_of_session(connection, session=visitor.session)
    problem = _act(
        office, seen, Signatory(officer=visitor.officer, mail=mail), act, sent
    )
    if problem is not None:
        seen = _seen(office, summary, change)
        return _page(
            office,
            visitor,
            summary,
            seen,
            problems=(problem,),
            status=CONFLICT if problem.field == "check" else MENDABLE,
        )
    return to_change(summary.incident, seen.change.change)


def _act(
    office: Office, seen: Seen, who: Signatory, act: str, sent: Submitted
) -> Problem | None:
    """Do what was asked, or say what is against it."""
    try:
        match act:
            case "refuse":
                refuse(
                    office.engine,
                    seen.change.change,
                    who.officer,
                    why=sent.one("reason"),
                    clock=office.clock,
                )
            case "end":
                _end_order(office, seen, who, sent)
            case _:
                _sign(office, seen, who, sent)
    except BadInput as error:
        return problem_of(error)
    except Refused as error:
        return Problem(field="check", message=f"{error}.")
    return None


def _sign(office: Office, seen: Seen, who: Signatory, sent: Submitted) -> None:
    typed = "".join(c for c in sent.one("count") if c not in ",. \u00a0")
    if typed != str(seen.change.named):
        raise BadInput(
            "Type the number of certificates, as it stands above.", field="count"
        )
    sign(
        office.engine,
        seen.change.change,
        who,
        office.officers(),
        mail_domain=office.sender.mail_domain,
        clock=office.clock,
    )
    send_soon(office)


def _end_order(office: Office, seen: Seen, who: Signatory, sent: Submitted) -> None:
    end_order(
        office.engine,
        seen.change.change,
        actor=who.officer.actor,
        why=sent.one("reason"),
        clock=office.clock,
        ends_at=parse_end(sent.one("ends_at"), seen.zone),
    )


def _look(office: TheOffice, token: str) -> Response:
    way = _way(office, token)
    return _by_link(office, token, way)


def _by_link(
    office: Office,
    token: str,
    way: WayToSign,
    *,
    problems: tuple[Problem, ...] = (),
    status: int = OK,
) -> Response:
    seen = see(office.engine, way.change, clock=office.clock)
    if seen is None:
        raise NotThere
    return office.render(
        "sign",
        None,
        status=status,
        zone=seen.zone,
        problems=problems,
        token=token,
        officer=way.who.officer,
        **_shown(office, seen),
        why_not=why_not_sign(seen.change, way.who.officer, office.officers()),
    )


async def _sent_by_link(request: Request) -> Submitted:
    if came_from_elsewhere(request):
        raise StaleForm
    return await read_form(request, most_bytes=100_000)


def _decide_by_link(
    office: TheOffice,
    token: str,
    sent: Annotated[Submitted, Depends(_sent_by_link)],
) -> Response:
    way = _way(office, token)
    act = sent.one("act")
    seen = see(office.engine, way.change, clock=office.clock)
    if act not in {"sign", "refuse"} or seen is None:
        raise NotThere
    problem = _act(office, seen, way.who, act, sent)
    if problem is not None:
        return _by_link(
            office,
            token,
            way,
            problems=(problem,),
            status=CONFLICT if problem.field == "check" else MENDABLE,
        )
    return RedirectResponse(f"{DESK}/sign/{token}", status_code=SEE_OTHER)


def _document(
    office: TheOffice, _visitor: TheVisitor, summary: TheIncident, change: str
) -> Response:
    return _file(office, _seen(office, summary, change))


def _document_by_link(office: TheOffice, token: str) -> Response:
    way = _way(office, token)
    seen = see(office.engine, way.change, clock=office.clock)
    if seen is None:
        raise NotThere
    return _file(office, seen)


def _file(office: Office, seen: Seen) -> Response:
    with reading(office.engine) as connection:
        document = read_document(connection, change=seen.change.change)
    if document is None:
        raise NotThere
    return Response(
        document.content,
        media_type=document.media_type,
        headers={
            "Content-Disposition": "attachment; "
            f"filename*=UTF-8''{quote(document.name, safe='')}"
        },
    )


def _way(office: Office, token: str) -> WayToSign:
    try:
        return find_way_to_sign(
            office.engine, office.links, office.officers(), token, clock=office.clock
        )
    except Refused:
        raise NotThere from None


def _seen(office: Office, summary: IncidentSummary, change: str) -> Seen:
    seen = see(office.engine, ScopeChangeId(parse_key(change)), clock=office.clock)
    if seen is None or seen.change.incident != summary.incident:
        raise NotThere
    return seen


def parse_end(text: str, zone: str) -> datetime | None:
    """
    Read an instant of the incident's zone; None where nothing was entered.

    Raises:
        BadInput: It is none.

    """
    if not text:
        return None
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            "Enter an instant like 2024-03-18T21:01.", field="ends_at"
        ) from None
    return local if local.tzinfo else local.replace(tzinfo=ZoneInfo(zone))


def problem_of(error: BadInput) -> Problem:
    """Say what is to be mended, beside its field."""
    message = error.message[:1].upper() + error.message[1:]
    return Problem(
        field=error.field or "check",
        message=message if message.endswith(".") else f"{message}.",
    )


def to_change(incident: IncidentId, change: ScopeChangeId) -> RedirectResponse:
    """Show a proposal."""
    return RedirectResponse(
        f"{DESK}/i/{incident}/scope/{change}", status_code=SEE_OTHER
    )


def _form_of_change(seen: Seen) -> str:
    return f"scope-change:{seen.change.change}"
