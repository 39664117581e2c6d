"""A mailbox read by IMAP: what is new, once, whoever else reads it, and killed in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.dovecot import DOVECOT, PASSWORD, Dovecot, running_dovecot

from tocsin.errors import Unavailable
from tocsin.mail.imap import ImapMailbox
from tocsin.settings import Tls

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        not Path(DOVECOT).exists(), reason="needs Debian's dovecot-imapd"
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with running_dovecot() as dovecot:
        yield dovecot


@pytest.fixture
def dovecot(server: Dovecot) -> Iterator[Dovecot]:
    yield server
    server.empty()


def mailbox(
    server: Dovecot, *, tls: Tls = Tls.IMPLICIT, **changes: object
) -> ImapMailbox:
    options = {
        "tls": tls,
        "username": "ca",
        "password": PASSWORD,
        "context": server.context,
    } | changes
    port = server.implicit if tls is Tls.IMPLICIT else server.starttls
    return ImapMailbox("127.0.0.1", port, **options)  # type: ignore[arg-type]


def message(number: int) -> bytes:
    return f"Subject: {number}\r\n\r\nText {number}\r\n".encode()


@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
def test_new_mail_is_read_in_the_order_of_its_arrival(
    dovecot: Dovecot, tls: Tls
) -> None:
    dovecot.deliver(*map(message, range(3)))
    box = mailbox(dovecot, tls=tls)

    read = list(box.read(box.keys()))

    assert [one.content for one in read] == [message(number) for number in range(3)]


def test_mail_stays_new_until_it_is_told_to_be_filed(dovecot: Dovecot) -> None:
    dovecot.deliver(message(1))
    box = mailbox(dovecot)
    keys = box.keys()
    assert len(list(box.read(keys))) == 1

    assert mailbox(dovecot).keys() == keys
    box.done(keys)
    box.done(keys)
    assert mailbox(dovecot).keys() == []
    assert list(box.read(keys)) != []


def test_mail_is_filed_that_somebody_has_read_before(dovecot: Dovecot) -> None:
    dovecot.deliver(message(1))
    with dovecot.client() as client:
        client.store("1", "+FLAGS", r"\Seen")

    assert len(mailbox(dovecot).keys()) == 1


def test_nothing_is_deleted_and_people_see_what_was_filed(dovecot: Dovecot) -> None:
    dovecot.deliver(message(1))
    box = mailbox(dovecot)
    box.done(box.keys())

    with dovecot.client() as client:
        assert client.search(None, "SEEN", "KEYWORD", "TocsinFiled")[1] == [b"1"]


def test_message_that_was_taken_away_is_left_out(dovecot: Dovecot) -> None:
    dovecot.deliver(message(1))
    dovecot.deliver(message(2))
    box = mailbox(dovecot)
    first, second = box.keys()

    stale = first.replace(first.partition(".")[0], "1")

    assert [one.key for one in box.read([stale, second])] == [second]


def test_only_the_beginning_is_read_when_a_message_is_too_large(
    dovecot: Dovecot,
) -> None:
    dovecot.deliver(message(1) + b"x" * 100_000)
    box = mailbox(dovecot, largest=10_000)

    (read,) = box.read(box.keys())

    assert len(read.content) == 10_000


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "wrong"},
        {"folder": "Nowhere"},
        {"context": None},  # its certificate is nobody's
    ],
)
def test_mailbox_says_so_when_it_cannot_be_read(
    dovecot: Dovecot, changes: dict[str, object]
) -> None:
    with pytest.raises(Unavailable, match="TOCSIN_IMAP_HOST"):
        mailbox(dovecot, **changes).keys()  # type: ignore[arg-type]


def test_mailbox_says_so_when_nobody_listens() -> None:
    box = ImapMailbox(
        "127.0.0.1", 1, tls=Tls.IMPLICIT, username="ca", password=PASSWORD
    )

    with pytest.raises(Unavailable):
        box.keys()
