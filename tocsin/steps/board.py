"""Reads what an incident's pages show, in one transaction so that they agree."""

from datetime import datetime

from sqlalchemy import Engine

from models.terms import IncidentId
from tocsin.reports.dashboards.board import Board
from tocsin.reports.dashboards.words import WORST
from tocsin.store.figures import incident_figures
from tocsin.store.mail import mail_replies
from tocsin.store.pauses import live_pause
from tocsin.store.scope import list_changes
from tocsin.store.session import reading
from tocsin.store.timetable import timetable
from tocsin.store.worklists import (
    asked_by_link,
    live_escalations,
    subscribers_owing_csr,
    unreachable,
)


def read_board(
    engine: Engine, *, incident: IncidentId, now: datetime, portal: str
) -> Board:
    """
    Read what the pages show.

    Args:
        engine: The database.
        incident: Which.
        now: The instant to show, UTC.
        portal: The portal's address, where the desk is.

    """
    with reading(engine) as connection:
        return Board(
            figures=incident_figures(connection, incident=incident, now=now),
            timetable=timetable(connection, incident=incident, now=now),
            owing=subscribers_owing_csr(connection, incident=incident, limit=WORST),
            escalations=live_escalations(connection, incident=incident, limit=WORST),
            unreachable=unreachable(connection, incident=incident, limit=WORST),
            replies=mail_replies(connection, incident=incident, limit=WORST),
            asked=asked_by_link(connection, incident=incident, limit=WORST),
            desk=f"{portal}/desk/i/{incident}",
            pause=live_pause(connection),
            changes=list_changes(connection, incident=incident),
        )
