"""What a person wrote is kept: without quotations, links and private keys."""

import pytest
from fakes.letters import written
from hypothesis import given
from hypothesis import strategies as st

from models.terms import MailTopic
from tocsin.mail.parts import parse
from tocsin.mail.writing import (
    LONGEST,
    Written,
    asks_for_extension,
    read_writing,
    without_quotes,
)

SIGNED = "WyJ0ZXN0Il0.c2lnbmF0dXJlLXRoYXQtaXMtc2VjcmV0"


def read(text: str, **options: object) -> Written:
    message = written(text, sender="chan@clinic.example", **options)  # type: ignore[arg-type]
    return read_writing(parse(message))


@pytest.mark.parametrize(
    "quotation",
    [
        "On Mon, 2 Mar 2026 at 12:00, Example CA <ca@ca.example> wrote:\n> Notice",
        "On Mon, 2 Mar 2026 at 12:00,\nExample CA <ca@ca.example> wrote:\n\n> Notice",
        "-----Original Message-----\nFrom: Example CA\nSent: Monday\n\nNotice",
        "________________________________\nFrom: Example CA\nSent: Monday\n\nNotice",
        "From: Example CA <ca@ca.example>\nDate: Monday\nTo: Chan\n\nNotice",
        "-----原始邮件-----\n发件人: Example CA\n\nNotice",
        "寄件者: Example CA <ca@ca.example>\n寄件日期: 2026年3月2日\n\nNotice",
        "Example CA <ca@ca.example> 於 2026年3月2日 週一 12:00 寫道：\n\n> Notice",
        "Am Mo., 2. März 2026 um 12:00 Uhr schrieb Example CA:\n> Notice",
    ],
)
def test_what_is_quoted_is_left_out(quotation: str) -> None:
    assert without_quotes(f"We are on it.\n\n{quotation}\n") == "We are on it."


def test_answer_below_what_it_quotes_is_kept() -> None:
    text = "On Mon, Example CA wrote:\n> Notice\n> more\n\nWe are on it.\n"

    assert without_quotes(text) == "We are on it."


def test_everything_is_kept_when_all_of_it_is_quoted() -> None:
    assert without_quotes("> Notice\n> more") == "> Notice\n> more"


def test_link_is_never_kept() -> None:
    kept = read(f"Is https://portal.ca.example/s/{SIGNED} real?")

    assert SIGNED not in kept.text
    assert "https://portal.ca.example/s/[link]" in kept.text


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nMIIEvQ",  # cut off
        "PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 1\nMIIEvQ\nPrivate-MAC: 1",
    ],
)
def test_private_key_is_never_kept(key: str) -> None:
    kept = read(f"Please see:\n{key}\n")

    assert "MIIEvQ" not in kept.text
    assert MailTopic.PRIVATE_KEY in kept.topics


def test_long_text_is_cut_and_says_so() -> None:
    kept = read("x" * 2 * LONGEST)

    assert len(kept.text) == LONGEST
    assert kept.is_cut


def test_text_is_read_from_html_when_there_is_no_other() -> None:
    message = (
        b"From: chan@clinic.example\r\nSubject: Re\r\nContent-Type: text/html\r\n\r\n"
        b"<p>We are <b>on it</b>.</p><blockquote><p>Notice</p></blockquote>"
    )

    assert " ".join(read_writing(parse(message)).text.split()) == "We are on it ."


@pytest.mark.parametrize(
    "text",
    [
        "Could you extend the deadline by a week?",
        "We would like to request an extension.",
        "We need more time.",
        "Can you give us two more days to replace them?",
        "Please delay the revocation until our change freeze is over.",
        "Please do not revoke our certificates before Monday.",
        "It is impossible to replace them by the deadline.",
        "Is there a grace period?",
        "請問可否延期？",
        "能否宽限几天？",
        "懇請暫緩撤銷證書",
        "时间不够，请推迟到下周",
    ],
)
def test_request_for_more_time_is_recognised(text: str) -> None:
    assert asks_for_extension(text)


@pytest.mark.parametrize(
    "text",
    [
        "Thanks, we are on it.",
        "We do not need an extension.",
        "No more time needed, all done.",
        "Which key usage extension do you want in the CSR?",
        "Please call me on extension 4411.",
        "The browser extension shows an error.",
        "We will replace all of them tomorrow.",
        "毋須延期，我們已更換證書。",
        "收到，謝謝。",
    ],
)
def test_other_words_are_no_request_for_more_time(text: str) -> None:
    assert not asks_for_extension(text)


def test_somebody_else_who_should_get_it_is_noted() -> None:
    assert MailTopic.NOT_ME in read("I am the wrong person, write to IT.").topics
    assert MailTopic.NOT_ME in read("此證書由資訊科技部負責，請聯絡李小姐。").topics


@given(st.text(max_size=300))
def test_whatever_is_written_can_be_kept_by_a_database(text: str) -> None:
    kept = read(text.encode("utf-8", "replace").decode())

    assert "\x00" not in kept.text + kept.subject
    assert "\x1b" not in kept.text + kept.subject
