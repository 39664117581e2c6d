"""
The statements behind a subscriber's page.

Written once, when the process starts: to put one together takes as long as to run it,
and in an incident everybody asks at once.
"""

from string import hexdigits
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    false,
    func,
    or_,
    select,
    true,
)

from models.base import table
from models.incident import AffectedCertificate, Incident
from models.outreach import Csr, Reply
from models.replacement import Replacement
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import (
    UNSETTLED,
    ContactState,
    ReplacementState,
    ReplyState,
    RevocationState,
)
from tocsin.store.views import Filter, Selection, Standing

CERT = table(AffectedCertificate)
CONTACT = table(Contact)
CSR = table(Csr)
INCIDENT = table(Incident)
REPLY = table(Reply)
REPLACEMENT = table(Replacement)
REVOCATION = table(Revocation)
SUBSCRIBER = table(Subscriber)

PAGE = 200
"""Certificates on one page."""

_MOST_REPLIES = 50

_IN_HAND = [state.value for state in UNSETTLED]
_STANDING = {
    Standing.ANY: (),
    Standing.NO_CSR: (ReplacementState.AWAITING_CSR.value,),
    Standing.CSR: (ReplacementState.CSR_RECEIVED.value,),
    Standing.ISSUED: (ReplacementState.REPLACEMENT_ISSUED.value,),
    Standing.SETTLED: (
        ReplacementState.REPLACED.value,
        ReplacementState.NO_LONGER_REQUIRED.value,
    ),
}

_MINE = and_(
    CERT.c.subscriber_id == bindparam("subscriber"),
    CERT.c.incident_id == bindparam("incident"),
)
_WITH_REVOCATION = CERT.outerjoin(REVOCATION, REVOCATION.c.certificate_id == CERT.c.id)
_CONDITIONS: dict[Selection, ColumnElement[bool]] = {
    Selection.ALL: true(),
    Selection.WITHOUT_REPLACEMENT: and_(
        CERT.c.replacement_state.in_(_IN_HAND),
        func.coalesce(REVOCATION.c.state, "") != RevocationState.WITHDRAWN.value,
    ),
    Selection.REVOCABLE_EARLY: and_(
        CERT.c.replacement_state.in_(_IN_HAND),
        REVOCATION.c.state == RevocationState.SCHEDULED.value,
    ),
}

ABOUT = (
    select(
        INCIDENT.c.id,
        INCIDENT.c.title,
        INCIDENT.c.circumstance,
        INCIDENT.c.state,
        INCIDENT.c.is_drill,
        INCIDENT.c.made_aware_at,
        INCIDENT.c.deadline,
        INCIDENT.c.closed_at,
        INCIDENT.c.rule_pack,
        SUBSCRIBER.c.name,
        SUBSCRIBER.c.zone.label("reader_zone"),
        SUBSCRIBER.c.language,
        SUBSCRIBER.c.acknowledged_at,
    )
    .join(SUBSCRIBER, SUBSCRIBER.c.incident_id == INCIDENT.c.id)
    .where(
        INCIDENT.c.id == bindparam("incident"),
        SUBSCRIBER.c.id == bindparam("subscriber"),
    )
)
TOTALS = (
    select(
        CERT.c.replacement_state,
        REVOCATION.c.state,
        func.count().label("number"),
        func.min(
            REVOCATION.c.revocation_time, type_=REVOCATION.c.revocation_time.type
        ).label("earliest"),
    )
    .select_from(_WITH_REVOCATION)
    .where(_MINE)
    .group_by(CERT.c.replacement_state, REVOCATION.c.state)
)
SELECTED = {
    selection: select(func.count())
    .select_from(_WITH_REVOCATION)
    .where(_MINE, condition)
    for selection, condition in _CONDITIONS.items()
}
KEYS = {
    selection: select(CERT.c.id)
    .select_from(_WITH_REVOCATION)
    .where(_MINE, condition)
    .order_by(CERT.c.id)
    for selection, condition in _CONDITIONS.items()
}
_CERTIFICATE = (
    select(
        CERT.c.id,
        CERT.c.serial,
        CERT.c.subject,
        CERT.c.dns_names,
        CERT.c.not_after,
        CERT.c.replacement_state,
        REVOCATION.c.state,
        REVOCATION.c.revocation_time,
        REVOCATION.c.revoked_at,
        REVOCATION.c.published_at,
        REVOCATION.c.withdrawn_at,
        REVOCATION.c.restrained_until,
        select(func.count())
        .select_from(CSR)
        .where(CSR.c.certificate_id == CERT.c.id)
        .scalar_subquery()
        .label("csrs"),
        select(func.max(REPLACEMENT.c.id))
        .where(REPLACEMENT.c.certificate_id == CERT.c.id)
        .scalar_subquery()
        .label("replacement"),
    )
    .select_from(_WITH_REVOCATION)
    .where(_MINE)
    .order_by(CERT.c.id)
)
NAMED = _CERTIFICATE.where(CERT.c.id.in_(bindparam("wanted", expanding=True)))
PAGES = {
    selection: _CERTIFICATE.where(condition)
    .limit(PAGE)
    .offset(bindparam("offset", type_=Integer))
    for selection, condition in _CONDITIONS.items()
}
CONTACTS = (
    select(CONTACT)
    .where(
        CONTACT.c.subscriber_id == bindparam("subscriber"),
        CONTACT.c.state != ContactState.REMOVED.value,
    )
    .order_by(CONTACT.c.rank, CONTACT.c.id)
)
_WITH_NAME = select(REPLY, CONTACT.c.name.label("contact_name"), CONTACT.c.rank).join(
    CONTACT, CONTACT.c.id == REPLY.c.contact_id
)
REPLY_OF = _WITH_NAME.where(
    REPLY.c.id == bindparam("reply"),
    REPLY.c.incident_id == bindparam("incident"),
    REPLY.c.subscriber_id == bindparam("subscriber"),
)
# The latest, those that wait first.
REPLIES = (
    _WITH_NAME.where(REPLY.c.subscriber_id == bindparam("subscriber"))
    .order_by(
        REPLY.c.state != ReplyState.PENDING.value,
        REPLY.c.received_at.desc(),
        REPLY.c.id.desc(),
    )
    .limit(_MOST_REPLIES)
)


def narrowed(statement: Select[Any], wanted: Filter) -> Select[Any]:
    """Return what reads only those certificates that a filter lets through."""
    return statement.where(_lets_through(wanted)) if wanted.is_on else statement


def _lets_through(wanted: Filter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.find:
        text = wanted.find.casefold()
        names = func.lower(cast(CERT.c.dns_names, Text))
        conditions.append(
            or_(
                names.contains(text, autoescape=True),
                func.lower(CERT.c.subject).contains(text, autoescape=True),
                CERT.c.serial.contains(_as_serial(text), autoescape=True)
                if _as_serial(text)
                else false(),
            )
        )
    states = _STANDING[wanted.standing]
    if states:
        conditions.append(CERT.c.replacement_state.in_(states))
    return and_(true(), *conditions)


def _as_serial(text: str) -> str:
    """Read part of a serial number as people copy it; empty where it is none."""
    digits = "".join(text.replace(":", " ").split())
    return digits if all(digit in hexdigits for digit in digits) else ""
