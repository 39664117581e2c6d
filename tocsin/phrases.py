"""Sentences for people, with what varies kept apart; else they could be said in English only."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """
    A sentence that can be said in any language there is a catalogue for.

    Args:
        text: In English; ``%(name)s`` stands for a value. It is the catalogues' key.
        plural: The same for several; empty where the number makes no difference.
        values: What stands in it; phrases themselves where they are words. A plural
            goes by the value called ``number``.

    """

    text: str
    plural: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in English."""
        is_many = self.plural and self.values["number"] != 1
        text = self.plural if is_many else self.text
        return text % self.values if self.values else text


def phrase(text: str, plural: str = "", /, **values: object) -> Phrase:
    """Make a phrase; its text is written out here, where the catalogues' check finds it."""
    return Phrase(text=text, plural=plural, values=values)
