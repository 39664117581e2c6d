"""What notices are about: certificates of subscribers, escalations for the CA's own people."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    select,
)

from models.base import table
from models.incident import AffectedCertificate
from models.outreach import Escalation
from models.revocation import Revocation
from models.scope import ScopeChange, ScopedCertificate
from models.subscriber import Subscriber
from models.terms import (
    UNSETTLED,
    ContactRole,
    EscalationCause,
    EscalationState,
    IncidentId,
    ReplacementState,
    RevocationState,
    ScopeChangeId,
    ScopeOutcome,
    SubscriberId,
)

CERTIFICATE = table(AffectedCertificate)
REVOCATION = table(Revocation)
SUBSCRIBER = table(Subscriber)
ESCALATION = table(Escalation)

FIRST = 5
"""Certificates named in a message itself; a list of all goes along when there are more."""

ESCALATIONS_SHOWN = 50

_IS_UNSETTLED = CERTIFICATE.c.replacement_state.in_(
    [state.value for state in UNSETTLED]
)
_IS_OPEN = and_(
    _IS_UNSETTLED,
    REVOCATION.c.state.in_(
        (RevocationState.SCHEDULED.value, RevocationState.SUBMITTED.value)
    ),
)
_LACKS_CSR = CERTIFICATE.c.replacement_state == ReplacementState.AWAITING_CSR.value


_FIRST_NAME = func.coalesce(
    CERTIFICATE.c.dns_names[0].as_string(),
    func.nullif(CERTIFICATE.c.subject, ""),
    CERTIFICATE.c.serial,
)


class ListedCertificate(NamedTuple):
    """One certificate: its first name, its serial in hex, its end."""

    name: str
    serial: str
    not_after: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSample:
    """
    The certificates of one subscriber that there is something to say about.

    Args:
        certificates: Those neither dealt with nor revoked, those without a CSR first;
            when all are revoked, those that were not dealt with.
        is_revoked: They are revoked already.
        without_csr: How many lack a CSR.
        revocation_time: The earliest, UTC.

    """

    certificates: tuple[ListedCertificate, ...]
    is_revoked: bool
    without_csr: int
    revocation_time: datetime

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.certificates)

    @property
    def first(self) -> tuple[ListedCertificate, ...]:
        """Those that a message names itself."""
        return self.certificates[:FIRST]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnSample:
    """
    What a withdrawal means for one subscriber.

    Args:
        certificates: Those of theirs that were withdrawn by it.
        remaining: How many of theirs are still affected.
        reason: Why, in the officers' words.

    """

    certificates: tuple[ListedCertificate, ...]
    remaining: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEscalation:
    """
    One subscriber who needs a person, and how much is at stake.

    Args:
        escalation_id: Its key.
        subscriber: The organisation; empty: it is about the whole incident.
        sector: As in the directory; may be empty.
        cause: Why.
        step: The ladder's step.
        certificates: The subscriber's open ones.
        missing: Of those, how many lack a CSR.
        raised_at: When it was last raised, UTC.
        raised_times: How often; 1: it is new.
        acknowledged_by: Who said last that they are on it; None: nobody.

    """

    escalation_id: int
    subscriber: str
    sector: str
    cause: EscalationCause
    step: str
    certificates: int
    missing: int
    raised_at: datetime
    raised_times: int
    acknowledged_by: str | None


def certificate_samples(
    connection: Connection,
    *,
    subscribers: Sequence[SubscriberId],
    unscheduled_at: datetime | None = None,
) -> Mapping[SubscriberId, CertificateSample]:
    """
    Return what there is to say to subscribers; who settled everything is left out.

    Args:
        connection: To read with.
        subscribers: Of one incident or several.
        unscheduled_at: When certificates without a schedule would be revoked, UTC: a
            draft has none yet. None: such certificates are left out.

    """
    if not subscribers:
        return {}
    is_draft = unscheduled_at is not None
    found: dict[int, list[Any]] = defaultdict(list)
    for key, name, serial, not_after, *row in connection.execute(
        _DRAFTED if is_draft else _SCHEDULED,
        {"subscribers": sorted(set(subscribers))},
    ).all():
        found[key].append((ListedCertificate(name, serial, not_after), *row))
    return {
        SubscriberId(key): _sample(rows, unscheduled_at=unscheduled_at)
        for key, rows in found.items()
    }


def _open_ones(*, is_draft: bool) -> Select[Any]:
    return (
        select(
            CERTIFICATE.c.subscriber_id,
            _FIRST_NAME,
            CERTIFICATE.c.serial,
            CERTIFICATE.c.not_after,
            REVOCATION.c.revocation_time,
            case((_LACKS_CSR, 1), else_=0),
            case((_IS_OPEN, 1), else_=int(is_draft)),
        )
        .join(
            REVOCATION,
            REVOCATION.c.certificate_id == CERTIFICATE.c.id,
            isouter=is_draft,
        )
        .where(
            CERTIFICATE.c.subscriber_id.in_(bindparam("subscribers", expanding=True)),
            _IS_UNSETTLED,
            func.coalesce(REVOCATION.c.state, "") != RevocationState.WITHDRAWN.value,
        )
        .order_by(case((_LACKS_CSR, 0), else_=1), CERTIFICATE.c.id)
    )


# Built once: read for each batch, of which a large incident has thousands.
_SCHEDULED = _open_ones(is_draft=False)
_DRAFTED = _open_ones(is_draft=True)


def _sample(rows: list[Any], *, unscheduled_at: datetime | None) -> CertificateSample:
    # What is revoked already is left out as long as anything is not.
    told = [row for row in rows if row[-1]] or rows
    certificates, times, lacking, is_open = zip(*told, strict=True)
    return CertificateSample(
        is_revoked=not is_open[0],
        certificates=certificates,
        without_csr=sum(lacking),
        revocation_time=unscheduled_at or min(times),
    )


def withdrawn_samples(
    connection: Connection, *, wanted: Collection[tuple[ScopeChangeId, SubscriberId]]
) -> Mapping[tuple[ScopeChangeId, SubscriberId], WithdrawnSample]:
    """Return what withdrawals mean for subscribers: one of each, by number and key."""
    if not wanted:
        return {}
    subscribers = sorted({subscriber for _, subscriber in wanted})
    remaining = {
        row.subscriber_id: row.total
        for row in connection.execute(
            select(CERTIFICATE.c.subscriber_id, func.count().label("total"))
            .join(REVOCATION, REVOCATION.c.certificate_id == CERTIFICATE.c.id)
            .where(
                CERTIFICATE.c.subscriber_id.in_(subscribers),
                REVOCATION.c.state != RevocationState.WITHDRAWN.value,
            )
            .group_by(CERTIFICATE.c.subscriber_id)
        )
    }
    change, scoped = table(ScopeChange), table(ScopedCertificate)
    found: dict[tuple[ScopeChangeId, SubscriberId], list[Any]] = defaultdict(list)
    for row in connection.execute(
        select(
            change.c.id.label("change"),
            change.c.reason,
            CERTIFICATE.c.subscriber_id,
            _FIRST_NAME.label("name"),
            CERTIFICATE.c.serial,
            CERTIFICATE.c.not_after,
        )
        .join(scoped, scoped.c.change_id == change.c.id)
        .join(CERTIFICATE, CERTIFICATE.c.id == scoped.c.certificate_id)
        .where(
            change.c.id.in_(sorted({number for number, _ in wanted})),
            CERTIFICATE.c.subscriber_id.in_(subscribers),
            scoped.c.outcome == ScopeOutcome.APPLIED.value,
        )
        .order_by(CERTIFICATE.c.id)
    ):
        key = (ScopeChangeId(row.change), SubscriberId(row.subscriber_id))
        found[key].append(row)
    return {
        key: WithdrawnSample(
            certificates=tuple(
                ListedCertificate(row.name, row.serial, row.not_after) for row in rows
            ),
            remaining=remaining.get(key[1], 0),
            reason=rows[0].reason,
        )
        for key, rows in found.items()
    }


def escalations_for(
    connection: Connection, *, incident: IncidentId, role: ContactRole
) -> list[LiveEscalation]:
    """
    Return what waits for one role of the CA's own people, most certificates first.

    What is about the whole incident comes before; what somebody is on is left out.
    """
    live = and_(
        ESCALATION.c.incident_id == incident,
        ESCALATION.c.state.in_(
            (EscalationState.RAISED.value, EscalationState.TOLD.value)
        ),
        cast(ESCALATION.c.targets, Text).contains(f'"{role.value}"'),
    )
    work = (
        select(
            CERTIFICATE.c.subscriber_id,
            func.count().label("certificates"),
            func.sum(case((_LACKS_CSR, 1), else_=0)).label("missing"),
        )
        .join(REVOCATION, REVOCATION.c.certificate_id == CERTIFICATE.c.id)
        .where(
            CERTIFICATE.c.subscriber_id.in_(
                select(ESCALATION.c.subscriber_id).where(live)
            ),
            _IS_OPEN,
        )
        .group_by(CERTIFICATE.c.subscriber_id)
        .subquery()
    )
    certificates = func.coalesce(work.c.certificates, 0)
    rows = connection.execute(
        select(
            ESCALATION.c.id,
            func.coalesce(SUBSCRIBER.c.name, "").label("name"),
            func.coalesce(SUBSCRIBER.c.sector, "").label("sector"),
            ESCALATION.c.cause,
            ESCALATION.c.step,
            ESCALATION.c.raised_at,
            ESCALATION.c.raised_times,
            ESCALATION.c.acknowledged_by,
            certificates.label("certificates"),
            func.coalesce(work.c.missing, 0).label("missing"),
        )
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == ESCALATION.c.subscriber_id)
        .outerjoin(work, work.c.subscriber_id == ESCALATION.c.subscriber_id)
        .where(live)
        .order_by(
            case((ESCALATION.c.subscriber_id.is_(None), 0), else_=1),
            certificates.desc(),
            ESCALATION.c.id,
        )
    )
    return [
        LiveEscalation(
            escalation_id=row.id,
            subscriber=row.name,
            sector=row.sector,
            cause=EscalationCause(row.cause),
            step=row.step,
            certificates=int(row.certificates),
            missing=int(row.missing),
            raised_at=row.raised_at,
            raised_times=row.raised_times,
            acknowledged_by=row.acknowledged_by,
        )
        for row in rows
    ]
