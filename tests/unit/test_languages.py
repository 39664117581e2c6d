"""Who reads which language, and that a further one is a folder and no code."""

import re
from datetime import UTC, datetime
from html import unescape

import pytest

from models.terms import Circumstance, NoticeKind
from tocsin.errors import BadInput
from tocsin.mail.checks import check_templates, untranslated
from tocsin.mail.language import negotiate, read_language
from tocsin.mail.render import NoticeContext, TemplateSet, render_notice
from tocsin.mail.samples import sample_contexts
from tocsin.policy.rules import shipped_rule_pack

TEMPLATES = TemplateSet.from_files()
SOURCES = TEMPLATES.sources()
DEADLINE_2024 = datetime(2024, 3, 23, 13, 1, tzinfo=UTC)
# Chinese signs and the punctuation that stands with them, each two columns wide.
CHINESE = "\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef"


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        ("zh-Hant", "zh-Hant"),
        ("zh-HK", "zh-Hant"),
        ("zh-TW", "zh-Hant"),
        ("zh-MO", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("ZH-hant", "zh-Hant"),
        ("en-GB", "en"),
        ("zh-CN", "en"),
        ("zh-Hans", "en"),
        ("zh", "en"),
        ("fr", "en"),
        ("", "en"),
        ("no language at all", "en"),
    ],
)
def test_reader_gets_their_language_in_their_script_and_else_english(
    wanted: str, read: str
) -> None:
    assert negotiate(wanted, ["en", "zh-Hant"]) == read


@pytest.mark.parametrize(
    ("wanted", "available", "read"),
    [
        ("pt-PT", ["en", "pt-BR", "pt-PT"], "pt-PT"),
        ("pt-AO", ["en", "pt-BR"], "pt-BR"),
        ("sr-Latn", ["en", "sr"], "en"),
        ("zh-SG", ["en", "zh-Hant", "zh-Hans"], "zh-Hans"),
    ],
)
def test_nearest_language_is_chosen_when_none_is_exactly_it(
    wanted: str, available: list[str], read: str
) -> None:
    assert negotiate(wanted, available) == read


@pytest.mark.parametrize(
    ("tag", "zone", "written"),
    [
        ("zh-Hant", "Asia/Hong_Kong", "2024年3月23日（星期六）21:01（香港時間）"),  # noqa: RUF001
        ("zh-Hant", "Europe/London", "2024年3月23日（星期六）13:01（英國時間）"),  # noqa: RUF001
        ("zh-Hant", "UTC", "2024年3月23日（星期六）13:01（UTC）"),  # noqa: RUF001
        ("en", "Asia/Hong_Kong", "Saturday 23 March 2024, 21:01 HKT"),
        ("en", "America/Sao_Paulo", "Saturday 23 March 2024, 10:01 UTC-03:00"),
        ("en", "UTC", "Saturday 23 March 2024, 13:01 UTC"),
    ],
)
def test_instant_is_written_as_the_language_writes_it(
    tag: str, zone: str, written: str
) -> None:
    assert TEMPLATES.language(tag).instant(DEADLINE_2024, zone).local == written


def test_instant_is_written_in_utc_beside_it_in_both_languages() -> None:
    written = [
        TEMPLATES.language(tag).instant(DEADLINE_2024, "Asia/Hong_Kong").utc
        for tag in ("en", "zh-Hant")
    ]

    assert written == [
        "Saturday 23 March, 13:01 UTC",
        "協調世界時（UTC）3月23日（星期六）13:01",  # noqa: RUF001
    ]


# A language of nobody: Polish plurals and months, from right to left as Arabic.
INVENTED = {
    "qya/language.toml": """
locale = "pl"
columns = ["essë", "nótë", "tenna"]
[dates]
local = "EEEE, d MMMM y, HH:mm '{zone}'"
utc = "d.MM HH:mm 'UTC'"
[words]
serials = "Nóti"
colon = " = "
test = "<< "
[circumstances]
misissued = "ú-carna"
""",
    "qya/event.txt": "Metta: {{ certificates[0].name }}\n{{ ca_phone }}",
    "qya/initial/subject.txt": "{{ total|number }} "
    "{{ plural(total, one='certyfikat', few='certyfikaty', many='certyfikatów', "
    "other='certyfikatu') }}, {{ revocation.local }}",
    "qya/initial/body.txt": "{{ revocation.local }}\n{{ revocation.utc }}\n"
    "{{ certificates[0].name }}\n{{ link }}\n{{ ca_phone }}\n{{ circumstance }}",
    "qya/initial/body.html": """{% extends "_base/notice.html" %}
{% block call %}{{ ca_phone }}{% endblock %}""",
}


def invented(**changes: str) -> TemplateSet:
    return TemplateSet.from_sources(SOURCES | INVENTED | changes)


