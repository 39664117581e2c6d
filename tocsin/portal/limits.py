"""How often one address and one token may ask; a script gone wild must not hold others up."""

import hashlib
import re
from collections.abc import Callable, Mapping

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tocsin.phrases import Phrase, phrase
from tocsin.portal.asked import Asked, asked_by

_TOKEN = re.compile(r"/s/([^/]+)")
_TOO_MANY = 429
_WAIT = phrase("Too many requests. Wait a minute, then go on.")
_MINUTE = 60


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
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._token = RateLimitItemPerMinute(per_token)
        self._address = RateLimitItemPerMinute(per_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or answer 429."""
        if scope["type"] == "http" and not self._is_let_through(scope):
            answer = PlainTextResponse(
                f"{self._say(_WAIT, asked_by(HTTPConnection(scope)))}\n",
                status_code=_TOO_MANY,
                headers={"Retry-After": str(_MINUTE)},
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_let_through(self, scope: Scope) -> bool:
        client = scope.get("client")
        address = client[0] if client else "nobody"
        if not self._limiter.hit(self._address, "address", address):
            return False
        token = _token_of(scope)
        return token is None or self._limiter.hit(self._token, "token", token)


def _token_of(scope: Scope) -> str | None:
    """Return a hash of the token: the token itself is kept nowhere."""
    found = _TOKEN.match(scope["path"])
    text = found[1] if found else _authorisation(dict(scope["headers"]))
    return hashlib.sha256(text.encode()).hexdigest() if text else None


def _authorisation(headers: Mapping[bytes, bytes]) -> str:
    return headers.get(b"authorization", b"").decode("latin-1")
