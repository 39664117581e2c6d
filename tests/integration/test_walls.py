"""What nobody can do: every route, with every link but the right one, by every method."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fakes.busy_portal import (
    FIRST,
    HEAD,
    BusyPortal,
    Theirs,
    busy_portal,
    differences,
)
from fakes.routes import Address, addresses
from fakes.tokens import DOORS, dead, living
from portal_server import make_csr, nonce_in
from ways import EVERY_WAY

from tocsin.portal.api import API
from tocsin.steps.sign_in import DESK

pytestmark = pytest.mark.server

READS = ("GET", "HEAD")
METHODS = (*READS, "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
NOT_LET_IN = {401, 403, 404, 405}
SCHEMA = f"{API}/openapi.json"
_SHARES = 15
"""Among how many routes the variants of a wrong link are dealt out, again and again."""
CSR = make_csr("www.elsewhere.example")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BusyPortal]:
    with busy_portal(tmp_path_factory.mktemp("walls")) as world:
        yield world


@pytest.fixture(scope="module")
def http(world: BusyPortal) -> Iterator[httpx.Client]:
    with world.browser() as http:
        yield http


@pytest.fixture(scope="module")
def clinic(world: BusyPortal) -> Theirs:
    return world.theirs(FIRST)


@pytest.fixture(scope="module")
def school(world: BusyPortal) -> Theirs:
    return world.theirs(HEAD)


@pytest.fixture(scope="module")
def alive(world: BusyPortal) -> dict[str, str]:
    return living(world)


@pytest.fixture(scope="module")
def gone(world: BusyPortal) -> dict[str, str]:
    return dead(world)


@pytest.fixture(autouse=True)
def _nothing_is_told_to_the_log(
    world: BusyPortal,
    clinic: Theirs,
    school: Theirs,
    alive: dict[str, str],
    capfd: pytest.CaptureFixture[str],
) -> Iterator[None]:
    """Read all that the process says while a test walks."""
    yield
    said = "".join(capfd.readouterr())
    for secret in (
        *alive.values(),
        *world.desk.values(),
        *clinic.words,
        *school.words,
    ):
        assert secret not in said
    # Whatever is signed by us begins like a list of texts.
    assert re.findall(r"Wy[\w-]{20,}\.[\w-]{20,}", said) == []


def takes_token(address: Address) -> bool:
    return "{token}" in address.path


def of_the_interface(address: Address) -> bool:
    return address.path.startswith(f"{API}/") and address.path != SCHEMA


def of_the_desk(address: Address) -> bool:
    outside = (f"{DESK}/sign-in", f"{DESK}/in/{{token}}")
    return address.path.startswith(DESK) and address.path not in outside


def is_shut(address: Address, who: str) -> bool:
    """Whether a route is behind a door that a link to somebody is no key of."""
    if takes_token(address):
        return not any(
            whose == who and address.path.startswith(door)
            for door, whose in DOORS.items()
        )
    return of_the_desk(address) or (of_the_interface(address) and who != "subscriber")


def values(world: BusyPortal, of: Theirs, token: str = "") -> dict[str, str]:
    """Return what fills in an address: whatever is numbered is of ``of``."""
    return {
        "token": token,
        "reply": str(of.reply),
        "key": str(of.key),
        "certificate": str(of.certificates[0]),
        "contact": str(of.contact),
        "incident": str(world.incident),
        "subscriber": str(of.subscriber),
        "identifier": "AA.EAA",
        "rest": "nothing",
    }


def form_about(of: Theirs, nonce: str) -> dict[str, Any]:
    """Return a form that would do for any act, if it came from the right one."""
    return {
        "nonce": nonce,
        "choice": "mine",
        "certificate": [str(one) for one in of.certificates],
        "for": str(of.certificates[0]),
        "csr": CSR,
        "name": "Mallory",
        "email": "mallory@elsewhere.example",
        "phone": "",
        "instead_of": str(of.contact),
        "escalation": ["1.1", "2.1"],
        "all": "1",
        "outcome": "reached",
        "owner": "Mallory",
        "certificates": "1",
        "address": "",
        "sure": "1",
    }


def content(address: Address, of: Theirs, nonce: str) -> dict[str, Any]:
    if of_the_interface(address):
        return {
            "json": {"csrs": [CSR]}
            if address.path.endswith("csrs")
            else {"certificates": list(of.certificates)}
        }
    return {"data": form_about(of, nonce)}


def some(
    tokens: dict[str, str],
    address: Address,
    method: str,
    *,
    turn: int = 0,
    here: str = "",
) -> dict[str, str]:
    """
    Return those that a route is walked with.

    Each sees one of every kind, and its share of their variants; the first page behind
    a link sees all of them. What no route takes sees a few.
    """
    names = list(tokens)
    if EVERY_WAY:
        return tokens
    if method not in {"GET", "POST"}.intersection(address.methods):
        return {name: tokens[name] for name in names[::16]}
    kinds = ("none", "departed", "living", f"{here}, ")
    variants = ("expired", "forged", "cut short", "of a form")
    return {
        name: token
        for number, (name, token) in enumerate(tokens.items())
        if not turn
        or number % _SHARES == turn % _SHARES
        or (name.startswith(kinds) and (", " not in name or name.endswith(variants)))
    }


def says(answer: httpx.Response) -> tuple[object, ...]:
    """Return all by which somebody could tell two answers apart."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, answer.text, tuple(sorted(headers.items()))


