"""The page as an interface for scripts, under the same tokens: /api/v1."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field

from models.terms import CertificateId, ReplacementId
from tocsin.errors import Refused
from tocsin.intake.csr.files import read_csrs
from tocsin.intake.csr.findings import Finding
from tocsin.policy.contacts import masked
from tocsin.portal.api_models import (
    LARGEST_KEY,
    AskedOut,
    CertificateOut,
    CertificatesIn,
    CertificatesOut,
    ContactOut,
    ContactsOut,
    CsrOut,
    CsrsIn,
    CsrsOut,
    FindingOut,
    HelpIn,
    NotMineIn,
    ProblemOut,
    ReportOut,
)
from tocsin.portal.ask_forms import is_phone, read_message
from tocsin.portal.desk import DeadLink, Desk, TheDesk, Visit, the_desk
from tocsin.portal.downloads import pem_of
from tocsin.steps.csrs import preview_csrs
from tocsin.steps.replies import Taken, take_reply
from tocsin.steps.reply_acts import (
    AskHelp,
    CsrFor,
    NotMine,
    ReplyAct,
    ReportNoLongerRequired,
    ReportReplaced,
    SubmitCsrs,
)
from tocsin.store.views import CertificateView

API = "/api/v1"

_PROBLEM = "application/problem+json"

_UNAUTHORISED = 401
_NOT_FOUND = 404
_CONFLICT = 409
_UNPROCESSABLE = 422
_OUR_FAULT = 500


UNTRACED: Mapping[str, Any] = {
    "telemetry": {"tracing": False, "metrics": False, "logs": False}
}
"""For applications whose addresses are keys: no trace may tell them, whatever is set up."""


def create_api(desk: Desk) -> FastAPI:
    """Build the application that is mounted under ``API``."""
    api = FastAPI(
        title="Tocsin for subscribers",
        version="1",
        description="List your affected certificates, hand in CSRs, fetch replacements "
        "and report what is replaced. The token is the last part of the link in our "
        "mail. Nothing here can move a revocation later.",
        docs_url=None,
        redoc_url=None,
        responses=_problems(_UNAUTHORISED, _UNPROCESSABLE, _OUR_FAULT),
        **UNTRACED,
    )
    api.state.desk = desk
    api.add_exception_handler(DeadLink, _unauthorised)
    api.add_exception_handler(HTTPException, _http_problem)
    api.add_exception_handler(RequestValidationError, _not_understood)
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(Exception, _our_fault)
    api.get("/certificates")(list_certificates)
    api.get("/contacts")(list_contacts)
    handed_in = _problems(_CONFLICT, _UNPROCESSABLE)
    handed_in[_UNPROCESSABLE]["model"] = CsrsOut  # nothing could be used, and why
    api.post("/csrs", status_code=201, responses=handed_in)(hand_in_csrs)
    api.post("/replaced", status_code=202, responses=_problems(_CONFLICT))(
        report_replaced
    )
    api.post("/no-longer-required", status_code=202, responses=_problems(_CONFLICT))(
        report_no_longer_required
    )
    api.post("/not-mine", status_code=202, responses=_problems(_CONFLICT))(
        report_not_mine
    )
    api.post("/help", status_code=202, responses=_problems(_CONFLICT))(ask_help)
    api.get(
        "/replacements/{key}",
        response_class=Response,
        responses=_problems(_NOT_FOUND)
        | {200: {"content": {"application/x-pem-file": {}}}},
    )(fetch_replacement)
    return api


_bearer = HTTPBearer(auto_error=False, description="The token of your link.")


def _visit(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1,
) -> Visit:
    if credentials is None:
        raise DeadLink
    return the_desk(request).open(credentials.credentials, page=page)


TheVisit = Annotated[Visit, Depends(_visit)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=200,
        description="Send the same with a repetition: it is filed once.",
    ),
]


def list_certificates(visit: TheVisit) -> CertificatesOut:
    """List the affected certificates, a page at a time."""
    view = visit.view
    return CertificatesOut(
        incident=view.title,
        subscriber=view.name,
        deadline=view.deadline,
        takes_replies=view.takes_replies,
        total=view.selected,
        page=view.page,
        pages=view.pages,
        certificates=[_certificate(one) for one in view.certificates],
    )


def list_contacts(visit: TheVisit) -> ContactsOut:
    """List who gets our mails, and who was named and has yet to confirm it."""
    return ContactsOut(
        contacts=[
            ContactOut(
                id=one.contact,
                name=one.name,
                address=masked(one.email),
                is_you=one.contact == visit.claims.contact,
                state=one.state,
                waits_since=one.waits_since,
                confirmed_at=one.confirmed_at,
                instead_of=one.instead_of,
            )
            for one in visit.view.contacts
        ]
    )


def hand_in_csrs(
    desk: TheDesk,
    visit: TheVisit,
    body: CsrsIn,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> CsrsOut:
    """
    Hand in CSRs: those that can be used are filed, the others are named with reasons.

    The newest CSR for a certificate counts. Where none can be used the answer is 422,
    with the same content.
    """
    chosen = [CertificateId(body.certificate)] if body.certificate else []
    read = [
        (number, read_csrs(text.encode(), name=f"CSR {number}"))
        for number, text in enumerate(body.csrs, start=1)
    ]
    origin = {csr: number for number, one in read for csr in one.csrs}
    checks = preview_csrs(
        desk.engine,
        claims=visit.claims,
        csrs=list(origin),
        chosen=chosen,
        blocklist=desk.config.key_blocklist,
    )
    refused = [
        _csr(number, None, (), (), one.findings) for number, one in read if one.findings
    ]
    handed_in: list[CsrOut] = []
    usable: list[CsrFor] = []
    for number, check in zip(origin.values(), checks, strict=True):
        told = _csr(number, check.sha256, check.names, check.matched, check.findings)
        if check.is_refused:
            refused.append(told)
        else:
            handed_in.append(told)
            usable.append(CsrFor(pem=check.pem, certificates=check.matched))
    if not usable:
        response.status_code = _UNPROCESSABLE
        return CsrsOut(reply=None, handed_in=[], refused=refused)
    taken = _take(desk, visit, SubmitCsrs(csrs=tuple(usable)), idempotency_key)
    return CsrsOut(reply=taken.reply, handed_in=handed_in, refused=refused)


def report_replaced(
    desk: TheDesk,
    visit: TheVisit,
    body: CertificatesIn,
    idempotency_key: IdempotencyKey = None,
) -> ReportOut:
    """Report certificates that are in use nowhere any more: they are revoked early."""
    act = ReportReplaced(certificates=_keys(body))
    return _report(_take(desk, visit, act, idempotency_key))


def report_no_longer_required(
    desk: TheDesk,
    visit: TheVisit,
    body: CertificatesIn,
    idempotency_key: IdempotencyKey = None,
) -> ReportOut:
    """Report certificates that need no replacement: they are revoked early."""
    act = ReportNoLongerRequired(certificates=_keys(body))
    return _report(_take(desk, visit, act, idempotency_key))


def report_not_mine(
    desk: TheDesk,
    visit: TheVisit,
    body: NotMineIn,
    idempotency_key: IdempotencyKey = None,
) -> AskedOut:
    """
    Say that certificates are somebody else's, or that you are not the right person.

    The CA's people are told at once. The revocation stays where it is.
    """
    act = NotMine(
        certificates=tuple(
            CertificateId(key) for key in sorted(set(body.certificates))
        ),
        message=_written(visit, body.message),
    )
    return _asked(_take(desk, visit, act, idempotency_key))


def ask_help(
    desk: TheDesk,
    visit: TheVisit,
    body: HelpIn,
    idempotency_key: IdempotencyKey = None,
) -> AskedOut:
    """Ask for a person of the CA to call you; they are told at once."""
    message = _written(visit, body.message)
    if not message:
        raise HTTPException(_UNPROCESSABLE, "Write what stands in the way.")
    phone = body.phone.strip()
    if not is_phone(phone):
        raise HTTPException(_UNPROCESSABLE, "Give a phone number with digits.")
    act = AskHelp(message=message, phone=phone)
    return _asked(_take(desk, visit, act, idempotency_key))


def fetch_replacement(
    desk: TheDesk, visit: TheVisit, key: Annotated[int, Field(ge=1, le=LARGEST_KEY)]
) -> Response:
    """Fetch a certificate that was issued to you, with its chain, PEM."""
    found = desk.replacements(visit, ReplacementId(key))
    if not found:
        raise HTTPException(_NOT_FOUND, "There is no such replacement of yours.")
    return Response(pem_of(found[0]), media_type="application/x-pem-file")


def _take(desk: Desk, visit: Visit, act: ReplyAct, key: str | None) -> Taken:
    return take_reply(
        desk.engine,
        claims=visit.claims,
        act=act,
        nonce=_nonce(visit, key),
        clock=desk.clock,
        grace_within=desk.config.grace_within,
        mail_domain=desk.config.mail_domain,
        blocklist=desk.config.key_blocklist,
    )


def _nonce(visit: Visit, key: str | None) -> str:
    """Return what the act is filed under: the same for a repetition with its key."""
    if key is None:
        return base64.b16encode(secrets.token_bytes(32)).decode().lower()
    text = f"api {visit.claims.incident} {visit.claims.contact} {key}"
    return hashlib.sha256(text.encode()).hexdigest()


def _report(taken: Taken) -> ReportOut:
    return ReportOut(reply=taken.reply, effective_at=taken.effective_at)


def _asked(taken: Taken) -> AskedOut:
    return AskedOut(reply=taken.reply, can_be_undone_until=taken.effective_at)


def _written(visit: Visit, text: str) -> str:
    """Return what somebody wrote, as it is kept."""
    message = read_message(text, visit)
    if message.problem:
        raise HTTPException(_UNPROCESSABLE, f"{message.problem.message}")
    return message.text


def _keys(body: CertificatesIn) -> tuple[CertificateId, ...]:
    return tuple(CertificateId(key) for key in sorted(set(body.certificates)))


def _certificate(view: CertificateView) -> CertificateOut:
    return CertificateOut(
        id=view.certificate,
        names=list(view.names),
        serial=view.serial,
        not_after=view.not_after,
        replacement_state=view.replacement_state,
        revocation_state=view.revocation_state,
        revocation_time=view.revocation_time,
        csrs=view.csrs,
        replacement=view.replacement,
    )


def _csr(
    number: int,
    sha256: str | None,
    names: tuple[str, ...],
    certificates: tuple[CertificateId, ...],
    findings: tuple[Finding, ...],
) -> CsrOut:
    return CsrOut(
        number=number,
        sha256=sha256,
        names=list(names),
        certificates=list(certificates),
        findings=[
            FindingOut(
                code=finding.code, refuses=finding.refuses, message=finding.message
            )
            for finding in findings
        ],
    )


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe answers that say what stands in the way."""
    content = {_PROBLEM: {"schema": ProblemOut.model_json_schema()}}
    return {code: {"content": dict(content)} for code in codes}


