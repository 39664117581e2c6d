"""The portal as an application: routes, limits, headers, and the server that runs it."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy import Engine
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.clock import Clock, SystemClock
from tocsin.intake.csr.weak_keys import KeyBlocklist
from tocsin.links import Links, read_secrets
from tocsin.log import configure_logging
from tocsin.portal.api import API, UNTRACED, create_api
from tocsin.portal.asked import asked_by
from tocsin.portal.comparison import add_certificate_routes
from tocsin.portal.confirmation import add_confirmation_routes
from tocsin.portal.desk import DeadLink, Desk, PortalConfig
from tocsin.portal.downloads import add_download_routes
from tocsin.portal.escalations import add_escalation_routes
from tocsin.portal.limits import LimitedRate
from tocsin.portal.office.background import Background, Imports
from tocsin.portal.office.context import Office
from tocsin.portal.office.routes import add_office, too_large, upload_limits
from tocsin.portal.overview import add_overview
from tocsin.portal.pages import add_act_routes
from tocsin.portal.render import POLICY, WITHOUT_SCRIPT, Pages
from tocsin.portal.renewal import add_renewal_routes
from tocsin.settings import Settings, read_settings
from tocsin.steps.collaborators import mailer_of, sender_of, wire_of
from tocsin.store.session import migrate, open_engine

log = structlog.get_logger()

_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_ONLY_TLS = {"Strict-Transport-Security": "max-age=31536000"}
_CLIENTS_OF_ONE_ADDRESS = 5  # people of one office behind one address
_NO_STORE = "no-store"
_A_DAY = "public, max-age=86400"
_FORM_OVERHEAD = 262_144  # octets of a form beside its files: hidden fields, headers
_MAIL_WITHIN = 5.0
"""How long a portal that ends waits for a mail to an officer, seconds."""
_REST = 65_536
"""Of what nobody reads, so many octets are taken in and thrown away before an answer."""
_REST_WITHIN = 0.5  # seconds
_ENLARGED = 2  # a DER file grows by a third when the check page carries it as PEM

_READ = ["GET", "HEAD"]
_NOT_FOUND = 404
_NOT_ALLOWED = 405
_TOO_LARGE = 413
_OUR_FAULT = 500


def create_app(
    engine: Engine,
    links: Links,
    config: PortalConfig,
    clock: Clock,
    *,
    settings: Settings | None = None,
) -> FastAPI:
    """
    Build the portal.

    Args:
        engine: The database; it is only read by GET and HEAD (I6).
        links: Reads the tokens of links.
        config: What it says and allows.
        clock: Tells now.
        settings: For the officers' desk; None: there is none here.

    """
    is_secure = config.public_url.startswith("https:")
    pages = Pages(is_secure=is_secure)
    desk = Desk(engine=engine, links=links, config=config, clock=clock, pages=pages)
    # No documentation pages and no schema: they would tell what there is to try.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, **UNTRACED)
    app.state.desk = desk
    add_overview(app.router, desk)
    app.router.routes.extend(_routes())
    app.add_api_route("/healthz", _healthy, methods=_READ)
    app.add_api_route("/static/portal.css", _stylesheet, methods=_READ)
    app.add_api_route("/static/portal.js", _script, methods=_READ)
    app.add_exception_handler(DeadLink, _dead_link)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(Exception, _our_fault)
    limits = {}
    if settings is not None:
        add_office(app, _office(desk, settings))
        limits = {
            path: most + _FORM_OVERHEAD
            for path, most in upload_limits(settings.officer_upload_bytes).items()
        }
    app.mount(API, create_api(desk))
    app.add_middleware(
        LimitedRate,
        per_token=config.requests_per_minute,
        per_address=_CLIENTS_OF_ONE_ADDRESS * config.requests_per_minute,
        say=pages.say,
    )
    app.add_middleware(_OnlyText)
    app.add_middleware(_WithHeaders, is_secure=is_secure)
    app.add_middleware(
        _LimitedBody,
        limit=_ENLARGED * config.max_upload_bytes + _FORM_OVERHEAD,
        limits=limits,
    )
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Make what all portals of a process share: FastAPI takes long over each route."""
    router = APIRouter()
    add_act_routes(router)
    add_certificate_routes(router)
    add_download_routes(router)
    add_renewal_routes(router)
    add_escalation_routes(router)
    add_confirmation_routes(router)
    return tuple(router.routes)


def _office(desk: Desk, settings: Settings) -> Office:
    background = Background()
    return Office(
        engine=desk.engine,
        links=desk.links,
        settings=settings,
        clock=desk.clock,
        pages=desk.pages,
        mailer=mailer_of(settings),
        sender=sender_of(settings),
        background=background,
        imports=Imports(background),
    )


