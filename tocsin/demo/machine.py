"""Everything the replay runs on, in one process: relay, portal, engine and one stepped clock."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import uvicorn

from models.terms import Circumstance, IncidentState
from tocsin.clock import Clock, SteppedClock
from tocsin.demo import record
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
from tocsin.demo.ports import free_port
from tocsin.demo.relay import EmbeddedRelay, bouncing
from tocsin.demo.replay import Driver, Moment, Replay
from tocsin.demo.summary import DemoSummary, own_peak_rss_bytes
from tocsin.errors import Broken, Unavailable
from tocsin.links import Links, read_secrets
from tocsin.portal.app import create_app, portal_config
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.collaborators import open_collaborators, open_database
from tocsin.steps.launch import LaunchRequest
from tocsin.steps.report import write_report
from tocsin.store.leases import drop_leases_of
from tocsin.store.reconciliation import verify
from tocsin.store.session import reading, writing
from tocsin.store.summaries import list_incidents

OWNER = "replay"
"""The engine's name in leases; one process a folder, so what it held before is free."""

_HOST = "127.0.0.1"
_PORTAL_PORT = 8780
_STARTS_WITHIN = 30.0
_LOOK_EVERY = 0.02


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
    prefect_port: int = 4200,
    until: datetime | None = None,
    stay: Callable[[DemoSummary], None] | None = None,
) -> DemoSummary:
    """
    Replay the incident in a folder, from its beginning or where it was killed.

    Args:
        folder: An opened demo folder.
        make_driver: Makes what wakes the engine.
        show: Is told after each instant.
        prefect_port: Where the Prefect UI is, for links on its pages.
        until: Stop at this instant; None: go on to the end of the record.
        stay: Is told how it went while the portal still answers; None: nobody is.

    """
    organisations = invent_organisations()
    settings = _settings(folder, prefect_port)
    _prepare(folder, settings)
    clock = SteppedClock(folder.progress().now or record.LAUNCHED_AT)
    relay = EmbeddedRelay(
        settings.mailbox, clock=clock, bounces=bouncing(left_addresses(organisations))
    )
    with relay:
        settings = settings.model_copy(update={"smtp_port": relay.port})
        with (
            open_collaborators(settings, clock=clock, owner=OWNER) as collaborators,
            _portal(settings, collaborators, clock),
            _browser(settings) as browser,
        ):
            with writing(collaborators.engine) as connection:
                drop_leases_of(connection, owner=OWNER)
            machine = Machine(
                settings=settings,
                collaborators=collaborators,
                clock=clock,
                request=_request(folder),
            )
            replay = Replay(
                folder,
                engine=collaborators.engine,
                clock=clock,
                driver=make_driver(machine),
                people=Crowd(
                    organisations,
                    plan_answers(organisations),
                    mailbox=MaildirMailbox(relay.outbox),
                    journal=Journal(folder.journal),
                    client=browser,
                ),
                show=show,
            )
            incident = replay.run(until=until)
            report = write_report(
                collaborators.engine,
                incident=incident,
                directory=folder.reports,
                clock=clock,
                record=record.REVOKED_SERIES,
            )
            with reading(collaborators.engine) as connection:
                verdict = verify(connection, incident=incident)
            if not verdict.is_intact:
                raise Broken(f"the record of acts: {'; '.join(verdict.problems)}")
            replay.finish(incident)
            spent = folder.progress()
            summary = DemoSummary(
                figures=report.figures,
                acts=verdict.acts,
                late_answers=Journal(folder.journal).count(Outcome.TOO_LATE),
                wall_seconds=spent.wall_seconds,
                prefect_seconds=spent.prefect_seconds,
                peak_rss_bytes={"engine, portal and relay": own_peak_rss_bytes()},
            )
            if stay is not None:
                stay(summary)
    return summary


def _settings(folder: Folder, prefect_port: int) -> Settings:
    """Set everything the demo depends on; what is left has harmless defaults."""
    return Settings(
        data_directory=folder.data,
        database_url=None,
        zone=record.ZONE,
        ca_name=CA_NAME,
        ca_phone="+1 555 0100",
        ca_site=STAFF_DOMAIN,
        ca_directory=None,
        smtp_host=None,
        mail_from=f"certificates@{STAFF_DOMAIN}",
        bounce_domain=f"bounces.{STAFF_DOMAIN}",
        bounce_maildir=None,
        portal_host=_HOST,
        portal_port=free_port(_PORTAL_PORT),
        portal_url=None,
        prefect_host=_HOST,
        prefect_port=prefect_port,
    )


def _prepare(folder: Folder, settings: Settings) -> None:
    """
    Issue the certificates and write the directory, unless an earlier run did.

    A run killed before its incident ran is begun again: nothing had left yet.
    """
    if folder.progress().incident is not None:
        return
    if any(folder.data.iterdir()):
        with open_database(settings) as engine, reading(engine) as connection:
            running = [
                one.summary
                for one in list_incidents(connection)
                if one.summary.state is not IncidentState.DRAFT
            ]
        if running:
            # Killed between the launch and the note of it.
            folder.keep(
                replace(
                    folder.progress(),
                    now=record.LAUNCHED_AT,
                    incident=running[0].incident,
                )
            )
            return
        folder.clear_incident()
    organisations = invent_organisations()
    issue_all(settings.embedded_ca, folder.input, organisations)
    write_directory(folder.directory_csv, organisations)


def _request(folder: Folder) -> LaunchRequest:
    return LaunchRequest(
        title=record.TITLE,
        circumstance=Circumstance.MISISSUED,
        made_aware_at=record.MADE_AWARE_AT,
        certificates=folder.log_entries,
        directory=folder.directory_csv,
        zone=record.ZONE,
    )


@contextmanager
def _portal(
    settings: Settings, collaborators: Collaborators, clock: Clock
) -> Iterator[None]:
    """Serve the portal in a thread of this process, on the replay's clock."""
    app = create_app(
        collaborators.engine,
        Links(read_secrets(settings.link_secrets)),
        portal_config(settings),
        clock,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.portal_host,
            port=settings.portal_port,
            access_log=False,
            log_level="warning",
            lifespan="off",
        )
    )
    thread = threading.Thread(target=server.run, name="portal", daemon=True)
    thread.start()
    waiting = threading.Event()
    for _ in range(int(_STARTS_WITHIN / _LOOK_EVERY)):
        if server.started or not thread.is_alive():
            break
        waiting.wait(_LOOK_EVERY)
    if not server.started:
        raise Unavailable("the portal did not start")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _browser(settings: Settings) -> Iterator[httpx.Client]:
    """
    Give the subscribers a browser.

    A portal that was killed comes back on another port if its own is taken meanwhile;
    links in older mails lead to it all the same, as they do behind one public name.
    """
    here = urlsplit(settings.public_portal)

    def lead(request: httpx.Request) -> None:
        request.url = request.url.copy_with(host=here.hostname, port=here.port)

    with httpx.Client(
        trust_env=False,
        follow_redirects=True,
        timeout=30.0,
        event_hooks={"request": [lead]},
    ) as client:
        yield client
