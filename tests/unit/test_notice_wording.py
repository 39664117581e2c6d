"""What a tired reader trips over: broken links, wide lines, wrong numbers."""

from dataclasses import replace

import pytest

from models.terms import NoticeKind
from tocsin.mail.render import (
    NoticeContext,
    Rendered,
    TemplateSet,
    WithdrawalContext,
    render_notice,
)
from tocsin.mail.samples import sample_contexts
from tocsin.steps.correspondence import templates_of

TEMPLATES = TemplateSet.from_files()
TO_SUBSCRIBERS = [
    kind
    for kind in NoticeKind
    if kind not in {NoticeKind.ESCALATION, NoticeKind.WITHDRAWAL}
    and not kind.is_about_contacts
]
# As long as real ones are, with the hyphens that base64url has.
LINK = (
    "https://certificates.ca.example/s/WyIyMDI0MDMxOC1hYmMxMjMiLDEyMyw0NTYsInN1YnNj-"
    "cmliZXIiLDAsMTcx-abc_MjUyMDYwXQ.q-uAf3-Gk9_eTzYx0bQw-9LmNoPq"
)


def rendered(kind: NoticeKind, total: int, without_csr: int) -> Rendered:
    few, many = "1 certificates", "98 certificates"
    context = sample_contexts(kind, TEMPLATES.language("en"))[
        few if total == 1 else many
    ]
    assert isinstance(context, NoticeContext)
    return render_notice(
        TEMPLATES,
        kind=kind,
        language="en",
        context=replace(context, total=total, without_csr=without_csr, link=LINK),
    )


@pytest.mark.parametrize("kind", TO_SUBSCRIBERS)
def test_link_stays_on_one_line_when_it_is_long_and_has_hyphens(
    kind: NoticeKind,
) -> None:
    notice = rendered(kind, total=98, without_csr=98)

    assert LINK in notice.text.splitlines()
    assert f'href="{LINK}"' in notice.html


@pytest.mark.parametrize("kind", TO_SUBSCRIBERS)
@pytest.mark.parametrize("without_csr", [0, 1])
def test_one_certificate_is_spoken_of_in_the_singular(
    kind: NoticeKind, without_csr: int
) -> None:
    notice = rendered(kind, total=1, without_csr=without_csr)

    for words in (notice.subject, notice.text, notice.html):
        for plural in (
            "certificates of",
            "of them",
            "They ",
            "these hosts",
            "CSRs for",
        ):
            assert plural not in words


@pytest.mark.parametrize(
    ("without_csr", "beginning"),
    [(98, "No CSR yet: "), (3, "No CSR yet for 3 of 98: "), (0, "Reminder: ")],
)
def test_reminder_says_how_many_csrs_are_missing(
    without_csr: int, beginning: str
) -> None:
    notice = rendered(NoticeKind.REMINDER, total=98, without_csr=without_csr)

    assert notice.subject.startswith(beginning)
    assert ("no CSR" in notice.text) == (without_csr > 0)


@pytest.mark.parametrize("kind", TO_SUBSCRIBERS)
def test_first_screen_says_what_when_which_and_what_to_do_before_why(
    kind: NoticeKind,
) -> None:
    notice = rendered(kind, total=98, without_csr=98)
    wanted = [
        "Saturday 7 March 2026, 11:00 HKT",
        "appointments.clinics.example",
        "and 93 more",
        LINK,
        "Why the date cannot move",
        "private key",
    ]

    body = notice.html.partition("<body>")[2].replace("<wbr>", "").casefold()
    for words in (body, notice.text.casefold()):
        places = [words.index(part.casefold()) for part in wanted]
        assert places == sorted(places)


@pytest.mark.parametrize("language", ["en", "zh-Hant"])
@pytest.mark.parametrize("name", ["1 certificates", "98 certificates"])
def test_withdrawal_says_first_that_nothing_is_revoked_and_what_is_still_affected(
    language: str, name: str
) -> None:
    context = sample_contexts(NoticeKind.WITHDRAWAL, TEMPLATES.language(language))[name]
    assert isinstance(context, WithdrawalContext)
    notice = render_notice(
        TEMPLATES, kind=NoticeKind.WITHDRAWAL, language=language, context=context
    )

    told = {"en": "will not be revoked", "zh-Hant": "不會撤銷"}[language]
    rest = {"en": "still affected", "zh-Hant": "仍受影響"}[language]
    why = {"en": "why\n", "zh-Hant": "【原因】"}[language]
    text = notice.text.casefold()
    assert text.index(told) < text.index(context.certificates[0].name) < text.index(why)
    assert (rest in text) == (context.remaining > 0)
    assert (rest in notice.html.casefold()) == (context.remaining > 0)
    assert context.link in notice.text.splitlines()
    if context.total == 1:
        assert "they " not in text
        assert "these" not in text


def test_i7_kind_of_a_later_version_is_the_shipped_one_when_it_was_not_frozen() -> None:
    frozen = {
        path: text if "subject" not in path else f"Frozen: {text}"
        for path, text in TEMPLATES.sources().items()
        if "withdrawal" not in path and path != "_base/certificates.html"
    }
    # As notices were when there was no other kind.
    frozen["_base/notice.html"] = (
        '{% extends "_base/frame.html" %}'
        "{% block page %}{% block content %}{% endblock %}{% endblock %}"
    )
    context = sample_contexts(NoticeKind.FINAL, TEMPLATES.language("en"))
    withdrawn = sample_contexts(NoticeKind.WITHDRAWAL, TEMPLATES.language("en"))

    templates = templates_of(frozen)

    for kind, sample in (
        (NoticeKind.FINAL, context["1 certificates"]),
        (NoticeKind.WITHDRAWAL, withdrawn["1 certificates"]),
    ):
        notice = render_notice(templates, kind=kind, language="en", context=sample)
        assert notice.subject.startswith("Frozen: ") == (kind is NoticeKind.FINAL)
    assert templates_of({}).files == frozenset()
