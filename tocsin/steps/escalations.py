"""Lets somebody take an escalation, by name and on record; the clock goes on."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine

from models.terms import ContactRole, EscalationId, IncidentId
from tocsin.clock import Clock
from tocsin.errors import BadInput
from tocsin.policy.ladder import parse_ladder
from tocsin.steps.once import do_once
from tocsin.store import audit
from tocsin.store.escalations import Seen, acknowledge_escalations, subscribers_of
from tocsin.store.forms import SentForm
from tocsin.store.incidents import read_incident
from tocsin.store.outreach import look_now
from tocsin.store.session import writing

log = structlog.get_logger()

_LONGEST_NAME = 120


class _NothingTaken(Exception):  # noqa: N818 - named for what happened
    """Somebody was faster, or they have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Somebody says that they are on these, as they were shown."""

    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """
    What was taken.

    Args:
        escalations: Those that were taken by this.
        others: How many somebody else had taken, or that had ended or come back.
        back_at: When they come back if nothing follows, UTC.
        within: The same as a length of time; the ladder says it.

    """

    escalations: tuple[EscalationId, ...]
    others: int
    back_at: datetime
    within: timedelta


def acknowledge(
    engine: Engine,
    seen: Collection[Seen],
    *,
    incident: IncidentId,
    by: str,
    actor: str,
    clock: Clock,
    role: ContactRole | None = None,
    form: SentForm | None = None,
) -> Acknowledged:
    """
    Note who is on it; it comes back by itself if nothing follows.

    Doing it twice changes nothing: what somebody is on is left to them.

    Args:
        engine: The database.
        seen: Which escalations, as they were shown.
        incident: Of which incident.
        by: Who, by name.
        actor: Who, for the record.
        clock: Tells now.
        role: Only what is for this role; None: whatever it is for.
        form: By which it came, if by one.

    Raises:
        BadInput: Nobody is named.
        DoneBefore: The form has done so.

    """
    name = " ".join(by.split())[:_LONGEST_NAME]
    if not name:
        raise BadInput("say who is on it: a name that colleagues know", field="by")
    now = clock.now()
    with suppress(_NothingTaken), writing(engine) as connection:
        do_once(connection, form, now=now)
        record = read_incident(connection, incident=incident)
        taken = acknowledge_escalations(
            connection, seen, incident=incident, by=name, now=now, role=role
        )
        if not taken:
            raise _NothingTaken  # the form has done nothing, and may be sent again
        subscribers = subscribers_of(connection, taken)
        # Policy notes when they come back.
        look_now(connection, subscribers, now=now)
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=actor,
            action="escalations-acknowledged",
            detail={"escalations": taken, "subscribers": subscribers},
        )
    if taken:
        log.info("Escalations acknowledged", incident=incident, escalations=len(taken))
    within = parse_ladder(record.ladder).acknowledged_for
    return Acknowledged(
        escalations=tuple(taken),
        others=len(set(seen)) - len(taken),
        back_at=now + within,
        within=within,
    )
