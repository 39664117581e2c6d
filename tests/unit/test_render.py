"""What people read: complete, in one language at least, safe whatever a name holds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.terms import NoticeKind
from tocsin.errors import Broken
from tocsin.mail.checks import check_templates
from tocsin.mail.render import (
    CertificateLine,
    NoticeContext,
    Rendered,
    TemplateSet,
    render_notice,
)
from tocsin.mail.samples import sample_contexts
from tocsin.mail.skeleton import assemble, certificate_list

TEMPLATES = TemplateSet.from_files()
AT = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)


def a_context() -> NoticeContext:
    context = sample_contexts(NoticeKind.INITIAL, TEMPLATES.language("en"))[
        "98 certificates"
    ]
    assert isinstance(context, NoticeContext)
    return context


def a_message(rendered: Rendered, **changes: str) -> EmailMessage:
    content = source_of(rendered, **changes)
    return message_from_bytes(content, _class=EmailMessage, policy=policy.default)


def source_of(rendered: Rendered, **changes: str) -> bytes:
    return assemble(
        rendered,
        language="en",
        sender_name="Example CA",
        sender_address="certificates@ca.example",
        recipient_name=changes.get("recipient_name", "Chan Tai Man"),
        recipient_address="admin@clinic.example",
        message_id="<1@ca.example>",
        references="<0@ca.example>",
        date=AT,
    )


def a_body(message: EmailMessage, kind: str) -> EmailMessage:
    body = message.get_body((kind,))
    assert isinstance(body, EmailMessage)
    return body


def test_shipped_templates_say_what_a_reader_needs() -> None:
    assert check_templates(TEMPLATES) == ()


def _with_a_slip(text: str) -> str:
    block = "{% block content %}"
    return text.replace(block, block + "{{ contcat_name }}") + "{{ contcat_name }}"


def _sources_of(kind: NoticeKind) -> dict[str, str]:
    """Return what one kind is written with in English: the others would pass anyway."""
    return {
        path: text
        for path, text in TEMPLATES.sources().items()
        if path.startswith(("_base/", "en/"))
        and (path.count("/") == 1 or path.startswith(f"en/{kind}/"))
    }


@pytest.mark.parametrize("kind", list(NoticeKind))
@pytest.mark.parametrize(
    ("part", "break_it", "complaint"),
    [
        ("body.txt", _with_a_slip, "contcat_name"),
        ("body.html", lambda text: text + "{% if %}", "Expected an expression"),
        ("body.txt", lambda _: "Soon.", " is not in body.txt"),
        ("subject.txt", lambda _: " ", "the subject is empty"),
        ("subject.txt", lambda _: "{{ 1|length }}", "has no len"),
    ],
)
def test_broken_template_is_found_before_the_first_mail(
    kind: NoticeKind, part: str, break_it: Callable[[str], str], complaint: str
) -> None:
    sources = _sources_of(kind)
    path = f"en/{kind}/{part}"
    whole = TemplateSet.from_sources(sources)
    broken = TemplateSet.from_sources(sources | {path: break_it(sources[path])})

    found = check_templates(broken)

    assert not any(f"en/{kind} " in one for one in check_templates(whole))
    assert any(complaint in finding and f"en/{kind}" in finding for finding in found)


def test_i7_frozen_templates_render_the_same_when_the_files_change_later() -> None:
    frozen = TemplateSet.from_sources(TEMPLATES.sources())

    assert render_notice(
        frozen, kind=NoticeKind.FINAL, language="en", context=a_context()
    ) == render_notice(
        TEMPLATES, kind=NoticeKind.FINAL, language="en", context=a_context()
    )


def test_english_is_used_when_a_language_has_no_templates() -> None:
    rendered = render_notice(
        TEMPLATES, kind=NoticeKind.INITIAL, language="fr", context=a_context()
    )

    assert "will be REVOKED" in rendered.text


def test_error_names_the_field_when_a_template_uses_what_is_not_there() -> None:
    sources = TEMPLATES.sources()
    sources["en/initial/body.txt"] = "{{ secret }}"

    with pytest.raises(Broken, match="secret"):
        render_notice(
            TemplateSet.from_sources(sources),
            kind=NoticeKind.INITIAL,
            language="en",
            context=a_context(),
        )


def test_instant_is_shown_in_the_readers_zone_and_in_utc() -> None:
    shown = TEMPLATES.language("en").instant(AT, "Asia/Hong_Kong")

    assert shown.local == "Saturday 7 March 2026, 11:00 HKT"
    assert shown.utc == "Saturday 7 March, 03:00 UTC"


def test_markup_in_a_name_stays_text_in_html() -> None:
    context = replace(a_context(), subscriber="<script>alert(1)</script>")

    html = render_notice(
        TEMPLATES, kind=NoticeKind.INITIAL, language="en", context=context
    ).html

    assert "<script>" not in html


@given(st.text(max_size=60), st.text(max_size=200))
def test_message_reads_back_as_it_was_written_whatever_people_are_called(
    name: str, subject: str
) -> None:
    name, subject = (
        "".join(c for c in text if c.isprintable()) for text in (name, subject)
    )
    rendered = Rendered(subject=subject, text="Grüße, 陳大文\n", html="<p>陳</p>\n")

    message = a_message(rendered, recipient_name=name)

    assert [str(part.get_content_type()) for part in message.walk()][1:] == [
        "text/plain",
        "text/html",
    ]
    assert a_body(message, "plain").get_content() == rendered.text
    assert " ".join(str(message["subject"]).split()) == " ".join(subject.split())
    assert [a.addr_spec for a in message["to"].addresses] == ["admin@clinic.example"]


def test_notice_in_ascii_is_readable_in_its_source() -> None:
    longest = "x" * 998
    rendered = Rendered(
        subject="s", text=f"Dear Ms Lee,\n\n{longest}\n.\n", html="<p>2 = 2</p>\n"
    )

    source = source_of(rendered)

    assert b"\r\n\r\nDear Ms Lee,\r\n\r\n" in source
    assert b"<p>2 = 2</p>\r\n" in source
    assert b"base64" not in source
    message = message_from_bytes(source, _class=EmailMessage, policy=policy.default)
    shown = a_body(message, "plain").get_content()
    assert shown.splitlines() == [*rendered.text.splitlines(), ""]
    shown = a_body(message, "html").get_content()
    assert shown.splitlines() == [*rendered.html.splitlines(), ""]


@pytest.mark.parametrize(
    "unsafe",
    [
        pytest.param("From now on", id="a line that mailboxes and some relays change"),
        pytest.param("--=_tocsin_0", id="our own boundary"),
        pytest.param("--=_tocsin_1--", id="our own boundary, the last"),
        pytest.param("a\x00b", id="a zero"),
        pytest.param("a\rb", id="a bare line end"),
        pytest.param("a\tb", id="a tab"),
        pytest.param("a\x7fb", id="a delete"),
        pytest.param("x" * 999, id="a line longer than RFC 5322 allows"),
        pytest.param("x" * 5000, id="a line that is much longer"),
        pytest.param("é", id="a letter beyond ASCII"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "first\n{}\nlast", "first\n{}"])
def test_text_that_might_not_arrive_as_it_is_leaves_in_base64(
    unsafe: str, around: str
) -> None:
    text = around.format(unsafe)

    source = source_of(Rendered(subject="s", text=text, html="<p>plain</p>"))

    message = message_from_bytes(source, _class=EmailMessage, policy=policy.default)
    body = a_body(message, "plain")
    assert body["content-transfer-encoding"] == "base64"
    assert body.get_payload(decode=True) == text.encode()
    assert b"<p>plain</p>\r\n" in source  # each part by itself
    assert all(len(line) <= 998 for line in source.split(b"\r\n"))


@given(st.text(st.characters(codec="ascii"), max_size=3000))
def test_text_arrives_as_it_was_written_whichever_way_it_leaves(text: str) -> None:
    message = a_message(Rendered(subject="s", text=text, html="h"))

    body = a_body(message, "plain")
    assert body.get_payload(decode=True) in {
        text.encode(),
        f"{text}\n".replace("\n", "\r\n").encode(),
    }


PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


@given(st.lists(st.text(PRINTABLE, max_size=90), max_size=12))
def test_subject_reads_back_when_it_is_folded(words: list[str]) -> None:
    subject = " ".join(words)

    source = source_of(Rendered(subject=subject, text="t", html="h"))

    head, _, _ = source.partition(b"\r\n\r\n")
    assert all(0 < len(line) <= 76 for line in head.split(b"\r\n"))
    message = message_from_bytes(source, _class=EmailMessage, policy=policy.default)
    assert str(message["subject"]) == " ".join(subject.split())


@given(st.sampled_from(["\r\n", "\n", "\r", "\x0b", "\u2028"]))
def test_line_break_in_a_name_or_subject_adds_no_header(line_break: str) -> None:
    attack = f"Chan{line_break}Bcc: everybody@clinic.example"
    rendered = Rendered(subject=attack, text="x", html="x")

    message = a_message(rendered, recipient_name=attack)

    assert message["bcc"] is None
    assert len(message["to"].addresses) == 1


def test_certificate_list_computes_nothing_when_a_spreadsheet_opens_it() -> None:
    content = certificate_list(
        [CertificateLine(name="=cmd()", serial="0123e5", not_after="2026-12-31")],
        columns=("name", "serial", "until"),
    )

    assert content.startswith(b"\xef\xbb\xbf")
    assert content.splitlines()[1] == b"'=cmd(),01:23:e5,2026-12-31"
