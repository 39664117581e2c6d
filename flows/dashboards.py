"""What managers read of an incident, as Markdown: one question a page, answered first."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from models.terms import (
    ContactState,
    EscalationCause,
    EscalationState,
    IncidentId,
    IncidentState,
    NoticeState,
    ReplacementState,
)
from tocsin.policy.figures import IncidentFigures
from tocsin.policy.progress import incident_forecast, shares, spell_duration
from tocsin.policy.worklists import (
    CallableContact,
    LiveEscalations,
    Owing,
    TimetableEntry,
    Unreachable,
)
from tocsin.reports.status import certificate_lines, headline
from tocsin.store.figures import incident_figures
from tocsin.store.timetable import timetable
from tocsin.store.worklists import (
    live_escalations,
    subscribers_owing_csr,
    unreachable,
)

WORST = 20
"""Rows that a page lists; the rest is counted."""
TRUSTED_WITHIN = timedelta(minutes=5)
"""How long a page holds: it is made anew every minute, and five have to fail."""

_Word = TypeVar("_Word", bound=StrEnum)

_BAR = 25
_CAUSES = {
    EscalationCause.CSR_MISSING: "no CSR",
    EscalationCause.NOT_ACKNOWLEDGED: "no answer",
    EscalationCause.UNREACHABLE: "mail reaches nobody",
    EscalationCause.NOT_DELIVERED: "mail does not get through",
    EscalationCause.CSR_REFUSED: "CSR cannot be used",
    EscalationCause.NOT_INSTALLED: "replacement not installed",
    EscalationCause.NOT_REPLACED: "not replaced",
    EscalationCause.FORECAST_LATE: "will be late",
    EscalationCause.STEP_MISSED: "a due step was not taken",
}
_ESCALATIONS = {
    EscalationState.RAISED: "raised, nobody told yet",
    EscalationState.TOLD: "told, waiting for somebody to act",
    EscalationState.ACKNOWLEDGED: "acknowledged, somebody is on it",
    EscalationState.RAISED_FURTHER: "taken over by a higher step",
    EscalationState.ENDED: "ended: answered, or revoked",
}
_CONTACTS = {
    ContactState.ACTIVE: "mail gets through, as far as known",
    ContactState.UNREACHABLE: "mail came back for good",
    ContactState.REMOVED: "said not to be the person",
}
_REPLACEMENT = {
    ReplacementState.AWAITING_CSR: "without a CSR",
    ReplacementState.CSR_RECEIVED: "CSR received",
    ReplacementState.REPLACEMENT_ISSUED: "replacement issued",
    ReplacementState.REPLACED: "replaced",
    ReplacementState.NO_LONGER_REQUIRED: "no longer required",
}


class Page(StrEnum):
    """The questions; each is the end of an artifact's key."""

    OVERVIEW = "overview"
    MISSING_CSRS = "missing-csrs"
    ESCALATIONS = "escalations"
    REVOCATION = "revocation"
    UNREACHABLE = "unreachable"

    @property
    def question(self) -> str:
        """The question in words."""
        return _QUESTIONS[self]


