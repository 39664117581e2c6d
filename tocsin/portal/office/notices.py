"""Any notice as any contact would get it now; nothing is sent, and its link leads nowhere."""

from email import message_from_bytes, policy
from email.message import EmailMessage

from fastapi import APIRouter
from fastapi.responses import Response

from models.terms import ContactId, NoticeKind
from tocsin.errors import BadInput, Unavailable
from tocsin.portal.forms import Problem
from tocsin.portal.office.context import (
    MENDABLE,
    OK,
    READ,
    NotThere,
    Office,
    TheIncident,
    TheOffice,
    TheVisitor,
)
from tocsin.portal.office.subscribers import TheSubscriber, subscriber_path
from tocsin.steps.collaborators import current_templates
from tocsin.steps.letters import Letter
from tocsin.steps.rehearse import dead_links, preview_letter
from tocsin.steps.sign_in import DESK
from tocsin.store.views import ContactView, SubscriberView

_BASE = f"{DESK}/i/{{incident}}/s/{{subscriber}}/notice"
_KINDS = tuple(kind for kind in NoticeKind if kind is not NoticeKind.ESCALATION)
_LONGEST_TAG = 16


def add_notice_routes(router: APIRouter) -> None:
    """Add the pages that show a notice; all of them only read (I6)."""
    router.add_api_route(_BASE, _notice, methods=READ)
    router.add_api_route(f"{_BASE}.eml", _message, methods=READ)


def _notice(  # noqa: PLR0917 - each is given by its type
    office: TheOffice,
    visitor: TheVisitor,
    summary: TheIncident,
    view: TheSubscriber,
    kind: str = NoticeKind.INITIAL.value,
    contact: str = "",
    language: str = "",
) -> Response:
    chosen = _chosen(view, contact)
    letter, problems = _write(office, view, chosen, kind, language)
    mail = _parsed(letter) if letter else None
    text = mail.get_body(("plain",)) if mail else None
    return office.render(
        "notice",
        visitor,
        status=MENDABLE if problems else OK,
        zone=summary.zone,
        summary=summary,
        view=view,
        base=subscriber_path(view),
        kinds=_KINDS,
        languages=current_templates(office.settings).languages(),
        kind=kind,
        contact=chosen,
        tag=language,
        problems=problems,
        mail=mail,
        text=text.get_content() if isinstance(text, EmailMessage) else "",
        attached=[part.get_filename() or "" for part in mail.iter_attachments()]
        if mail
        else [],
    )


def _message(  # noqa: PLR0917 - each is given by its type
    office: TheOffice,
    visitor: TheVisitor,
    view: TheSubscriber,
    kind: str = NoticeKind.INITIAL.value,
    contact: str = "",
    language: str = "",
) -> Response:
    del visitor
    letter, _ = _write(office, view, _chosen(view, contact), kind, language)
    if letter is None:
        raise NotThere
    return Response(
        letter.message.content,
        media_type="message/rfc822",
        headers={
            "Content-Disposition": f'attachment; filename="{NoticeKind(kind)}.eml"'
        },
    )


def _chosen(view: SubscriberView, contact: str) -> ContactView | None:
    """Return the contact that is asked for, or the first one."""
    named = [one for one in view.contacts if str(one.contact) == contact]
    if contact and not named:
        raise NotThere
    return next(iter(named or view.contacts), None)


def _write(
    office: Office,
    view: SubscriberView,
    contact: ContactView | None,
    kind: str,
    language: str,
) -> tuple[Letter | None, tuple[Problem, ...]]:
    """Write the notice; None where there would be nothing to say, or nobody to."""
    known = next((one for one in _KINDS if one.value == kind), None)
    if known is None or len(language) > _LONGEST_TAG:
        raise NotThere
    if contact is None:
        return None, ()
    try:
        return (
            preview_letter(
                office.engine,
                incident=view.incident,
                contact=ContactId(contact.contact),
                kind=known,
                language=language or None,
                backend=office.backend(),
                templates=current_templates(office.settings),
                links=dead_links(),
                sender=office.sender,
                now=office.clock.now(),
            ),
            (),
        )
    except (BadInput, Unavailable) as error:
        return None, (Problem(field="check", message=f"{error}"),)


def _parsed(letter: Letter) -> EmailMessage:
    return message_from_bytes(
        letter.message.content, _class=EmailMessage, policy=policy.default
    )
