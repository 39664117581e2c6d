"""Holds the record against the rows; a chain alone proves only that it is a chain."""

from collections import Counter
from typing import Any, cast

from sqlalchemy import Connection, func, select

from models.base import table
from models.outreach import Reply
from models.revocation import Revocation
from models.terms import IncidentId
from tocsin.store.audit import AuditVerdict, acts, check_chain

REPLY = table(Reply)
REVOCATION = table(Revocation)

_REVOKED = ("done", "already")


def verify(connection: Connection, *, incident: IncidentId) -> AuditVerdict:
    """
    Prove that the record is whole, and that the incident's state is what it tells.

    State without an act behind it was written behind the record's back; an act
    without its state means that rows were changed or taken away.
    """
    chain = check_chain(connection, incident=incident)
    told = _told(connection, incident)
    kept = _kept(connection, incident)
    disagreements = [
        f"{what}: the record tells of {told[what]:,}, the database shows {kept[what]:,}"
        for what in kept
        if told[what] != kept[what]
    ]
    return AuditVerdict(
        acts=chain.acts,
        head=chain.head,
        problems=(*chain.problems, *disagreements),
    )


def _told(connection: Connection, incident: IncidentId) -> Counter[str]:
    """Count what the acts tell of; no certificate twice."""
    told: Counter[str] = Counter()
    revoked: set[int] = set()
    published: set[int] = set()
    withdrawn: set[int] = set()
    restrained: set[int] = set()
    for act in acts(connection, incident=incident):
        detail = cast("dict[str, Any]", act.detail)
        match act.action:
            case "incident-launched":
                told["certificates scheduled"] += detail["certificates"]
            case "revocations-answered":
                revoked.update(*(detail.get(word, ()) for word in _REVOKED))
            case "revocations-published":
                published.update(*(v for v in detail.values() if isinstance(v, list)))
            case "replies-applied":
                told["times brought forward"] += detail["brought_forward"]
            case "withdrawal-agreed":
                withdrawn.update(detail["certificates"])
            case "order-agreed":
                restrained.update(detail["certificates"])
            case "reply-received":
                told["replies"] += 1
            case _:
                pass  # an act that no count stands behind
    told["certificates revoked"] = len(revoked)
    told["certificates published"] = len(published)
    told["certificates withdrawn"] = len(withdrawn)
    told["certificates ever restrained"] = len(restrained)
    return told


def _kept(connection: Connection, incident: IncidentId) -> dict[str, int]:
    """Count the same in the rows of the incident."""
    row = connection.execute(
        select(
            func.count().label("scheduled"),
            func.count().filter(REVOCATION.c.revoked_at.is_not(None)).label("revoked"),
            func.count()
            .filter(REVOCATION.c.published_at.is_not(None))
            .label("published"),
            func.count()
            .filter(REVOCATION.c.withdrawn_at.is_not(None))
            .label("withdrawn"),
            func.count()
            .filter(REVOCATION.c.restrained_until.is_not(None))
            .label("restrained"),
            func.count()
            .filter(REVOCATION.c.revocation_time < REVOCATION.c.planned_time)
            .label("forward"),
        ).where(REVOCATION.c.incident_id == incident)
    ).one()
    replies = connection.execute(
        select(func.count()).select_from(REPLY).where(REPLY.c.incident_id == incident)
    ).scalar_one()
    return {
        "certificates scheduled": row.scheduled,
        "certificates revoked": row.revoked,
        "certificates published": row.published,
        "certificates withdrawn": row.withdrawn,
        "certificates ever restrained": row.restrained,
        "times brought forward": row.forward,
        "replies": replies,
    }