def check(answer: httpx.Response, others: Theirs, token: str = "") -> None:
    """See that an answer is no fault of ours and tells nothing of others."""
    where = f"{answer.request.method} {answer.request.url.path}"
    assert answer.status_code < 500, where
    assert "Traceback" not in answer.text, where
    assert answer.headers["referrer-policy"] == "no-referrer", where
    assert answer.headers["x-content-type-options"] == "nosniff", where
    for secret in (*others.words, *([token] if len(token) > 1 else [])):
        assert secret not in answer.text, (where, secret)
        assert secret not in str(answer.headers), (where, secret)


def test_no_route_takes_a_link_by_another_name(world: BusyPortal) -> None:
    known = addresses(world.app)

    assert len([one for one in known if takes_token(one)]) > 20
    assert len([one for one in known if of_the_interface(one)]) >= 5
    assert len([one for one in known if of_the_desk(one)]) > 20
    assert [
        one
        for one in known
        if one.path.startswith(tuple(DOORS)) and not takes_token(one)
    ] == []


def test_dead_links_cannot_be_told_apart_on_any_route(
    world: BusyPortal,
    http: httpx.Client,
    clinic: Theirs,
    alive: dict[str, str],
    gone: dict[str, str],
) -> None:
    before = world.snapshot()
    for number, address in enumerate(filter(takes_token, addresses(world.app))):
        here = next(
            (who for door, who in DOORS.items() if address.path.startswith(door)), ""
        )
        tokens = gone | {
            f"living {who}": token for who, token in alive.items() if who != here
        }
        turn = 0 if address.path.endswith("{token}") else number + 1
        for method in METHODS:
            answers = defaultdict(list)
            for name, token in some(
                tokens, address, method, turn=turn, here=here
            ).items():
                answer = http.request(
                    method,
                    address.filled(values(world, clinic, token)),
                    **(content(address, clinic, token) if method == "POST" else {}),
                )
                check(answer, clinic, token)
                assert answer.status_code in NOT_LET_IN, (name, method, address)
                answers[says(answer)].append(name)
            assert len(answers) == 1, (method, address, list(answers.values()))

    assert differences(before, world.snapshot()) == {}


def test_interface_answers_the_same_whatever_is_wrong_with_the_token(
    world: BusyPortal,
    http: httpx.Client,
    clinic: Theirs,
    alive: dict[str, str],
    gone: dict[str, str],
) -> None:
    before = world.snapshot()
    tokens = gone | {
        f"living, of {who}": token
        for who, token in alive.items()
        if who != "subscriber"
    }
    headers = {name: f"Bearer {token}" for name, token in tokens.items()} | {
        "no scheme": clinic.token,
        "another scheme": f"Basic {clinic.token}",
        "no token": "Bearer",
        "nothing": "",
    }
    for turn, address in enumerate(filter(of_the_interface, addresses(world.app))):
        for method in METHODS:
            answers = defaultdict(list)
            shown = some(headers, address, method, turn=turn, here="subscriber")
            for name, header in shown.items():
                answer = http.request(
                    method,
                    address.filled(values(world, clinic)),
                    headers={"Authorization": header},
                    **(content(address, clinic, "") if method == "POST" else {}),
                )
                check(answer, clinic, header.partition(" ")[2])
                assert answer.status_code in NOT_LET_IN, (name, method, address)
                answers[says(answer)].append(name)
            assert len(answers) == 1, (method, address, list(answers.values()))

    assert differences(before, world.snapshot()) == {}


def test_another_subscribers_living_link_reaches_nothing_of_ours(
    world: BusyPortal, http: httpx.Client, clinic: Theirs, school: Theirs
) -> None:
    """The school's link, with the clinic's numbers and the nonces of its forms."""
    ours = http.post(f"{clinic.base}/acknowledge/check", data={"choice": "mine"})
    nonce = nonce_in(ours)
    bearer = {"Authorization": f"Bearer {school.token}"}
    before = world.snapshot()

    for address in addresses(world.app):
        if of_the_desk(address):
            continue
        path = address.filled(values(world, clinic, school.token))
        for method in METHODS:
            answer = http.request(
                method,
                path,
                headers=bearer,
                **(content(address, clinic, nonce) if method == "POST" else {}),
            )
            check(answer, clinic)

    assert differences(before, world.snapshot()) == {}


