"""The status update for the public report: figures that sum, instants in UTC."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from models.terms import NoticeState, ReplacementState, RevocationState, Sighting
from tocsin.errors import Broken
from tocsin.policy.figures import IncidentFigures
from tocsin.policy.progress import incident_forecast, shares
from tocsin.policy.scope import ScopeChange
from tocsin.reports.scope import disclosed

_REPLACEMENT = {
    ReplacementState.AWAITING_CSR: "Without a CSR",
    ReplacementState.CSR_RECEIVED: "CSR received",
    ReplacementState.REPLACEMENT_ISSUED: "Replacement issued",
    ReplacementState.REPLACED: "Replaced",
    ReplacementState.NO_LONGER_REQUIRED: "No longer required",
}


_SEEN = {
    Sighting.NOT_LISTED: "in no CRL yet",
    Sighting.OCSP_ONLY: "in OCSP, and in no CRL",
    Sighting.CRL_ONLY: "in the CRL, and not in OCSP",
    Sighting.OTHER_CRL: "in a CRL, and not in the one that the certificate names",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    One line of a table whose numbers sum.

    Args:
        name: What is counted.
        count: With thousands separators.
        share: To one decimal, without the sign.

    """

    name: str
    count: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusContext:
    """
    What ``reports/status.md`` may use; numbers and instants are text, ready to show.

    Args:
        title: The incident's, on one line.
        headline: One sentence: on schedule, at risk, late or done.
        is_drill: Nothing of it reaches a CA.
        as_of: When it was counted.
        certificates: By what the public report asks; they sum to ``total``.
        total: Affected certificates.
        total_share: 100.0, or 0.0 of nothing.
        estimate: When the rest will be published.
        published_before_deadline: Published by the deadline.
        published_late: Published after it.
        deadline: By when everything is published.
        made_aware: When the clock started.
        reason: The CRLReason's name.
        other_reason: Published under another one.
        first_revoked: When the CA first answered.
        last_published: When the latest publication was seen.
        sightings: Revoked and not published, by where they were seen; zeros left out.
        problems: Answers of the CA that leave certificates unrevoked, but for the next.
        expired: Refused by the CA because they have expired; empty for none.
        entries: Entries that came in: the sum of the next three.
        accepted: Contributed something new of a certificate.
        duplicates: Added nothing.
        set_aside: Not used.
        replacement: By replacement state; they sum to ``total``.
        subscribers: How many.
        acknowledged: Of those, who has answered.
        unclaimed: Certificates without a known subscriber.
        notices_sent: Taken by the relay.
        bounced: Of those, came back.
        failed: Refused by the relay.
        held: In doubt, until an officer has decided.
        given_up: In doubt, and not repeated.
        possibly_repeated: Sent again because an end was not seen.
        csrs: Signing requests.
        certificates_with_csr: Certificates they are for.
        live_escalations: Escalations that need a person.
        seal: Head of the record of acts; empty when not given.
        decisions: What two officers decided about named certificates, in sentences.
        restrained_overdue: Kept by court orders beyond their revocation time.

    """

    title: str
    headline: str
    is_drill: bool
    as_of: str
    certificates: tuple[Line, ...]
    total: str
    total_share: str
    estimate: str
    published_before_deadline: str
    published_late: str
    deadline: str
    made_aware: str
    reason: str
    other_reason: str
    first_revoked: str
    last_published: str
    sightings: tuple[Line, ...]
    problems: tuple[Line, ...]
    expired: str
    entries: str
    accepted: str
    duplicates: str
    set_aside: str
    replacement: tuple[Line, ...]
    subscribers: str
    acknowledged: str
    unclaimed: str
    notices_sent: str
    bounced: str
    failed: str
    held: str
    given_up: str
    possibly_repeated: str
    csrs: str
    certificates_with_csr: str
    live_escalations: str
    seal: str
    decisions: tuple[str, ...]
    restrained_overdue: str


def headline(figures: IncidentFigures) -> str:
    """Say in one sentence how the incident stands."""
    outlook = incident_forecast(figures)
    if outlook is None:
        return "Not launched: nothing is scheduled yet."
    return outlook.sentence


