"""Opening an incident at the desk: upload, preview, put owners right, launch."""

from collections.abc import Mapping

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from models.terms import CertificateId, IncidentId
from tocsin.errors import BadInput, Refused, Unavailable
from tocsin.intake.contacts import parse_address
from tocsin.log import redact
from tocsin.policy.figures import IncidentSummary
from tocsin.portal.forms import Problem, Submitted
from tocsin.portal.office.context import (
    CONFLICT,
    MENDABLE,
    OK,
    READ,
    SEE_OTHER,
    UNAVAILABLE,
    NotThere,
    Office,
    Sent,
    StaleForm,
    TheIncident,
    TheOffice,
    TheOfficer,
    parse_key,
)
from tocsin.portal.office.signing import send_soon
from tocsin.portal.office.uploads import (
    CERTIFICATES,
    DIRECTORY,
    Uploaded,
    UploadedForm,
    request_of,
)
from tocsin.steps.collaborators import current_templates
from tocsin.steps.drafts import Owner, ask_second_officer, give_owner
from tocsin.steps.intake import Imported
from tocsin.steps.launch import (
    LaunchRequest,
    begin_draft,
    import_draft,
    launch_incident,
    read_rulebook,
)
from tocsin.steps.once import DoneBefore
from tocsin.steps.preview import preview_incident
from tocsin.steps.sign_in import DESK, Visitor
from tocsin.store.drafts import (
    entries_so_far,
    ownerless,
    read_draft,
    subscriber_names,
)
from tocsin.store.incidents import read_incident
from tocsin.store.session import reading

_NEW = f"{DESK}/new"
_DRAFT = f"{DESK}/i/{{incident}}"
_SHOWN = 200
_WAIT_SECONDS = 4.0
"""Most lists are read by then; of longer ones a page says how far it is."""
_LONGEST_NAME = 200
_LONGEST_PHONE = 64


def add_opening_routes(router: APIRouter) -> None:
    """Add what opens an incident; only officers may, and only by POST (I6)."""
    router.add_api_route(_NEW, _form, methods=READ)
    router.add_api_route(_NEW, _open, methods=["POST"])
    router.add_api_route(f"{_DRAFT}/owner", _owner, methods=["POST"])
    router.add_api_route(f"{_DRAFT}/launch", _launch, methods=["POST"])


def draft_page(
    office: Office,
    visitor: Visitor,
    summary: IncidentSummary,
    *,
    problems: tuple[Problem, ...] = (),
    values: Mapping[str, object] | None = None,
    status: int = OK,
) -> Response:
    """Show a draft: how far it is read, else what launching it would do."""
    incident = summary.incident
    with reading(office.engine) as connection:
        draft = read_draft(connection, incident=incident)
        entries = entries_so_far(connection, incident=incident)
        without = ownerless(connection, incident=incident, limit=_SHOWN)
        names = subscriber_names(connection, incident=incident, limit=_SHOWN)
    if draft is None:
        return office.render(
            "reading",
            visitor,
            zone=summary.zone,
            summary=summary,
            entries=entries,
            is_running=office.imports.is_running(incident),
            failure=office.imports.failure(incident),
        )
    try:
        preview = preview_incident(
            office.engine,
            incident=incident,
            imported=Imported.from_record(draft.imported),
            backend=office.backend(),
            templates=current_templates(office.settings),
            settings=office.settings,
            now=office.clock.now(),
        )
    except (BadInput, Unavailable) as error:
        # The CA's settings, the CA itself, or a template: somebody else has to act.
        return office.render(
            "no-preview",
            visitor,
            status=UNAVAILABLE,
            zone=summary.zone,
            summary=summary,
            why=redact(str(error)),
        )
    return office.render(
        "draft",
        visitor,
        status=status,
        zone=summary.zone,
        summary=summary,
        preview=preview,
        draft=draft,
        ownerless=without,
        names=names,
        problems=problems,
        values=values or {},
        needs_second=office.settings.launch_needs_second_officer,
        asked_by=(draft.asked_by or "").removeprefix("officer:"),
        asked_by_me=draft.asked_by == visitor.officer.actor,
    )


def _form(office: TheOffice, visitor: TheOfficer) -> Response:
    return _form_page(office, visitor, values={"zone": office.settings.zone})


def _form_page(
    office: Office,
    visitor: Visitor,
    *,
    values: Mapping[str, str],
    problems: tuple[Problem, ...] = (),
    files: tuple[str, ...] = (),
    status: int = OK,
) -> Response:
    empty = dict.fromkeys(("title", "circumstance", "made_aware", "zone", "pasted"), "")
    return office.render(
        "new",
        visitor,
        status=status,
        rules=read_rulebook(office.settings).pack.rules,
        values={**empty, **values},
        problems=problems,
        files=files,
        largest=office.settings.officer_upload_bytes // 1_000_000,
    )


def _open(office: TheOffice, visitor: TheOfficer, upload: Uploaded) -> Response:
    try:
        form = office.check_form(
            visitor, "new", upload.as_submitted(), leads_to=f"{DESK}/i"
        )
    except (StaleForm, DoneBefore):
        upload.throw_away()
        raise
    rulebook = read_rulebook(office.settings)
    request, problems = request_of(office, upload, rulebook.pack)
    if request is None:
        return _again(office, visitor, upload, problems)
    try:
        incident = begin_draft(
            office.engine, request, rulebook=rulebook, clock=office.clock, form=form
        )
    except DoneBefore:
        upload.throw_away()
        raise
    except BadInput as error:
        problem = Problem(field=error.field or "check", message=error.message)
        return _again(office, visitor, upload, (problem,))
    office.imports.start(
        incident, lambda: _read(office, visitor, incident, request, upload)
    )
    office.imports.wait(incident, _WAIT_SECONDS)
    return _see(incident)


