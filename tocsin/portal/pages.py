"""The pages behind a link: to read, to fill in, to check, and to have done."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from models.terms import ReplyId, ReplyKind
from tocsin.errors import Broken, Refused
from tocsin.phrases import phrase
from tocsin.portal.acts import ACTS, EMPTY, ActPage
from tocsin.portal.desk import DeadLink, Desk, TheDesk, Visit, page_number, seen_on
from tocsin.portal.forms import (
    CHANGED_MEANWHILE,
    Parsed,
    Problem,
    Submitted,
    filter_of_form,
    read_filter,
    read_keys,
    read_submitted,
)
from tocsin.steps.csrs import note_refused_csrs
from tocsin.steps.replies import Overtaken, Taken, take_reply
from tocsin.steps.reply_acts import Undo
from tocsin.store.views import ReplyView

_READ = ["GET", "HEAD"]
_OK = 200
_MENDABLE = 422
_CONFLICT = 409
_SEE_OTHER = 303
_SHOWN = 200  # certificates on a page that repeats an act
_LONGEST_KEY = 18
_OVERTAKEN = Problem(
    field="check",
    message=phrase(
        "Somebody else did something since this page was made. Look at it, then press"
        " the button if it is still right."
    ),
)


_NOT_SURE = Problem(
    field="sure",
    message=phrase("Tick that you want to undo the report, or go back."),
)
"""Its page is two links from a mail: a machine that presses buttons would undo it."""


Sent = Annotated[Submitted, Depends(read_submitted)]


def add_act_routes(router: APIRouter) -> None:
    """Add what a subscriber can do; what only reads changes nothing (I6)."""
    for act in ACTS:
        base = f"/s/{{token}}/{act.slug}"
        router.add_api_route(base, _form_of(act), methods=_READ)
        router.add_api_route(f"{base}/check", _check_of(act), methods=["POST"])
        router.add_api_route(base, _deed_of(act), methods=["POST"])
    router.add_api_route("/s/{token}/undo/{reply}", _undo_check, methods=_READ)
    router.add_api_route("/s/{token}/undo/{reply}", _undo, methods=["POST"])
    router.add_api_route("/s/{token}/done/{reply}", _done, methods=_READ)


def _form_of(act: ActPage) -> Callable[..., Response]:
    def form(desk: TheDesk, token: str, request: Request, page: str = "1") -> Response:
        query = request.query_params
        visit = desk.open(
            token,
            page=page_number(page),
            selection=act.selection,
            wanted=read_filter(lambda name: query.get(name, "")),
        )
        if not visit.view.takes_replies:
            return _over(desk, visit)
        return _form(desk, visit, act, Parsed(values={"for": query.get("for", "")}))

    form.__name__ = f"{act.slug}-form"
    return form


def _check_of(act: ActPage) -> Callable[..., Response]:
    def check(desk: TheDesk, token: str, sent: Sent) -> Response:
        visit = _opened(desk, token, act, sent)
        if not visit.view.takes_replies:
            return _over(desk, visit)
        if sent.one("show") or sent.one("page"):
            return _form(desk, visit, act, _kept(sent))
        parsed = act.parse(desk, visit, sent)
        if parsed.act is None:
            if parsed.refused:
                note_refused_csrs(
                    desk.engine,
                    claims=visit.claims,
                    codes=parsed.refused,
                    clock=desk.clock,
                )
            return _form(desk, visit, act, parsed)
        if act.looks is not None:
            shown = {**parsed.shown, **act.looks(desk, visit, sent, parsed.act)}
            parsed = replace(parsed, shown=shown)
        return _check(desk, visit, act, parsed, since=_seen_before(sent))

    check.__name__ = f"{act.slug}-check"
    return check


def _deed_of(act: ActPage) -> Callable[..., Response]:
    def deed(desk: TheDesk, token: str, sent: Sent) -> Response:
        visit = _opened(desk, token, act, sent)
        known = _same_form(desk, visit, sent)
        if known is not None:
            return _see(visit, known)
        if not visit.view.takes_replies:
            return _over(desk, visit)
        seen = seen_on(sent.one("nonce"))
        parsed = act.parse(desk, visit, sent)
        if parsed.act is None:
            return _form(desk, visit, act, parsed, since=seen)
        nonce = desk.read_form(visit, parsed.act, sent.one("nonce"))
        if nonce is None:
            return _check(desk, visit, act, parsed, problems=(CHANGED_MEANWHILE,))
        return _do(desk, visit, act, parsed, sent, nonce=nonce)

    deed.__name__ = f"{act.slug}-deed"
    return deed


def _opened(desk: Desk, token: str, act: ActPage, sent: Submitted) -> Visit:
    return desk.open(
        token,
        page=page_number(sent.one("page")),
        selection=act.selection,
        wanted=filter_of_form(sent),
    )


def _kept(sent: Submitted) -> Parsed:
    """Return what stays as it was when somebody filters or turns the page."""
    return Parsed(
        values={
            "certificate": read_keys(sent.every("certificate")),
            # Another filter gives "all" another meaning: it must be ticked again.
            "all": sent.one("all") == "1" and not sent.one("show"),
        }
    )


def _do(
    desk: Desk,
    visit: Visit,
    act: ActPage,
    parsed: Parsed,
    sent: Submitted,
    *,
    nonce: str,
) -> Response:
    if parsed.act is None:
        raise Broken("there is nothing to do")
    seen = seen_on(sent.one("nonce"))
    try:
        taken = take_reply(
            desk.engine,
            claims=visit.claims,
            act=parsed.act,
            nonce=nonce,
            clock=desk.clock,
            grace_within=desk.config.grace_within,
            mail_domain=desk.config.mail_domain,
            blocklist=desk.config.key_blocklist,
            seen=seen,
        )
    except Overtaken:
        now = _opened(desk, visit.token, act, sent)
        again = act.parse(desk, now, sent)
        if again.act is None:
            return _form(desk, now, act, again, since=seen)
        return _check(desk, now, act, again, problems=(_OVERTAKEN,), since=seen)
    except Refused as refusal:
        problem = Problem(
            field="check", message=phrase("%(reason)s.", reason=refusal.message)
        )
        return _form(
            desk,
            _opened(desk, visit.token, act, sent),
            act,
            Parsed(values=parsed.values, problems=(problem,)),
        )
    return _after(desk, visit, parsed, taken)


def _undo_check(desk: TheDesk, token: str, reply: str) -> Response:
    visit = desk.open(token)
    found = _find(desk, visit, reply)
    if not found.can_be_undone or not visit.view.takes_replies:
        return _see(visit, found.reply)
    return _undo_page(desk, visit, found)


def _undo(desk: TheDesk, token: str, reply: str, sent: Sent) -> Response:
    visit = desk.open(token)
    known = _same_form(desk, visit, sent)
    if known is not None:
        return _see(visit, known)
    found = _find(desk, visit, reply)
    act = Undo(reply=found.reply)
    nonce = desk.read_form(visit, act, sent.one("nonce"))
    if nonce is None:
        return _undo_page(desk, visit, found, problems=(CHANGED_MEANWHILE,))
    if sent.one("sure") != "1":
        return _undo_page(desk, visit, found, problems=(_NOT_SURE,))
    try:
        taken = take_reply(
            desk.engine,
            claims=visit.claims,
            act=act,
            nonce=nonce,
            clock=desk.clock,
            grace_within=desk.config.grace_within,
            mail_domain=desk.config.mail_domain,
        )
    except Refused:
        # Too late, or done by a colleague: its own page says how it stands.
        return _see(visit, found.reply)
    return _see(visit, taken.reply)


def _done(desk: TheDesk, token: str, reply: str) -> Response:
    visit = desk.open(token)
    found = _find(desk, visit, reply)
    return desk.render(
        visit,
        "done",
        reply=found,
        certificates=desk.certificates(visit, found.certificates[:_SHOWN]),
        seen=desk.seen(found.certificates[:_SHOWN])
        if found.kind is ReplyKind.REPLACED
        else {},
    )


def _find(desk: Desk, visit: Visit, text: str) -> ReplyView:
    """Return one of the visitor's replies; any other is as good as a dead link."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY):
        raise DeadLink
    found = desk.reply(visit, ReplyId(int(text)))
    if found is None:
        raise DeadLink
    return found


