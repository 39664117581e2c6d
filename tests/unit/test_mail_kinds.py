"""Who sent a message: a server, a person's program, or a person."""

import pytest
from fakes.letters import written

from models.terms import MailKind
from tocsin.mail.incoming import understand

CHAN = "Chan Tai Man <chan@clinic.example>"


def kind(text: str, subject: str = "Re: Your certificates", **headers: str) -> MailKind:
    message = written(text, sender=CHAN, subject=subject, **headers)  # type: ignore[arg-type]
    return understand(message).kind


@pytest.mark.parametrize(
    "text",
    [
        "I am no longer with the company.",
        "Ms Lee has left the organisation.",
        "Chan Tai Man retired in January.",
        "This address is no longer in use.",
        "This mailbox is not monitored.",
        "Mr Chan does not work here any more.",
        "陳大文已離職。",
        "陈大文已从我司离职，请联系王先生。",
        "本人已不在貴公司工作",
        "已退休",
        "此邮箱已停用",
        "Herr Chan ist nicht mehr bei uns tätig.",
        "M. Chan a quitté l'entreprise.",
        "Chan ya no trabaja con nosotros.",
        "O Sr. Chan não trabalha mais aqui.",
    ],
)
def test_program_that_says_somebody_left_is_understood(text: str) -> None:
    assert kind(text, "Automatic reply", Auto_Submitted="auto-replied") is (
        MailKind.DEPARTURE
    )


@pytest.mark.parametrize(
    "text",
    [
        "I have left for the day and will be back tomorrow.",
        "I am out of the office until 16 March.",
        "I left the office early. I will return on Monday.",
        "On annual leave, back on 16 March. Mr Wong no longer handles these.",
        "本人正在休假，3月16日返回。",
        "我出差，回来后处理。",
        "Ich bin bis 16.03. nicht im Büro.",
    ],
)
def test_program_that_says_when_somebody_is_back_is_no_departure(text: str) -> None:
    assert kind(text, "Automatic reply", Auto_Submitted="auto-replied") is (
        MailKind.ABSENCE
    )


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Your certificates",
        "Out of Office: Your certificates",
        "Auto: Your certificates",
        "自动回复: 证书",
        "自動回覆：證書",
        "Abwesenheitsnotiz: Zertifikate",
        "Réponse automatique : certificats",
        "Respuesta automática: certificados",
        "自動返信",
    ],
)
def test_program_is_known_by_its_subject_when_it_sets_no_header(subject: str) -> None:
    assert kind("Gone fishing.", subject) is MailKind.ABSENCE


def test_person_who_answers_an_automatic_reply_is_a_person() -> None:
    assert kind("I am here after all.", "Re: Automatic reply: x") is MailKind.PERSON


def test_person_who_says_that_somebody_left_is_a_person() -> None:
    assert kind("Chan has left the company. I do this now.") is MailKind.PERSON


def test_message_that_nobody_can_read_is_kept() -> None:
    assert understand(b"").kind is MailKind.AUTOMATIC
    assert understand(b"\x00\xff").kind is MailKind.AUTOMATIC


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "word",
    [
        "\n",
        "> \n",
        "user ",
        "not ",
        "a",
        "@",
        "/s/aaaaaaaaaaaaaaaaaaaaa.",
        "<!--",
        "收件人",
    ],
)
def test_nobody_can_keep_us_busy_with_a_long_message(word: str) -> None:
    many = word * (60_000 // len(word))
    for head in (
        "From: MAILER-DAEMON@x.example\nSubject: failure notice\n",
        "From: a@x.example\nSubject: Automatic reply\nContent-Type: text/html\n",
    ):
        assert understand(f"{head}\n{many}".encode()).fingerprint
