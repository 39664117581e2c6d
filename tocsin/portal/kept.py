"""Pages as they were written last: the same state says the same, and is not written twice."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from tocsin.mail.blanks import Form, mark
from tocsin.portal.moments import Glance

TOKEN = mark(0)
MADE_AT = mark(1)
"""What stands in a page that is kept, until it is shown to somebody at some instant."""

_MOST_CHARACTERS = 16_000_000  # of all pages that are kept: 1,500 usual ones


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPage:
    """
    One page, with blanks for the token of its link and for the instant it is shown at.

    Args:
        state: What it was written from.
        form: What it says.
        size: Characters.
        made_at: When it was written, UTC.
        holds: How long what it says of the clock stays true.

    """

    state: object
    form: Form
    size: int
    made_at: datetime
    holds: timedelta

    def is_still_right(self, state: object, now: datetime) -> bool:
        """Whether it would be written the same again."""
        is_true = timedelta(0) <= now - self.made_at < self.holds
        return is_true and self.state == state

    def shown(self, *, token: str, made_at: str) -> str:
        """Return what somebody gets to see."""
        return self.form.fill((token, made_at))[0].text


class KeptPages:
    """
    Keeps the pages that were written last, one for each reader and language.

    A page is asked for with all that the database holds for it now. So one that is out of
    date is not shown: it is not found.
    """

    def __init__(self) -> None:
        self._pages: dict[tuple[int, str], KeptPage] = {}
        self._size = 0
        self._changes = Lock()

    def find(
        self, contact: int, tag: str, *, state: object, now: datetime
    ) -> KeptPage | None:
        """Return the page of a contact in a language, if it is still right."""
        page = self._pages.get((contact, tag))
        return page if page and page.is_still_right(state, now) else None

    def keep(
        self, contact: int, tag: str, *, state: object, text: str, glance: Glance
    ) -> KeptPage:
        """Keep a page in the place of the one before; the oldest make room."""
        page = KeptPage(
            state=state,
            form=Form([text], bodies=(), filters={}),
            size=len(text),
            made_at=glance.now,
            holds=glance.holds,
        )
        with self._changes:
            self._drop((contact, tag))
            self._pages[contact, tag] = page
            self._size += page.size
            while self._size > _MOST_CHARACTERS and len(self._pages) > 1:
                self._drop(next(iter(self._pages)))
        return page

    def _drop(self, key: tuple[int, str]) -> None:
        page = self._pages.pop(key, None)
        self._size -= page.size if page else 0