_QUESTIONS = {
    Page.OVERVIEW: "Will all be published in time, and who is needed?",
    Page.MISSING_CSRS: "Who still owes CSRs?",
    Page.ESCALATIONS: "What waits for a person?",
    Page.REVOCATION: "How far is revocation?",
    Page.UNREACHABLE: "Whom does mail not reach?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """
    Everything that the pages of one incident are made of, read at one instant.

    Args:
        figures: Counts; their ``as_of`` is the instant.
        timetable: What happens when.
        owing: Who owes CSRs.
        escalations: What waits for a person.
        unreachable: Whom mail does not reach.

    """

    figures: IncidentFigures
    timetable: tuple[TimetableEntry, ...]
    owing: Owing
    escalations: LiveEscalations
    unreachable: Unreachable


def read_board(connection: Connection, *, incident: IncidentId, now: datetime) -> Board:
    """Read what the pages show, in one transaction so that they agree."""
    return Board(
        figures=incident_figures(connection, incident=incident, now=now),
        timetable=timetable(connection, incident=incident, now=now),
        owing=subscribers_owing_csr(connection, incident=incident, limit=WORST),
        escalations=live_escalations(connection, incident=incident, limit=WORST),
        unreachable=unreachable(connection, incident=incident, limit=WORST),
    )


def render_page(page: Page, board: Board, links: Mapping[Page, str]) -> str:
    """
    Write one page.

    Args:
        page: Which question.
        board: What is known.
        links: Where the other pages are; those that are missing get no link.

    """
    parts = [*_parts(page, board, links), _made_at(board), *_elsewhere(page, links)]
    return "\n\n".join(parts) + "\n"


def _parts(page: Page, board: Board, links: Mapping[Page, str]) -> Iterator[str]:
    match page:
        case Page.OVERVIEW:
            return _overview(board, links)
        case Page.MISSING_CSRS:
            return _missing_csrs(board)
        case Page.ESCALATIONS:
            return _escalations(board)
        case Page.REVOCATION:
            return _revocation(board)
        case Page.UNREACHABLE:
            return _unreachable(board)


def _overview(board: Board, links: Mapping[Page, str]) -> Iterator[str]:
    figures = board.figures
    yield f"**{headline(figures)}**"
    yield _title(board)
    needs = list(_needs(board, links))
    yield "## Who is needed" if needs else "Nobody is needed now."
    if needs:
        yield "\n".join(f"- {need}" for need in needs)
    yield "## Timetable"
    yield _timetable(board)
    yield "## Certificates"
    yield _certificates(figures)
    yield _replacement(figures)
    yield (
        f"{figures.subscribers:,} subscribers, of whom "
        f"{figures.subscribers_acknowledged:,} have answered. "
        f"{figures.notices_sent:,} notices taken by the relay, of which "
        f"{figures.notices_in(NoticeState.BOUNCED):,} came back; "
        f"{figures.notices_in(NoticeState.FAILED):,} refused by it."
    )


def _needs(board: Board, links: Mapping[Page, str]) -> Iterator[str]:
    """Yield what needs a person, worst first."""
    figures = board.figures
    for answer, count in figures.problems.items():
        yield (
            f"The CA's last answer is “{_text(answer)}” for {_certs(count)}."
            f"{_see(Page.REVOCATION, links)}"
        )
    if nobody := board.unreachable.nobody_left:
        yield (
            f"Mail reaches nobody at {_subscribers(nobody)} "
            f"({_certs(board.unreachable.certificates)}): call them."
            f"{_see(Page.UNREACHABLE, links)}"
        )
    if live := board.escalations.escalations:
        yield (
            f"{_escalation_count(live)} for a person.{_see(Page.ESCALATIONS, links)}"
        )
    if figures.unclaimed and figures.summary.state is IncidentState.RUNNING:
        yield (
            f"No subscriber is known for {_certs(figures.unclaimed)}: nobody hears of "
            "their revocation from us."
        )


def _missing_csrs(board: Board) -> Iterator[str]:
    owing = board.owing
    if not owing.subscribers:
        yield "**On schedule: no certificate that is still to be revoked lacks a CSR.**"
    elif board.escalations.escalations:
        yield (
            f"**AT RISK: {_subscribers(owing.subscribers)} "
            f"({_certs(owing.missing)}) sent no CSR; {owing.silent:,} of them never "
            f"answered. {_escalation_count(board.escalations.escalations)} for a "
            "person.**"
        )
    else:
        yield (
            f"**On schedule: {_subscribers(owing.subscribers)} "
            f"({_certs(owing.missing)}) still owe CSRs; {owing.silent:,} of them have "
            "not answered yet. The next reminder goes out by itself.**"
        )
    yield _title(board)
    if owing.rows:
        yield _table(
            ("Subscriber", "Without CSR", "Certificates", "Answered", "Last notice",
             "Mail reaches"),
            ">>",
            [
                (
                    _text(row.name),
                    f"{row.missing:,}",
                    f"{row.certificates:,}",
                    _short(row.acknowledged_at, board) or "**never**",
                    _short(row.last_notice_at, board) or "none yet",
                    _people(row.reachable_contacts),
                )
                for row in owing.rows
            ],
        )  # fmt: skip
        shown = sum(row.missing for row in owing.rows)
        if rest := owing.subscribers - len(owing.rows):
            yield (
                f"… and {_subscribers(rest)} more, with "
                f"{owing.missing - shown:,} certificates without a CSR."
            )
    yield "## All certificates"
    yield _replacement(board.figures)
    yield "Their revocation does not wait for any of this."


def _escalations(board: Board) -> Iterator[str]:
    live = board.escalations
    untold = board.figures.escalations[EscalationState.RAISED]
    if live.escalations:
        tail = f"; of {untold:,} nobody has been told yet" if untold else ""
        yield f"**AT RISK: {_escalation_count(live.escalations)} for a person{tail}.**"
    else:
        yield "**On schedule: nothing waits for a person.**"
    yield _title(board)
    if live.rows:
        yield _table(
            ("Subscriber", "To be revoked", "Why", "Step", "For", "Told"),
            ">",
            [
                (
                    _text(row.name),
                    f"{row.open_certificates:,} of {row.certificates:,}",
                    _CAUSES[row.cause],
                    _text(row.step),
                    ", ".join(_text(target.replace("-", " ")) for target in row.targets)
                    or "nobody named",
                    _short(row.told_at, board) or "**not yet**",
                )
                for row in live.rows
            ],
        )
        if rest := live.escalations - len(live.rows):
            yield f"… and {rest:,} more."
    yield "## All escalations"
    yield _counted("Escalations", board.figures.escalations, _ESCALATIONS)


def _revocation(board: Board) -> Iterator[str]:
    figures, summary = board.figures, board.figures.summary
    yield f"**{headline(figures)}**"
    yield _title(board)
    done = (
        figures.published * _BAR // figures.certificates if figures.certificates else 0
    )
    yield (
        f"`{'█' * done}{'░' * (_BAR - done)}` {figures.published:,} of "
        f"{figures.certificates:,} published"
    )
    if figures.problems:
        yield "## Who is needed"
        yield "\n".join(
            f"- Ask the CA: its last answer is “{_text(answer)}” for {_certs(count)}."
            for answer, count in figures.problems.items()
        )
    yield "## Certificates"
    yield _certificates(figures)
    outlook = incident_forecast(figures)
    yield _table(
        ("What", "When"),
        "",
        [
            ("Revocation starts", _long(summary.revocation_starts_at, board)),
            ("First revoked", _long(figures.first_revoked_at, board)),
            ("Latest publication seen", _long(figures.last_published_at, board)),
            *(
                [("Last one published, as planned", _long(outlook.done_at, board))]
                if outlook is not None and figures.unpublished
                else []
            ),
            ("**Deadline**", f"**{_long(summary.deadline, board)}**"),
        ],
    )
    yield (
        f"{figures.published_before_deadline:,} published by the deadline, "
        f"{figures.published_late:,} after it. “Published” means that it was seen in "
        "what the CA publishes."
    )


def _unreachable(board: Board) -> Iterator[str]:
    lost = board.unreachable
    if lost.nobody_left:
        yield (
            f"**AT RISK: mail reaches nobody at {_subscribers(lost.nobody_left)} "
            f"({_certs(lost.certificates)}): somebody has to call them.**"
        )
    else:
        yield "**On schedule: mail reaches somebody at every subscriber.**"
    yield _title(board)
    if lost.rows:
        yield _table(
            ("Subscriber", "To be revoked", "Mail reaches", "Answered", "Call"),
            ">",
            [
                (
                    _text(row.name),
                    f"{row.certificates:,}",
                    _people(row.reachable_contacts),
                    _short(row.acknowledged_at, board) or "never",
                    _telephones(row.contacts),
                )
                for row in lost.rows
            ],
        )
    together = lost.nobody_left + lost.some_bounced
    if rest := together - len(lost.rows):
        yield f"… and {_subscribers(rest)} more."
    if lost.some_bounced:
        yield (
            f"At {_subscribers(lost.some_bounced)} some addresses came back, and mail "
            "reaches somebody else there."
        )
    yield "## All contacts"
    yield _counted("Contacts", board.figures.contacts, _CONTACTS)


def _title(board: Board) -> str:
    summary = board.figures.summary
    drill = " **A drill: nothing is revoked at a CA.**" if summary.is_drill else ""
    return (
        f"{_text(summary.title)} · `{summary.incident}` · deadline "
        f"{_long(summary.deadline, board)}.{drill}"
    )


def _timetable(board: Board) -> str:
    now = board.figures.as_of
    rows: list[tuple[str, ...]] = []
    is_marked = False
    for entry in board.timetable:
        if entry.at > now and not is_marked:
            rows.append(("**now**", "", ""))
            is_marked = True
        rows.append((_long(entry.at, board), _text(entry.name), _outcome(entry, now)))
    return _table(("When", "What", "Whom, or what came of it"), "", rows)


def _outcome(entry: TimetableEntry, now: datetime) -> str:
    if entry.at > now:
        if entry.subscribers is not None:
            return f"{_subscribers(entry.subscribers)}, as things stand"
        if entry.certificates is not None:
            return _certs(entry.certificates)
        return f"in {spell_duration(entry.at - now)}"
    parts = []
    if entry.notices is not None:
        sent = entry.sent or 0
        parts.append(f"{sent:,} of {entry.notices:,} notices sent")
    if entry.escalations is not None:
        parts.append(_plural(entry.escalations, "escalation"))
    if entry.certificates:
        parts.append(f"{_certs(entry.certificates)} still to be revoked")
    return ", ".join(parts) or "done"


def _certificates(figures: IncidentFigures) -> str:
    return _table(
        ("Revocation", "Certificates", "Share"),
        ">>",
        [
            *(
                (line.name, line.count, f"{line.share} %")
                for line in certificate_lines(figures)
            ),
            _total("All", figures.certificates),
        ],
    )


def _replacement(figures: IncidentFigures) -> str:
    return _counted("Replacement", figures.replacement, _REPLACEMENT)


def _counted(name: str, counts: Mapping[_Word, int], words: Mapping[_Word, str]) -> str:
    """Tabulate counts that together are all there is (I3)."""
    numbers = [counts[word] for word in words]
    return _table(
        (name, "Number", "Share"),
        ">>",
        [
            *(
                (words[word], f"{number:,}", f"{share} %")
                for word, number, share in zip(
                    words, numbers, shares(numbers), strict=True
                )
            ),
            _total("All", sum(counts.values())),
        ],
    )


def _total(name: str, number: int) -> tuple[str, str, str]:
    return f"**{name}**", f"**{number:,}**", f"**{'100.0' if number else '0.0'} %**"


def _made_at(board: Board) -> str:
    now = board.figures.as_of
    made = f"Made {_long(now, board)}."
    if board.figures.summary.state is IncidentState.CLOSED:
        return f"---\n\n{made} The incident is closed: this is how it ended."
    return (
        f"---\n\n{made} Made anew every minute; **not to be trusted after "
        f"{_long(now + TRUSTED_WITHIN, board)}**: then see whether the cycle runs. The "
        "guard revokes on time without it."
    )


def _elsewhere(page: Page, links: Mapping[Page, str]) -> list[str]:
    others = [
        f"[{other.question}]({url})"
        for other, url in links.items()
        if other is not page
    ]
    return [" · ".join(others)] if others else []


def _see(page: Page, links: Mapping[Page, str]) -> str:
    return f" [{page.question}]({links[page]})" if page in links else ""


def _telephones(contacts: Iterable[CallableContact]) -> str:
    # The first three by rank: whoever calls wants a number, not a directory.
    people = [
        f"{_text(person.name)} {_text(person.phone)}".strip()
        for person in contacts
        if person.phone
    ]
    return "; ".join(people[:3]) or "no number known"


def _table(header: Sequence[str], right: str, rows: Iterable[Sequence[str]]) -> str:
    """
    Write a table.

    Args:
        header: Names of columns.
        right: A ">" for each column after the first that holds numbers.
        rows: Cells, escaped.

    """
    columns = [":--", *("--:" for _ in right)]
    columns += [":--"] * (len(header) - len(columns))
    lines = [header, columns, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    """Make foreign text safe: no markup, no link, one line."""
    flat = " ".join(text.split())
    escaped = re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", flat)
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Bare addresses would become links of their own accord.
    return escaped.replace("://", ": //").replace("www.", "www .").replace("@", " at ")


def _long(at: datetime | None, board: Board) -> str:
    """Write an instant in the incident's zone and in UTC."""
    if at is None:
        return "not yet"
    zone = ZoneInfo(board.figures.summary.zone)
    local = at.astimezone(zone)
    if zone.key == "UTC":
        return f"{local:%a %d %b %H:%M} UTC"
    return f"{local:%a %d %b %H:%M %Z} ({at.astimezone(ZoneInfo('UTC')):%H:%M} UTC)"


def _short(at: datetime | None, board: Board) -> str:
    """Write an instant in the incident's zone; empty for None."""
    if at is None:
        return ""
    return f"{at.astimezone(ZoneInfo(board.figures.summary.zone)):%a %d %b %H:%M}"


def _people(count: int) -> str:
    return "**nobody**" if not count else _plural(count, "person", "people")


def _certs(count: int) -> str:
    return _plural(count, "certificate")


def _subscribers(count: int) -> str:
    return _plural(count, "subscriber")


def _escalation_count(count: int) -> str:
    return f"{_plural(count, 'escalation')} {'waits' if count == 1 else 'wait'}"


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
