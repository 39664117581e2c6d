"""What is wrong with the pages' languages, found before anybody reads a page in two."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError

from tocsin.portal.environment import page_environment
from tocsin.portal.tongues import CATALOGUE, SOURCE, read_catalogue, read_tongues

Sentences = Mapping[str, str]
"""Each sentence in English, and its plural; empty where it has none."""

_IN_ENGLISH_ONLY = ("desk/", "escalations")
"""Pages of the CA's own people."""

_SPEAKING = ("portal", "intake", "steps")
"""Packages whose phrases subscribers read."""

_PLACE = re.compile(r"%\((\w+)\)s")
_TAG = re.compile(r"</?[a-z]+[^>]*>")


def check_pages(folder: Traversable | None = None) -> Iterator[str]:
    """
    Compare every language with what pages say; yield what is wrong, in words.

    Args:
        folder: The folders of languages; None: those that come with Tocsin.

    """
    folder = folder or resources.files("templates").joinpath("portal")
    said = sentences()
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir() and one.name != SOURCE:
            yield from _check(one, said)


def page_languages() -> list[str]:
    """Return the languages that pages can be read in."""
    return list(read_tongues())


@cache
def sentences() -> Sentences:
    """Return every sentence that a subscriber can meet on a page."""
    return dict([*_in_templates(), *_in_code()])


def _check(folder: Traversable, said: Sentences) -> Iterator[str]:
    place = f"{folder.name}/{CATALOGUE}"
    if not folder.joinpath(CATALOGUE).is_file():
        yield f"{place}: not there"
        return
    try:
        catalogue = read_catalogue(folder)
    except (PoFileError, ValueError) as error:
        yield f"{place}: cannot be read: {error}"
        return
    known = {_key(message): message for message in catalogue if message.id}
    for text, plural in said.items():
        message = known.get(text)
        if message is None or not any(_forms(message)):
            yield f"{place}: not translated: {text}"
        elif message.fuzzy:
            yield f"{place}: marked as uncertain (fuzzy): {text}"
        elif _plural(message) != plural:
            yield f"{place}: the plural is another one in English: {text}"
        else:
            yield from _compare(place, message, catalogue)
    for text in known:
        if text not in said:
            yield f"{place}: said on no page any more: {text}"


def _compare(place: str, message: Message, catalogue: Catalog) -> Iterator[str]:
    """Yield what a translation loses or invents: values, and marks of HTML."""
    forms = _forms(message)
    if message.pluralizable and not all(forms):
        yield f"{place}: needs {catalogue.num_plurals} forms: {_key(message)}"
    english = [message.id] if isinstance(message.id, str) else list(message.id)
    places = {one for text in english for one in _PLACE.findall(text)}
    for form in forms:
        for name in set(_PLACE.findall(form)) ^ places:
            yield f"{place}: %({name})s is not on both sides: {_key(message)}"
        if Counter(_TAG.findall(form)) not in [
            Counter(_TAG.findall(text)) for text in english
        ]:
            yield f"{place}: other marks of HTML: {_key(message)}"


def _in_templates() -> Iterator[tuple[str, str]]:
    environment = page_environment(read_tongues()[SOURCE])
    loader = environment.loader
    if loader is None:
        return
    for name in loader.list_templates():
        if not name.startswith(f"{SOURCE}/") or name.removeprefix(
            f"{SOURCE}/"
        ).startswith(_IN_ENGLISH_ONLY):
            continue
        source, _, _ = loader.get_source(environment, name)
        extended: Any = environment  # the extension adds its methods while running
        for _, _, found in extended.extract_translations(source):
            parts = (found,) if isinstance(found, str) else found
            text, *more = [part for part in parts if part is not None]
            yield text, more[0] if more else ""


def _in_code() -> Iterator[tuple[str, str]]:
    for package in _SPEAKING:
        for file in _modules(resources.files("tocsin").joinpath(package)):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call) and _is_phrase(node.func):
                    text, *more = [
                        one.value for one in node.args if isinstance(one, ast.Constant)
                    ]
                    yield str(text), str(more[0]) if more else ""


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _plural(message: Message) -> str:
    return "" if isinstance(message.id, str) else message.id[1]


def _forms(message: Message) -> tuple[str, ...]:
    string = message.string
    return (string,) if isinstance(string, str) else tuple(string or ("",))


def _modules(folder: Traversable) -> Iterator[Traversable]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _modules(one)
        elif one.name.endswith(".py"):
            yield one


def _is_phrase(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id == "phrase"
