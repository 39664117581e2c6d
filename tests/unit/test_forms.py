"""A notice from a form says what its template says, to the letter, or there is no form."""

from dataclasses import fields, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.terms import NoticeKind
from tocsin.mail.contexts import CertificateLine, NoticeContext
from tocsin.mail.render import EVENT, PARTS, TemplateSet
from tocsin.mail.samples import sample_contexts

TEMPLATES = TemplateSet.from_files()
KINDS = [
    kind
    for kind in NoticeKind
    if kind not in {NoticeKind.ESCALATION, NoticeKind.WITHDRAWAL}
]
TEXT = st.text(max_size=20)


def contexts(kind: NoticeKind, tag: str) -> list[NoticeContext]:
    found = sample_contexts(kind, TEMPLATES.language(tag)).values()
    return [one for one in found if isinstance(one, NoticeContext)]


def rendered(
    templates: TemplateSet, kind: NoticeKind, tag: str, context: NoticeContext
) -> list[str]:
    """Render without any form."""
    environment = templates.environment(tag)
    values = {one.name: getattr(context, one.name) for one in fields(context)}
    paths = (*(f"{tag}/{kind}/{part}" for part in PARTS), f"{tag}/{EVENT}")
    return [environment.get_template(path).render(values) for path in paths]


def filled(
    templates: TemplateSet, kind: NoticeKind, tag: str, context: NoticeContext
) -> list[str] | None:
    wording = templates.wording(kind, tag)
    found = templates.fill(kind, wording, context, parts=4)
    return None if found is None else [one.text for one in found]


def with_words(text: str) -> TemplateSet:
    """Return templates whose text for a first notice is this one."""
    sources = TEMPLATES.sources() | {"en/initial/body.txt": text}
    return TemplateSet.from_sources(sources)


@pytest.mark.parametrize(
    ("kind", "tag"), list(product(KINDS, sorted(TEMPLATES.languages())))
)
def test_every_shipped_notice_has_a_form_that_says_the_same(
    kind: NoticeKind, tag: str
) -> None:
    for context in contexts(kind, tag):
        assert filled(TEMPLATES, kind, tag, context) == rendered(
            TEMPLATES, kind, tag, context
        )


@given(
    subscriber=TEXT,
    contact_name=TEXT,
    link=TEXT,
    lines=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=3),
)
def test_form_says_the_same_whatever_it_is_filled_with(
    subscriber: str, contact_name: str, link: str, lines: list[tuple[str, str, str]]
) -> None:
    context = replace(
        contexts(NoticeKind.INITIAL, "en")[0],
        subscriber=subscriber,
        contact_name=contact_name,
        link=link,
        certificates=tuple(CertificateLine(*line) for line in lines),
    )

    assert filled(TEMPLATES, NoticeKind.INITIAL, "en", context) == rendered(
        TEMPLATES, NoticeKind.INITIAL, "en", context
    )


@pytest.mark.parametrize(
    "name", ["certificates", "total", "is_revoked", "circumstance"]
)
def test_another_shape_has_another_form(name: str) -> None:
    few, many = contexts(NoticeKind.INITIAL, "en")[:2]
    other = replace(few, **{name: getattr(many, name)})
    if name in {"is_revoked", "circumstance"}:
        changed: object = not few.is_revoked if name == "is_revoked" else "Another"
        other = replace(few, **{name: changed})  # type: ignore[arg-type]

    filled(TEMPLATES, NoticeKind.INITIAL, "en", few)

    assert filled(TEMPLATES, NoticeKind.INITIAL, "en", other) == rendered(
        TEMPLATES, NoticeKind.INITIAL, "en", other
    )


@pytest.mark.parametrize(
    "words",
    [
        "{{ subscriber|upper }}",
        "{{ subscriber|wrap }}",
        "{{ ('To ' ~ subscriber)|wrap }}",
        "{{ subscriber|length }}",
        "{{ subscriber[0] }}",
        "{{ subscriber.upper() }}",
        "{{ subscriber|tojson }}",
        "{{ '%s!'|format(subscriber) }}",
        "{% for letter in subscriber %}{{ letter }}.{% endfor %}",
        "{% if subscriber == 'Acme' %}x{% endif %}",
        "{% if 'Clinic' in subscriber %}x{% endif %}",
        "{% if subscriber is string %}x{% endif %}",
        "{% if subscriber is sequence %}x{% endif %}",
        "{% if certificates[0].name.startswith('www.') %}x{% endif %}",
        "{{ certificates|map(attribute='name')|join(', ') }}",
        "{{ certificates|unique(attribute='serial')|list|length }}",
        "{{ certificates[0]|host if false else certificates[0].name|host|host }}",
        "{{ revocation.iso[:10] }}",
        "{% filter upper %}{{ subscriber }}{% endfilter %}",
        "{% set who %}{{ subscriber }}{% endset %}{{ who|length }}",
        "{% macro to(who) %}{{ who }}{% endmacro %}{{ to(subscriber)|length }}",
        "{% block who %}{{ subscriber }}{% endblock %}{{ self.who()|upper }}",
        "{% extends 'en/notice.txt' %}{% block todo %}{{ super()|length }}{% endblock %}",
    ],
)
def test_template_that_looks_at_what_differs_is_rendered_for_each_reader(
    words: str,
) -> None:
    templates = with_words(words)
    context = contexts(NoticeKind.INITIAL, "en")[1]

    assert filled(templates, NoticeKind.INITIAL, "en", context) is None
    assert rendered(templates, NoticeKind.INITIAL, "en", context)


@pytest.mark.parametrize(
    "words",
    [
        "{{ subscriber }}: {{ subscriber or 'you' }}, 100 % {{ total|number }}",
        "{% set who = contact_name or subscriber %}{{ who }}",
        "{% for one in certificates %}{{ loop.index }} {{ one.name }}{% endfor %}",
        "{{ certificates[-1].serial }} {{ certificates|length }}",
        "{{ plural(total, one='one', other='many') }} {{ circumstance|upper }}",
        "{% extends 'en/notice.txt' %}{% block todo %}{{ super() }}more{% endblock %}",
        "{% autoescape true %}{{ subscriber }}{{ link|host }}{% endautoescape %}",
        "no blanks at all",
    ],
)
def test_template_that_only_writes_it_out_has_a_form(words: str) -> None:
    templates = with_words(words)
    context = contexts(NoticeKind.INITIAL, "en")[1]

    found = filled(templates, NoticeKind.INITIAL, "en", context)

    assert found == rendered(templates, NoticeKind.INITIAL, "en", context)
