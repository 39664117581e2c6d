"""Looks whether hosts present new certificates, when their owner agrees; decides nothing."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine

from models.terms import CertificateId, IncidentState, WireFinding
from tocsin.clock import Clock
from tocsin.errors import BadInput
from tocsin.intake.serials import serial_of_integer
from tocsin.intake.tlv import parse_certificate, read_name
from tocsin.links import LinkClaims
from tocsin.names import canonical_key, readable_name
from tocsin.policy.entries import without_controls
from tocsin.policy.wire import Identity, host_of, judge
from tocsin.store import audit, pages, replies
from tocsin.store import wire as checks
from tocsin.store.session import reading, writing
from tocsin.store.wire import WireView
from tocsin.wire import Presented, Wire

log = structlog.get_logger()

MOST_AT_ONCE = 20
"""Hosts looked at for one report; who has more is told so."""

_HOUR = timedelta(hours=1)
_LONGEST_NAME = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """
    What was seen.

    Args:
        views: One for each certificate that was looked at, in their order.
        left_out: How many were not: too many at once, or within the hour.

    """

    views: tuple[WireView, ...] = ()
    left_out: int = 0

    @property
    def contradicts(self) -> int:
        """How many hosts present a certificate that will be revoked."""
        return sum(
            view.finding in (WireFinding.AFFECTED, WireFinding.ANOTHER_AFFECTED)
            for view in self.views
        )


def look_on_wire(
    engine: Engine,
    wire: Wire,
    *,
    claims: LinkClaims,
    certificates: Sequence[CertificateId],
    per_hour: int,
    clock: Clock,
) -> Looked:
    """
    Look which certificates the hosts present now, and put it on record (I5).

    No transaction is open meanwhile, and nothing waits for it: what is seen moves no
    revocation and refuses no report.

    Args:
        engine: The database.
        wire: Looks.
        claims: Of the link; hosts are those of its own certificates, never others.
        certificates: Which were replaced, as somebody says.
        per_hour: Looks for one subscriber within an hour, at most.
        clock: Tells now.

    Raises:
        Refused: The link is dead.

    """
    now = clock.now()
    with reading(engine) as connection:
        if replies.standing(connection, claims=claims).state is not (
            IncidentState.RUNNING
        ):
            return Looked(left_out=len(certificates))
        spent = checks.checks_since(
            connection, subscriber=claims.subscriber, since=now - _HOUR
        )
        most = max(0, min(MOST_AT_ONCE, per_hour - spent))
        owned = pages.certificates_of(
            connection,
            incident=claims.incident,
            subscriber=claims.subscriber,
            certificates=sorted(certificates)[:most],
        )
        known = checks.identities(
            connection, incident=claims.incident, subscriber=claims.subscriber
        )
    hosts = {one.certificate: host_of(one.names) for one in owned}
    presented = wire.look([host for host in hosts.values() if host])
    views = tuple(
        _view(key, host, presented, known, now=now) for key, host in hosts.items()
    )
    counted = Counter(view.finding.value for view in views)
    with writing(engine) as connection:
        checks.record_checks(
            connection,
            views,
            incident=claims.incident,
            subscriber=claims.subscriber,
            contact=claims.contact,
        )
        if views:
            audit.append(
                connection,
                incident=claims.incident,
                at=now,
                actor=f"contact:{claims.contact}",
                action="hosts-looked-at",
                detail={
                    "subscriber": claims.subscriber,
                    "seen": [[view.certificate, view.finding] for view in views],
                },
            )
    log.info("Hosts looked at", incident=claims.incident, **counted)
    return Looked(views=views, left_out=len(certificates) - len(views))


def _view(
    certificate: CertificateId,
    host: str | None,
    presented: Mapping[str, Presented],
    known: Mapping[CertificateId, Identity],
    *,
    now: datetime,
) -> WireView:
    def without(finding: WireFinding) -> WireView:
        return WireView(
            certificate=certificate, host=host or "", finding=finding, checked_at=now
        )

    if host is None:
        return without(WireFinding.NO_HOST)
    seen = presented[host]
    if seen.der is None:
        return without(seen.problem or WireFinding.NO_ANSWER)
    try:
        fields = parse_certificate(seen.der)
    except BadInput:
        return without(WireFinding.NO_TLS)
    issuer, subject = read_name(fields.issuer), read_name(fields.subject)
    identity = Identity(
        issuer_key=canonical_key(issuer), serial=serial_of_integer(fields.serial)
    )
    return WireView(
        certificate=certificate,
        host=host,
        finding=judge(
            identity,
            affected=known[certificate],
            others=[one for key, one in known.items() if key != certificate],
        ),
        checked_at=now,
        sha256=hashlib.sha256(seen.der).hexdigest(),
        serial=identity.serial[:64],
        subject=without_controls(readable_name(subject))[:_LONGEST_NAME],
        issuer=without_controls(readable_name(issuer))[:_LONGEST_NAME],
        not_after=fields.not_after,
    )
