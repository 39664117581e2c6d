"""
Forms of texts: what a template says, with blanks for what differs from reader to reader.

Most of a notice is the same for thousands of readers. So its template is rendered with
blanks first, once for each shape of a notice, and then filled in: a tenth of the time.
That is right only where nothing depends on what a blank will hold. Hence a blank can
be written out and asked whether it is empty, and all else is refused; and a template
that takes up again what it wrote (a macro, a filter around text) is refused as a whole.
What was refused is rendered for each reader, as if there were no forms.
"""

import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, NoReturn

from jinja2 import BaseLoader, Environment, pass_eval_context
from jinja2.nodes import (
    AssignBlock,
    Call,
    CallBlock,
    EvalContext,
    FilterBlock,
    FromImport,
    Import,
    Macro,
    Name,
    Output,
    Test,
)
from jinja2.nodes import Filter as FilterNode
from markupsafe import escape

from tocsin.mail.encoding import Body, BodyForm

# In private characters, which no escaping changes, and not to be guessed.
_NONCE = secrets.token_hex(8)
_MARK = re.compile(rf"\ue000{_NONCE}:(\d+):(\w*):([er])\ue000")

_TAKES_UP = (AssignBlock, CallBlock, FilterBlock, FromImport, Import, Macro)
_TYPE_TESTS = frozenset({"string", "sequence", "sameas"})
_BY_CHANCE = frozenset({"random"})


class LooksAtBlank(BaseException):
    """
    A template does with a blank what depends on its content.

    No ``Exception``: Jinja catches those in some places, and would go on.
    """


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise LooksAtBlank


class Blank:
    """
    Stands for a text that is not empty; all that could be seen of it is refused.

    Args:
        number: Of the text.
        filter_name: What it goes through when it is filled in.

    """

    __slots__ = ("_filter_name", "_number")

    def __init__(self, number: int, filter_name: str = "") -> None:
        self._number = number
        self._filter_name = filter_name

    def __bool__(self) -> bool:
        """Say that it is not empty."""
        return True

    __str__ = __repr__ = __format__ = __getattr__ = __getitem__ = __iter__ = _refuse
    __len__ = __contains__ = __eq__ = __ne__ = __hash__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __mul__ = _refuse
    __rmul__ = __mod__ = __rmod__ = __int__ = __float__ = __index__ = _refuse


def blankable(name: str, function: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Return a template's filter that a blank goes through once it is filled in."""

    def apply(value: Any) -> Any:
        if not isinstance(value, Blank):
            return function(value)
        if value._filter_name:  # noqa: SLF001 - of this module, hidden from templates
            raise LooksAtBlank
        return Blank(value._number, name)  # noqa: SLF001

    return apply


def mark(number: int) -> str:
    """Return what stands for a text that is written as it is, where nothing looks at it."""
    return f"\ue000{_NONCE}:{number}::r\ue000"


@pass_eval_context
def written_out(context: EvalContext, value: Any) -> Any:
    """Write a blank as a mark that is found again; Jinja's ``finalize``."""
    if not isinstance(value, Blank):
        return value
    how = "e" if context.autoescape else "r"
    return f"\ue000{_NONCE}:{value._number}:{value._filter_name}:{how}\ue000"  # noqa: SLF001


class FormLoader(BaseLoader):
    """
    Loads templates that forms can be made of.

    Args:
        loader: Where sources come from.

    """

    def __init__(self, loader: BaseLoader) -> None:
        self._loader = loader

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        """
        Return a source.

        Raises:
            LooksAtBlank: It takes up again what it wrote, or tells types apart.

        """
        found = self._loader.get_source(environment, template)
        if not _is_plain(found[0]):
            raise LooksAtBlank
        return found


@lru_cache(maxsize=512)
def _is_plain(source: str) -> bool:
    tree = Environment().parse(source)  # noqa: S701 - nothing is rendered
    if next(tree.find_all(_TAKES_UP), None) is not None:
        return False
    if any(test.name in _TYPE_TESTS for test in tree.find_all(Test)):
        return False
    if any(one.name in _BY_CHANCE for one in tree.find_all(FilterNode)):
        return False
    # Written out as it is, what a parent's block says is as good as text.
    taken = sum(name.name in {"self", "super"} for name in tree.find_all(Name))
    written = sum(
        isinstance(node, Call)
        and isinstance(node.node, Name)
        and node.node.name == "super"
        for output in tree.find_all(Output)
        for node in output.nodes
    )
    return taken == written


class Filled(NamedTuple):
    """A text without blanks, and as a body, if it is one."""

    text: str
    body: Body | None


class Form:
    """
    Texts with blanks, ready to be filled in.

    Args:
        texts: As a template wrote them, with marks.
        bodies: Which of them are the body of a part, by number.
        filters: What blanks may go through, by name; what they return is written
            as it is.

    """

    def __init__(
        self,
        texts: Sequence[str],
        *,
        bodies: Collection[int],
        filters: Mapping[str, Callable[[str], str]],
    ) -> None:
        wanted: dict[tuple[str, str, str], int] = {}
        self._pieces: list[tuple[list[str], Callable[[Any], Any], BodyForm | None]] = []
        for number, text in enumerate(texts):
            cut = _MARK.split(text)
            marks = zip(cut[1::4], cut[2::4], cut[3::4], strict=True)
            order = [wanted.setdefault(mark, len(wanted)) for mark in marks]
            pieces = [""] * (2 * len(order) + 1)
            pieces[::2] = cut[::4]
            # With two numbers or more it returns a tuple.
            body = BodyForm(cut[::4]) if number in bodies else None
            self._pieces.append((pieces, _getter(order), body))
        self._wanted = [
            (int(one), filters[name] if name else escaped if how == "e" else None)
            for one, name, how in wanted
        ]

    def fill(self, values: Sequence[str]) -> list[Filled]:
        """Return the texts, with these values in the blanks, by number."""
        written = [
            write(values[number]) if write else values[number]
            for number, write in self._wanted
        ]
        filled = []
        for pieces, of, body in self._pieces:
            its_own = of(written)
            whole = pieces.copy()
            whole[1::2] = its_own
            text = "".join(whole)
            filled.append(Filled(text, body.filled(its_own, text) if body else None))
        return filled


def _getter(order: Sequence[int]) -> Callable[[Any], Any]:
    if len(order) > 1:
        return itemgetter(*order)
    return lambda written: [written[at] for at in order]


def escaped(value: str) -> str:
    """Return a text as it stands in HTML; most hold nothing that HTML means."""
    if "&" in value or "<" in value or ">" in value or '"' in value or "'" in value:
        return str(escape(value))
    return value
