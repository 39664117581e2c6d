from pathlib import Path

import pytest

from tocsin.demo import record
from tocsin.demo.children import prefect_environment
from tocsin.demo.crowd import Journal, Outcome
from tocsin.demo.folder import Folder
from tocsin.demo.mailbox import MaildirMailbox
from tocsin.demo.people import Answer, Deed

ANSWER = Answer(organisation=7, deed=Deed.HAND_IN, at=record.LAUNCHED_AT)
FIELDS = [("nonce", "n1"), ("csr", "-----BEGIN")]


def test_i4_the_very_form_is_known_when_its_sender_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Journal(path).note_sending(ANSWER, "http://127.0.0.1/s/x/csr", FIELDS)

    again = Journal(path)

    assert not again.has_ended(ANSWER)
    assert again.half_sent(ANSWER) == ("http://127.0.0.1/s/x/csr", FIELDS)


def test_an_answer_is_over_when_its_end_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Journal(path).note_end(ANSWER, Outcome.TOO_LATE)

    again = Journal(path)

    assert again.has_ended(ANSWER)
    assert again.count(Outcome.TOO_LATE) == 1


def test_half_a_line_is_no_answer_when_a_process_was_killed_in_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"key": "7:hand-in", "outc', "utf-8")

    again = Journal(path)
    has_ended, half_sent = again.has_ended(ANSWER), again.half_sent(ANSWER)
    again.note_end(ANSWER, Outcome.DONE)

    assert not has_ended
    assert half_sent is None
    assert Journal(path).has_ended(ANSWER)


def test_another_incident_is_left_alone_when_the_caller_works_on_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_SMTP_HOST", "mail.ca.example")
    monkeypatch.setenv("PREFECT_API_KEY", "secret")

    environment = prefect_environment(Folder(tmp_path), 4200)

    assert not any(name.startswith("TOCSIN_") for name in environment)
    assert "PREFECT_API_KEY" not in environment
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_a_link_is_found_when_the_person_has_a_notice(
    tmp_path: Path,
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    mailbox = MaildirMailbox(tmp_path)
    letter = (
        "Delivered-To: ada@school.example\r\nContent-Type: text/plain\r\n\r\n"
        "Your page:\r\nhttp://127.0.0.1:8780/s/{}\r\n"
    )

    assert mailbox.latest_link("ada@school.example") is None
    (new / "1").write_text(letter.format("first.one-A_"), "ascii")
    (new / "2").write_text(letter.replace("ada", "bo").format("other"), "ascii")

    assert (
        mailbox.latest_link("Ada@school.example")
        == "http://127.0.0.1:8780/s/first.one-A_"
    )
