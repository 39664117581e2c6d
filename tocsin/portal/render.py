"""Turns what is known into pages, in the reader's language and zone."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse

from tocsin.portal.asked import COOKIE, FIELD, Asked, tongue_for
from tocsin.portal.environment import page_environment
from tocsin.portal.moments import Glance, Moment, for_machines, moment
from tocsin.portal.tongues import SOURCE, read_tongues

POLICY = "Content-Security-Policy"
WITHOUT_SCRIPT = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
"""What a browser may load for a page: nothing but the stylesheet."""

WITH_SCRIPT = f"{WITHOUT_SCRIPT}; script-src 'self'"

_LIVELY = frozenset(("overview", "replaced", "no-longer-required", "desk/reading"))
"""Pages that are easier with a script of ours; no other page may run any."""

_KEPT = 90 * 24 * 3600
"""How long a browser keeps the language that was chosen, seconds: past any incident."""


class Pages:
    """
    The portal's templates, in every language there is.

    Args:
        is_secure: Whether people reach them by HTTPS alone.

    """

    def __init__(self, *, is_secure: bool = False) -> None:
        self.tongues = read_tongues()
        self.stylesheet = (
            resources.files("templates").joinpath("portal/portal.css").read_bytes()
        )
        self.script = (
            resources.files("templates").joinpath("portal/portal.js").read_bytes()
        )
        self._script_version = hashlib.sha256(self.script).hexdigest()[:12]
        self._is_secure = is_secure
        version = hashlib.sha256(self.stylesheet).hexdigest()[:12]
        self._environments = {
            tag: page_environment(tongue, stylesheet_version=version)
            for tag, tongue in self.tongues.items()
        }

    def say(self, what: object, asked: Asked) -> str:
        """Say a phrase to somebody whom we know nothing else of."""
        return self.tongues[tongue_for(asked, self.tongues)].say(what)

    def render(
        self,
        name: str,
        context: Mapping[str, object],
        *,
        asked: Asked | None = None,
        own: str = "",
        zone: str = "UTC",
        now: datetime,
        status: int = 200,
    ) -> HTMLResponse:
        """
        Render one page.

        Args:
            name: The template, without folder and suffix.
            context: What it shows.
            asked: In which language its reader wants it; None: it is in English only.
            own: The reader's language in the directory; empty where nobody is known.
            zone: The reader's, an IANA name.
            now: What distances are measured from.
            status: Of HTTP.

        """
        tag = SOURCE if asked is None else tongue_for(asked, self.tongues, own=own)
        text = self.write(
            name, context, tag=tag, asked=asked, zone=zone, glance=Glance(now)
        )
        return self.answer(name, text, asked=asked, status=status)

    def write(
        self,
        name: str,
        context: Mapping[str, object],
        *,
        tag: str,
        asked: Asked | None,
        zone: str,
        glance: Glance,
        made_at: str = "",
    ) -> str:
        """
        Write one page.

        Args:
            name: The template, without folder and suffix.
            context: What it shows.
            tag: Of the language.
            asked: In which language its reader wants it, for the choice of others.
            zone: The reader's, an IANA name.
            glance: The look at the clock that distances are measured from.
            made_at: What stands for that instant where machines read it; empty: itself.

        """
        language = self.tongues[tag].language
        words: Callable[[datetime], Moment] = cache(
            lambda at: moment(at, zone=zone, glance=glance, language=language)
        )
        choices = [
            (tag, tongue.language.name, _address(asked, tag))
            for tag, tongue in self.tongues.items()
            if asked is not None and asked.can_choose
        ]
        template = self._environments[tag].get_template(f"{SOURCE}/{name}.html")
        return template.render(
            {
                **context,
                "moment": words,
                "made_at": made_at or for_machines(glance.now),
                "choices": choices,
                "script": self._script_version if name in _LIVELY else "",
            }
        )

    def answer(
        self, name: str, text: str, *, asked: Asked | None, status: int = 200
    ) -> HTMLResponse:
        """Return a page that was written, with what its reader's browser is to know."""
        response = HTMLResponse(text, status_code=status)
        if name in _LIVELY:
            response.headers[POLICY] = WITH_SCRIPT
        if asked is not None and asked.chosen in self.tongues:
            response.set_cookie(
                COOKIE,
                asked.chosen,
                max_age=_KEPT,
                httponly=True,
                samesite="lax",
                secure=self._is_secure,
            )
        return response


def _address(asked: Asked | None, tag: str) -> str:
    """Return what leads to the same page in another language."""
    return "?" + urlencode([*(asked.others if asked else ()), (FIELD, tag)])
