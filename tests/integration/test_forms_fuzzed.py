"""Whatever is sent by a form: no fault of ours, nothing of others, nothing without its nonce."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, urlsplit

import httpx
import pytest
from fakes.busy_portal import (
    FIRST,
    HEAD,
    BusyPortal,
    busy_portal,
    differences,
)
from fakes.html_forms import Form, read_page
from fakes.tokens import living
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from portal_server import make_csr, running
from ways import EVERY_WAY

from tocsin.portal.app import create_app, portal_config

pytestmark = pytest.mark.server

_MOST_PAGES = 120
_EXAMPLES = 240 if EVERY_WAY else 60

HOSTILE = (
    b"",
    b" ",
    b"\0",
    b"a\0b",
    b"\xff\xfe\x00",
    "\ud800".encode("utf-8", "surrogatepass"),
    "\u202e\u2066\ufeff".encode(),
    "\U0001f4a5".encode() * 500,
    b"A" * 50_000,
    b"9" * 400,
    b"-1",
    b"0",
    b"1e309",
    b"1.1",
    "½".encode(),
    "\u0661".encode(),
    b"999999999999999999",
    b"9223372036854775808.9223372036854775808",
    b"../../../etc/passwd",
    b"<script>alert(1)</script>",
    b"{{ 7*7 }}{% raw %}",
    b"' OR 1=1 --",
    b"a@b.example\r\nBcc: c@d.example",
    b"=HYPERLINK(1)",
    b"nobody",
    b"mine",
    b"misissued",
    b"reached",
    b"2026-03-03T17:00",
    b"9999-12-31T23:59:59+14:00",
    b"0001-01-01T00:00",
    b"Asia/Hong_Kong",
    b"../zone",
    b"name@example.org",
    make_csr("mail.clinic.example").encode(),
    b"-----BEGIN CERTIFICATE REQUEST-----\n\0\n-----END CERTIFICATE REQUEST-----",
    b"PK\x03\x04 no zip",
)


@dataclass(frozen=True, slots=True)
class Found:
    """A form, and the cookie of whoever sees it."""

    form: Form
    cookie: str

    @property
    def label(self) -> str:
        """Where it is sent to, without the token."""
        parts = urlsplit(self.form.action).path.split("/")
        return "/".join(part if len(part) < 40 else "TOKEN" for part in parts)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BusyPortal]:
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("module_postgresql_url")
    with busy_portal(tmp_path_factory.mktemp("fuzzed"), database_url=url) as world:
        yield world


@pytest.fixture(scope="module")
def found(world: BusyPortal) -> list[Found]:
    """Find every form by following every link, and the forms behind check pages."""
    forms: dict[str, Found] = {}
    seen: set[str] = set()
    who = living(world)
    starts = [
        (f"/s/{who['subscriber']}", ""),
        (f"/e/{who['staff']}", ""),
        (f"/c/{who['named']}", ""),
        (f"/desk/in/{who['way in']}", ""),
        ("/desk/sign-in", ""),
        ("/desk", world.desk["officer"]),
        (f"/desk/i/{world.draft}", world.desk["officer"]),
    ]
    while starts and len(seen) < _MOST_PAGES:
        path, cookie = starts.pop(0)
        if path in seen:
            continue
        seen.add(path)
        with world.browser(cookie) as http:
            page = read_page(http.get(path).text)
            for form in page.forms:
                one = Found(form, cookie)
                forms.setdefault(one.label, one)
                if form.method == "post" and form.nonce is None:
                    for behind in read_page(_filled_in(http, world, form)).forms:
                        one = Found(behind, cookie)
                        forms.setdefault(one.label, one)
        starts += [
            (link.partition("#")[0], cookie)
            for link in page.links
            if link.startswith(("/s/", "/e/", "/desk"))
        ]
    assert not starts
    return list(forms.values())


def _filled_in(http: httpx.Client, world: BusyPortal, form: Form) -> str:
    """Fill in a form as a person would, as far as its check page."""
    ours = world.theirs(FIRST)
    if form.action.startswith("/desk"):
        return ""  # there a form without a nonce is a way in
    usual = {
        "choice": "mine",
        "certificate": str(ours.certificates[1]),
        "escalation": "",
        "csr": make_csr("mail.clinic.example"),
        "name": "Somebody Else",
        "email": "else@clinic.example",
        "instead_of": "nobody",
    }
    if form.action.startswith("/c/"):
        usual["choice"] = "yes"
    sent = {
        one.name: one.value or usual.get(one.name, "")
        for one in form.fields
        if one.kind != "file" and one.name != "all"
    } | {name: value for name, value in usual.items() if value}
    return http.post(form.action, data=sent).text


def test_forms_of_all_people_are_found(found: list[Found]) -> None:
    labels = {one.label for one in found if one.form.method == "post"}

    for part in (
        "/s/TOKEN/",
        "/e/TOKEN",
        "/c/TOKEN",
        "/desk/i/",
        "/desk/new",
        "/desk/sign-in",
    ):
        assert any(part in label for label in labels), (part, labels)
    assert any(label.endswith("/s/TOKEN/csr") for label in labels)
    assert len(labels) >= 15


@st.composite
def sendings(
    draw: st.DrawFn, forms: Sequence[Found]
) -> tuple[Found, str, list[tuple[bytes, bytes]], bool]:
    """Draw a form, which nonce goes with it, its fields' values, and how they are sent."""
    one = draw(st.sampled_from(forms))
    names = sorted({each.name for each in one.form.fields} - {"nonce"})
    value = st.one_of(
        st.sampled_from(HOSTILE),
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from([each.value.encode() for each in one.form.fields] or [b""]),
    )
    name = st.one_of(
        st.sampled_from(names or ["x"]).map(str.encode),
        st.sampled_from([b"all", b"certificate[]", b"\xff", b"__proto__", b""]),
    )
    fields = draw(st.lists(st.tuples(name, value), max_size=8))
    nonces = ["none", "made up", "another's"]
    if one.label != "/desk/out":  # after which there would be nobody in
        nonces += ["own", "twice"]
    nonce = draw(st.sampled_from(nonces))
    return one, nonce, fields, draw(st.booleans())


