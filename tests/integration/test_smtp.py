"""Every way in which a relay can answer, end or stay silent has its outcome."""

import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Collecting
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fakes.scripted_relay import (
    CLOSE,
    SILENCE,
    TAKE_AND_CLOSE,
    Asked,
    ScriptedRelay,
)

from models.terms import NoticeId
from tocsin.demo.ports import free_port
from tocsin.mail.smtp import OutgoingMessage, SendKind, SendOutcome, SmtpMailer
from tocsin.settings import Tls

# It thinks that TLS begins with STARTTLS only.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

HOST = "127.0.0.1"
LOGIN = {"username": "tocsin", "password": "secret"}
CONTENT = b"Subject: test\r\n\r\n.a line that begins with a dot\r\nand another\r\n"


def mailer(port: int, **options: object) -> SmtpMailer:
    given = {"tls": Tls.NONE, "connections": 1, "timeout_seconds": 5} | options
    return SmtpMailer(HOST, port, **given)  # type: ignore[arg-type]


def messages(count: int) -> list[OutgoingMessage]:
    return [message(number) for number in range(1, count + 1)]


def message(number: int, recipient: str = "") -> OutgoingMessage:
    return OutgoingMessage(
        notice_id=NoticeId(number),
        sender=f"bounce+{number}@bounces.ca.example",
        recipient=recipient or f"r{number}@clinic.example",
        content=CONTENT,
    )


def send(
    relay: ScriptedRelay, batch: Sequence[OutgoingMessage], **options: object
) -> dict[int, SendOutcome]:
    outcomes = list(mailer(relay.port, **options).send(batch))

    # I3: one outcome for each message.
    assert sorted(one.notice_id for one in outcomes) == sorted(
        one.notice_id for one in batch
    )
    return {one.notice_id: one for one in outcomes}


def kinds(outcomes: dict[int, SendOutcome]) -> list[str]:
    return [outcomes[number].kind.value for number in sorted(outcomes)]


def test_message_arrives_byte_for_byte_under_its_own_return_path() -> None:
    with ScriptedRelay() as relay:
        outcomes = send(relay, messages(3))

    assert kinds(outcomes) == ["sent"] * 3
    assert [(one.sender, one.recipient, one.content) for one in relay.taken] == [
        (f"bounce+{n}@bounces.ca.example", f"r{n}@clinic.example", CONTENT)
        for n in (1, 2, 3)
    ]


def test_every_message_leaves_once_when_several_connections_share_a_batch() -> None:
    with ScriptedRelay() as relay:
        outcomes = send(relay, messages(60), connections=4)

    assert Counter(kinds(outcomes)) == {"sent": 60}
    assert len(set(relay.recipients)) == len(relay.recipients) == 60
    assert relay.connections == 4


def test_connection_is_renewed_when_it_has_carried_its_share() -> None:
    with ScriptedRelay() as relay:
        send(relay, messages(5), per_connection=2)

    assert [one.connection for one in relay.taken] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("verb", "reply", "kind", "code"),
    [
        ("RCPT", "550 5.1.1 no such user", SendKind.FAILED, 550),
        ("RCPT", "553 5.1.3 bad address", SendKind.FAILED, 553),
        ("RCPT", "550 no enhanced code", SendKind.FAILED, 550),
        ("RCPT", "450 4.2.1 greylisted", SendKind.RETRY, 450),
        # Our set-up is at fault: no contact may become unreachable by it.
        ("RCPT", "554 5.7.1 Relay access denied", SendKind.RETRY, 554),
        ("RCPT", "530 5.7.0 Authentication required", SendKind.RETRY, 530),
        ("MAIL", "550 5.1.8 sender refused", SendKind.RETRY, 550),
        ("MAIL", "452 4.3.1 disk full", SendKind.RETRY, 452),
        ("DATA", "451 4.3.0 later", SendKind.RETRY, 451),
        ("DATA", "554 5.5.1 no", SendKind.RETRY, 554),
        ("CONTENT", "451 4.3.0 later", SendKind.RETRY, 451),
        ("CONTENT", "554 5.6.0 looks like spam", SendKind.RETRY, 554),
        ("CONTENT", "550 5.1.1 no such user", SendKind.FAILED, 550),
        # RFC 5321: 2yz is success, whatever the other digits are.
        ("CONTENT", "251 2.1.5 will forward", SendKind.SENT, 251),
        ("RCPT", "251 will forward", SendKind.SENT, 250),
    ],
)
def test_answer_becomes_its_outcome_and_the_next_message_is_unharmed(
    verb: str, reply: str, kind: SendKind, code: int
) -> None:
    def answer(asked: Asked) -> str | None:
        return reply if (asked.verb, asked.message) == (verb, 1) else None

    with ScriptedRelay(answer) as relay:
        outcomes = send(relay, messages(2))

    assert (outcomes[1].kind, outcomes[1].smtp_code) == (kind, code)
    assert outcomes[2].kind is SendKind.SENT
    assert relay.connections == 1
    # The second one left under its own return path.
    assert relay.taken[-1].sender == "bounce+2@bounces.ca.example"
    assert relay.taken[-1].recipient == "r2@clinic.example"


