"""Links that let somebody in, and every kind that must not."""

from dataclasses import replace
from datetime import timedelta

from fakes.busy_portal import ACCOUNT, FIRST, FOURTH, HEAD, SECOND, BusyPortal
from fakes.office import LAM

from models.terms import ContactId, IncidentId
from tocsin.errors import Refused
from tocsin.links import (
    CONFIRMATION,
    ESCALATION,
    NO_SUBSCRIBER,
    SUBSCRIBER,
    LinkClaims,
    Links,
)
from tocsin.steps.sign_in import DESK, SIGN_IN

DOORS = {
    "/s/": "subscriber",
    "/e/": "staff",
    "/c/": "named",
    f"{DESK}/in/": "way in",
}
"""Where links lead, and to whom they were sent."""


def living(world: BusyPortal) -> dict[str, str]:
    """Return the tokens that let somebody in, by whom."""
    ways_in = [
        path.removeprefix(f"{DESK}/in/")
        for path in world.paths_in_mails(LAM)
        if path.startswith(f"{DESK}/in/")
    ]
    return {
        "subscriber": world.token_of(FIRST),
        "staff": world.token_of(ACCOUNT, "/e/"),
        "named": world.token_of(FOURTH, "/c/"),
        "way in": max(ways_in, key=lambda token: _claims(world, token).expires_at),
    }


def dead(world: BusyPortal) -> dict[str, str]:
    """Return tokens that let nobody in anywhere, by what is wrong with them."""
    sign = world.c.links.sign
    forger = Links(["another secret, long enough as well, it is"])
    tokens = {"none": "x", "long": "x" * 5_000, "departed": world.token_of(SECOND)}
    for who, token in living(world).items():
        claims = _claims(world, token)
        payload = token.rpartition(".")[0]
        others = sign(replace(claims, generation=7)).rpartition(".")[2]
        tokens |= {
            f"{who}, expired": sign(replace(claims, expires_at=world.clock.now())),
            f"{who}, forged": forger.sign(claims),
            f"{who}, cut short": token[:-3],
            f"{who}, longer": f"{token}A",
            f"{who}, without signature": payload,
            f"{who}, with an empty signature": f"{payload}.",
            f"{who}, with another's signature": f"{payload}.{others}",
            f"{who}, in capitals": token.upper(),
            f"{who}, of a form": sign(replace(claims, purpose="form:x")),
            f"{who}, of no purpose": sign(replace(claims, purpose="")),
            f"{who}, of nobody": sign(replace(claims, contact=ContactId(10**12))),
        }
    clinic = _claims(world, world.token_of(FIRST))
    staff = _claims(world, world.token_of(ACCOUNT, "/e/"))
    named = _claims(world, world.token_of(FOURTH, "/c/"))
    school = world.theirs(HEAD)
    return tokens | {
        "older generation": sign(replace(clinic, generation=-1)),
        "another's contact": sign(replace(clinic, contact=school.contact)),
        "another's certificates": sign(replace(clinic, subscriber=school.subscriber)),
        "another incident": sign(replace(clinic, incident=IncidentId("elsewhere"))),
        "a draft": sign(replace(clinic, incident=world.draft)),
        "no subscriber": sign(replace(clinic, subscriber=NO_SUBSCRIBER)),
        "a subscriber as staff": sign(replace(clinic, purpose=ESCALATION)),
        "staff as a subscriber": sign(replace(staff, purpose=SUBSCRIBER)),
        "who waits as a subscriber": sign(replace(named, purpose=SUBSCRIBER)),
        "a subscriber as who waits": sign(replace(clinic, purpose=CONFIRMATION)),
        "who waits, of another": sign(replace(named, subscriber=school.subscriber)),
    }


def _claims(world: BusyPortal, token: str) -> LinkClaims:
    """Return what a token stands for, expired or not."""
    for purpose in (SUBSCRIBER, ESCALATION, CONFIRMATION, SIGN_IN):
        try:
            return world.c.links.read(
                token, purpose=purpose, now=world.clock.now() - timedelta(days=9)
            )
        except Refused:
            continue
    raise AssertionError("a mail has a link that is not ours")
