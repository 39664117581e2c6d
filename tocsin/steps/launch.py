"""Opens an incident: draft it, show what would happen, then freeze and launch."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine

from models.terms import Circumstance, IncidentId, IncidentState
from tocsin.ca.backend import CaBackend
from tocsin.clock import Clock
from tocsin.errors import BadInput, Refused
from tocsin.policy.facts import IncidentFacts
from tocsin.policy.ladder import (
    DueStep,
    Ladder,
    new_ladder,
    parse_ladder,
    shipped_ladder,
    timetable,
)
from tocsin.policy.revocation import RevocationPlan, plan_revocation
from tocsin.policy.rules import RulePack, parse_rule_pack, shipped_rule_pack
from tocsin.settings import Settings
from tocsin.steps.intake import Imported, import_incident
from tocsin.steps.once import do_once
from tocsin.store import audit, incidents, revocations
from tocsin.store.drafts import read_draft, record_import
from tocsin.store.forms import SentForm
from tocsin.store.imports import draft_figures
from tocsin.store.session import reading, writing


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """
    What an officer gives.

    Args:
        title: For people, in mails and reports.
        circumstance: An item of TLS BR 4.9.1.1.
        made_aware_at: When the clock started, with its zone.
        certificates: Files and directories with the affected certificates.
        directory: CSV of subscribers and contacts; None: only what the certificates
            say of their subscribers.
        zone: IANA zone for subscribers of whom the directory says none.
        below: Files are named from this folder on; None: as they were given.

    """

    title: str
    circumstance: Circumstance
    made_aware_at: datetime
    certificates: Sequence[Path]
    directory: Path | None
    zone: str
    below: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """The rules and the ladder that a new incident would be frozen with."""

    pack: RulePack
    ladder_for: Callable[[Circumstance], Ladder]


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A moment of the timetable that managers see coming."""

    key: str
    at: datetime
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What was set in motion."""

    incident: IncidentId
    certificates: int
    subscribers: int
    deadline: datetime
    plan: RevocationPlan
    milestones: tuple[Milestone, ...]


def read_rulebook(settings: Settings) -> Rulebook:
    """
    Read rule pack and ladder, the operator's own where there are any.

    Raises:
        BadInput: A file cannot be used; names file, step and field.

    """
    pack = shipped_rule_pack()
    if settings.rule_pack_file:
        path = settings.rule_pack_file
        pack = parse_rule_pack(path.read_text("utf-8"), file=path.name)
    own: Ladder | None = None
    if settings.ladder_file:
        path = settings.ladder_file
        own = new_ladder(path.read_text("utf-8"), file=path.name)

    def ladder_for(circumstance: Circumstance) -> Ladder:
        return own or shipped_ladder(pack.rule(circumstance).within)

    return Rulebook(pack=pack, ladder_for=ladder_for)


def draft_incident(
    engine: Engine,
    request: LaunchRequest,
    *,
    rulebook: Rulebook,
    clock: Clock,
    progress: Callable[[int], None] | None = None,
    actor: str = "officer",
) -> tuple[IncidentId, Imported]:
    """
    Import an incident's list as a draft, of which nothing is due.

    Raises:
        BadInput: The request cannot be an incident; names the field.

    """
    incident = begin_draft(engine, request, rulebook=rulebook, clock=clock)
    imported = import_draft(
        engine, incident, request, clock=clock, progress=progress, actor=actor
    )
    return incident, imported


def begin_draft(
    engine: Engine,
    request: LaunchRequest,
    *,
    rulebook: Rulebook,
    clock: Clock,
    form: SentForm | None = None,
) -> IncidentId:
    """
    Begin a draft, of which nothing has been read yet.

    Args:
        engine: The database.
        request: What an officer gave.
        rulebook: Rules and ladders.
        clock: Tells now.
        form: By which it came, if by one; the draft's page follows it.

    Raises:
        BadInput: The request cannot be an incident; names the field.
        DoneBefore: The form has begun a draft.

    """
    now = clock.now()
    _check(request, now)
    rule = rulebook.pack.rule(request.circumstance)
    incident = IncidentId(f"{request.made_aware_at:%Y%m%d}-{secrets.token_hex(3)}")
    if form is not None:
        form = replace(form, leads_to=f"{form.leads_to}/{incident}")
    with writing(engine) as connection:
        do_once(connection, form, now=now)
        incidents.insert_draft(
            connection,
            incident=incident,
            title=request.title.strip(),
            circumstance=request.circumstance,
            reason=rule.reason,
            zone=request.zone,
            made_aware_at=request.made_aware_at,
            deadline=rule.deadline(request.made_aware_at),
            rule_pack=rulebook.pack.text,
            ladder=rulebook.ladder_for(request.circumstance).text,
            now=now,
        )
    return incident


def import_draft(
    engine: Engine,
    incident: IncidentId,
    request: LaunchRequest,
    *,
    clock: Clock,
    progress: Callable[[int], None] | None = None,
    actor: str = "officer",
) -> Imported:
    """Read a draft's list and directory, and keep what that reported for its preview."""
    imported = import_incident(
        engine,
        incident=incident,
        certificates=request.certificates,
        directory=request.directory,
        default_zone=request.zone,
        now=clock.now(),
        progress=progress,
        below=request.below,
    )
    with writing(engine) as connection:
        record_import(
            connection,
            incident=incident,
            drafted_by=actor,
            imported=imported.as_record(),
            now=clock.now(),
        )
    return imported


