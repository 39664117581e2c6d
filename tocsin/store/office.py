"""Links that were asked for, and who is in: the officers' desk in rows."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from models.base import table
from models.office import OfficeMail, OfficeSession
from models.terms import IncidentId, OfficeMailKind, OfficeMailState
from tocsin.store.session import insert_ignoring, rows_changed

_MAIL = table(OfficeMail)
_SESSION = table(OfficeSession)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailToOfficer:
    """
    One mail of the desk, as it stands.

    Args:
        mail: Its key.
        kind: What it is for.
        incident: Which incident waits; None: it lets somebody in.
        address_key: For whom.
        browser: Where alone its link works; empty: anywhere.
        leads_to: The page that was wanted.
        state: What is known of it.
        asked_at: UTC.
        expires_at: From then on its link is dead, UTC.
        used_at: When somebody came in by it; None: nobody has.

    """

    mail: int
    kind: OfficeMailKind
    incident: IncidentId | None
    address_key: str
    browser: str
    leads_to: str
    state: OfficeMailState
    asked_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """Somebody who is in, until ``expires_at`` (UTC)."""

    session: int
    address_key: str
    expires_at: datetime


def lock_requests(connection: Connection) -> None:
    """Let requests for links be counted one after another."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(7_486_204)))


def requests_since(
    connection: Connection, *, address_key: str, client: str, since: datetime
) -> tuple[int, int]:
    """Count the links asked for since an instant: for this address, from this place."""
    counts = (
        connection.execute(
            select(func.count())
            .select_from(_MAIL)
            .where(
                column == value,
                _MAIL.c.asked_at > since,
                _MAIL.c.kind == OfficeMailKind.SIGN_IN.value,
            )
        ).scalar_one()
        for column, value in (
            (_MAIL.c.address_key, address_key),
            (_MAIL.c.client, client),
        )
    )
    of_address, of_client = counts
    return of_address, of_client


def record_mail(
    connection: Connection,
    *,
    kind: OfficeMailKind,
    address_key: str,
    state: OfficeMailState,
    asked_at: datetime,
    expires_at: datetime,
    client: str = "",
    browser: str = "",
    leads_to: str = "",
    incident: IncidentId | None = None,
) -> int:
    """Put on record that somebody is to be written to, or why not."""
    result = connection.execute(
        insert(_MAIL).values(
            kind=kind.value,
            incident_id=incident,
            address_key=address_key,
            client=client,
            browser=browser,
            leads_to=leads_to,
            state=state.value,
            asked_at=asked_at,
            expires_at=expires_at,
            detail="",
        )
    )
    (key,) = result.inserted_primary_key or (0,)
    return int(key)


def claim_mail(connection: Connection, *, now: datetime) -> list[MailToOfficer]:
    """Take what is planned and still of use: nobody else sends it."""
    rows = connection.execute(
        update(_MAIL)
        .where(_MAIL.c.state == OfficeMailState.PLANNED.value, _MAIL.c.expires_at > now)
        .values(state=OfficeMailState.SENDING.value)
        .returning(_MAIL)
    )
    return [_mail(row) for row in rows]


def record_mail_outcome(
    connection: Connection,
    *,
    mail: int,
    state: OfficeMailState,
    detail: str,
    now: datetime,
) -> None:
    """Put on record what became of one mail."""
    connection.execute(
        update(_MAIL)
        .where(_MAIL.c.id == mail, _MAIL.c.state == OfficeMailState.SENDING.value)
        .values(state=state.value, detail=detail, ended_at=now)
    )


def find_mail(connection: Connection, *, mail: int) -> MailToOfficer | None:
    """Return one mail of the desk."""
    row = connection.execute(select(_MAIL).where(_MAIL.c.id == mail)).first()
    return _mail(row) if row else None


def mark_used(connection: Connection, *, mail: int, now: datetime) -> None:
    """Put on record that somebody acted by the link in a mail; once is enough."""
    connection.execute(
        update(_MAIL)
        .where(_MAIL.c.id == mail, _MAIL.c.used_at.is_(None))
        .values(used_at=now)
    )


def start_session(
    connection: Connection,
    *,
    mail: int,
    key: str,
    address_key: str,
    name: str,
    client: str,
    now: datetime,
    expires_at: datetime,
) -> bool:
    """Let somebody in by a link; False where somebody came in by it before."""
    result = connection.execute(
        insert_ignoring(connection, _SESSION, conflict=["mail_id"]).values(
            mail_id=mail,
            key=key,
            address_key=address_key,
            name=name,
            client=client,
            started_at=now,
            expires_at=expires_at,
        )
    )
    if rows_changed(result) != 1:
        return False
    connection.execute(update(_MAIL).where(_MAIL.c.id == mail).values(used_at=now))
    return True


def find_session(
    connection: Connection, *, key: str, now: datetime
) -> OpenSession | None:
    """Return who holds this, if they are still in."""
    row = connection.execute(
        select(_SESSION).where(
            _SESSION.c.key == key,
            _SESSION.c.ended_at.is_(None),
            _SESSION.c.expires_at > now,
        )
    ).first()
    if row is None:
        return None
    return OpenSession(
        session=row.id, address_key=row.address_key, expires_at=row.expires_at
    )


def end_session(connection: Connection, *, session: int, now: datetime) -> bool:
    """Show somebody out; False where they were out already."""
    result = connection.execute(
        update(_SESSION)
        .where(_SESSION.c.id == session, _SESSION.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    return rows_changed(result) == 1


def end_sessions_of(connection: Connection, *, address_key: str, now: datetime) -> int:
    """Show a person out wherever they are in, and let their unused links die."""
    connection.execute(
        update(_MAIL)
        .where(_MAIL.c.address_key == address_key, _MAIL.c.expires_at > now)
        .values(expires_at=now)
    )
    result = connection.execute(
        update(_SESSION)
        .where(
            _SESSION.c.address_key == address_key,
            _SESSION.c.ended_at.is_(None),
            _SESSION.c.expires_at > now,
        )
        .values(ended_at=now)
    )
    return rows_changed(result)


def _mail(row: object) -> MailToOfficer:
    values = row._asdict()  # type: ignore[attr-defined]
    incident = values["incident_id"]
    return MailToOfficer(
        mail=values["id"],
        kind=OfficeMailKind(values["kind"]),
        incident=IncidentId(incident) if incident else None,
        address_key=values["address_key"],
        browser=values["browser"],
        leads_to=values["leads_to"],
        state=OfficeMailState(values["state"]),
        asked_at=values["asked_at"],
        expires_at=values["expires_at"],
        used_at=values["used_at"],
    )