def _unauthorised(_request: Request, _error: Exception) -> Response:
    """Answer the same, whatever is wrong with the token."""
    answer = _problem(
        _UNAUTHORISED,
        "Not let in",
        "Send the token of your link as `Authorization: Bearer TOKEN`. It stops working "
        "when the incident is long over, or its owner is no longer a contact.",
    )
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _http_problem(_request: Request, error: Exception) -> Response:
    known = cast("HTTPException", error)
    return _problem(known.status_code, "Not possible", str(known.detail))


def _not_understood(_request: Request, error: Exception) -> Response:
    """Name the fields, and none of what was sent: it could be a key."""
    places = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}"
        for one in cast("RequestValidationError", error).errors()
    ]
    return _problem(_UNPROCESSABLE, "Not understood", "; ".join(places[:20]))


def _refused(_request: Request, error: Exception) -> Response:
    return _problem(_CONFLICT, "Refused", f"{error}")


def _our_fault(request: Request, _error: Exception) -> Response:
    desk: Desk = request.app.state.desk
    return _problem(
        _OUR_FAULT,
        "Something went wrong on our side",
        "Send it again: nothing is taken twice. If it happens again, call us: "
        f"{desk.config.ca_phone}. The revocation does not depend on this.",
    )


def _problem(status: int, title: str, detail: str) -> JSONResponse:
    return JSONResponse(
        {"title": title, "detail": detail},
        status_code=status,
        media_type=_PROBLEM,
    )
