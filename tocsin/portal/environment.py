"""The pages' templates as one language speaks them."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tocsin.intake.csr.requests import making_command
from tocsin.portal.moments import distance
from tocsin.portal.tongues import Tongue

_SHOWN_SERIAL = 8  # hex digits in a group


def page_environment(tongue: Tongue, *, stylesheet_version: str = "") -> Environment:
    """Return the templates as they speak one language."""
    environment = Environment(
        loader=PackageLoader("templates", "portal"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    environment.policies["ext.i18n.trimmed"] = True
    extended: Any = environment  # the extension adds its methods while running
    extended.install_gettext_translations(tongue.catalogue, newstyle=True)
    environment.globals |= {
        "language": tongue.language.tag,
        "direction": tongue.language.direction,
        "circumstance": tongue.language.circumstance,
        "gap": tongue.language.data.words.get("gap", " "),
        "stylesheet_version": stylesheet_version,
        "making_command": making_command,
    }
    environment.filters |= {
        "count": _count,
        "number": tongue.language.number,
        "serial": _serial,
        "say": tongue.say,
        "distance": lambda span: tongue.say(distance(span)),
    }
    return environment


def _count(number: int, one: str, many: str | None = None) -> str:
    """Say "1 certificate", "1,111 certificates"; for the desk, which is in English."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _serial(text: str) -> str:
    """Group a serial's hex digits, so that two can be compared by eye."""
    return " ".join(
        text[start : start + _SHOWN_SERIAL]
        for start in range(0, len(text), _SHOWN_SERIAL)
    )
