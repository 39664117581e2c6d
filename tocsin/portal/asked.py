"""In which language somebody wants to read: what they chose, their directory, their browser."""

from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from tocsin.mail.language import FALLBACK, readable

COOKIE = "language"
FIELD = "lang"
"""The field of an address by which a reader chooses."""

_LONGEST_TAG = 35
_MOST_ACCEPTED = 20
_READ = ("GET", "HEAD")
_NO_QUERY = QueryParams()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    In which language somebody wants to read.

    Args:
        chosen: What the reader chose on the page just now; empty: nothing.
        kept: What they chose before.
        accepted: What their browser is set to, the most wanted first.
        others: The other fields of the page's address, to keep them.
        can_choose: Whether this page can be asked for again in another language.

    """

    chosen: str = ""
    kept: str = ""
    accepted: tuple[str, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    can_choose: bool = False


NOTHING_ASKED = Asked()


def asked_by(request: HTTPConnection) -> Asked:
    """Read from a request in which language its answer is wanted; it changes nothing."""
    headers = request.headers
    query = request.query_params if request.scope["query_string"] else _NO_QUERY
    return Asked(
        chosen=query.get(FIELD, "")[:_LONGEST_TAG],
        kept=request.cookies.get(COOKIE, "")[:_LONGEST_TAG]
        if "cookie" in headers
        else "",
        accepted=_accepted(headers.get("accept-language", "")),
        others=tuple(one for one in query.multi_items() if one[0] != FIELD),
        can_choose=request.scope.get("method") in _READ,
    )


def tongue_for(asked: Asked, tongues: Collection[str], *, own: str = "") -> str:
    """
    Return the language to answer in.

    Args:
        asked: What the reader chose, and what their browser is set to.
        tongues: Those there are.
        own: The subscriber's language in the directory; empty where nobody is known.

    """
    for tag in (asked.chosen, asked.kept):
        if tag in tongues:
            return tag
    found = (readable(tag, tongues) for tag in (own, *asked.accepted) if tag)
    return next((tag for tag in found if tag), FALLBACK)


def _accepted(header: str) -> tuple[str, ...]:
    """Read Accept-Language (RFC 9110, 12.5.4); what is not understood is left out."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(",")[:_MOST_ACCEPTED]:
        tag, _, weight = part.partition(";")
        _, _, number = weight.partition("=")
        try:
            quality = float(number) if weight else 1.0
        except ValueError:
            continue
        if tag.strip() and quality > 0:
            wanted.append((quality, tag.strip()[:_LONGEST_TAG]))
    return tuple(tag for _, tag in sorted(wanted, key=lambda one: -one[0]))
