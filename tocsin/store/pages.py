"""What a subscriber's page shows, read without changing anything (I6)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from models.terms import (
    CertificateId,
    Circumstance,
    ContactId,
    ContactState,
    IncidentId,
    IncidentState,
    ReplacementId,
    ReplacementState,
    ReplyId,
    ReplyKind,
    ReplyState,
    RevocationState,
    SubscriberId,
)
from tocsin.store.page_statements import (
    ABOUT,
    CONTACTS,
    KEYS,
    NAMED,
    PAGE,
    PAGES,
    REPLIES,
    REPLY_OF,
    SELECTED,
    TOTALS,
    narrowed,
)
from tocsin.store.views import (
    NO_FILTER,
    CertificateView,
    ContactView,
    Filter,
    ReplyView,
    Selection,
    SubscriberView,
    Totals,
)

_AHEAD = (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)


def subscriber_view(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    now: datetime,
    page: int = 1,
    selection: Selection = Selection.ALL,
    wanted: Filter = NO_FILTER,
) -> SubscriberView | None:
    """Read a subscriber's page; None where the incident has no such subscriber."""
    whose = {"incident": incident, "subscriber": subscriber}
    row = connection.execute(ABOUT, whose).first()
    if row is None:
        return None
    certificates = _page(connection, whose, selection, wanted, number=max(1, page))
    is_all = selection is Selection.ALL and not wanted.is_on
    if page <= 1 and is_all and len(certificates) < PAGE:
        # All there are, as most have few: what can be seen need not be counted again.
        selected, shown = len(certificates), 1
        totals, next_revocation_time = sum_of(certificates)
    else:
        totals, next_revocation_time = _sum(
            (one.replacement_state, one.state, one.number, one.earliest)
            for one in connection.execute(TOTALS, whose)
        )
        selected = connection.execute(
            narrowed(SELECTED[selection], wanted), whose
        ).scalar_one()
        shown = min(max(1, page), max(1, -(-selected // PAGE)))
        if shown < page:
            certificates = _page(connection, whose, selection, wanted, number=shown)
    return view_of(
        row,
        subscriber=subscriber,
        certificates=certificates,
        totals=totals,
        next_revocation_time=next_revocation_time,
        selected=selected,
        wanted=wanted,
        page=shown,
        contacts=connection.execute(CONTACTS, {"subscriber": subscriber}),
        replies=connection.execute(REPLIES, {"subscriber": subscriber}),
        now=now,
    )


def view_of(
    row: Any,
    *,
    subscriber: SubscriberId,
    certificates: tuple[CertificateView, ...],
    totals: Totals,
    next_revocation_time: datetime | None,
    selected: int,
    wanted: Filter,
    page: int,
    contacts: Iterable[Any],
    replies: Iterable[Any],
    now: datetime,
) -> SubscriberView:
    """Put together what was read; rows are as the statements of the page give them."""
    return SubscriberView(
        incident=IncidentId(row.id),
        title=row.title,
        circumstance=Circumstance(row.circumstance),
        state=IncidentState(row.state),
        is_drill=row.is_drill,
        made_aware_at=row.made_aware_at,
        deadline=row.deadline,
        closed_at=row.closed_at,
        rule_pack=row.rule_pack,
        subscriber=subscriber,
        name=row.name,
        zone=row.reader_zone,
        language=row.language,
        acknowledged_at=row.acknowledged_at,
        totals=totals,
        next_revocation_time=next_revocation_time,
        certificates=certificates,
        selected=selected,
        filter=wanted,
        page=page,
        pages=max(1, -(-selected // PAGE)),
        contacts=tuple(map(_contact, contacts)),
        replies=tuple(map(_reply, replies)),
        read_at=now,
    )


def certificates_of(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    certificates: Sequence[CertificateId],
) -> tuple[CertificateView, ...]:
    """Read those of the certificates that are this subscriber's; others are left out."""
    wanted = sorted(set(certificates))
    whose = {"incident": incident, "subscriber": subscriber}
    return tuple(
        certificate_of(row)
        for start in range(0, len(wanted), PAGE)
        for row in connection.execute(
            NAMED, whose | {"wanted": wanted[start : start + PAGE]}
        )
    )


def reply_of(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    reply: ReplyId,
) -> ReplyView | None:
    """Read one reply of this subscriber; None where it is not theirs."""
    row = connection.execute(
        REPLY_OF, {"reply": reply, "incident": incident, "subscriber": subscriber}
    ).first()
    return _reply(row) if row else None


def selected_certificates(
    connection: Connection,
    *,
    incident: IncidentId,
    subscriber: SubscriberId,
    selection: Selection,
    wanted: Filter = NO_FILTER,
) -> tuple[CertificateId, ...]:
    """Read the keys of all certificates of a selection, whatever page they are on."""
    return tuple(
        CertificateId(key)
        for key in connection.execute(
            narrowed(KEYS[selection], wanted),
            {"incident": incident, "subscriber": subscriber},
        ).scalars()
    )


def sum_of(
    certificates: Iterable[CertificateView],
) -> tuple[Totals, datetime | None]:
    """Add up the states of all that a subscriber has; the earliest time comes with it."""
    return _sum(
        (one.replacement_state, one.revocation_state, 1, one.revocation_time)
        for one in certificates
    )


def _sum(
    groups: Iterable[tuple[str, str | None, int, datetime | None]],
) -> tuple[Totals, datetime | None]:
    """Add up states of replacement and revocation; the earliest time comes with it."""
    replacement: dict[str, int] = {}
    revocation: dict[str | None, int] = {}
    times: list[datetime] = []
    for replaced, state, number, earliest in groups:
        replacement[replaced] = replacement.get(replaced, 0) + number
        revocation[state] = revocation.get(state, 0) + number
        if earliest is not None and state in _AHEAD:
            times.append(earliest)
    everything = sum(replacement.values())
    published = revocation.get(RevocationState.PUBLISHED.value, 0)
    revoked = published + revocation.get(RevocationState.REVOKED.value, 0)
    withdrawn = revocation.get(RevocationState.WITHDRAWN.value, 0)
    totals = Totals(
        all=everything,
        without_csr=replacement.get(ReplacementState.AWAITING_CSR.value, 0),
        with_csr=replacement.get(ReplacementState.CSR_RECEIVED.value, 0),
        issued=replacement.get(ReplacementState.REPLACEMENT_ISSUED.value, 0),
        replaced=replacement.get(ReplacementState.REPLACED.value, 0),
        given_up=replacement.get(ReplacementState.NO_LONGER_REQUIRED.value, 0),
        waiting=everything - revoked - withdrawn,
        revoked=revoked,
        published=published,
        withdrawn=withdrawn,
    )
    return totals, min(times, default=None)


def _page(
    connection: Connection,
    whose: Mapping[str, object],
    selection: Selection,
    wanted: Filter,
    *,
    number: int,
) -> tuple[CertificateView, ...]:
    return tuple(
        certificate_of(row)
        for row in connection.execute(
            narrowed(PAGES[selection], wanted),
            {**whose, "offset": (number - 1) * PAGE},
        )
    )


def certificate_of(row: Any) -> CertificateView:
    """Return one certificate, from a row as the statements of the page give it."""
    return CertificateView(
        certificate=CertificateId(row.id),
        serial=row.serial,
        subject=row.subject,
        names=tuple(row.dns_names),
        not_after=row.not_after,
        replacement_state=ReplacementState(row.replacement_state),
        revocation_state=RevocationState(row.state) if row.state else None,
        revocation_time=row.revocation_time,
        revoked_at=row.revoked_at,
        published_at=row.published_at,
        csrs=row.csrs,
        replacement=None if row.replacement is None else ReplacementId(row.replacement),
        withdrawn_at=row.withdrawn_at,
        restrained_until=row.restrained_until,
    )


def _contact(row: Any) -> ContactView:
    return ContactView(
        contact=ContactId(row.id),
        rank=row.rank,
        name=row.name,
        email=row.email,
        phone=row.phone,
        state=ContactState(row.state),
        named_by_reply=row.named_by_reply,
        disowned_at=row.disowned_at,
        waits_since=row.waits_since,
        confirmed_at=row.confirmed_at,
        instead_of=None if row.instead_of_id is None else ContactId(row.instead_of_id),
        came_back=bool(row.state_reason),
    )


def _reply(row: Any) -> ReplyView:
    return ReplyView(
        reply=ReplyId(row.id),
        kind=ReplyKind(row.kind),
        state=ReplyState(row.state),
        received_at=row.received_at,
        effective_at=row.effective_at,
        certificates=tuple(CertificateId(number) for number in row.certificate_ids),
        contact=ContactId(row.contact_id),
        contact_name=row.contact_name,
        contact_rank=row.rank,
        message=row.message,
        phone=row.phone,
    )
