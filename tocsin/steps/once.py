"""A form at the desk does its act once, however often it is sent (I4)."""

from datetime import datetime

from sqlalchemy import Connection, Engine

from tocsin.errors import TocsinError
from tocsin.store.forms import SentForm, find_used, insert_used
from tocsin.store.session import reading


class DoneBefore(TocsinError):  # noqa: N818 - named for what it is
    """
    A form has done its act before.

    Args:
        leads_to: The page that followed; None where something else was entered then,
            so that what is entered now is lost.

    """

    def __init__(self, leads_to: str | None) -> None:
        super().__init__("this form was sent before (I4)")
        self.leads_to = leads_to


def do_once(connection: Connection, form: SentForm | None, *, now: datetime) -> None:
    """
    Note that a form does its act, in the act's own transaction.

    Args:
        connection: The transaction; it waits for another one with the same form.
        form: What was sent; None where the act did not come by a form.
        now: The instant.

    Raises:
        DoneBefore: It has done it.

    """
    if form is not None and not insert_used(connection, form, now=now):
        _raise_if_used(connection, form)


def see_unused(engine: Engine, form: SentForm) -> None:
    """
    See that a form has not done its act yet, before anything is made of its content.

    Raises:
        DoneBefore: It has done it.

    """
    with reading(engine) as connection:
        _raise_if_used(connection, form)


def _raise_if_used(connection: Connection, form: SentForm) -> None:
    used = find_used(connection, key=form.key)
    if used is not None:
        raise DoneBefore(used.leads_to if used.content == form.content else None)
