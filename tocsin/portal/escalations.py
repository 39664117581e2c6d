"""The pages behind the link in a message to the CA's own people: see, tick, take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from models.terms import EscalationId, EscalationState
from tocsin.links import ESCALATION, LinkClaims
from tocsin.policy.escalations import IN_WORDS
from tocsin.policy.ladder import parse_ladder
from tocsin.policy.progress import spell_duration
from tocsin.policy.worklists import CallableContact, LiveEscalation
from tocsin.portal.desk import DeadLink, Desk, TheDesk
from tocsin.portal.forms import Problem, Submitted, read_submitted
from tocsin.steps.escalations import Take, acknowledge
from tocsin.store.escalations import Seen, StaffMember, escalations_of, staff_member
from tocsin.store.incidents import IncidentRecord, read_incident
from tocsin.store.session import reading
from tocsin.store.worklists import callable_contacts

_READ = ["GET", "HEAD"]
_OK = 200
_SEE_OTHER = 303
_CONFLICT = 409
_MENDABLE = 422
_SHOWN = 200

_TICK = Problem(
    field="escalation", message="Tick whom you are on, or go back to your mail."
)
_CHANGED = Problem(
    field="check",
    message="Something changed meanwhile, or this page had been open for long. Look at"
    " it again, then press the button.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffVisit:
    """One request of one of the CA's own people through a link that works."""

    token: str
    claims: LinkClaims
    member: StaffMember
    record: IncidentRecord
    live: tuple[LiveEscalation, ...]
    contacts: Mapping[int, tuple[CallableContact, ...]]

    @property
    def base(self) -> str:
        """The address of the page, without the host."""
        return f"/e/{self.token}"

    @property
    def free(self) -> tuple[LiveEscalation, ...]:
        """Those that nobody is on."""
        return tuple(
            one for one in self.live if one.state is not EscalationState.ACKNOWLEDGED
        )


Sent = Annotated[Submitted, Depends(read_submitted)]


def add_escalation_routes(router: APIRouter) -> None:
    """Add what stands behind a staff link; what only reads changes nothing (I6)."""
    router.add_api_route("/e/{token}", _list, methods=_READ)
    router.add_api_route("/e/{token}/done", _done, methods=_READ)
    router.add_api_route("/e/{token}/check", _check, methods=["POST"])
    router.add_api_route("/e/{token}", _take, methods=["POST"])


def _list(desk: TheDesk, token: str) -> Response:
    return _render(desk, _open(desk, token), "escalations")


def _done(desk: TheDesk, token: str) -> Response:
    return _render(desk, _open(desk, token), "escalations", is_done=True)


def _check(desk: TheDesk, token: str, sent: Sent) -> Response:
    visit = _open(desk, token)
    take = _read(visit, sent)
    if not take.seen:
        return _render(desk, visit, "escalations", status=_MENDABLE, problems=(_TICK,))
    return _check_page(desk, visit, take)


def _take(desk: TheDesk, token: str, sent: Sent) -> Response:
    visit = _open(desk, token)
    take = Take(seen=parse_seen(sent.every("escalation")))
    if desk.read_form(visit, take, sent.one("nonce")) is None:
        known = _read(visit, sent)
        if not known.seen:
            return _render(
                desk, visit, "escalations", status=_CONFLICT, problems=(_CHANGED,)
            )
        return _check_page(desk, visit, known, problems=(_CHANGED,))
    # Pressed twice, or by somebody else meanwhile: what is taken stays as it is.
    acknowledge(
        desk.engine,
        take.seen,
        incident=visit.claims.incident,
        by=visit.member.name,
        actor=f"contact:{visit.claims.contact}",
        clock=desk.clock,
        role=visit.member.role,
    )
    return RedirectResponse(f"{visit.base}/done", status_code=_SEE_OTHER)


def _open(desk: Desk, token: str) -> StaffVisit:
    """
    Let one of the CA's own people in by their link.

    Raises:
        DeadLink: It does not work (any more).

    """
    claims = desk.claims_of(token, purpose=ESCALATION)
    with reading(desk.engine) as connection:
        member = staff_member(connection, claims=claims)
        if member is None:
            raise DeadLink
        record = read_incident(connection, incident=claims.incident)
        live = escalations_of(connection, incident=claims.incident, role=member.role)
        contacts = callable_contacts(
            connection,
            {one.subscriber for one in live[:_SHOWN] if one.subscriber is not None},
        )
    return StaffVisit(
        token=token,
        claims=claims,
        member=member,
        record=record,
        live=tuple(live),
        contacts=contacts,
    )


def _read(visit: StaffVisit, sent: Submitted) -> Take:
    """Read what was ticked, of what can still be taken."""
    free = {
        Seen(escalation=one.escalation, raised_times=one.raised_times)
        for one in visit.free
    }
    if sent.one("all") == "1":
        return Take(seen=tuple(sorted(free)))
    ticked = parse_seen(sent.every("escalation"))
    return Take(seen=tuple(one for one in ticked if one in free))


def parse_seen(values: Sequence[str]) -> tuple[Seen, ...]:
    """Read what was ticked, as it was shown; what is no such thing is left out."""
    found = set()
    for value in values:
        key, _, times = value.partition(".")
        if key.isascii() and key.isdigit() and times.isascii() and times.isdigit():
            found.add(
                Seen(
                    escalation=EscalationId(int(key[:18])), raised_times=int(times[:9])
                )
            )
    return tuple(sorted(found))


def _check_page(
    desk: Desk, visit: StaffVisit, take: Take, *, problems: tuple[Problem, ...] = ()
) -> Response:
    taken = {one.escalation for one in take.seen}
    return _render(
        desk,
        visit,
        "escalations-check",
        status=_CONFLICT if problems else _OK,
        problems=problems,
        chosen=[one for one in visit.live if one.escalation in taken],
        carried=[
            ("escalation", f"{one.escalation}.{one.raised_times}") for one in take.seen
        ],
        nonce=desk.sign_form(visit, take),
    )


def _render(
    desk: Desk, visit: StaffVisit, name: str, *, status: int = _OK, **context: object
) -> HTMLResponse:
    within = parse_ladder(visit.record.ladder).acknowledged_for
    return desk.pages.render(
        name,
        {
            "problems": (),
            "is_done": False,
            "visit": visit,
            "config": desk.config,
            "causes": IN_WORDS,
            "shown": _SHOWN,
            "within": spell_duration(within),
        }
        | context,
        zone=visit.record.zone,
        now=desk.clock.now(),
        status=status,
    )