def portal_config(settings: Settings) -> PortalConfig:
    """Take from the settings what the portal needs."""
    return PortalConfig(
        ca_name=settings.ca_name,
        ca_phone=settings.ca_phone,
        ca_site=settings.ca_site,
        grace_within=settings.grace_within,
        max_upload_bytes=settings.max_upload_bytes,
        requests_per_minute=settings.portal_requests_per_minute,
        public_url=settings.public_portal,
        mail_domain=settings.mail_from.rpartition("@")[2],
        key_blocklist=KeyBlocklist.open(settings.key_blocklist_directory)
        if settings.key_blocklist_directory
        else None,
        wire=wire_of(settings) if settings.wire_check else None,
        wire_checks_per_hour=settings.wire_checks_per_hour,
    )


def serve(settings: Settings | None = None) -> None:
    """Serve until told to stop."""
    configure_logging()
    settings = settings or read_settings()
    engine = open_engine(settings.database)
    try:
        migrate(engine)
        app = create_app(
            engine,
            Links(read_secrets(settings.link_secrets)),
            portal_config(settings),
            SystemClock(),
            settings=settings,
        )
        log.info("Portal starts", host=settings.portal_host, port=settings.portal_port)
        uvicorn.run(
            app,
            host=settings.portal_host,
            port=settings.portal_port,
            access_log=False,  # addresses of pages are keys to them
            server_header=False,
            log_level="warning",
            log_config=None,  # through our own, which says no link and no address
        )
        office: Office = app.state.office
        office.background.wait(_MAIL_WITHIN)
    finally:
        engine.dispose()


async def _healthy() -> Response:
    return PlainTextResponse("ok\n")


async def _stylesheet(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    return Response(
        desk.pages.stylesheet, media_type="text/css", headers={"Cache-Control": _A_DAY}
    )


async def _script(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    return Response(
        desk.pages.script,
        media_type="text/javascript",
        headers={"Cache-Control": _A_DAY},
    )


def _dead_link(request: Request, _error: Exception) -> Response:
    """Answer the same, whatever is wrong with the link."""
    return _plain_page(request, "dead", status=_NOT_FOUND)


def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else _NOT_FOUND
    if isinstance(error, StarletteHTTPException):
        status = error.status_code
    if status in (_NOT_FOUND, _NOT_ALLOWED):
        return _dead_link(request, error)
    if status == _TOO_LARGE and hasattr(request.app.state, "office"):
        answer = too_large(request)
        if answer is not None:
            return answer
    return _plain_page(
        request, "too-large" if status == _TOO_LARGE else "unreadable", status=status
    )


def _our_fault(request: Request, _error: Exception) -> Response:
    response = _plain_page(request, "fault", status=_OUR_FAULT)
    # This one is made outside the middleware that sets them.
    response.headers.update(
        _HEADERS | {POLICY: WITHOUT_SCRIPT, "Cache-Control": _NO_STORE}
    )
    return response


def _plain_page(request: Request, name: str, *, status: int) -> Response:
    """Render a page about nobody."""
    desk: Desk = request.app.state.desk
    asked = replace(asked_by(request), others=(), can_choose=name == "dead")
    return desk.pages.render(
        name,
        {"config": desk.config, "problems": ()},
        asked=asked,
        now=desk.clock.now(),
        status=status,
    )


class _WithHeaders:
    """Puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self._app = app
        headers = _HEADERS | (_ONLY_TLS if is_secure else {})
        # Octets, once: no route of ours sets one of the first ones itself.
        self._headers = [
            (name.lower().encode(), value.encode()) for name, value in headers.items()
        ]
        self._unless_said = [
            (POLICY.lower().encode(), WITHOUT_SCRIPT.encode()),
            (b"cache-control", _NO_STORE.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                said = {name for name, _ in headers}
                unsaid = (one for one in self._unless_said if one[0] not in said)
                message["headers"] = [*headers, *self._headers, *unsaid]
            await send(message)

        await self._app(scope, receive, with_headers)


class _OnlyText:
    """
    Says that there is nothing where an address has a NUL in it.

    No name or number of ours has one, and PostgreSQL takes none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (
            "\0" in scope["path"] or b"%00" in scope["query_string"]
        ):
            answer = _plain_page(Request(scope), "dead", status=_NOT_FOUND)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _LimitedBody:
    """
    Stops reading a request that is larger than any we take.

    Args:
        app: What is behind it.
        limit: Octets.
        limits: Other limits, by path.

    """

    def __init__(self, app: ASGIApp, *, limit: int, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READ:
            await self._app(scope, receive, send)  # whose content nobody reads
            return
        taken = 0
        limit = self._limits.get(scope["path"], self._limit)
        headers = Headers(scope=scope)
        unread = "transfer-encoding" in headers or headers.get("content-length") != "0"

        async def limited() -> Message:
            nonlocal taken, unread
            message = await receive()
            taken += len(message.get("body", b""))
            unread &= message.get("more_body", False)
            if taken > limit:
                raise HTTPException(_TOO_LARGE)
            return message

        async def throwing_away() -> None:
            while unread and taken < _REST:
                await limited()

        async def hanging_up(message: Message) -> None:
            if message["type"] == "http.response.start" and unread:
                # Who is cut off while still sending may never see the answer.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REST_WITHIN):
                        await throwing_away()
                if unread:
                    # Else the server would go on taking in what nobody reads.
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, limited, hanging_up)


if __name__ == "__main__":
    serve()
