"""How often one address and one token may ask; a script gone wild must not hold others up."""

import hashlib
import re
from collections.abc import Callable, Mapping
from time import monotonic

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tocsin.phrases import Phrase, phrase
from tocsin.portal.asked import Asked, asked_by

_TOKEN = re.compile(r"/s/([^/]+)")
_TOO_MANY = 429
_WAIT = phrase("Too many requests. Wait a minute, then go on.")
_MINUTE = 60.0  # seconds


class Counts:
    """
    Counts by key, each for a minute from its first one.

    Asked by one thread only. All minutes are as long, so those that began first, and are
    over first, stand first: what is over is forgotten on the way.

    Args:
        most: That are let through in a minute, of each key.

    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}
        self._ends: dict[str, float] = {}

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._ends)

    def takes(self, key: str, *, now: float) -> bool:
        """Count one more; whether it is let through."""
        while self._ends:
            first = next(iter(self._ends))
            if self._ends[first] > now:
                break
            del self._ends[first], self._taken[first]
        if key not in self._ends:
            self._ends[key] = now + _MINUTE
        self._taken[key] = taken = self._taken.get(key, 0) + 1
        return taken <= self._most


class LimitedRate:
    """
    Refuses what is more than a number of requests a minute.

    Args:
        app: What is behind it.
        per_token: Of one link, whoever uses it.
        per_address: Of one client, whatever it asks for.

        say: Says a phrase in the language that a request asks for.

    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        per_token: int,
        per_address: int,
        say: Callable[[Phrase, Asked], str],
    ) -> None:
        self._app = app
        self._say = say
        self._tokens = Counts(per_token)
        self._addresses = Counts(per_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or answer 429."""
        if scope["type"] == "http" and not self._is_let_through(scope):
            answer = PlainTextResponse(
                f"{self._say(_WAIT, asked_by(HTTPConnection(scope)))}\n",
                status_code=_TOO_MANY,
                headers={"Retry-After": f"{_MINUTE:.0f}"},
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_let_through(self, scope: Scope) -> bool:
        client = scope.get("client")
        address = client[0] if client else "nobody"
        now = monotonic()
        if not self._addresses.takes(address, now=now):
            return False
        token = _token_of(scope)
        return token is None or self._tokens.takes(token, now=now)


def _token_of(scope: Scope) -> str | None:
    """Return a hash of the token: the token itself is kept nowhere."""
    found = _TOKEN.match(scope["path"])
    text = found[1] if found else _authorisation(dict(scope["headers"]))
    return hashlib.sha256(text.encode()).hexdigest() if text else None


def _authorisation(headers: Mapping[bytes, bytes]) -> str:
    return headers.get(b"authorization", b"").decode("latin-1")