def _same_form(desk: Desk, visit: Visit, sent: Submitted) -> ReplyId | None:
    """Return the reply that this very form has made before (I4)."""
    nonce = sent.one("nonce")
    return desk.reply_of_form(visit, nonce) if nonce else None


def _form(
    desk: Desk,
    visit: Visit,
    act: ActPage,
    parsed: Parsed,
    *,
    since: ReplyId | None = None,
) -> Response:
    return desk.render(
        visit,
        act.slug,
        status=_MENDABLE if parsed.problems else _OK,
        act=act,
        problems=parsed.problems,
        news=() if since is None else visit.view.since(since),
        values={**EMPTY, **parsed.values},
        refused=parsed.shown.get("refused", ()),
    )


def _check(
    desk: Desk,
    visit: Visit,
    act: ActPage,
    parsed: Parsed,
    *,
    problems: tuple[Problem, ...] = (),
    since: ReplyId | None = None,
) -> Response:
    if parsed.act is None:
        raise Broken("there is nothing to check")
    return desk.render(
        visit,
        f"{act.slug}-check",
        status=_CONFLICT if problems else _OK,
        act=act,
        problems=problems,
        news=() if since is None else visit.view.since(since),
        carried=parsed.carried,
        nonce=desk.sign_form(visit, parsed.act),
        values=parsed.values,
        **{"looked": None, **parsed.shown},
    )


def _undo_page(
    desk: Desk, visit: Visit, reply: ReplyView, problems: tuple[Problem, ...] = ()
) -> Response:
    return desk.render(
        visit,
        "undo-check",
        status=_status_of(problems),
        problems=problems,
        reply=reply,
        certificates=desk.certificates(visit, reply.certificates[:_SHOWN]),
        nonce=desk.sign_form(visit, Undo(reply=reply.reply)),
    )


def _status_of(problems: tuple[Problem, ...]) -> int:
    if not problems:
        return _OK
    return _CONFLICT if CHANGED_MEANWHILE in problems else _MENDABLE


def _after(desk: Desk, visit: Visit, parsed: Parsed, taken: Taken) -> Response:
    if taken.link_lives:
        return _see(visit, taken.reply)
    # The confirmation cannot lie behind a link that has just died.
    return desk.render(visit, "left", values=parsed.values)


def _over(desk: Desk, visit: Visit) -> Response:
    return desk.render(visit, "over", status=_CONFLICT)


def _see(visit: Visit, reply: ReplyId) -> RedirectResponse:
    return RedirectResponse(f"{visit.base}/done/{reply}", status_code=_SEE_OTHER)


def _seen_before(sent: Submitted) -> ReplyId | None:
    """Return what the form was made from, where the browser says so."""
    text = sent.one("seen")
    is_key = text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY
    return ReplyId(int(text)) if is_key else None
