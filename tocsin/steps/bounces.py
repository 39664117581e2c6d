"""Files mail that came back; without it an address that is gone would look like silence."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy import Engine

from models.terms import IncidentId
from tocsin.clock import Clock
from tocsin.mail.bounces import ReturnedMail, read_bounce
from tocsin.mail.maildir import Delivered, MaildirReader
from tocsin.store import audit
from tocsin.store.bounces import (
    NewBounce,
    file_returned,
    find_notices,
    known_fingerprints,
)
from tocsin.store.session import writing

log = structlog.get_logger()

_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """
    What was found; ``read`` is the sum of the rest (I3).

    Args:
        read: Messages in the maildir.
        bounced: Addresses that are of no more use.
        temporary: Came back, but trying again can help.
        not_bounces: Vacation answers, delays and the like.
        unattributed: Came back, and nothing says what it was.
        repeated: Filed before, by a run that ended before it moved them.

    """

    read: int = 0
    bounced: int = 0
    temporary: int = 0
    not_bounces: int = 0
    unattributed: int = 0
    repeated: int = 0

    def plus(self, other: "Filed") -> "Filed":
        """Return the sum."""
        return Filed(
            read=self.read + other.read,
            bounced=self.bounced + other.bounced,
            temporary=self.temporary + other.temporary,
            not_bounces=self.not_bounces + other.not_bounces,
            unattributed=self.unattributed + other.unattributed,
            repeated=self.repeated + other.repeated,
        )


def file_bounces(engine: Engine, maildir: Path, clock: Clock) -> Filed:
    """
    Read what came back, and file it.

    What was read is on record before its file is moved: a killed run reads it again,
    and files nothing twice.

    Args:
        engine: The database.
        maildir: Where it lands; need not exist.
        clock: Tells now.

    """
    reader = MaildirReader(maildir)
    filed = Filed()
    # What arrives meanwhile is the next run's.
    keys = reader.keys()
    for start in range(0, len(keys), _BATCH):
        messages = list(reader.read(keys[start : start + _BATCH]))
        filed = filed.plus(_file(engine, messages, clock))
        for message in messages:
            reader.done(message.key)
    if filed.read:
        log.info(
            "Returned mail filed",
            bounced=filed.bounced,
            temporary=filed.temporary,
            not_bounces=filed.not_bounces,
            unattributed=filed.unattributed,
        )
    return filed


def _file(engine: Engine, messages: Sequence[Delivered], clock: Clock) -> Filed:
    returned: dict[str, ReturnedMail] = {}
    repeated = not_bounces = 0
    for message in messages:
        fingerprint = hashlib.sha256(message.content).hexdigest()
        bounce = _read(message)
        if bounce is None:
            not_bounces += 1
        elif fingerprint in returned:
            repeated += 1
        else:
            returned[fingerprint] = bounce
    bounces, known = _record(engine, returned, now=clock.now())
    attributed = [one for one in bounces if one.notice]
    permanent = sum(one.permanent for one in attributed)
    return Filed(
        read=len(messages),
        bounced=permanent,
        temporary=len(attributed) - permanent,
        not_bounces=not_bounces,
        unattributed=len(bounces) - len(attributed),
        repeated=repeated + known,
    )


def _record(
    engine: Engine, returned: Mapping[str, ReturnedMail], *, now: datetime
) -> tuple[list[NewBounce], int]:
    """Put on record what is new; return it, and how many were filed before."""
    with writing(engine) as connection:
        known = known_fingerprints(connection, returned.keys())
        new = {key: one for key, one in returned.items() if key not in known}
        notices = find_notices(
            connection,
            verp_tokens={one.verp_token for one in new.values() if one.verp_token},
            message_ids={one.message_id for one in new.values() if one.message_id},
        )
        by_token = {notice.verp_token: notice for notice in notices}
        by_id = {notice.message_id: notice for notice in notices}
        bounces = [
            NewBounce(
                fingerprint=fingerprint,
                # The return path first: the other server cannot have changed it.
                notice=by_token.get(one.verp_token or "")
                or by_id.get(one.message_id or ""),
                permanent=one.is_permanent,
                status=one.status,
                detail=one.detail,
            )
            for fingerprint, one in new.items()
        ]
        file_returned(connection, bounces, now=now)
        acts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for bounce in bounces:
            if bounce.notice:
                outcome = "bounced" if bounce.permanent else "temporary"
                acts[bounce.notice.incident][outcome].append(bounce.notice.notice_id)
        for incident, detail in sorted(acts.items()):
            audit.append(
                connection,
                incident=IncidentId(incident),
                at=now,
                actor="engine",
                action="bounces-filed",
                detail=detail,
            )
    return bounces, len(known)


def _read(message: Delivered) -> ReturnedMail | None:
    """Read one; what nobody can read is left for a person, and stops nothing."""
    try:
        return read_bounce(message.content)
    except Exception:
        log.exception("Returned mail cannot be read", key=message.key)
        return None