def test_third_language_is_a_folder_and_no_code() -> None:
    templates = invented()
    language = templates.language("qya")
    subjects = [
        render_notice(
            templates, kind=NoticeKind.INITIAL, language="qya", context=context
        ).subject
        for context in sample_contexts(NoticeKind.INITIAL, language).values()
    ]

    assert check_templates(templates) == ()
    assert subjects[:3] == [
        "1 certyfikat, sobota, 7 marca 2026, 11:00 HKT",
        "98 certyfikatów, sobota, 7 marca 2026, 11:00 HKT",
        "500 certyfikatów, sobota, 7 marca 2026, 11:00 HKT",
    ]
    assert language.plural(22, few="certyfikaty", other="-") == "certyfikaty"
    assert language.number(12345) == "12\N{NO-BREAK SPACE}345"


def test_direction_is_the_languages_own() -> None:
    rtl = invented(**{"qya/language.toml": 'locale = "ar"\n[words]\nserials = "x"'})

    html = render_notice(
        rtl,
        kind=NoticeKind.INITIAL,
        language="qya",
        context=next(
            reversed(sample_contexts(NoticeKind.INITIAL, rtl.language("qya")).values())
        ),
    ).html

    assert '<html lang="qya" dir="rtl">' in html


def test_reader_gets_a_whole_notice_in_english_when_their_language_lacks_its_kind() -> (
    None
):
    templates = invented()

    wording = templates.wording(NoticeKind.FINAL, "qya")

    assert wording.language.tag == "en"
    assert untranslated(templates) == {
        "qya": tuple(kind for kind in NoticeKind if kind is not NoticeKind.INITIAL)
    }


def test_notice_is_in_english_when_its_own_language_has_a_part_of_it_only() -> None:
    half = invented(**{"qya/final/subject.txt": "metta"})

    assert half.wording(NoticeKind.FINAL, "qya").language.tag == "en"
    assert list(check_templates(half)) == [
        "qya/final/body.txt: not there",
        "qya/final/body.html: not there",
    ]


def test_frozen_templates_of_before_there_were_language_files_still_render() -> None:
    old = TemplateSet.from_sources(
        {
            path: source
            for path, source in SOURCES.items()
            if not path.endswith("language.toml")
        }
    )

    wording = old.wording(NoticeKind.ESCALATION, "en")

    assert wording.language.instant(DEADLINE_2024, "Asia/Hong_Kong").local == (
        "Saturday 23 March 2024, 21:01 HKT"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("colour = 'red'", "field colour: no such key"),
        ("locale = 'xx'", "field locale: unknown locale 'xx'"),
        ("[dates]\nlocal = 'QQQQQQQ'", "a value does not work"),
        ("[dates]\nzone = 'tiny'", "field zone: write short or long"),
        ("columns = ['one']", "a value does not work"),
        ("[words]\nserials = 3", "field words: write words as text"),
        ("[words", "not TOML"),
    ],
)
def test_slip_in_a_language_file_is_named(text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=re.escape(complaint)):
        read_language("fr", text, file="fr/language.toml")

    found = check_templates(invented(**{"qya/language.toml": text}))
    assert len(found) == 1
    assert found[0].startswith("qya/language.toml: ")


def test_every_circumstance_is_said_in_chinese() -> None:
    language = TEMPLATES.language("zh-Hant")

    for rule in shipped_rule_pack().rules:
        said = language.circumstance(rule.circumstance, otherwise=rule.text)

        assert said != rule.text


def test_rule_pack_says_why_where_a_language_does_not() -> None:
    english = TEMPLATES.language("en")

    assert english.circumstance(Circumstance.MISUSED, otherwise="as it is") == (
        "as it is"
    )


def all_chinese() -> list[str]:
    language = TEMPLATES.language("zh-Hant")
    said = []
    for kind in NoticeKind:
        for context in sample_contexts(kind, language).values():
            notice = render_notice(
                TEMPLATES,
                kind=kind,
                language="zh-Hant",
                context=context,
                is_in_calendar=isinstance(context, NoticeContext),
            )
            page = re.sub("<style>.*</style>|<[^>]*>", "", notice.html, flags=re.DOTALL)
            said += [notice.subject, notice.text, unescape(page)]
            if notice.event is not None:
                said += [notice.event.title, notice.event.text]
    return said


@pytest.mark.parametrize(
    ("slip", "what"),
    [
        (rf"[{CHINESE}][,;:!?()]", "half-width punctuation after Chinese"),
        (rf"[,;:!?(][{CHINESE}]", "half-width punctuation before Chinese"),
        (rf"[{CHINESE}] [{CHINESE}]", "a space between Chinese signs"),
        (r" [，。、；：？！（）」】]", "a space before punctuation"),  # noqa: RUF001
        (r"[，。、；：？！（「【] ", "a space after punctuation"),  # noqa: RUF001
        (r"[，。、；：？！]{2}", "punctuation twice"),  # noqa: RUF001
    ],
)
def test_chinese_is_set_as_chinese(slip: str, what: str) -> None:
    for text in all_chinese():
        found = re.search(slip, text)

        assert found is None, f"{what}: {text[max(0, found.start() - 12) :][:30]}"


def test_chinese_signs_are_those_of_hong_kong() -> None:
    for text in all_chinese():
        # Big5 with Hong Kong's supplement has no simplified sign.
        assert text.encode("big5hkscs")