def render_status(
    figures: IncidentFigures,
    *,
    seal: str = "",
    changes: Sequence[ScopeChange] = (),
) -> str:
    """
    Write the status update, Markdown.

    Args:
        figures: What was counted.
        seal: Head of the record of acts, to quote.
        changes: Withdrawals and court orders; those that were agreed are disclosed.

    Raises:
        Broken: The table does not sum to the certificates (I3).

    """
    environment = Environment(
        loader=PackageLoader("templates", "reports"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown; titles are flattened below
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("status.md")
    return template.render(asdict(_context(figures, seal=seal, changes=changes)))


def certificate_lines(figures: IncidentFigures) -> tuple[Line, ...]:
    """
    Split the certificates as a delayed-revocation report wants them.

    Raises:
        Broken: The parts do not sum to the certificates (I3).

    """
    by_state = figures.revocation
    unsent = by_state[RevocationState.SCHEDULED] + by_state[RevocationState.SUBMITTED]
    parts = [
        ("Revoked and published", figures.published),
        (
            "Revoked by the CA, publication not seen yet",
            by_state[RevocationState.REVOKED],
        ),
        ("Not yet revoked", unsent - figures.expired - figures.restrained),
        ("Planned, but expired before revocation", figures.expired),
    ]
    # What is rare has its line only where there is some.
    parts += [
        (name, count)
        for name, count in (
            ("Not yet revoked: a court order restrains the CA", figures.restrained),
            ("Withdrawn: listed wrongly, not revoked", figures.withdrawn),
            ("Without a revocation time: not launched", figures.unscheduled),
        )
        if count
    ]
    if sum(count for _, count in parts) != figures.certificates:
        raise Broken(f"{parts} do not sum to {figures.certificates}")
    return _lines(parts)


def seen_lines(figures: IncidentFigures) -> tuple[Line, ...]:
    """Split what is revoked and not published by where it is seen; zeros left out."""
    parts = [(_SEEN[place], count) for place, count in figures.sightings.items()]
    parts.append(("not looked for yet", figures.not_looked_for))
    return _lines([part for part in parts if part[1]])


def _context(
    figures: IncidentFigures, *, seal: str, changes: Sequence[ScopeChange]
) -> StatusContext:
    summary = figures.summary
    outlook = incident_forecast(figures)
    return StatusContext(
        title=" ".join(summary.title.split()),
        headline=headline(figures),
        is_drill=summary.is_drill,
        as_of=_minute(figures.as_of),
        certificates=certificate_lines(figures),
        total=_number(figures.certificates),
        total_share="100.0" if figures.certificates else "0.0",
        estimate=_estimate(figures, None if outlook is None else outlook.done_at),
        published_before_deadline=_number(figures.published_before_deadline),
        published_late=_number(figures.published_late),
        deadline=_minute(summary.deadline),
        made_aware=_minute(summary.made_aware_at),
        reason=summary.reason.label,
        other_reason=_number(figures.published_with_other_reason),
        first_revoked=_minute(figures.first_revoked_at),
        last_published=_minute(figures.last_published_at),
        sightings=seen_lines(figures),
        problems=_lines(
            tuple(item for item in figures.problems.items() if item[0] != "expired")
        ),
        expired=_number(figures.refused_as_expired)
        if figures.refused_as_expired
        else "",
        entries=_number(figures.entries),
        accepted=_number(figures.accepted),
        duplicates=_number(figures.duplicates),
        set_aside=_number(figures.set_aside),
        replacement=_lines(
            tuple(
                (_REPLACEMENT[state], count)
                for state, count in figures.replacement.items()
            )
        ),
        subscribers=_number(figures.subscribers),
        acknowledged=_number(figures.subscribers_acknowledged),
        unclaimed=_number(figures.unclaimed),
        notices_sent=_number(figures.notices_sent),
        bounced=_number(figures.notices_in(NoticeState.BOUNCED)),
        failed=_number(figures.notices_in(NoticeState.FAILED)),
        held=_number(figures.notices_in(NoticeState.HELD)),
        given_up=_number(figures.notices_in(NoticeState.GIVEN_UP)),
        possibly_repeated=_number(figures.possibly_repeated),
        csrs=_number(figures.csrs),
        certificates_with_csr=_number(figures.certificates_with_csr),
        live_escalations=_number(figures.live_escalations),
        seal=seal,
        decisions=tuple(disclosed(changes, now=figures.as_of)),
        restrained_overdue=_number(figures.restrained_overdue),
    )


def _estimate(figures: IncidentFigures, done_at: datetime | None) -> str:
    if not figures.unpublished:
        return "N/A, nothing is left."
    if done_at is None:
        return "N/A, nothing is scheduled yet."
    return f"published by {_minute(done_at)}, as planned with the CA's rate and delay."


def _lines(parts: Sequence[tuple[str, int]]) -> tuple[Line, ...]:
    counts = [count for _, count in parts]
    return tuple(
        Line(name=name, count=_number(count), share=str(share))
        for (name, count), share in zip(parts, shares(counts), strict=True)
    )


def _number(count: int) -> str:
    return f"{count:,}"


def _minute(at: datetime | None) -> str:
    return "N/A" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
