"""The form that opens an incident: a preview first, and from it the launch."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from prefect import State, flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict, Field

from flows.artifacts import add_page
from flows.collaborators import equipped
from flows.showing import show_incidents
from models.terms import Circumstance, IncidentId
from tocsin.errors import BadInput, Refused, TocsinError
from tocsin.policy.rules import shipped_rule_pack
from tocsin.reports.preview import preview_markdown
from tocsin.steps.collaborators import current_templates
from tocsin.steps.launch import (
    Launched,
    LaunchRequest,
    draft_incident,
    launch_incident,
    read_rulebook,
)
from tocsin.steps.preview import preview_incident
from tocsin.store.incidents import read_incident
from tocsin.store.session import reading

_CIRCUMSTANCES = {rule.text: rule.circumstance for rule in shipped_rule_pack().rules}


class Mode(StrEnum):
    """How far a run of the form goes."""

    PREVIEW = "Preview only"
    LAUNCH = "Launch"


class IncidentForm(BaseModel):
    """What a compliance officer fills in; Prefect's UI makes a form of it."""

    model_config = ConfigDict(
        title="Incident",
        extra="forbid",
        json_schema_extra={"description": "One list of certificates, one reason."},
    )

    title: Annotated[
        str,
        Field(
            title="Title",
            description="What people will read in mails and reports, such as "
            '"Policy qualifier without http in 1,111 certificates".',
        ),
    ]
    circumstance: Annotated[
        str,
        Field(
            title="Why must they be revoked?",
            description="The item of TLS BR 4.9.1.1 that applies. Deadline and reason "
            "code follow from it.",
            json_schema_extra={"enum": list(_CIRCUMSTANCES)},
        ),
    ]
    made_aware_at: Annotated[
        datetime,
        Field(
            title="When did the clock start?",
            description="When the CA got the evidence or the problem report. Mind the "
            "zone beside it: the deadline is counted from this instant.",
        ),
    ]
    certificates: Annotated[
        list[str],
        Field(
            title="Affected certificates",
            description="Files or directories on the machine Tocsin runs on, one each: "
            "PEM, DER, zip, crt.sh JSON, or CSV with issuer and serial.",
            min_length=1,
        ),
    ]
    directory: Annotated[
        str,
        Field(
            title="Subscribers and contacts",
            description="CSV on the same machine, a row for each contact. Empty: only "
            "what the certificates say of their subscribers.",
        ),
    ] = ""
    zone: Annotated[
        str,
        Field(
            title="Time zone of subscribers of whom the directory says none",
            description="Such as Asia/Hong_Kong. Empty: the CA's own.",
        ),
    ] = ""
    mode: Annotated[
        Mode,
        Field(
            title="What to do",
            description="Look at a preview first: it ends with the link that launches. "
            "From the launch on, every certificate is revoked on schedule, whoever "
            "answers; nothing can move that later.",
        ),
    ] = Mode.PREVIEW
    draft: Annotated[
        str,
        Field(
            title="Draft to launch",
            description="The preview's key, such as 20240318-a1b2c3; the preview's "
            "link fills it in. Empty for a preview.",
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """
    A draft that was shown and not launched.

    Args:
        incident: Its key, to launch it by.
        certificates: In it.
        subscribers: Who hold them.
        set_aside: Entries that could not be used.

    """

    incident: IncidentId
    certificates: int
    subscribers: int
    set_aside: int


@flow(
    name="Open an incident",
    flow_run_name="{incident.mode}: {incident.title}",
    retries=0,
    persist_result=False,
)
def open_incident(incident: IncidentForm) -> State[Any]:
    """
    Import a list of affected certificates, show what would happen, and launch it.

    Run it as a preview first. The preview says what came in and what was set aside,
    when the deadline is, who will be told what and when; it ends with the link that
    launches exactly what was shown. A preview has no effect on anybody.
    """
    try:
        if incident.mode is Mode.LAUNCH and incident.draft.strip():
            return _launched(launch_draft(incident))
        return _previewed(draft_and_preview(incident), asked=incident.mode)
    except TocsinError as error:
        return Failed(name="Not opened", message=str(error))


@task(name="Read the list", cache_policy=NO_CACHE, retries=0, persist_result=False)
def draft_and_preview(form: IncidentForm) -> Previewed:
    """Import the list as a draft, and put its preview where the officer finds it."""
    with equipped() as at_hand:
        c, settings = at_hand.collaborators, at_hand.settings
        request = LaunchRequest(
            title=form.title,
            circumstance=_circumstance(form.circumstance),
            made_aware_at=form.made_aware_at,
            certificates=[Path(path.strip()) for path in form.certificates],
            directory=Path(form.directory.strip()) if form.directory.strip() else None,
            zone=form.zone.strip() or settings.zone,
        )
        incident, imported = draft_incident(
            c.engine, request, rulebook=read_rulebook(settings), clock=c.clock
        )
        preview = preview_incident(
            c.engine,
            incident=incident,
            imported=imported,
            backend=c.backend,
            templates=current_templates(settings),
            settings=settings,
            now=c.clock.now(),
        )
        with get_client(sync_client=True) as client:
            add_page(
                client,
                key=f"preview-{incident}",
                markdown=f"{preview_markdown(preview)}\n\n"
                f"{_how_to_launch(form, incident, base=settings.prefect_url)}",
                description=f"What launching “{preview.title}” would do",
            )
    return Previewed(
        incident=incident,
        certificates=preview.certificates,
        subscribers=preview.subscribers,
        set_aside=preview.set_aside,
    )


@task(name="Launch the draft", cache_policy=NO_CACHE, retries=0, persist_result=False)
def launch_draft(form: IncidentForm) -> Launched:
    """Launch what was previewed, announce its moments, and show its dashboards."""
    with equipped() as at_hand:
        c, settings = at_hand.collaborators, at_hand.settings
        incident = IncidentId(form.draft.strip())
        with reading(c.engine) as connection:
            drafted = read_incident(connection, incident=incident)
        # A draft and a form that speak of different things: somebody launches what
        # they did not look at.
        if (drafted.title, drafted.circumstance, drafted.made_aware_at) != (
            form.title.strip(),
            _circumstance(form.circumstance),
            form.made_aware_at,
        ):
            raise Refused(
                f"title, circumstance or made-aware time differ from what the draft "
                f"{incident} was previewed with. Preview again",
                source="a launch is of what was previewed",
            )
        launched = launch_incident(
            c.engine,
            incident=incident,
            backend=c.backend,
            templates=current_templates(settings).sources(),
            actor="officer",
            clock=c.clock,
            needs_second=settings.launch_needs_second_officer,
        )
        show_incidents(at_hand, [incident])
    return launched


def _previewed(previewed: Previewed, *, asked: Mode) -> State[Any]:
    counted = (
        f"{previewed.certificates:,} certificates of {previewed.subscribers:,} "
        f"subscribers; {previewed.set_aside:,} entries set aside."
    )
    hint = f"Draft {previewed.incident}: look at the preview under Artifacts."
    if asked is Mode.LAUNCH:
        hint = f"Not launched, since no draft was named. {hint}"
    return Completed(name="Previewed", message=f"{counted} {hint}", data=previewed)


def _launched(launched: Launched) -> State[Any]:
    return Completed(
        name="Launched",
        message=f"{launched.incident}: {launched.certificates:,} certificates of "
        f"{launched.subscribers:,} subscribers. Revocation starts "
        f"{launched.plan.starts_at:%Y-%m-%d %H:%M} UTC, deadline "
        f"{launched.deadline:%Y-%m-%d %H:%M} UTC.",
        data=launched,
    )


def _circumstance(text: str) -> Circumstance:
    try:
        return _CIRCUMSTANCES[text]
    except KeyError:
        raise BadInput(
            f"no such circumstance: {text!r}. Choose one of the form's list.",
            field="circumstance",
        ) from None


def _how_to_launch(form: IncidentForm, incident: IncidentId, *, base: str) -> str:
    filled = form.model_copy(update={"mode": Mode.LAUNCH, "draft": incident})
    parameters = json.dumps({"incident": filled.model_dump(mode="json")})
    deployment = runtime.deployment.id
    if deployment is None:
        return f"## To launch exactly this\n\nDraft: `{incident}`"
    link = f"{base}/deployments/deployment/{deployment}/run?parameters="
    return (
        "## To launch exactly this\n\n"
        f"[**Open the form, filled in to launch**]({link}{quote(parameters)}) and "
        "submit it. From then on, every certificate is revoked on schedule, whoever "
        f"answers.\n\nNot this? Close the page: the draft `{incident}` has no effect."
    )
