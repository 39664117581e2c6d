"""
A front for a CA's ACME server that adds renewalInfo: `python -P -m tocsin.portal.acme_front`.

Everything is handed on as it comes; what passes on its way back tells of replacements.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from tocsin.clock import Clock, SystemClock
from tocsin.errors import BadInput, Broken
from tocsin.log import configure_logging
from tocsin.portal.renewal import (
    RENEWAL_INFO,
    affected_answer,
    problem,
    renewal_answer,
)
from tocsin.settings import Settings, read_settings
from tocsin.steps.renewal import note_issued, ordinary_renewal_of, renewal_of
from tocsin.steps.replacements import record_seen
from tocsin.store.session import migrate, open_engine

log = structlog.get_logger()

_CHAIN = "application/pem-certificate-chain"
_LARGEST_REQUEST = 1 << 20
_LARGEST_ANSWER = 4 << 20
_UPSTREAM_WITHIN = 60.0
# What belongs to one connection only (RFC 9110, 7.6.1), or is computed anew.
_PER_CONNECTION = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TOO_LARGE = 413
_BAD_GATEWAY = 502
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """
    What the front needs.

    Args:
        engine: The database.
        clock: Tells now.
        upstream: The address of the ACME directory behind it.
        explanation: Where incidents are explained, without a trailing slash.
        verify: What the upstream's certificate is verified with.
        retry_after: When clients of certificates that are not affected ask again.

    """

    engine: Engine
    clock: Clock
    upstream: str
    explanation: str
    verify: ssl.SSLContext
    retry_after: timedelta


def create_front(front: Front) -> FastAPI:
    """Build the application."""

    @asynccontextmanager
    async def with_client(app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(
            verify=front.verify, timeout=_UPSTREAM_WITHIN, trust_env=False
        ) as client:
            app.state.client = client
            app.state.own_renewal_info = None
            yield

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=with_client)

    async def renewal(request: Request, identifier: str) -> Response:
        return await _renewal(front, request, identifier)

    async def passed_on(request: Request) -> Response:
        return await _passed_on(front, request)

    app.add_api_route(
        f"{RENEWAL_INFO}/{{identifier}}", renewal, methods=["GET", "HEAD"]
    )
    app.add_api_route("/{rest:path}", passed_on, methods=["GET", "HEAD", "POST"])
    return app


async def _renewal(front: Front, request: Request, identifier: str) -> Response:
    """Answer for affected certificates; hand the others on, where the CA knows ARI."""
    try:
        affected = await run_in_threadpool(
            renewal_of, front.engine, identifier=identifier, clock=front.clock
        )
    except BadInput as error:
        return problem("malformed", error.message, status=400)
    if affected is not None:
        return affected_answer(affected, explanation=front.explanation)
    own = request.app.state.own_renewal_info
    if own is None:
        return await _ordinary(front, identifier)
    answer = await _ask(request, f"{own}/{identifier}", b"")
    # The CA's own interval may be longer than an incident leaves time for.
    asked = answer.headers.get("retry-after", "")
    longest = front.retry_after.total_seconds()
    if asked.isdigit() and int(asked) > longest:
        answer.headers["retry-after"] = f"{longest:.0f}"
    return answer


async def _ordinary(front: Front, identifier: str) -> Response:
    info = await run_in_threadpool(
        ordinary_renewal_of,
        front.engine,
        identifier=identifier,
        retry_after=front.retry_after,
    )
    if info is None:
        return problem("malformed", "no renewal information for it.", status=404)
    return renewal_answer(info)


async def _passed_on(front: Front, request: Request) -> Response:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_REQUEST:
            return problem("malformed", "too large.", status=_TOO_LARGE)
    parts = urlsplit(front.upstream)
    address = f"{parts.scheme}://{parts.netloc}{request.url.path}"
    if request.url.query:
        address += f"?{request.url.query}"
    answer = await _ask(request, address, body)
    if request.url.path == parts.path and answer.status_code == _OK:
        return _with_renewal_info(request, answer)
    if answer.headers.get("content-type", "").startswith(_CHAIN):
        _note(front, bytes(answer.body))
    return answer


async def _ask(request: Request, address: str, body: bytes) -> Response:
    client: httpx.AsyncClient = request.app.state.client
    headers = [
        (name, value)
        for name, value in request.headers.items()
        if name not in _PER_CONNECTION
    ]
    try:
        # The Host header stays the client's: it stands in the addresses it signs.
        async with client.stream(
            request.method, address, headers=headers, content=body or None
        ) as answer:
            content = b""
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > _LARGEST_ANSWER:
                    raise httpx.DecodingError("too large")
    except httpx.HTTPError as error:
        log.warning("The ACME server does not answer", error=type(error).__name__)
        return problem("serverInternal", "The CA does not answer.", status=_BAD_GATEWAY)
    passed = Response(content, status_code=answer.status_code)
    passed.raw_headers = [
        (name.lower(), value)
        for name, value in answer.headers.raw
        if name.decode("latin-1").lower() not in _PER_CONNECTION
    ]
    passed.raw_headers.append((b"content-length", str(len(content)).encode()))
    return passed


def _with_renewal_info(request: Request, answer: Response) -> Response:
    """Add our renewalInfo to the directory; keep the CA's own for what is not affected."""
    try:
        directory = json.loads(bytes(answer.body))
        own = directory.get("renewalInfo")
    except (ValueError, AttributeError):
        return answer
    request.app.state.own_renewal_info = None if own is None else str(own).rstrip("/")
    host = request.headers.get("host", "")
    directory["renewalInfo"] = f"{request.url.scheme}://{host}{RENEWAL_INFO}"
    content = json.dumps(directory).encode()
    changed = Response(
        content, status_code=answer.status_code, media_type="application/json"
    )
    for name in ("link", "replay-nonce", "cache-control"):
        if name in answer.headers:
            changed.headers[name] = answer.headers[name]
    return changed


_noting: set[asyncio.Task[None]] = set()


def _note(front: Front, chain: bytes) -> None:
    """Record what was issued, after the client has it: it must not wait for us."""

    async def note() -> None:
        try:
            await run_in_threadpool(note_issued, front.engine, chain=chain)
            await run_in_threadpool(
                record_seen, front.engine, chain=chain, clock=front.clock
            )
        except Exception:  # a replacement that is not noted holds nobody up
            log.exception("An issued certificate could not be recorded")

    task = asyncio.get_running_loop().create_task(note())
    _noting.add(task)
    task.add_done_callback(_noting.discard)


def serve(settings: Settings | None = None) -> None:
    """Serve until told to stop."""
    configure_logging()
    settings = settings or read_settings()
    if settings.acme_upstream is None:
        raise Broken(
            "TOCSIN_ACME_UPSTREAM is not set: the address of the CA's ACME directory"
        )
    engine = open_engine(settings.database)
    try:
        migrate(engine)
        front = Front(
            engine=engine,
            clock=SystemClock(),
            upstream=settings.acme_upstream,
            explanation=f"{settings.public_portal}/incident",
            verify=ssl.create_default_context(cafile=settings.acme_upstream_ca_file),
            retry_after=timedelta(seconds=settings.acme_retry_after_seconds),
        )
        log.info("ACME front starts", port=settings.acme_front_port)
        uvicorn.run(
            create_front(front),
            host=settings.acme_front_host,
            port=settings.acme_front_port,
            ssl_certfile=settings.acme_front_certificate_file,
            ssl_keyfile=settings.acme_front_key_file,
            access_log=False,
            server_header=False,
            date_header=False,
            log_level="warning",
        )
    finally:
        engine.dispose()


if __name__ == "__main__":
    serve()
