"""Whether all will be published in time, and who is needed: the first page."""

from collections.abc import Iterator

from models.terms import IncidentState, NoticeState, ScopeState
from tocsin.policy.pauses import pause_sentence
from tocsin.policy.progress import spell_duration
from tocsin.policy.worklists import TimetableEntry
from tocsin.reports.dashboards.board import Board, Page
from tocsin.reports.dashboards.revocation import certificates_table
from tocsin.reports.dashboards.timeline import timeline
from tocsin.reports.dashboards.words import (
    REPLACEMENT,
    certs,
    counted,
    cut,
    escalations_wait,
    plural,
    see,
    short,
    subscribers,
    table,
    text,
    zone_name,
)
from tocsin.reports.status import headline

_WHAT = 38
"""Characters of a moment's name; the list of runs has it whole."""


def answer(board: Board) -> str:
    """Say how publication stands, and how much waits for people."""
    waits = list(_waits(board))
    if not waits:
        return headline(board.figures)
    sentence = "; ".join(waits)
    return f"{headline(board.figures)} {sentence[0].upper()}{sentence[1:]}."


def _waits(board: Board) -> Iterator[str]:
    """Yield what waits for people, in a clause each."""
    live = board.escalations_waiting
    if live and board.owing.subscribers:
        yield (
            f"{subscribers(board.owing.subscribers)} ({certs(board.owing.missing)}) "
            "sent no CSR"
        )
    if nobody := board.unreachable.nobody_left:
        yield f"mail reaches nobody at {subscribers(nobody)}"
    if live:
        yield f"{escalations_wait(live)} for a person"


def parts(board: Board) -> Iterator[str]:
    """Write who is needed, what comes next, and the figures."""
    figures = board.figures
    needs = list(_needs(board))
    yield "## Who is needed" if needs else "Nobody is needed now."
    if needs:
        yield "\n".join(f"- {need}" for need in needs)
    ahead = next((one for one in board.timetable if one.at > figures.as_of), None)
    if ahead is not None and figures.summary.state is IncidentState.RUNNING:
        yield (
            f"**Next: {text(ahead.name)}**, {short(ahead.at, board)}, "
            f"in {spell_duration(ahead.at - figures.as_of)}."
        )
    yield "## Timetable"
    yield timeline(board)
    yield _timetable(board)
    yield "## Certificates"
    yield certificates_table(figures)
    yield counted("Replacement", figures.replacement, REPLACEMENT)
    yield (
        f"{figures.subscribers:,} subscribers, of whom "
        f"{figures.subscribers_acknowledged:,} have answered. "
        f"{figures.notices_sent:,} notices taken by the relay, of which "
        f"{figures.notices_in(NoticeState.BOUNCED):,} came back; "
        f"{figures.notices_in(NoticeState.FAILED):,} refused by it; "
        f"{figures.possibly_repeated:,} possibly repeated, "
        f"{figures.notices_in(NoticeState.HELD):,} held in doubt, "
        f"{figures.notices_in(NoticeState.GIVEN_UP):,} given up in doubt."
    )


def _needs(board: Board) -> Iterator[str]:
    """Yield what needs a person, worst first."""
    figures = board.figures
    if board.pause is not None and board.pause.alarmed_at is not None:
        yield (
            f"**Sending pauses since {short(board.pause.paused_at, board)}: "
            f"{pause_sentence(board.pause.cause)}.** See to the relay; sending goes on "
            "when it takes a message, or by `tocsin notice resume`. Revocation does "
            "not wait for it."
        )
    if held := figures.notices_in(NoticeState.HELD):
        yield (
            f"**Decide on {plural(held, 'notice')}** of which nobody knows whether "
            "they left: `tocsin notice held`."
        )
    yield from _decisions(board)
    for said, count in figures.problems.items():
        yield (
            f"**Ask the CA**: its last answer is “{text(said)}” for {certs(count)}."
            f"{see(Page.REVOCATION, board)}"
        )
    if nobody := board.unreachable.nobody_left:
        yield (
            f"**Call {subscribers(nobody)}** ({certs(board.unreachable.certificates)}): "
            f"mail reaches nobody there.{see(Page.UNREACHABLE, board)}"
        )
    live = board.escalations_waiting
    if live and board.owing.subscribers:
        yield (
            f"**Get CSRs from {subscribers(board.owing.subscribers)}** "
            f"({certs(board.owing.missing)}); {board.owing.silent:,} of them never "
            f"answered.{see(Page.MISSING_CSRS, board)}"
        )
    if live:
        yield (
            f"**See to {plural(live, 'escalation')}** that "
            f"{'waits' if live == 1 else 'wait'} for a person."
            f"{see(Page.ESCALATIONS, board)}"
        )
    if keys := board.replies.private_keys:
        yield (
            f"**Treat {plural(keys, 'private key')} as compromised**: it came by mail."
            f"{see(Page.REPLIES, board)}"
        )
    if people := board.replies.people:
        yield (
            f"**Read {plural(people, 'message')}** from people."
            f"{see(Page.REPLIES, board)}"
        )
    if figures.unclaimed and figures.summary.state is IncidentState.RUNNING:
        yield (
            f"**Find out whose they are**: no subscriber is known for "
            f"{certs(figures.unclaimed)}, and nobody hears of their revocation from us."
        )


def _decisions(board: Board) -> Iterator[str]:
    """Yield what withdrawals and court orders ask of people."""
    figures = board.figures
    if figures.restrained_overdue:
        yield (
            f"**Disclose {certs(figures.restrained_overdue)}** that a court order "
            f"keeps past the revocation time: overdue.{see(Page.REVOCATION, board)}"
        )
    if open_ := sum(one.state is ScopeState.PROPOSED for one in board.changes):
        yield (
            f"**Sign or refuse {plural(open_, 'proposal')}** to withdraw or restrain "
            f"certificates: [at the desk]({board.scope_desk})."
        )


def _timetable(board: Board) -> str:
    now = board.figures.as_of
    rows: list[tuple[str, ...]] = []
    is_marked = False
    for entry in board.timetable:
        if entry.at > now and not is_marked:
            rows.append((f"**{short(now, board)}**", "**now**", ""))
            is_marked = True
        rows.append(
            (short(entry.at, board), cut(entry.name, _WHAT), _outcome(entry, board))
        )
    return table((f"When ({zone_name(board)})", "What", "Whom, or outcome"), "", rows)


def _outcome(entry: TimetableEntry, board: Board) -> str:
    now = board.figures.as_of
    if entry.at > now:
        if entry.subscribers is not None:
            return f"{subscribers(entry.subscribers)} so far"
        if entry.certificates is not None:
            return certs(entry.certificates)
        return f"in {spell_duration(entry.at - now)}"
    said = []
    if entry.notices:
        sent = entry.sent or 0
        said.append(f"{sent:,} of {entry.notices:,} sent")
    if entry.escalations:
        said.append(plural(entry.escalations, "escalation"))
    if entry.certificates:
        said.append(f"{certs(entry.certificates)} still to be revoked")
    if not said and (entry.notices, entry.escalations) != (None, None):
        return "nobody to tell"
    return ", ".join(said) or "done"
