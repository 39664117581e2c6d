"""Withdrawals and court orders at the desk: proposed, signed, refused, lifted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from models.terms import CertificateId, IncidentId, ScopeChangeId, ScopeKind
from tocsin.errors import BadInput, Refused
from tocsin.intake.documents import LARGEST
from tocsin.policy.figures import IncidentSummary
from tocsin.policy.scope import MOST_NAMED, Proposal, check_proposal, why_not_sign
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
    the_incident,
)
from tocsin.portal.office.signing import send_soon
from tocsin.reports.scope import forum_message
from tocsin.steps.naming import document_of, find_named
from tocsin.steps.scope import (
    Seen,
    Signatory,
    end_order,
    propose,
    refuse,
    see,
    sign,
)
from tocsin.steps.sign_in import DESK, Visitor
from tocsin.steps.signing_links import WayToSign, find_way_to_sign
from tocsin.store.scope import (
    Document,
    list_changes,
    mail_of_session,
    read_document,
)
from tocsin.store.session import reading

PROPOSALS = f"{DESK}/scope"
"""Where a proposal is sent to; it may bring a document along."""

MOST_BYTES = LARGEST + 1_000_000

_BASE = f"{DESK}/i/{{incident}}/scope"
_SIGN = f"{DESK}/sign/{{token}}"
_Read = TypeVar("_Read")

_FIELDS = ("certificates", "reason", "court", "reference", "ends_at")


def add_scope_routes(router: APIRouter) -> None:
    """Add what withdraws and restrains; nothing of it by GET (I6)."""
    router.add_api_route(_BASE, _list, methods=READ)
    router.add_api_route(f"{_BASE}/new/{{kind}}", _form, methods=READ)
    router.add_api_route(PROPOSALS, _propose, methods=["POST"])
    router.add_api_route(f"{_BASE}/{{change}}", _change, methods=READ)
    router.add_api_route(f"{_BASE}/{{change}}/document", _document, methods=READ)
    router.add_api_route(f"{_BASE}/{{change}}/{{act}}", _decide, methods=["POST"])
    router.add_api_route(_SIGN, _look, methods=READ)
    router.add_api_route(f"{_SIGN}/document", _document_by_link, methods=READ)
    router.add_api_route(_SIGN, _decide_by_link, methods=["POST"])


def _list(office: TheOffice, visitor: TheVisitor, summary: TheIncident) -> Response:
    with reading(office.engine) as connection:
        changes = list_changes(connection, incident=summary.incident)
    return office.render(
        "scope", visitor, zone=summary.zone, summary=summary, changes=changes
    )


def _form(
    office: TheOffice, visitor: TheOfficer, summary: TheIncident, kind: str
) -> Response:
    return _form_page(office, visitor, summary, _kind(kind), values={})


def _form_page(
    office: Office,
    visitor: Visitor,
    summary: IncidentSummary,
    kind: ScopeKind,
    *,
    values: Mapping[str, str],
    problems: tuple[Problem, ...] = (),
) -> Response:
    return office.render(
        "scope-new",
        visitor,
        zone=summary.zone,
        summary=summary,
        kind=kind.value,
        values={**dict.fromkeys(_FIELDS, ""), **values},
        problems=problems,
        form=_form_of(summary.incident),
        most=MOST_NAMED,
        largest=LARGEST // 1_000_000,
        status=MENDABLE if problems else OK,
    )


async def _sent_proposal(request: Request, _visitor: TheOfficer) -> Submitted:
    return await read_form(request, most_bytes=LARGEST)


def _propose(
    office: TheOffice,
    visitor: TheOfficer,
    sent: Annotated[Submitted, Depends(_sent_proposal)],
) -> Response:
    summary = the_incident(office, visitor, sent.one("incident"))
    office.check_form(visitor, _form_of(summary.incident), sent)
    kind = _kind(sent.one("kind"))
    values = {name: sent.one(name) for name in _FIELDS}
    handed, problems = _handed_in(office, summary, kind, sent)
    if handed is None:
        return _form_page(
            office, visitor, summary, kind, values=values, problems=problems
        )
    try:
        change = propose(
            office.engine,
            incident=summary.incident,
            proposal=handed.proposal,
            certificates=handed.certificates,
            document=handed.document,
            form=sent.one("nonce"),
            actor=visitor.officer.actor,
            clock=office.clock,
        )
    except Refused as error:
        return _form_page(
            office,
            visitor,
            summary,
            kind,
            values=values,
            problems=(Problem(field="check", message=f"{error}."),),
        )
    return _to(summary.incident, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class _HandedIn:
    """A form that nothing is to be mended in."""

    proposal: Proposal
    certificates: list[CertificateId]
    document: Document | None


def _handed_in(
    office: Office, summary: IncidentSummary, kind: ScopeKind, sent: Submitted
) -> tuple[_HandedIn | None, tuple[Problem, ...]]:
    """Read what was handed in, or say all that is to be mended."""
    is_order = kind is ScopeKind.ORDER
    problems: list[Problem] = []

    def tried(read: Callable[[], _Read]) -> _Read | None:
        try:
            return read()
        except BadInput as error:
            problems.append(_problem(error))
            return None

    def named() -> list[CertificateId]:
        with reading(office.engine) as connection:
            return find_named(
                connection, incident=summary.incident, text=sent.one("certificates")
            )

    found = tried(named)
    ends_at = tried(lambda: _end(sent.one("ends_at"), summary.zone))
    document = tried(lambda: document_of(sent.files)) if is_order else None
    proposal = Proposal(
        kind=kind,
        reason=" ".join(sent.one("reason").split()),
        court=" ".join(sent.one("court").split()) if is_order else "",
        reference=" ".join(sent.one("reference").split()) if is_order else "",
        ends_at=ends_at if is_order else None,
    )
    known = {problem.field for problem in problems}
    problems += [
        _problem(error)
        for error in check_proposal(proposal, now=office.clock.now())
        if error.field not in known
    ]
    if problems or found is None:
        return None, tuple(problems)
    return (
        _HandedIn(proposal=proposal, certificates=found, document=document),
        (),
    )


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
    return _to(summary.incident, seen.change.change)


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
        return _problem(error)
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
        ends_at=_end(sent.one("ends_at"), seen.zone),
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


def _kind(text: str) -> ScopeKind:
    try:
        return ScopeKind(text)
    except ValueError:
        raise NotThere from None


def _end(text: str, zone: str) -> datetime | None:
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


def _problem(error: BadInput) -> Problem:
    message = error.message[:1].upper() + error.message[1:]
    return Problem(
        field=error.field or "check",
        message=message if message.endswith(".") else f"{message}.",
    )


def _form_of(incident: IncidentId) -> str:
    return f"scope:{incident}"


def _form_of_change(seen: Seen) -> str:
    return f"scope-change:{seen.change.change}"


def _to(incident: IncidentId, change: ScopeChangeId) -> RedirectResponse:
    return RedirectResponse(
        f"{DESK}/i/{incident}/scope/{change}", status_code=SEE_OTHER
    )
