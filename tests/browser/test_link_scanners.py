"""Machines that read mail before people do: they open every link, and press buttons."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from browsing import BROWSER, chromium
from fakes.busy_portal import ACCOUNT, FIRST, HEAD, BusyPortal, busy_portal, differences
from fakes.office import LAM
from playwright.sync_api import Error, Page, Request
from ways import EVERY_WAY

_PRESSES = 3  # one after another, from each page
_MOST_PAGES = 150
_OF_A_KIND = 2 if EVERY_WAY else 1  # of the pages that differ in whose they are


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BusyPortal]:
    with busy_portal(tmp_path_factory.mktemp("scanned")) as world:
        yield world


def test_mails_have_links_of_every_kind(world: BusyPortal) -> None:
    """Else the scanners below would prove nothing."""
    doors = Counter(path.split("/")[1] for path in world.paths_in_mails())

    assert doors["s"] >= 3
    assert doors["e"] >= 1
    assert any(path.startswith("/desk/in/") for path in world.paths_in_mails(LAM))
    assert f"/desk/i/{world.draft}" in world.paths_in_mails(LAM)


@pytest.mark.server
def test_gateway_that_opens_every_link_changes_nothing(world: BusyPortal) -> None:
    before = world.snapshot()
    paths = world.paths_in_mails()

    with world.browser() as http, ThreadPoolExecutor(8) as scanners:
        jobs = [
            scanners.submit(http.request, method, path)
            for _ in range(4)
            for method in ("GET", "HEAD")
            for path in paths
        ]
        codes = Counter(job.result().status_code for job in jobs)

    assert differences(before, world.snapshot()) == {}
    assert max(codes) < 500
    assert codes[200] > len(paths)


@pytest.mark.server
@pytest.mark.parametrize(
    ("email", "door"), [(FIRST, "/s/"), (HEAD, "/s/"), (ACCOUNT, "/e/")]
)
def test_link_still_works_for_the_person_when_a_gateway_was_first(
    world: BusyPortal, email: str, door: str
) -> None:
    with world.browser() as http:
        for _ in range(3):
            answer = http.get(f"{door}{world.token_of(email, door)}")
            assert answer.status_code == 200


class Robot:
    """Runs what pages run, presses their first button as it stands, follows their links."""

    def __init__(self, page: Page, address: str) -> None:
        self._page = page
        self._address = address
        self.pressed: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.referrers: set[str] = set()
        self.faults: set[str] = set()
        page.on("request", self._note)
        page.on(
            "response",
            lambda response: (
                self.faults.add(response.url) if response.status >= 500 else None
            ),
        )

    def walk(self, paths: list[str]) -> None:
        """Begin at these pages, and go on to whatever they lead to."""
        waiting = list(paths)
        kinds: Counter[str] = Counter()
        while waiting and len(self.seen) < _MOST_PAGES:
            path = waiting.pop(0)
            if path in self.seen or kinds[_kind(path)] >= _OF_A_KIND:
                continue
            self.seen.add(path)
            kinds[_kind(path)] += 1
            if not self._open(path):
                continue
            waiting += self._links()
            has_left = self._press(self._click, waiting)
            if not has_left or self._open(path):
                self._press(self._submit, waiting)

    def _press(self, press: Callable[[], bool], waiting: list[str]) -> bool:
        """Press what there is to press; returns whether there was anything."""
        for times in range(_PRESSES):
            if not press():
                return times > 0
            waiting += self._links()
        return True

    def _note(self, request: Request) -> None:
        self.referrers.add(request.headers.get("referer", ""))

    def _open(self, path: str) -> bool:
        try:
            self._page.goto(self._address + path)
        except Error:  # a file to be saved, no page
            return False
        return True

    def _links(self) -> list[str]:
        # A page in another language has the same buttons: it is not walked again.
        hrefs: list[str] = self._page.evaluate(
            "[...document.links].filter(a => a.host === location.host)"
            ".filter(a => !a.search.includes('lang='))"
            ".map(a => a.pathname + a.search)"
        )
        return hrefs

    def _click(self) -> bool:
        button = self._page.locator(
            "button, input[type=submit], input[type=button], [role=button]"
        ).first
        if not button.count():
            return False
        self.pressed[button.inner_text()] += 1
        button.click()
        self._page.wait_for_load_state()
        return True

    def _submit(self) -> bool:
        """Send the first form past whatever its fields require."""
        if not self._page.locator("form").count():
            return False
        with self._page.expect_navigation():
            self._page.evaluate(
                "HTMLFormElement.prototype.submit.call(document.forms[0])"
            )
        return True


def _kind(path: str) -> str:
    """Say what a page is about, whoever's it is and whatever is asked of it."""
    return re.sub(r"[\w.~-]{40,}", "TOKEN", re.sub(r"\d+|=[^&]*", "", path))


class TestRobot:
    """A gateway with a browser: Chromium, JavaScript on."""

    pytestmark = BROWSER

    def test_robot_that_presses_the_first_button_of_every_page_changes_nothing(
        self, world: BusyPortal
    ) -> None:
        before = world.snapshot()
        with chromium() as browser:
            robot = Robot(
                browser.new_context(accept_downloads=False).new_page(), world.address
            )
            robot.walk(world.paths_in_mails())

        assert differences(before, world.snapshot()) == {}
        assert robot.faults == set()
        # No address with a token in it is told to whatever a page loads or leads to.
        assert robot.referrers == {""}
        assert any(words.startswith("Undo") for words in robot.pressed)
        assert robot.pressed.total() > len(world.paths_in_mails())
        assert len(robot.seen) < _MOST_PAGES
        assert {path.split("/")[1] for path in robot.seen} >= {"s", "e", "desk"}
