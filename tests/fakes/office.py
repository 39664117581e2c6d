"""An officers' desk over real sockets: a portal, a relay, people on a list."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
from fakes.scripted_relay import Answer, ScriptedRelay
from fakes.stack import wait_until
from fastapi import FastAPI
from portal_server import CONFIG, LINKS, running, visitor
from sqlalchemy import Engine

from tocsin.clock import SteppedClock
from tocsin.portal.app import create_app
from tocsin.settings import Settings

CHAN, LAM, WONG = "chan@ca.example", "lam@ca.example", "wong@ca.example"
OFFICERS = f"""\
name,email,role
Chan Tai Man,{CHAN},officer
Lam Siu Fong,{LAM},officer
Wong Ka Yan,{WONG},manager
"""
_WITHIN = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeWorld:
    """Where two officers and a manager work."""

    engine: Engine
    clock: SteppedClock
    settings: Settings
    app: FastAPI
    relay: ScriptedRelay
    address: str

    @contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """Open a browser that holds nothing yet; redirects are looked at."""
        with visitor(self.address) as http:
            yield http

    def mails_to(self, email: str) -> list[EmailMessage]:
        return [
            message_from_bytes(taken.content, policy=policy.default)
            for taken in list(self.relay.taken)
            if taken.recipient == email
        ]

    def way_in(self, http: httpx.Client, email: str, leads_to: str = "/desk") -> str:
        """Ask for a link and read it in the mail; returns its path."""
        box = email.strip().casefold()
        before = len(self.ways_in(box))
        answer = http.post(
            "/desk/sign-in", data={"address": email, "leads_to": leads_to}
        )
        assert answer.status_code == 200, answer.text
        wait_until(
            lambda: len(self.ways_in(box)) > before,
            within=_WITHIN,
            what=f"mail to {box}",
        )
        return self.ways_in(box)[-1]

    def ways_in(self, email: str) -> list[str]:
        """Return the ways in that somebody was sent, among mails about other things."""
        found = (_way_in(mail) for mail in self.mails_to(email))
        return [path for path in found if path]

    def sign_in(self, http: httpx.Client, email: str, leads_to: str = "/desk") -> str:
        """Come in; returns where that led."""
        answer = http.post(self.way_in(http, email, leads_to))
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def list_people(self, text: str) -> None:
        self.settings.officers.write_text(text, "utf-8")


def link_in(mail: EmailMessage) -> str:
    """Return the path of the way in that a mail has."""
    path = _way_in(mail)
    assert path, mail
    return path


def _way_in(mail: EmailMessage) -> str | None:
    body = mail.get_body(("plain",))
    assert body is not None
    found = re.search(r"http\S+?(/desk/in/\S+)", body.get_content())
    return found[1] if found else None


def form_nonce(page: httpx.Response, action: str) -> str:
    """Return the nonce of the form that is sent to ``action``."""
    found = re.search(
        rf'action="{re.escape(action)}"[^>]*>\s*'
        r'<input type="hidden" name="nonce" value="([^"]+)"',
        page.text,
    )
    assert found, page.text
    return found[1]


@contextmanager
def office_world(
    engine: Engine,
    clock: SteppedClock,
    folder: Path,
    *,
    answer: Answer = lambda _: None,
    **settings: Any,
) -> Iterator[OfficeWorld]:
    """Serve a portal with an officers' desk; the relay answers as told."""
    with ScriptedRelay(answer) as relay:
        chosen = Settings(
            data_directory=folder,
            zone="Asia/Hong_Kong",
            ca_name="Example CA",
            ca_phone=CONFIG.ca_phone,
            smtp_port=relay.port,
            **settings,
        )
        folder.mkdir(parents=True, exist_ok=True)
        app = create_app(engine, LINKS, CONFIG, clock, settings=chosen)
        with running(app) as address:
            world = OfficeWorld(
                engine=engine,
                clock=clock,
                settings=chosen,
                app=app,
                relay=relay,
                address=address,
            )
            world.list_people(OFFICERS)
            yield world
            app.state.office.background.wait(_WITHIN)