def plan_incident(
    engine: Engine, *, incident: IncidentId, backend: CaBackend, now: datetime
) -> RevocationPlan:
    """Reckon when revocation has to start for the last to be published in time."""
    with reading(engine) as connection:
        record = incidents.read_incident(connection, incident=incident)
        count = draft_figures(connection, incident=incident, now=now).certificates
    return plan_revocation(
        made_aware_at=record.made_aware_at,
        deadline=record.deadline,
        count=count,
        rate_per_second=backend.capabilities.rate_per_second,
        publication_delay=backend.capabilities.publication_delay,
        launched_at=now,
    )


def launch_incident(
    engine: Engine,
    *,
    incident: IncidentId,
    backend: CaBackend,
    templates: Mapping[str, str],
    actor: str,
    clock: Clock,
    needs_second: bool = False,
) -> Launched:
    """
    Freeze everything, schedule every revocation, and let the incident run.

    All in one transaction: a process that dies here has launched all or nothing.

    Args:
        engine: The database.
        incident: The draft.
        backend: Whose rate and publication delay the plan is made with.
        templates: Sources by path, checked before; they are frozen (I7).
        actor: Who launches.
        clock: Tells now.
        needs_second: Whether it takes another officer than the one who asked for it.

    Raises:
        Refused: It is no draft any more, or nothing is in it, or the CA does not keep
            the reason, or a second officer is needed.

    """
    now = clock.now()
    plan = plan_incident(engine, incident=incident, backend=backend, now=now)
    with writing(engine) as connection:
        record = incidents.read_incident(connection, incident=incident)
        figures = draft_figures(connection, incident=incident, now=now)
        if record.state is not IncidentState.DRAFT:
            raise Refused(f"incident {incident} was launched before", source="I7")
        draft = read_draft(connection, incident=incident)
        asked_by = draft.asked_by if draft else None
        if needs_second and asked_by in (None, actor):
            raise Refused(
                f"the launch of {incident} takes two officers: one asks for it and "
                "another launches it, both at the officers' desk",
                source="TOCSIN_LAUNCH_NEEDS_SECOND_OFFICER",
            )
        if figures.certificates == 0:
            raise Refused("there is no certificate to revoke", source="I3")
        able = backend.capabilities
        if record.reason not in able.keeps_reasons and not able.reasons_may_be_lost:
            raise Refused(
                f"the CA backend {able.name} cannot publish the reason "
                f"{record.reason.label}; reasons_may_be_lost = true in its options "
                "launches all the same, and the reports say so",
                source="TLS BR 7.2.2",
            )
        incidents.freeze_templates(connection, incident=incident, sources=templates)
        incidents.mark_launched(
            connection,
            incident=incident,
            revocation_starts_at=plan.starts_at,
            plan=plan.as_record(),
            now=now,
        )
        scheduled = revocations.schedule(
            connection,
            incident=incident,
            revocation_time=plan.starts_at,
            reason=record.reason,
            now=now,
        )
        if scheduled != figures.certificates:
            raise Refused(
                f"{scheduled} revocations for {figures.certificates} certificates",
                source="I3",
            )
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=actor,
            action="incident-launched",
            detail={
                "certificates": figures.certificates,
                "entries": figures.entries,
                "duplicates": figures.duplicates,
                "set_aside": figures.set_aside,
                "subscribers": figures.subscribers,
                "contacts": figures.contacts,
                "circumstance": record.circumstance,
                "reason": record.reason,
                "made_aware_at": record.made_aware_at.isoformat(),
                "deadline": record.deadline.isoformat(),
                "revocation_starts_at": plan.starts_at.isoformat(),
                "templates": len(templates),
            }
            | ({"asked_by": asked_by} if needs_second else {}),
        )
    return Launched(
        incident=incident,
        certificates=figures.certificates,
        subscribers=figures.subscribers,
        deadline=record.deadline,
        plan=plan,
        milestones=milestones(engine, incident=incident),
    )


