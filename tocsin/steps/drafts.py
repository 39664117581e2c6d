"""What an officer does to a draft at the desk: give certificates their owner, ask, launch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from models.terms import CertificateId, IncidentId, OfficeMailKind, OfficeMailState
from tocsin.clock import Clock
from tocsin.errors import BadInput
from tocsin.policy.office import Officer, Officers
from tocsin.steps.once import do_once
from tocsin.store import audit, drafts, office
from tocsin.store.contacts import add_contact
from tocsin.store.forms import SentForm
from tocsin.store.incidents import read_incident
from tocsin.store.session import writing

log = structlog.get_logger()

_CALL_WITHIN = timedelta(days=1)
"""How long a call for a second officer is worth sending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """
    Whose certificates they are.

    Args:
        name: The subscriber's; one that nobody knows is added.
        contact: A person there; may be empty where ``email`` is.
        email: Whom to write to; empty: whom the directory has.
        phone: May be empty.

    """

    name: str
    contact: str = ""
    email: str = ""
    phone: str = ""


def give_owner(
    engine: Engine,
    *,
    incident: IncidentId,
    certificates: Sequence[CertificateId] | None,
    owner: Owner,
    by: Officer,
    clock: Clock,
    form: SentForm | None = None,
) -> int:
    """
    Give certificates of a draft that nobody is known for to a subscriber.

    Args:
        engine: The database.
        incident: The draft.
        certificates: Which; None: all that belong to nobody.
        owner: Whose they are.
        by: Who says so.
        clock: Tells now.
        form: By which it came, if by one.

    Returns:
        How many were given; those that had an owner already are left alone.

    Raises:
        Refused: It is no draft any more.
        BadInput: None of them was without an owner.
        DoneBefore: The form has done so.

    """
    now = clock.now()
    with writing(engine) as connection:
        do_once(connection, form, now=now)
        drafts.lock_draft(connection, incident=incident)
        record = read_incident(connection, incident=incident)
        subscriber = drafts.subscriber_named(
            connection, incident=incident, name=owner.name, zone=record.zone
        )
        given = drafts.assign(
            connection,
            incident=incident,
            certificates=certificates,
            subscriber=subscriber,
        )
        if not given:
            raise BadInput(
                "all of these certificates have an owner already", field="certificate"
            )
        contact = None
        if owner.email:
            contact = add_contact(
                connection,
                incident=incident,
                subscriber=subscriber,
                name=owner.contact,
                email=owner.email,
                phone=owner.phone,
                instead_of=None,
            )
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=by.actor,
            action="owner-given",
            detail={
                "subscriber": subscriber,
                "certificates": given,
                "contact": contact,
            },
        )
    log.info("Certificates got an owner", incident=incident, certificates=given)
    return given


def ask_second_officer(
    engine: Engine,
    *,
    incident: IncidentId,
    by: Officer,
    officers: Officers,
    clock: Clock,
) -> int:
    """
    Ask another officer to launch a draft, and call all who could; say how many.

    Asked again, it is left as it is: the one who asked first has asked.

    Raises:
        Refused: It is no draft any more.
        BadInput: There is no other officer.

    """
    others = officers.others_who_launch(by)
    if not others:
        raise BadInput(
            "there is no second officer on the officers' list: add one, or unset "
            "TOCSIN_LAUNCH_NEEDS_SECOND_OFFICER"
        )
    now = clock.now()
    with writing(engine) as connection:
        drafts.lock_draft(connection, incident=incident)
        if not drafts.ask_second(connection, incident=incident, by=by.actor, now=now):
            return 0
        for other in others:
            office.record_mail(
                connection,
                kind=OfficeMailKind.APPROVAL,
                incident=incident,
                address_key=other.key,
                state=OfficeMailState.PLANNED,
                asked_at=now,
                expires_at=now + _CALL_WITHIN,
                leads_to=f"/desk/i/{incident}",
            )
        audit.append(
            connection,
            incident=incident,
            at=now,
            actor=by.actor,
            action="second-officer-asked",
            detail={"called": len(others)},
        )
    log.warning("A launch waits for a second officer", incident=incident)
    return len(others)
