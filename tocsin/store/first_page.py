"""The page that a link in a notice opens, read as fast as it goes: in an incident all open it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Dialect

from tocsin.links import LinkClaims
from tocsin.store.contacts import CURRENT
from tocsin.store.page_statements import ABOUT, CONTACTS, PAGE, PAGES, REPLIES
from tocsin.store.pages import certificate_of, sum_of, view_of
from tocsin.store.prepared import Cursor, Prepared
from tocsin.store.views import NO_FILTER, Selection, SubscriberView

_Rows = list[Sequence[Any]]

_NAMES = ABOUT.selected_columns.keys()
_STATE, _LANGUAGE = _NAMES.index("state"), _NAMES.index("language")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPage:
    """
    All that a subscriber's page is made from, as it stands in the database.

    Args:
        claims: Of the link that it is read for, which works.
        about: The incident and the subscriber: rows as the driver gave them.
        certificates: Of the certificates.
        contacts: Of the contacts.
        replies: Of the replies.
        incident_state: The incident's state.
        language: The subscriber's in the directory, BCP 47.

    """

    claims: LinkClaims
    about: _Rows
    certificates: _Rows
    contacts: _Rows
    replies: _Rows
    incident_state: str
    language: str

    @property
    def state(self) -> object:
        """All of it, to be compared: two pages of one state say the same."""
        return self.about, self.certificates, self.contacts, self.replies


class FirstPages:
    """
    Reads first pages.

    Args:
        dialect: The database's.

    """

    def __init__(self, dialect: Dialect) -> None:
        self._about = Prepared(ABOUT.where(CURRENT.exists()), dialect)
        self._certificates = Prepared(PAGES[Selection.ALL], dialect)
        self._contacts = Prepared(CONTACTS, dialect)
        self._replies = Prepared(REPLIES, dialect)

    def fetch(self, cursor: Cursor, claims: LinkClaims) -> FirstPage | None:
        """
        Read what the page of a link is made from; None: the link does not work.

        Args:
            cursor: Of a transaction that sees one state.
            claims: What the link stands for.

        """
        whose = {
            "contact": claims.contact,
            "incident": claims.incident,
            "subscriber": claims.subscriber,
            "generation": claims.generation,
            "offset": 0,
        }
        about = self._about.fetch(cursor, whose)
        if not about:
            return None
        return FirstPage(
            claims=claims,
            about=about,
            certificates=self._certificates.fetch(cursor, whose),
            contacts=self._contacts.fetch(cursor, whose),
            replies=self._replies.fetch(cursor, whose),
            incident_state=about[0][_STATE],
            language=about[0][_LANGUAGE],
        )

    def view(self, page: FirstPage, now: datetime) -> SubscriberView | None:
        """
        Return what the page shows; None where there are more certificates than it has.

        Args:
            page: As it was read.
            now: When it was read, UTC.

        """
        if len(page.certificates) >= PAGE:
            return None
        certificates = tuple(
            map(certificate_of, self._certificates.read(page.certificates))
        )
        totals, next_revocation_time = sum_of(certificates)
        return view_of(
            self._about.read(page.about)[0],
            subscriber=page.claims.subscriber,
            certificates=certificates,
            totals=totals,
            next_revocation_time=next_revocation_time,
            selected=len(certificates),
            wanted=NO_FILTER,
            page=1,
            contacts=self._contacts.read(page.contacts),
            replies=self._replies.read(page.replies),
            now=now,
        )
