"""The forms of one set of templates, made when they are first needed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from jinja2 import Environment

from tocsin.mail.blanks import Blank, Filled, Form, LooksAtBlank
from tocsin.mail.contexts import CertificateLine, NoticeContext
from tocsin.mail.language import Instant

_KEPT = 256
"""Forms: one for each shape of a notice, such as how many certificates it names."""

_DIFFER = frozenset(
    ("subscriber", "contact_name", "link", "revocation", "deadline", "certificates")
)
"""Of a context: what differs from reader to reader, and is written out as it is."""

_SAME = attrgetter(
    *(one.name for one in fields(NoticeContext) if one.name not in _DIFFER)
)


class Forms:
    """
    Writes notices from forms.

    Args:
        environment: Makes a language's environment for templates with blanks.
        filters: What blanks may go through there, by name.

    """

    def __init__(
        self,
        environment: Callable[[str], Environment],
        filters: Mapping[str, Callable[[str], str]],
    ) -> None:
        self._environment = environment
        self._filters = filters
        self._environments: dict[str, Environment] = {}
        self._forms: dict[tuple[object, ...], Form] = {}
        self._refused: set[tuple[str, ...]] = set()

    def fill(
        self, tag: str, paths: tuple[str, ...], context: NoticeContext
    ) -> Sequence[Filled] | None:
        """
        Return what templates say; None: it cannot be had this way.

        Args:
            tag: Their language.
            paths: Which templates; those of a message's parts are named ``body``.
            context: What they say it of.

        """
        if paths in self._refused:
            return None
        values = _differing(context)
        # Of what a blank will hold, a form may depend on whether that is empty.
        key = (*paths, bytes(map(bool, values)), *_SAME(context))
        form = self._forms.get(key)
        if form is None:
            try:
                form = self._made(tag, paths, context)
            except (LooksAtBlank, Exception):  # noqa: BLE001
                # If it is a slip, it shows when the template is rendered for a reader.
                self._refused.add(paths)
                return None
            if len(self._forms) >= _KEPT:
                self._forms.clear()
            self._forms[key] = form
        return form.fill(values)

    def _made(self, tag: str, paths: Sequence[str], context: NoticeContext) -> Form:
        if tag not in self._environments:
            self._environments[tag] = self._environment(tag)
        values = _with_blanks(context)
        templates = map(self._environments[tag].get_template, paths)
        return Form(
            [one.render(values) for one in templates],
            bodies=[at for at, path in enumerate(paths) if "/body." in path],
            filters=self._filters,
        )


def _differing(context: NoticeContext) -> list[str]:
    values = [context.subscriber, context.contact_name, context.link]
    for instant in (context.revocation, context.deadline):
        values += (instant.local, instant.utc, instant.iso)
    for line in context.certificates:
        values += line
    return values


def _with_blanks(context: NoticeContext) -> Mapping[str, Any]:
    """Return a context's values with blanks for what differs, in the same order."""
    blanks: Iterator[Any] = (
        Blank(number) if value else ""
        for number, value in enumerate(_differing(context))
    )
    values = {one.name: getattr(context, one.name) for one in fields(context)}
    for name in ("subscriber", "contact_name", "link"):
        values[name] = next(blanks)
    for name in ("revocation", "deadline"):
        values[name] = Instant(local=next(blanks), utc=next(blanks), iso=next(blanks))
    values["certificates"] = tuple(
        CertificateLine(*(next(blanks) for _ in line)) for line in context.certificates
    )
    return values
