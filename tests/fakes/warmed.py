"""Does at import what each forked process would do again: drivers, compiled templates."""

from fakes.planned import TEMPLATES

from models.terms import NoticeKind
from tocsin.mail.render import render_notice
from tocsin.mail.samples import sample_contexts
from tocsin.store.session import open_engine

for _url in ("sqlite://", "postgresql://127.0.0.1/none"):
    open_engine(_url).dispose()  # which connects to nothing

for _context in sample_contexts(NoticeKind.INITIAL, TEMPLATES.language("en")).values():
    render_notice(
        TEMPLATES,
        kind=NoticeKind.INITIAL,
        language="en",
        context=_context,
        is_in_calendar=True,
    )
