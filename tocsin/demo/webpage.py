"""Reads forms and links out of a page; without it simulated subscribers would know the portal's insides."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One field of a form.

    Args:
        name: As it is sent.
        kind: The input's type; "textarea", "select" or "button" for these elements.
        value: What it holds before anybody touches it.
        is_chosen: A checkbox or radio button that is on, an option that is selected.

    """

    name: str
    kind: str
    value: str
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of a page; ``action`` is as written, relative or not."""

    action: str
    method: str
    enctype: str
    fields: tuple[Field, ...]

    def untouched(self) -> list[tuple[str, str]]:
        """Return what a browser would send if nobody touched anything."""
        return [
            (one.name, one.value)
            for one in self.fields
            if one.kind not in {"submit", "button", "file", "image", "reset"}
            and (one.kind not in {"checkbox", "radio", "option"} or one.is_chosen)
        ]

    def names(self, kind: str) -> Sequence[str]:
        """Return the names of the fields of one kind, in order, none twice."""
        return list(dict.fromkeys(one.name for one in self.fields if one.kind == kind))

    def values(self, name: str) -> Sequence[str]:
        """Return the values that a field's checkboxes, radios or options offer."""
        return [one.value for one in self.fields if one.name == name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a simulated subscriber takes from a page."""

    title: str
    forms: tuple[Form, ...]
    links: tuple[str, ...]


@dataclass(slots=True)
class _Draft:
    action: str
    method: str
    enctype: str
    fields: list[Field] = field(default_factory=list)


class _Reader(HTMLParser):
    """Collects forms, links and the title."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._draft: _Draft | None = None
        self._select: str | None = None
        self._textarea: str | None = None
        self._text: list[str] | None = None

    def handle_starttag(
        self, tag: str, attrs: Sequence[tuple[str, str | None]]
    ) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "title":
                self._text = []
            case "a" if "href" in given:
                self.links.append(given["href"])
            case "form":
                self._draft = _Draft(
                    action=given.get("action", ""),
                    method=given.get("method", "get").lower(),
                    enctype=given.get("enctype", ""),
                )
            case "input" | "button":
                kind = given.get("type", "text" if tag == "input" else "submit")
                self._add(given.get("name"), kind.lower(), given)
            case "select":
                self._select = given.get("name")
            case "option":
                self._add(self._select, "option", given)
            case "textarea":
                self._textarea, self._text = given.get("name"), []
            case _:
                pass

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "title":
                self.title, self._text = "".join(self._text or ()).strip(), None
            case "textarea":
                text, self._text = "".join(self._text or ()), None
                self._add(self._textarea, "textarea", {"value": text.lstrip("\n")})
            case "select":
                self._select = None
            case "form" if self._draft is not None:
                self.forms.append(
                    Form(
                        action=self._draft.action,
                        method=self._draft.method,
                        enctype=self._draft.enctype,
                        fields=tuple(self._draft.fields),
                    )
                )
                self._draft = None
            case _:
                pass

    def _add(self, name: str | None, kind: str, given: dict[str, str]) -> None:
        if self._draft is None or not name or "disabled" in given:
            return
        self._draft.fields.append(
            Field(
                name=name,
                kind=kind,
                # A box without a value is sent as "on".
                value=given.get("value", "on" if kind in {"checkbox", "radio"} else ""),
                is_chosen="checked" in given or "selected" in given,
            )
        )


def parse_page(text: str) -> Page:
    """Read a page's title, links and forms."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return Page(
        title=reader.title, forms=tuple(reader.forms), links=tuple(reader.links)
    )
