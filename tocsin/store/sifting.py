"""Keeps back what must not leave: overtaken, in doubt, or too much for one address."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)

from models.base import Instant, table
from models.incident import Incident
from models.outreach import Notice
from models.subscriber import Contact
from models.terms import (
    IncidentId,
    IncidentState,
    InDoubt,
    NoticeId,
    NoticeKind,
    NoticeState,
)
from tocsin.policy.sending import (
    DAY,
    STEPS,
    SendingRules,
    WaitingNotice,
    after_doubt,
    is_overtaken,
    postponed,
)
from tocsin.store.outcomes import note_doubt

NOTICE = table(Notice)
CONTACT = table(Contact)
INCIDENT = table(Incident)

ADDRESS = func.lower(CONTACT.c.email)
"""As the index has it: who spells a mailbox in capitals means the same one."""

_OVER = (NoticeState.SUPERSEDED.value, NoticeState.GIVEN_UP.value)
_LOCK = 7486204


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """
    What was kept back, by incident.

    Args:
        held: In doubt, until an officer has decided.
        superseded: Their moment has passed.
        postponed: Their address had its share of the day.

    """

    held: dict[IncidentId, list[NoticeId]] = field(default_factory=dict)
    superseded: dict[IncidentId, list[NoticeId]] = field(default_factory=dict)
    postponed: dict[IncidentId, list[NoticeId]] = field(default_factory=dict)


def sift_due(
    connection: Connection, *, rules: SendingRules, now: datetime, limit: int
) -> Sifted:
    """
    Keep back what must not leave, so that whatever is claimed next may.

    Args:
        connection: The transaction of the claim.
        rules: What an operator set.
        now: The present instant, UTC.
        limit: How many will be claimed at most.

    """
    kept = _Kept()
    if limit <= 0:
        return kept.sifted()
    if connection.dialect.name == "postgresql":
        # What one address had is counted by one process at a time.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    _settle_doubts(connection, kept, rules=rules, now=now)
    while True:
        due = connection.execute(_DUE, {"b_now": now, "b_limit": limit}).all()
        overtaken = [
            row
            for row in due
            if row.latest is not None
            and is_overtaken(NoticeKind(row.kind), row.planned_at, row.latest)
        ]
        gone = {row.id for row in overtaken}
        later = _postponed(
            connection,
            [row for row in due if row.id not in gone],
            rules=rules,
            now=now,
        )
        if not overtaken and not later:
            return kept.sifted()
        kept.superseded += overtaken
        kept.postponed += [row for row in due if row.id in later]
        _supersede(connection, [row.id for row in overtaken])
        if later:
            connection.execute(
                update(NOTICE)
                .where(NOTICE.c.id == bindparam("b_id"))
                .values(due_at=bindparam("b_due_at")),
                [{"b_id": key, "b_due_at": at} for key, at in later.items()],
            )


class _Kept:
    def __init__(self) -> None:
        self.held: list[Any] = []
        self.superseded: list[Any] = []
        self.postponed: list[Any] = []

    def sifted(self) -> Sifted:
        return Sifted(
            held=_by_incident(self.held),
            superseded=_by_incident(self.superseded),
            postponed=_by_incident(self.postponed),
        )


def _settle_doubts(
    connection: Connection, kept: _Kept, *, rules: SendingRules, now: datetime
) -> None:
    """
    See to what a process took and never ended; few, so all of them at once.

    What may be sent again stays as it is, and is claimed as such.
    """
    rows = connection.execute(_DOUBTFUL, {"b_now": now}).all()
    overtaken = [
        row
        for row in rows
        if row.latest is not None
        and is_overtaken(NoticeKind(row.kind), row.planned_at, row.latest)
    ]
    gone = {row.id for row in overtaken}
    held = [
        row
        for row in rows
        if row.id not in gone
        and after_doubt(NoticeKind(row.kind), rules) is InDoubt.HOLD
    ]
    if not overtaken and not held:
        return
    note_doubt(connection, [row.id for row in overtaken + held], now=now)
    _supersede(connection, [row.id for row in overtaken])
    connection.execute(
        update(NOTICE)
        .where(NOTICE.c.id.in_([row.id for row in held]))
        .values(state=NoticeState.HELD.value, lease_owner=None, lease_until=None)
    )
    kept.superseded += overtaken
    kept.held += held


def _waiting(*conditions: ColumnElement[bool]) -> Any:
    later = NOTICE.alias("later")
    latest = (
        select(func.max(later.c.planned_at))
        .where(
            later.c.contact_id == NOTICE.c.contact_id,
            later.c.kind.in_([kind.value for kind in STEPS]),
            later.c.state.not_in(_OVER),
        )
        .scalar_subquery()
    )
    return (
        select(
            NOTICE.c.id,
            NOTICE.c.incident_id,
            NOTICE.c.kind,
            NOTICE.c.planned_at,
            ADDRESS.label("address"),
            latest.label("latest"),
        )
        .join(CONTACT, CONTACT.c.id == NOTICE.c.contact_id)
        .join(INCIDENT, INCIDENT.c.id == NOTICE.c.incident_id)
        .where(INCIDENT.c.state != IncidentState.DRAFT.value, *conditions)
    )


# Built once: they run for each batch, of which a large incident has hundreds.
_NOW: BindParameter[datetime] = bindparam("b_now", type_=Instant())
_DOUBTFUL = (
    _waiting(
        NOTICE.c.state == NoticeState.SENDING.value,
        or_(NOTICE.c.lease_until.is_(None), NOTICE.c.lease_until <= _NOW),
    )
    .order_by(NOTICE.c.id)
    .with_for_update(skip_locked=True, of=NOTICE)
)
_DUE = (
    _waiting(NOTICE.c.state == NoticeState.PLANNED.value, NOTICE.c.due_at <= _NOW)
    .order_by(NOTICE.c.due_at, NOTICE.c.id)
    .limit(bindparam("b_limit", type_=Integer()))
    .with_for_update(skip_locked=True, of=NOTICE)
)
_LEFT = (
    select(ADDRESS.label("address"), NOTICE.c.sent_at)
    .join(NOTICE, NOTICE.c.contact_id == CONTACT.c.id)
    .where(
        ADDRESS.in_(bindparam("addresses", expanding=True)),
        or_(
            NOTICE.c.sent_at > bindparam("b_since", type_=Instant()),
            NOTICE.c.state == NoticeState.SENDING.value,
        ),
    )
)


def _postponed(
    connection: Connection, rows: Sequence[Any], *, rules: SendingRules, now: datetime
) -> dict[NoticeId, datetime]:
    if not rows or not rules.per_address:
        return {}
    left = _left(connection, sorted({row.address for row in rows}), now=now)
    due = Counter(row.address for row in rows)
    return postponed(
        [
            WaitingNotice(
                notice=NoticeId(row.id),
                kind=NoticeKind(row.kind),
                address=row.address,
            )
            for row in rows
            # Few have so many that any has to wait.
            if due[row.address] + len(left.get(row.address, ())) > rules.per_address
        ],
        left,
        per_address=rules.per_address,
        now=now,
    )


def _left(
    connection: Connection, addresses: Sequence[str], *, now: datetime
) -> dict[str, list[datetime]]:
    """Return when mails left to these addresses of late; on its way counts as now."""
    left: dict[str, list[datetime]] = defaultdict(list)
    for row in connection.execute(
        _LEFT, {"addresses": addresses, "b_since": now - DAY}
    ):
        left[row.address].append(row.sent_at or now)
    return left


def _supersede(connection: Connection, keys: Sequence[int]) -> None:
    if keys:
        connection.execute(
            update(NOTICE)
            .where(NOTICE.c.id.in_(keys))
            .values(
                state=NoticeState.SUPERSEDED.value, lease_owner=None, lease_until=None
            )
        )


def _by_incident(rows: Sequence[Any]) -> dict[IncidentId, list[NoticeId]]:
    found: dict[IncidentId, list[NoticeId]] = defaultdict(list)
    for row in rows:
        found[IncidentId(row.incident_id)].append(NoticeId(row.id))
    return dict(found)
