"""Turns what is known into pages, in the reader's language and zone."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import resources

from fastapi.responses import HTMLResponse
from jinja2 import (
    Environment,
    PackageLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
)

from tocsin.intake.csr.requests import making_command
from tocsin.portal.moments import Moment, distance, moment

_FALLBACK = "en"
_SHOWN_SERIAL = 8  # hex digits in a group


class Pages:
    """The portal's templates, one folder for each language."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("templates", "portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.stylesheet = (
            resources.files("templates").joinpath("portal/portal.css").read_bytes()
        )
        self._environment.globals |= {
            "stylesheet_version": hashlib.sha256(self.stylesheet).hexdigest()[:12],
            "making_command": making_command,
        }
        self._environment.filters |= {
            "count": _count,
            "serial": _serial,
            "distance": distance,
        }

    def render(
        self,
        name: str,
        context: Mapping[str, object],
        *,
        language: str = _FALLBACK,
        zone: str = "UTC",
        now: datetime,
        status: int = 200,
    ) -> HTMLResponse:
        """
        Render one page.

        Args:
            name: The template, without folder and suffix.
            context: What it shows.
            language: The reader's; where a template lacks it, English.
            zone: The reader's, an IANA name.
            now: What distances are measured from.
            status: Of HTTP.

        """
        template, used = self._template(name, language)
        words: Callable[[datetime], Moment] = lambda at: moment(  # noqa: E731
            at, zone=zone, now=now, locale=used.replace("-", "_")
        )
        return HTMLResponse(
            template.render({**context, "moment": words, "language": used}),
            status_code=status,
        )

    def _template(self, name: str, language: str) -> tuple[Template, str]:
        for one in dict.fromkeys((language, language.partition("-")[0], _FALLBACK)):
            try:
                return self._environment.get_template(f"{one}/{name}.html"), one
            except TemplateNotFound:
                continue
        raise TemplateNotFound(name)


def _count(number: int, one: str, many: str | None = None) -> str:
    """Say "1 certificate", "1,111 certificates"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _serial(text: str) -> str:
    """Group a serial's hex digits, so that two can be compared by eye."""
    return " ".join(
        text[start : start + _SHOWN_SERIAL]
        for start in range(0, len(text), _SHOWN_SERIAL)
    )
