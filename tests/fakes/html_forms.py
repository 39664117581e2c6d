"""The forms and links of a page, as a browser finds them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field, with what it says when nobody touches it."""

    name: str
    kind: str
    value: str


@dataclass(slots=True, kw_only=True)
class Form:
    """One form of a page."""

    action: str
    method: str
    is_multipart: bool
    fields: list[Field] = field(default_factory=list)

    @property
    def nonce(self) -> str | None:
        """Its nonce; None where it has none."""
        return next((one.value for one in self.fields if one.name == "nonce"), None)


@dataclass(slots=True, kw_only=True)
class Read:
    """What is on a page."""

    forms: list[Form]
    links: list[str]


def read_page(text: str) -> Read:
    """Find the forms and links of a page."""
    parser = _Parser()
    parser.feed(text)
    return Read(forms=parser.forms, links=parser.links)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._open: Form | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "form":
            self._open = Form(
                action=given.get("action", ""),
                method=given.get("method", "get"),
                is_multipart="multipart" in given.get("enctype", ""),
            )
            self.forms.append(self._open)
        if tag == "select":
            self._select = given.get("name", "")
        if self._open is None:
            return
        if tag in ("input", "textarea", "button") and given.get("name"):
            kind = given.get("type", "text") if tag == "input" else tag
            self._note(given["name"], kind, given.get("value", ""))
        if tag == "option" and self._select:
            self._note(self._select, "option", given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        if tag == "select":
            self._select = ""

    def _note(self, name: str, kind: str, value: str) -> None:
        if self._open is not None:
            self._open.fields.append(Field(name=name, kind=kind, value=value))