def test_refusal_stands_when_the_server_then_hangs_in_the_reset() -> None:
    def answer(asked: Asked) -> str | None:
        if asked.connection == 1 and asked.verb == "RCPT":
            return "550 5.1.1 no such user"
        return SILENCE if asked.verb == "RSET" else None

    with ScriptedRelay(answer) as relay:
        outcomes = send(relay, messages(2), timeout_seconds=0.5)

    assert kinds(outcomes) == ["failed", "sent"]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("end", [CLOSE, SILENCE, "421 4.3.2 going down", "what?"])
def test_message_is_sent_on_a_new_connection_when_the_old_one_ends_before_content(
    verb: str, end: str
) -> None:
    def answer(asked: Asked) -> str | None:
        is_second = (asked.connection, asked.message) == (1, 2)
        return end if is_second and asked.verb == verb else None

    with ScriptedRelay(answer) as relay:
        outcomes = send(relay, messages(3), timeout_seconds=0.5)

    assert kinds(outcomes) == ["sent"] * 3
    assert relay.recipients == [f"r{n}@clinic.example" for n in (1, 2, 3)]
    assert relay.connections == 2


def test_i4_message_is_in_doubt_when_the_connection_is_lost_after_the_content() -> None:
    def answer(asked: Asked) -> str | None:
        return (
            TAKE_AND_CLOSE if asked.message == 1 and asked.verb == "CONTENT" else None
        )

    with ScriptedRelay(answer) as relay:
        outcomes = send(relay, messages(1))

    assert kinds(outcomes) == ["in-doubt"]
    # The relay has it: sending it again at once would have made two.
    assert relay.recipients == ["r1@clinic.example"]


@pytest.mark.parametrize("end", [CLOSE, SILENCE, "what?"])
def test_others_are_sent_on_a_new_connection_when_one_ends_in_doubt(end: str) -> None:
    def answer(asked: Asked) -> str | None:
        is_first = (asked.connection, asked.message) == (1, 1)
        return end if is_first and asked.verb == "CONTENT" else None

    with ScriptedRelay(answer) as relay:
        outcomes = send(relay, messages(3), timeout_seconds=0.5)

    assert kinds(outcomes) == ["in-doubt", "sent", "sent"]


def test_message_is_sent_again_on_a_new_connection_when_421_comes_after_the_dot() -> (
    None
):
    def answer(asked: Asked) -> str | None:
        is_first = (asked.connection, asked.message) == (1, 1)
        return (
            "421 4.3.2 shutting down" if is_first and asked.verb == "CONTENT" else None
        )

    with ScriptedRelay(answer) as relay:
        outcomes = send(relay, messages(2))

    assert kinds(outcomes) == ["sent", "sent"]
    assert relay.connections == 2


def test_everything_is_not_sent_at_once_when_nobody_listens() -> None:
    port = free_port()
    started = time.monotonic()

    outcomes = list(mailer(port, connections=4).send(messages(200)))

    assert {one.kind for one in outcomes} == {SendKind.NOT_SENT}
    assert len(outcomes) == 200
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("end", [CLOSE, "421 too busy", "554 go away"])
def test_everything_is_not_sent_when_the_relay_refuses_to_greet(end: str) -> None:
    with ScriptedRelay(lambda a: end if a.verb == "GREETING" else None) as relay:
        outcomes = send(relay, messages(50), connections=3)

    assert Counter(kinds(outcomes)) == {"not-sent": 50}
    assert relay.connections == 3


def test_relay_is_left_alone_when_each_connection_ends_before_content() -> None:
    with ScriptedRelay(lambda a: CLOSE if a.verb == "MAIL" else None) as relay:
        outcomes = send(relay, messages(50))

    assert Counter(kinds(outcomes)) == {"not-sent": 50}
    assert relay.connections == 2


def test_relay_is_left_alone_when_one_message_after_the_other_ends_in_doubt() -> None:
    with ScriptedRelay(lambda a: CLOSE if a.verb == "CONTENT" else None) as relay:
        outcomes = send(relay, messages(50), connections=2)

    found = Counter(kinds(outcomes))
    assert found["in-doubt"] <= 6
    assert found["in-doubt"] + found["not-sent"] == 50