def milestones(engine: Engine, *, incident: IncidentId) -> tuple[Milestone, ...]:
    """List the moments of a launched incident, by instant."""
    with reading(engine) as connection:
        record = incidents.read_incident(connection, incident=incident)
    return timetable_of(
        parse_ladder(record.ladder), record.facts, int(record.plan.get("count", 0))
    )


def timetable_of(
    ladder: Ladder, facts: IncidentFacts, certificates: int
) -> tuple[Milestone, ...]:
    """List the moments of an incident with these instants."""
    moments = [
        Milestone(key=_key(due), at=due.due_at, name=due.name)
        for due in timetable(ladder, facts)
        if due.is_moment
    ]
    moments += [
        Milestone(
            key="revocation",
            at=facts.revocation_starts_at,
            name=f"Revocation of {certificates:,} certificates starts",
        ),
        Milestone(
            key="deadline",
            at=facts.deadline,
            name="Deadline: every revocation is published",
        ),
    ]
    return tuple(sorted(moments, key=lambda moment: moment.at))


def _key(due: DueStep) -> str:
    again = f"-{due.repetition}" if due.repetition else ""
    return f"step-{due.step.level}{again}"


def _check(request: LaunchRequest, now: datetime) -> None:
    if not request.title.strip():
        raise BadInput("an incident needs a title", field="title")
    if request.made_aware_at.tzinfo is None:
        raise BadInput(
            "give the made-aware time with its zone, such as 2024-03-18T21:01+08:00",
            field="made-aware",
        )
    if request.made_aware_at > now:
        raise BadInput(
            f"the made-aware time {request.made_aware_at.isoformat()} lies in the "
            f"future (it is {now.isoformat(timespec='seconds')}). Check date and zone.",
            field="made-aware",
        )
    try:
        ZoneInfo(request.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise BadInput(
            f"no such time zone: {request.zone!r}. Use an IANA name such as "
            "Asia/Hong_Kong.",
            field="zone",
        ) from None
    if not request.certificates:
        raise BadInput("name at least one file of certificates", field="certificates")
    for path in (*request.certificates, *filter(None, [request.directory])):
        if not path.exists():
            raise BadInput("there is no such file or directory", file=str(path))
