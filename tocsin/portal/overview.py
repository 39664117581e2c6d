"""A subscriber's page, which everybody opens at once when the mail has come."""

from collections.abc import Callable
from dataclasses import replace

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.terms import IncidentState
from tocsin.errors import Unavailable
from tocsin.links import LinkClaims
from tocsin.portal.asked import Asked, asked_by, tongue_for
from tocsin.portal.desk import DeadLink, Desk, Visit, page_number
from tocsin.portal.forms import read_filter
from tocsin.portal.kept import MADE_AT, TOKEN, KeptPages
from tocsin.portal.moments import Glance, for_machines
from tocsin.store.first_page import FirstPage, FirstPages
from tocsin.store.prepared import Unwaiting, reading_raw, reads_without_waiting
from tocsin.store.views import NO_FILTER, Filter

_NAME = "overview"
_READ = ["GET", "HEAD"]
_FEW = 12
"""Certificates on a page that is written while others wait: some milliseconds."""

_THREADS = 8
"""For pages that take longer, or whose database is elsewhere. More only get in each other's way."""


class Overview:
    """
    Answers with a subscriber's page.

    The page of a link without a filter is read and written at once, without a thread,
    where the database lets readers through without waiting. Each time all of it is read;
    only the text is not written again while nothing of it has changed.

    Args:
        desk: The portal's collaborators.

    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._first = FirstPages(desk.engine.dialect)
        self._kept = KeptPages()
        self._threads = CapacityLimiter(_THREADS)
        self._unwaiting = (
            Unwaiting(desk.engine) if reads_without_waiting(desk.engine) else None
        )

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        token: str = request.path_params["token"]
        asked = asked_by(request)
        if request.scope["query_string"]:
            query = request.query_params
            wanted = read_filter(lambda name: query.get(name, ""))
            number = page_number(query.get("page", ""))
            return await self._in_thread(
                lambda: self._in_full(token, asked, page=number, wanted=wanted)
            )
        claims = self._desk.claims_of(token)
        if self._unwaiting is not None:
            try:
                with self._unwaiting.reading_raw() as cursor:
                    page = self._first.fetch(cursor, claims)
            except Unavailable:
                pass
            else:
                if page is None or len(page.certificates) <= _FEW:
                    return self._written(page, token, asked)
                return await self._in_thread(lambda: self._written(page, token, asked))
        return await self._in_thread(lambda: self._first_page(claims, token, asked))

    async def _in_thread(self, write: Callable[[], Response]) -> Response:
        return await to_thread.run_sync(write, limiter=self._threads)

    def _first_page(self, claims: LinkClaims, token: str, asked: Asked) -> Response:
        with reading_raw(self._desk.engine) as cursor:
            page = self._first.fetch(cursor, claims)
        return self._written(page, token, asked)

    def _written(self, page: FirstPage | None, token: str, asked: Asked) -> Response:
        if page is None or page.incident_state == IncidentState.DRAFT:
            raise DeadLink
        pages = self._desk.pages
        contact = page.claims.contact
        now = self._desk.clock.now()
        tag = tongue_for(asked, pages.tongues, own=page.language)
        kept = self._kept.find(contact, tag, state=page.state, now=now)
        if kept is None:
            view = self._first.view(page, now)
            if view is None:
                return self._in_full(token, asked)
            glance = Glance(now)
            text = pages.write(
                _NAME,
                self._desk.context(Visit(token=TOKEN, claims=page.claims, view=view)),
                tag=tag,
                asked=asked,
                zone=view.zone,
                glance=glance,
                made_at=MADE_AT,
            )
            kept = self._kept.keep(
                contact, tag, state=page.state, text=text, glance=glance
            )
        return pages.answer(
            _NAME, kept.shown(token=token, made_at=for_machines(now)), asked=asked
        )

    def _in_full(
        self, token: str, asked: Asked, *, page: int = 1, wanted: Filter = NO_FILTER
    ) -> Response:
        visit = self._desk.open(token, page=page, wanted=wanted)
        return replace(self._desk, asked=asked).render(visit, _NAME)


def add_overview(router: APIRouter, desk: Desk) -> None:
    """Add the page, past what FastAPI does for a route with arguments."""
    router.add_route("/s/{token}", Overview(desk).answer, methods=_READ)
