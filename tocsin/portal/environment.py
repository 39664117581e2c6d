"""The pages' templates as one language speaks them."""

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tocsin.intake.csr.requests import making_command
from tocsin.policy.contacts import masked
from tocsin.portal.moments import distance
from tocsin.portal.tongues import Tongue

_SHOWN_SERIAL = 8  # hex digits in a group


@cache
def page_environment(tongue: Tongue, *, stylesheet_version: str = "") -> Environment:
    """Return the templates as they speak one language; they are compiled once."""
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
    say, say_many = _said_once(tongue)
    environment.globals |= {
        "gettext": say,
        "_": say,
        "ngettext": say_many,
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
        "masked": masked,
        "serial": _serial,
        "say": tongue.say,
        "distance": lambda span: tongue.say(distance(span)),
    }
    return environment


def _said_once(tongue: Tongue) -> tuple[Callable[..., str], Callable[..., str]]:
    """
    Return what says a sentence, looked up when it is said for the first time.

    Jinja's own would copy all that a page shows for each of its sentences, which was
    two thirds of the time of a page.
    """
    catalogue = tongue.catalogue

    @cache
    def found(text: str, *, is_whole: bool) -> Markup:
        said = Markup(catalogue.gettext(text))  # noqa: S704 - ours, as the templates are
        return said % {} if is_whole else said

    def say(text: str, /, **values: object) -> str:
        said = found(text, is_whole=not values)
        return said % values if values else said

    def say_many(one: str, many: str, number: int, /, **values: object) -> str:
        said = Markup(catalogue.ngettext(one, many, number))  # noqa: S704
        return said % {"num": number, **values}

    return say, say_many


def _count(number: int, one: str, many: str | None = None) -> str:
    """Say "1 certificate", "1,111 certificates"; for the desk, which is in English."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _serial(text: str) -> str:
    """Group a serial's hex digits, so that two can be compared by eye."""
    return " ".join(
        text[start : start + _SHOWN_SERIAL]
        for start in range(0, len(text), _SHOWN_SERIAL)
    )