def test_detail_tells_what_happened_but_not_to_whom() -> None:
    with ScriptedRelay(
        lambda a: (
            f"550 5.1.1 <{a.argument[4:-1]}> is gone, ask admin@mx.clinic.example"
            if a.verb == "RCPT"
            else None
        )
    ) as relay:
        outcomes = send(relay, messages(1))

    assert "is gone" in outcomes[1].detail
    assert "@" not in outcomes[1].detail


@pytest.mark.parametrize(
    "address",
    [
        "no-at-sign",
        "two words@clinic.example",
        "a@b.example>\r\nRCPT TO:<x@y.example",
        "@x",
    ],
)
def test_address_that_cannot_be_written_to_fails_without_harm_to_the_others(
    address: str,
) -> None:
    with ScriptedRelay() as relay:
        outcomes = send(relay, [message(1, address), message(2)])

    assert kinds(outcomes) == ["failed", "sent"]
    assert relay.recipients == ["r2@clinic.example"]


def test_domain_is_written_in_ascii_when_it_is_not() -> None:
    with ScriptedRelay() as relay:
        outcomes = send(relay, [message(1, "chan@bücher.example")])

    assert kinds(outcomes) == ["sent"]
    assert relay.recipients == ["chan@xn--bcher-kva.example"]


def test_connection_is_dropped_when_the_caller_wants_no_more() -> None:
    hangs = threading.Event()

    def answer(asked: Asked) -> str | None:
        if asked.message == 2 and asked.verb == "RCPT":
            hangs.set()
            return SILENCE
        return None

    with ScriptedRelay(answer) as relay:
        sending = mailer(relay.port, timeout_seconds=60).send(messages(3))
        first = next(sending)
        assert hangs.wait(10)
        started = time.monotonic()
        sending.close()  # type: ignore[attr-defined]

    assert first.kind is SendKind.SENT
    assert time.monotonic() - started < 10
    assert relay.recipients == ["r1@clinic.example"]


class Collector(Collecting):
    def __init__(self) -> None:
        super().__init__()
        self.recipients: list[str] = []

    def handle_message(self, message: object) -> None:
        self.recipients.append(message["X-RcptTo"])  # type: ignore[index]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)  # noqa: TID251 - TLS looks at the machine's clock
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "relay.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture(params=[Tls.STARTTLS, Tls.IMPLICIT])
def secured(
    request: pytest.FixtureRequest, certificate: Path, collector: Collector
) -> Iterator[tuple[Tls, int]]:
    """A relay that offers TLS and wants a login."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    port = free_port()
    is_implicit = request.param is Tls.IMPLICIT

    def check(*arguments: object) -> AuthResult:
        given = arguments[-1]
        assert isinstance(given, LoginPassword)
        return AuthResult(
            success=(given.login, given.password) == (b"tocsin", b"secret")
        )

    controller = Controller(
        collector,
        hostname=HOST,
        port=port,
        ssl_context=context if is_implicit else None,
        tls_context=None if is_implicit else context,
        require_starttls=not is_implicit,
        auth_required=True,
        auth_require_tls=not is_implicit,
        authenticator=check,
    )
    controller.start()
    yield request.param, port
    controller.stop()


def test_mail_leaves_over_verified_tls_after_a_login(
    secured: tuple[Tls, int], certificate: Path, collector: Collector
) -> None:
    tls, port = secured
    trusted = ssl.create_default_context(cafile=certificate)

    outcomes = list(
        mailer(port, tls=tls, tls_context=trusted, **LOGIN).send(messages(2))
    )

    assert [one.kind for one in outcomes] == [SendKind.SENT] * 2
    assert sorted(collector.recipients) == ["r1@clinic.example", "r2@clinic.example"]


def test_nothing_is_sent_when_the_login_is_refused(
    secured: tuple[Tls, int], certificate: Path, collector: Collector
) -> None:
    tls, port = secured
    trusted = ssl.create_default_context(cafile=certificate)

    outcomes = list(
        mailer(
            port,
            tls=tls,
            tls_context=trusted,
            timeout_seconds=1,
            **(LOGIN | {"password": "wrong"}),
        ).send(messages(2))
    )

    assert {one.kind for one in outcomes} == {SendKind.NOT_SENT}
    assert collector.recipients == []


def test_nothing_is_sent_when_the_certificate_is_not_trusted(
    secured: tuple[Tls, int], collector: Collector
) -> None:
    tls, port = secured

    outcomes = list(mailer(port, tls=tls, **LOGIN).send(messages(2)))

    assert {one.kind for one in outcomes} == {SendKind.NOT_SENT}
    assert "certificate verify failed" in outcomes[0].detail.lower()
    assert collector.recipients == []


def test_nothing_is_sent_when_starttls_is_wanted_and_not_offered() -> None:
    with ScriptedRelay() as relay:
        outcomes = send(relay, messages(2), tls=Tls.STARTTLS)

    assert kinds(outcomes) == ["not-sent"] * 2
    assert relay.taken == []