def test_headers_do_not_let_anybody_past_the_link(
    world: BusyPortal, http: httpx.Client, clinic: Theirs, school: Theirs
) -> None:
    before = world.snapshot()
    usual = http.get(school.base)
    for name, value in {
        "Host": "elsewhere.example",
        "X-Forwarded-Host": "elsewhere.example",
        "X-Forwarded-For": "10.0.0.1, 127.0.0.1",
        "Forwarded": "for=10.0.0.1;host=elsewhere.example",
        "X-Original-URL": clinic.base,
        "X-Rewrite-URL": clinic.base,
        "X-HTTP-Method-Override": "POST",
        "X-Method-Override": "DELETE",
        "Authorization": f"Bearer {clinic.token}",
        "Cookie": f"desk={world.desk['officer']}",
        "Range": "bytes=0-10",
        "If-None-Match": "*",
    }.items():
        answer = http.get(school.base, headers={name: value})
        assert says(answer) == says(usual), name

    assert differences(before, world.snapshot()) == {}


def test_desk_asks_who_comes_whatever_cookie_is_held(
    world: BusyPortal, http: httpx.Client, clinic: Theirs, alive: dict[str, str]
) -> None:
    with world.browser(world.desk["officer"]) as officer:
        page = officer.get(f"{DESK}/i/{world.incident}/s/{clinic.subscriber}/call")
    nonce = nonce_in(page)
    cookies = {
        "none": "",
        "made up": "x" * 43,
        "cut short": world.desk["officer"][:-1],
        **{f"a link of {who}": token for who, token in alive.items()},
        **world.gone,
    }
    assert set(world.gone) == {"expired", "off the list", "signed out"}
    before = world.snapshot()

    for address in filter(of_the_desk, addresses(world.app)):
        for method in METHODS:
            answers = defaultdict(list)
            for name, cookie in some(cookies, address, method).items():
                answer = http.request(
                    method,
                    address.filled(values(world, clinic)),
                    headers={"Cookie": f"desk={cookie}"},
                    **(content(address, clinic, nonce) if method == "POST" else {}),
                )
                check(answer, clinic, cookie)
                assert answer.status_code in NOT_LET_IN, (name, method, address)
                answers[says(answer)].append(name)
            assert len(answers) == 1, (method, address, list(answers.values()))

    assert differences(before, world.snapshot()) == {}


def test_managers_session_writes_nothing_by_an_officers_forms(
    world: BusyPortal, clinic: Theirs
) -> None:
    pages = (
        f"{DESK}/new",
        f"{DESK}/i/{world.draft}",
        f"{DESK}/i/{world.incident}/escalations",
        f"{DESK}/i/{world.incident}/s/{clinic.subscriber}/call",
        f"{DESK}/i/{world.incident}/s/{clinic.subscriber}/contact",
    )
    with world.browser(world.desk["officer"]) as officer:
        nonces = {
            nonce
            for page in pages
            for nonce in re.findall(
                r'name="nonce" value="([^"]+)"', officer.get(page).text
            )
        }
    assert len(nonces) > len(pages)
    before = world.snapshot()

    with world.browser(world.desk["manager"]) as manager:
        for address in filter(of_the_desk, addresses(world.app)):
            if "POST" not in address.methods:
                continue
            for incident in (world.incident, world.draft):
                path = address.filled(
                    values(world, clinic) | {"incident": str(incident)}
                )
                for nonce in nonces:
                    answer = manager.post(path, data=form_about(clinic, nonce))
                    assert answer.status_code in (403, 404, 409), path

    assert differences(before, world.snapshot()) == {}


def test_get_and_head_change_nothing_for_those_who_are_in(
    world: BusyPortal,
    http: httpx.Client,
    clinic: Theirs,
    alive: dict[str, str],
) -> None:
    """I6, for every route there is, by every link and session that works."""
    before = world.snapshot()
    for who, token in alive.items():
        bearer = {"Authorization": f"Bearer {token}"}
        for address in addresses(world.app):
            if not EVERY_WAY and is_shut(address, who):
                continue  # as a dead link it is walked above
            path = address.filled(values(world, clinic, token))
            for method in READS:
                assert http.request(method, path, headers=bearer).status_code < 500
    for cookie in world.desk.values():
        paths = {
            address.filled(values(world, clinic) | {"incident": str(incident)})
            for address in filter(of_the_desk, addresses(world.app))
            for incident in (world.incident, world.draft)
        }
        with world.browser(cookie) as desk:
            for path in sorted(paths):
                for method in READS:
                    assert desk.request(method, path).status_code < 500, path

    assert differences(before, world.snapshot()) == {}