def test_hostile_forms_break_and_leak_and_change_nothing(
    world: BusyPortal, found: list[Found]
) -> None:
    forms = sorted(
        (one for one in found if one.form.method == "post"), key=lambda one: one.label
    )
    others = world.theirs(HEAD).words
    elsewhere = [one.form.nonce for one in forms if one.form.nonce]
    before = world.snapshot()

    @settings(
        max_examples=_EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck]
    )
    @given(sending=sendings(forms))
    def check(
        sending: tuple[Found, str, list[tuple[bytes, bytes]], bool],
    ) -> None:
        nonlocal before
        one, which, fields, in_parts = sending
        own = one.form.nonce
        nonces = {
            "own": [own or ""],
            "none": [],
            "made up": ["made up"],
            "another's": [nonce for nonce in elsewhere if nonce != own][:1],
            "twice": [own or "", own or ""],
        }[which]
        content, kind = _encoded(
            [*fields, *((b"nonce", nonce.encode()) for nonce in nonces)],
            in_parts=in_parts,
        )
        with world.browser(one.cookie) as http:
            for again in range(2):
                answer = http.post(
                    one.form.action, content=content, headers={"Content-Type": kind}
                )
                world.app.state.office.background.wait(20)
                assert answer.status_code < 500, (one.label, fields)
                assert "Traceback" not in answer.text
                if not one.cookie and "/s/" in one.form.action:
                    assert not [word for word in others if word in answer.text]
                after = world.snapshot()
                if own is None or own not in nonces or again:
                    changed = differences(before, after).keys() - _noted(one.label)
                    assert changed == set(), (one.label, fields)
                before = after

    check()


_PRESSED = {
    "call": {"outcome": "reached", "note": "Will act tonight."},
    "contact": {
        "name": "Yip Ka Ming",
        "email": "yip@clinic.example",
        "phone": "",
        "instead_of": "nobody",
    },
    "escalations": {"all": "1"},
}


# Whatever is pressed here, the forms are looked for before.
@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("what", _PRESSED)
def test_i4_act_is_done_once_when_the_button_is_pressed_many_times(
    world: BusyPortal, what: str
) -> None:
    base = f"/desk/i/{world.incident}"
    path = (
        f"{base}/escalations"
        if what == "escalations"
        else f"{base}/s/{world.theirs(FIRST).subscriber}/{what}"
    )
    with world.browser(world.desk["officer"]) as http, ThreadPoolExecutor(4) as hands:
        (nonce,) = {
            form.nonce
            for form in read_page(http.get(path).text).forms
            if form.action == path
        }
        data = _PRESSED[what] | {"nonce": nonce}
        before = len(world.snapshot()["act"])

        presses = [hands.submit(http.post, path, data=data) for _ in range(8)]
        answers = [press.result() for press in presses]
        other = http.post(path, data=data | {"note": "Something else."})

    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(world.snapshot()["act"]) == before + 1
    # What was entered is not lost unseen: its sender is told.
    assert other.status_code == 409
    assert "Nothing was changed" in other.text


@pytest.mark.usefixtures("found")
def test_i4_draft_is_begun_once_when_the_portal_was_restarted_between_two_presses(
    world: BusyPortal,
) -> None:
    with world.browser(world.desk["officer"]) as http:
        (form,) = [
            form
            for form in read_page(http.get("/desk/new").text).forms
            if form.action == "/desk/new"
        ]
        data = {
            "nonce": form.nonce or "",
            "title": "Pressed twice",
            "circumstance": "misissued",
            "made_aware": "2026-03-03T17:00",
            "zone": "Asia/Hong_Kong",
            "pasted": (world.settings.data_directory / "draft.pem").read_text(),
        }
        first = http.post("/desk/new", data=data)
        app = create_app(
            world.engine,
            world.c.links,
            portal_config(world.settings),
            world.clock,
            settings=world.settings,
        )
        with running(app) as address:
            second = http.post(f"{address}/desk/new", data=data)

    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["location"] == second.headers["location"]
    titles = [row for row in world.snapshot()["incident"] if "Pressed twice" in row]
    assert len(titles) == 1


def _noted(label: str) -> set[str]:
    """Return what is put on record although nothing was done."""
    if label == "/desk/sign-in":
        return {"office_mail"}  # somebody asked for a link
    if label == "/s/TOKEN/csr/check":
        return {
            "act",
            "csr_refusal",
            "subscriber",
        }  # a CSR was refused: somebody may need help
    return set()


def _encoded(
    fields: Sequence[tuple[bytes, bytes]], *, in_parts: bool
) -> tuple[bytes, str]:
    if not in_parts:
        pairs = (
            f"{quote_from_bytes(name)}={quote_from_bytes(value)}"
            for name, value in fields
        )
        return "&".join(pairs).encode(), "application/x-www-form-urlencoded"
    parts = []
    for number, (name, value) in enumerate(fields):
        shown = name.replace(b'"', b"%22").replace(b"\r", b"").replace(b"\n", b"")
        file = b'; filename="../a\x01.csr"' if number % 3 == 2 else b""
        parts.append(
            b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
            % (shown, file, value)
        )
    return b"".join(parts) + b"--x--\r\n", "multipart/form-data; boundary=x"
