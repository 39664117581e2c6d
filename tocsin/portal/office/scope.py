"""Withdrawals and court orders at the desk: listed, and proposed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from models.terms import CertificateId, IncidentId, ScopeKind
from tocsin.errors import BadInput, Refused
from tocsin.intake.documents import LARGEST
from tocsin.policy.figures import IncidentSummary
from tocsin.policy.scope import MOST_NAMED, Proposal, check_proposal
from tocsin.portal.forms import Problem, Submitted, read_form
from tocsin.portal.office.context import (
    MENDABLE,
    OK,
    READ,
    NotThere,
    Office,
    TheIncident,
    TheOffice,
    TheOfficer,
    TheVisitor,
    the_incident,
)
from tocsin.portal.office.signatures import (
    add_signature_routes,
    parse_end,
    problem_of,
    to_change,
)
from tocsin.steps.naming import document_of, find_named
from tocsin.steps.proposals import propose
from tocsin.steps.sign_in import DESK, Visitor
from tocsin.store.scope import (
    Document,
    list_changes,
)
from tocsin.store.session import reading

PROPOSALS = f"{DESK}/scope"
"""Where a proposal is sent to; it may bring a document along."""

MOST_BYTES = LARGEST + 1_000_000

_BASE = f"{DESK}/i/{{incident}}/scope"
_Read = TypeVar("_Read")

_FIELDS = ("certificates", "reason", "court", "reference", "ends_at")


def add_scope_routes(router: APIRouter) -> None:
    """Add what withdraws and restrains; nothing of it by GET (I6)."""
    router.add_api_route(_BASE, _list, methods=READ)
    router.add_api_route(f"{_BASE}/new/{{kind}}", _form, methods=READ)
    router.add_api_route(PROPOSALS, _propose, methods=["POST"])
    add_signature_routes(router)


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
    return to_change(summary.incident, change)


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
            problems.append(problem_of(error))
            return None

    def named() -> list[CertificateId]:
        with reading(office.engine) as connection:
            return find_named(
                connection, incident=summary.incident, text=sent.one("certificates")
            )

    found = tried(named)
    ends_at = tried(lambda: parse_end(sent.one("ends_at"), summary.zone))
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
        problem_of(error)
        for error in check_proposal(proposal, now=office.clock.now())
        if error.field not in known
    ]
    if problems or found is None:
        return None, tuple(problems)
    return (
        _HandedIn(proposal=proposal, certificates=found, document=document),
        (),
    )


def _kind(text: str) -> ScopeKind:
    try:
        return ScopeKind(text)
    except ValueError:
        raise NotThere from None


def _form_of(incident: IncidentId) -> str:
    return f"scope:{incident}"