def _read(
    office: Office,
    visitor: Visitor,
    incident: IncidentId,
    request: LaunchRequest,
    upload: UploadedForm,
) -> None:
    try:
        import_draft(
            office.engine,
            incident,
            request,
            clock=office.clock,
            actor=visitor.officer.actor,
        )
    finally:
        upload.throw_away()


def _again(
    office: Office,
    visitor: Visitor,
    upload: UploadedForm,
    problems: tuple[Problem, ...],
) -> Response:
    """Show what was entered; a browser does not send a file again by itself."""
    upload.throw_away()
    files = (
        *(f"Affected certificates: {name}" for name in upload.names[CERTIFICATES]),
        *(f"Directory: {name}" for name in upload.names[DIRECTORY]),
    )
    return _form_page(
        office,
        visitor,
        values=upload.fields,
        problems=problems,
        files=tuple(one for one in files if not one.endswith("pasted.txt")),
        status=MENDABLE,
    )


def _owner(
    office: TheOffice, visitor: TheOfficer, summary: TheIncident, sent: Sent
) -> Response:
    form = office.check_form(
        visitor,
        f"owner:{summary.incident}",
        sent,
        leads_to=f"{DESK}/i/{summary.incident}",
    )
    takes_all = sent.one("all") == "1"
    chosen = None if takes_all else _certificates(sent)
    owner, problems = _owner_of(sent)
    if not takes_all and not chosen:
        problem = Problem(field="certificate", message="Tick the certificates.")
        problems = (problem, *problems)
    values = {
        "certificate": frozenset(chosen or ()),
        "all": takes_all,
        **{name: sent.one(name) for name in ("owner", "name", "email", "phone")},
    }
    if not problems:
        try:
            give_owner(
                office.engine,
                incident=summary.incident,
                certificates=chosen,
                owner=owner,
                by=visitor.officer,
                clock=office.clock,
                form=form,
            )
        except Refused:
            return _see(summary.incident)  # launched meanwhile: its page says so
        except BadInput as error:
            problems = (Problem(field="certificate", message=f"{error.message}."),)
    if problems:
        return draft_page(
            office,
            visitor,
            summary,
            problems=problems,
            values=values,
            status=MENDABLE,
        )
    return _see(summary.incident)


def _owner_of(sent: Submitted) -> tuple[Owner, tuple[Problem, ...]]:
    problems = []
    name = " ".join(sent.one("owner").split())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        problems.append(
            Problem(field="owner", message="Enter whose certificates they are.")
        )
    contact, email, phone = sent.one("name"), sent.one("email"), sent.one("phone")
    if email:
        try:
            email = parse_address(email)
        except BadInput as error:
            problems.append(
                Problem(
                    field="email",
                    message=f"Enter an address like name@example.org: {error.message}",
                )
            )
    elif contact or phone:
        problems.append(
            Problem(
                field="email",
                message="Enter the contact's address, too, or leave all three out.",
            )
        )
    if len(phone) > _LONGEST_PHONE or len(contact) > _LONGEST_NAME:
        problems.append(
            Problem(field="name", message="Enter a shorter name or number.")
        )
    return (
        Owner(name=name, contact=" ".join(contact.split()), email=email, phone=phone),
        tuple(problems),
    )


def _certificates(sent: Submitted) -> list[CertificateId]:
    return [CertificateId(parse_key(text)) for text in sent.every("certificate")]


def _launch(
    office: TheOffice, visitor: TheOfficer, summary: TheIncident, sent: Sent
) -> Response:
    office.check_form(visitor, f"launch:{summary.incident}", sent)
    with reading(office.engine) as connection:
        draft = read_draft(connection, incident=summary.incident)
        record = read_incident(connection, incident=summary.incident)
    if draft is None:
        raise NotThere  # not read to its end: there is nothing to launch
    if record.launched_at is not None:
        return _see(summary.incident)
    typed = "".join(c for c in sent.one("certificates") if c not in ",. \u00a0")
    expected = str(draft.imported["certificates"])
    if typed != expected:
        problem = Problem(
            field="certificates",
            message="Type the number of certificates, as it stands above the button.",
        )
        return draft_page(
            office,
            visitor,
            summary,
            problems=(problem,),
            values={"certificates": sent.one("certificates")},
            status=MENDABLE,
        )
    try:
        needs_second = office.settings.launch_needs_second_officer
        if needs_second and draft.asked_by in (None, visitor.officer.actor):
            ask_second_officer(
                office.engine,
                incident=summary.incident,
                by=visitor.officer,
                officers=office.officers(),
                clock=office.clock,
            )
            send_soon(office)
        else:
            launch_incident(
                office.engine,
                incident=summary.incident,
                backend=office.backend(),
                templates=current_templates(office.settings).sources(),
                actor=visitor.officer.actor,
                clock=office.clock,
                needs_second=needs_second,
            )
    except (Refused, BadInput, Unavailable) as error:
        return draft_page(
            office,
            visitor,
            summary,
            problems=(Problem(field="check", message=f"{error}."),),
            status=CONFLICT,
        )
    return _see(summary.incident)


def _see(incident: IncidentId) -> RedirectResponse:
    return RedirectResponse(f"{DESK}/i/{incident}", status_code=SEE_OTHER)
