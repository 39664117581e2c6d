"""Forms that have done their act, in rows; the database lets each do it once."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from models.base import table
from models.office import UsedForm
from tocsin.store.session import insert_ignoring, rows_changed

_FORM = table(UsedForm)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentForm:
    """
    One form that somebody has sent.

    Args:
        key: The hash of its nonce.
        content: The hash of what was entered.
        leads_to: The page that follows its act.

    """

    key: str
    content: str
    leads_to: str


def find_used(connection: Connection, *, key: str) -> SentForm | None:
    """Return how a form was sent when it did its act; None where it has not."""
    row = connection.execute(select(_FORM).where(_FORM.c.key == key)).first()
    if row is None:
        return None
    return SentForm(key=row.key, content=row.content, leads_to=row.leads_to)


def insert_used(connection: Connection, form: SentForm, *, now: datetime) -> bool:
    """Note that a form does its act; False where it has done it before."""
    result = connection.execute(
        insert_ignoring(connection, _FORM, conflict=["key"]).values(
            key=form.key, content=form.content, leads_to=form.leads_to, used_at=now
        )
    )
    return rows_changed(result) == 1
