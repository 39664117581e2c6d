"""How far revocation is, and what the CA does not do."""

from collections.abc import Iterator

from tocsin.policy.figures import IncidentFigures
from tocsin.policy.progress import incident_forecast
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import certs, long, table, text, total
from tocsin.reports.scope import disclosed
from tocsin.reports.status import certificate_lines, headline, seen_lines

_BAR = 25


def answer(board: Board) -> str:
    """Say how publication stands."""
    return headline(board.figures)


def parts(board: Board) -> Iterator[str]:
    """Write how far it is, what the CA does not do, and the instants."""
    figures, summary = board.figures, board.figures.summary
    done = figures.published * _BAR // figures.to_publish if figures.to_publish else 0
    yield (
        f"`{'█' * done}{'░' * (_BAR - done)}` {figures.published:,} of "
        f"{figures.to_publish:,} published"
    )
    asked = {
        said: count for said, count in figures.problems.items() if said != "expired"
    }
    if asked:
        yield "## Who is needed"
        yield "\n".join(
            f"- Ask the CA: its last answer is “{text(said)}” for {certs(count)}."
            for said, count in asked.items()
        )
    yield "## Certificates"
    yield certificates_table(figures)
    yield from told_apart(figures)
    outlook = incident_forecast(figures)
    yield table(
        ("What", "When"),
        "",
        [
            ("Revocation starts", long(summary.revocation_starts_at, board)),
            ("First revoked", long(figures.first_revoked_at, board)),
            ("Latest publication seen", long(figures.last_published_at, board)),
            *(
                [("Last one published, as planned", long(outlook.done_at, board))]
                if outlook is not None and figures.unpublished
                else []
            ),
            ("**Deadline**", f"**{long(summary.deadline, board)}**"),
        ],
    )
    said = list(disclosed(board.changes, now=figures.as_of))
    if said:
        yield "## Withdrawn certificates and court orders"
        yield "\n".join(f"- {text(one)}" for one in said)
    yield (
        f"{figures.published_before_deadline:,} published by the deadline, "
        f"{figures.published_late:,} after it. “Published” means that it was seen in "
        "what the CA publishes."
    )


def told_apart(figures: IncidentFigures) -> Iterator[str]:
    """Say what is neither simply published nor simply to come."""
    lines = [
        f"- {line.count} revoked and not published yet: {line.name}."
        for line in seen_lines(figures)
    ]
    if figures.published_with_other_reason:
        lines.append(
            f"- {figures.published_with_other_reason:,} published with another reason "
            f"than {figures.summary.reason.label}."
        )
    if figures.refused_as_expired:
        lines.append(
            f"- {figures.refused_as_expired:,} not revoked: the CA does not revoke what "
            "has expired."
        )
    if lines:
        yield "\n".join(lines)


def certificates_table(figures: IncidentFigures) -> str:
    """Tabulate certificates by how far their revocation is (I3)."""
    return table(
        ("Revocation", "Certificates", "Share"),
        ">>",
        [
            *(
                (line.name, line.count, f"{line.share} %")
                for line in certificate_lines(figures)
            ),
            total("All", figures.certificates),
        ],
    )
