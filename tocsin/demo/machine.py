"""Everything the replay runs on, in one process: relay, portal, engine and one stepped clock."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from models.terms import Circumstance, IncidentId, IncidentState
from tocsin.clock import Clock, SteppedClock
from tocsin.demo import record
from tocsin.demo.children import free_port
from tocsin.demo.crowd import Crowd, Journal, Outcome
from tocsin.demo.folder import Folder
from tocsin.demo.mailbox import MaildirMailbox
from tocsin.demo.people import plan_answers
from tocsin.demo.pki import CA_NAME, issue_all
from tocsin.demo.population import (
    STAFF_DOMAIN,
    invent_organisations,
    left_addresses,
    write_directory,
)
from tocsin.demo.relay import EmbeddedRelay
from tocsin.demo.replay import Driver, Moment, Replay
from tocsin.demo.summary import DemoSummary, peak_rss_bytes
from tocsin.errors import Broken, Unavailable
from tocsin.portal.app import create_app, portal_config
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.collaborators import open_collaborators
from tocsin.steps.launch import LaunchRequest
from tocsin.store.figures import incident_figures
from tocsin.store.leases import drop_leases_of
from tocsin.store.session import reading, writing
from tocsin.store.summaries import list_incidents

OWNER = "replay"
"""The engine's name in leases; one process a folder, so what it held before is free."""

_HOST = "127.0.0.1"
_PORTAL_PORT = 8780
_STARTS_WITHIN = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """
    What a driver needs.

    Args:
        settings: The demo's own, whatever the environment says.
        collaborators: Of the engine.
        clock: Everybody's.
        request: What the officer enters to open the incident.

    """

    settings: Settings
    collaborators: Collaborators
    clock: SteppedClock
    request: LaunchRequest


def run_replay(
    folder: Folder,
    *,
    make_driver: Callable[[Machine], Driver],
    show: Callable[[Moment], None],
    finish: Callable[[Machine, IncidentId], None],
) -> DemoSummary:
    """
    Replay the incident in a folder, from its beginning or where it was killed.

    Args:
        folder: An opened demo folder.
        make_driver: Makes what wakes the engine.
        show: Is told after each instant.
        finish: Writes reports, before the run counts as finished.

    """
    organisations = invent_organisations()
    _prepare(folder)
    settings = _settings(folder)
    clock = SteppedClock(folder.progress().now or record.LAUNCHED_AT)
    with (
        EmbeddedRelay(
            settings.mailbox,
            bounce_domain=settings.bounce_domain,
            unknown=left_addresses(organisations),
        ) as relay,
        open_collaborators(
            settings.model_copy(update={"smtp_port": relay.port}),
            clock=clock,
            owner=OWNER,
        ) as collaborators,
        _portal(settings, collaborators, clock) as client,
    ):
        with writing(collaborators.engine) as connection:
            drop_leases_of(connection, owner=OWNER)
        machine = Machine(
            settings=settings,
            collaborators=collaborators,
            clock=clock,
            request=_request(folder),
        )
        driver = make_driver(machine)
        replay = Replay(
            folder,
            engine=collaborators.engine,
            clock=clock,
            driver=driver,
            people=Crowd(
                organisations,
                plan_answers(organisations),
                mailbox=MaildirMailbox(settings.mailbox),
                journal=Journal(folder.journal),
                client=client,
            ),
            show=show,
        )
        incident = replay.run()
        finish(machine, incident)
        with reading(collaborators.engine) as connection:
            figures = incident_figures(connection, incident=incident, now=clock.now())
        replay.finish(incident)
    spent = folder.progress()
    return DemoSummary(
        figures=figures,
        late_answers=Journal(folder.journal).count(Outcome.TOO_LATE),
        wall_seconds=spent.wall_seconds,
        prefect_seconds=spent.prefect_seconds,
        peak_rss_bytes={"engine, portal and relay": peak_rss_bytes()},
    )
