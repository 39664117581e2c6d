"""A look at the hosts of what is reported as replaced, if their owner agrees to it."""

from collections.abc import Callable, Mapping

from tocsin.errors import Refused
from tocsin.portal.desk import Desk, Visit
from tocsin.portal.forms import Submitted
from tocsin.steps.reply_acts import ReplyAct, ReportReplaced
from tocsin.steps.wire import look_on_wire

Looker = Callable[[Desk, Visit, Submitted, ReplyAct], Mapping[str, object]]


def look_if_agreed(
    desk: Desk, visit: Visit, form: Submitted, act: ReplyAct
) -> Mapping[str, object]:
    """Return what the hosts present, for the check page; it forbids nothing."""
    wire = desk.config.wire
    is_agreed = form.one("look") == "1"
    if not is_agreed or wire is None or not isinstance(act, ReportReplaced):
        return {}
    try:
        looked = look_on_wire(
            desk.engine,
            wire,
            claims=visit.claims,
            certificates=act.certificates,
            per_hour=desk.config.wire_checks_per_hour,
            clock=desk.clock,
        )
    except Refused:
        return {}  # the link died meanwhile: the button will say so
    names = {
        one.certificate: one
        for one in desk.certificates(visit, [view.certificate for view in looked.views])
    }
    return {"looked": looked, "looked_at": names}
