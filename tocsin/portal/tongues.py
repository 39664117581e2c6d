"""The languages that pages can be read in: English, and one for each folder with a catalogue."""

import gettext
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO, StringIO

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from tocsin.mail.language import FALLBACK, Language
from tocsin.mail.render import TemplateSet
from tocsin.phrases import Phrase

SOURCE = FALLBACK
"""The language that the templates themselves are written in; it has no catalogue."""

CATALOGUE = "words.po"


class Tongue:
    """
    One language of the pages.

    Args:
        language: Its dates, numbers and names.
        catalogue: Its sentences; English says them as they are written.

    """

    def __init__(self, language: Language, catalogue: gettext.NullTranslations) -> None:
        self.language = language
        self.catalogue = catalogue

    def say(self, what: object) -> str:
        """Say a phrase in this language; anything else as it is."""
        if not isinstance(what, Phrase):
            return str(what)
        if what.plural:
            number = what.values["number"]
            text = self.catalogue.ngettext(
                what.text, what.plural, number if isinstance(number, int) else 1
            )
        else:
            text = self.catalogue.gettext(what.text)
        if not what.values:
            return text
        return text % {name: self.say(value) for name, value in what.values.items()}


@cache
def read_tongues() -> Mapping[str, Tongue]:
    """Read, once, every language there is a folder for, by its tag; English first."""
    folder = resources.files("templates").joinpath("portal")
    notices = TemplateSet.from_files()
    tongues = {SOURCE: Tongue(notices.language(SOURCE), gettext.NullTranslations())}
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.name != SOURCE and one.joinpath(CATALOGUE).is_file():
            tongues[one.name] = Tongue(
                notices.language(one.name), _compiled(read_catalogue(one))
            )
    return tongues


def read_catalogue(folder: Traversable) -> Catalog:
    """Read the sentences of the language that a folder is called after."""
    text = folder.joinpath(CATALOGUE).read_text("utf-8")
    return read_po(StringIO(text), abort_invalid=True)


def _compiled(catalogue: Catalog) -> Translations:
    file = BytesIO()
    write_mo(file, catalogue)
    file.seek(0)
    return Translations(file)
