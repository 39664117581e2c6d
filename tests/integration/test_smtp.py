"""Every way in which a relay can answer, end or stay silent has its outcome."""

import asyncio
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
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
from fakes.sink import smtp_sink

from models.terms import NoticeId
from tocsin.demo.ports import free_port
from tocsin.mail.dial import default_context
from tocsin.mail.pool import Pool
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
    given: list[int] = []

    def feed() -> Iterator[OutgoingMessage]:
        for one in batch:
            given.append(one.notice_id)
            yield one

    outcomes = list(mailer(relay.port, **options).send(feed()))

    # I3: one outcome for each message that was taken.
    assert sorted(one.notice_id for one in outcomes) == given
    return {one.notice_id: one for one in outcomes}


def kinds(outcomes: dict[int, SendOutcome]) -> list[str]:
    return [outcomes[number].kind.value for number in sorted(outcomes)]


Relaying = Callable[..., ScriptedRelay]


@pytest.fixture(params=[False, True], ids=["one-by-one", "pipelined"])
def relaying(request: pytest.FixtureRequest) -> Relaying:
    """Makes relays that take command after command, or several at once (RFC 2920)."""
    return partial(ScriptedRelay, pipelines=request.param)


def test_message_arrives_byte_for_byte_under_its_own_return_path(
    relaying: Relaying,
) -> None:
    with relaying() as relay:
        outcomes = send(relay, messages(3))

    assert kinds(outcomes) == ["sent"] * 3
    assert [(one.sender, one.recipient, one.content) for one in relay.taken] == [
        (f"bounce+{n}@bounces.ca.example", f"r{n}@clinic.example", CONTENT)
        for n in (1, 2, 3)
    ]


def test_every_message_leaves_once_when_several_connections_share_a_batch(
    relaying: Relaying,
) -> None:
    with relaying() as relay:
        outcomes = send(relay, messages(60), connections=4)

    assert Counter(kinds(outcomes)) == {"sent": 60}
    assert len(set(relay.recipients)) == len(relay.recipients) == 60
    assert relay.connections == 4


def test_connection_is_renewed_when_it_has_carried_its_share(
    relaying: Relaying,
) -> None:
    with relaying() as relay:
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
    relaying: Relaying, verb: str, reply: str, kind: SendKind, code: int
) -> None:
    def answer(asked: Asked) -> str | None:
        return reply if (asked.verb, asked.message) == (verb, 1) else None

    with relaying(answer) as relay:
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
    relaying: Relaying, verb: str, end: str
) -> None:
    def answer(asked: Asked) -> str | None:
        is_second = (asked.connection, asked.message) == (1, 2)
        return end if is_second and asked.verb == verb else None

    with relaying(answer) as relay:
        outcomes = send(relay, messages(3), timeout_seconds=0.5)

    assert kinds(outcomes) == ["sent"] * 3
    assert relay.recipients == [f"r{n}@clinic.example" for n in (1, 2, 3)]
    assert relay.connections == 2


def test_i4_message_is_in_doubt_when_the_connection_is_lost_after_the_content(
    relaying: Relaying,
) -> None:
    def answer(asked: Asked) -> str | None:
        return (
            TAKE_AND_CLOSE if asked.message == 1 and asked.verb == "CONTENT" else None
        )

    with relaying(answer) as relay:
        outcomes = send(relay, messages(1))

    assert kinds(outcomes) == ["in-doubt"]
    # The relay has it: sending it again at once would have made two.
    assert relay.recipients == ["r1@clinic.example"]


@pytest.mark.parametrize("end", [CLOSE, SILENCE, "what?"])
def test_others_are_sent_on_a_new_connection_when_one_ends_in_doubt(
    relaying: Relaying, end: str
) -> None:
    def answer(asked: Asked) -> str | None:
        is_first = (asked.connection, asked.message) == (1, 1)
        return end if is_first and asked.verb == "CONTENT" else None

    with relaying(answer) as relay:
        outcomes = send(relay, messages(3), timeout_seconds=0.5)

    assert kinds(outcomes) == ["in-doubt", "sent", "sent"]


def test_message_is_sent_again_on_a_new_connection_when_421_comes_after_the_dot(
    relaying: Relaying,
) -> None:
    def answer(asked: Asked) -> str | None:
        is_first = (asked.connection, asked.message) == (1, 1)
        return (
            "421 4.3.2 shutting down" if is_first and asked.verb == "CONTENT" else None
        )

    with relaying(answer) as relay:
        outcomes = send(relay, messages(2))

    assert kinds(outcomes) == ["sent", "sent"]
    assert relay.connections == 2


def test_everything_is_not_sent_at_once_when_nobody_listens() -> None:
    port = free_port()
    started = time.monotonic()

    outcomes = list(mailer(port, connections=4).send(messages(200)))

    # No more were taken than it took to find out.
    assert [one.kind for one in outcomes] == [SendKind.NOT_SENT]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("end", [CLOSE, "421 too busy", "554 go away"])
def test_everything_is_not_sent_when_the_relay_refuses_to_greet(
    relaying: Relaying, end: str
) -> None:
    with relaying(lambda a: end if a.verb == "GREETING" else None) as relay:
        outcomes = send(relay, messages(50), connections=3)

    assert kinds(outcomes) == ["not-sent"]
    assert relay.connections == 1


def test_relay_is_left_alone_when_each_connection_ends_before_content(
    relaying: Relaying,
) -> None:
    with relaying(lambda a: CLOSE if a.verb == "MAIL" else None) as relay:
        outcomes = send(relay, messages(50))

    assert set(kinds(outcomes)) == {"not-sent"}
    assert relay.connections == 2


def test_relay_is_left_alone_when_one_message_after_the_other_ends_in_doubt(
    relaying: Relaying,
) -> None:
    with relaying(lambda a: CLOSE if a.verb == "CONTENT" else None) as relay:
        outcomes = send(relay, messages(50), connections=2)

    found = Counter(kinds(outcomes))
    assert found["in-doubt"] <= 6
    assert set(found) == {"in-doubt", "not-sent"}


def test_detail_tells_what_happened_but_not_to_whom(relaying: Relaying) -> None:
    with relaying(
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
    relaying: Relaying,
    address: str,
) -> None:
    with relaying() as relay:
        outcomes = send(relay, [message(1, address), message(2)])

    assert kinds(outcomes) == ["failed", "sent"]
    assert relay.recipients == ["r2@clinic.example"]


def test_domain_is_written_in_ascii_when_it_is_not(relaying: Relaying) -> None:
    with relaying() as relay:
        outcomes = send(relay, [message(1, "chan@bücher.example")])

    assert kinds(outcomes) == ["sent"]
    assert relay.recipients == ["chan@xn--bcher-kva.example"]


def test_connection_is_dropped_when_the_caller_wants_no_more(
    relaying: Relaying,
) -> None:
    hangs = threading.Event()

    def answer(asked: Asked) -> str | None:
        if asked.message == 2 and asked.verb == "RCPT":
            hangs.set()
            return SILENCE
        return None

    with relaying(answer) as relay:
        sending = mailer(relay.port, timeout_seconds=60).send(messages(3))
        first = next(sending)
        assert hangs.wait(10)
        started = time.monotonic()
        sending.close()  # type: ignore[attr-defined]

    assert first.kind is SendKind.SENT
    assert time.monotonic() - started < 10
    assert relay.recipients == ["r1@clinic.example"]


def test_mail_leaves_when_the_caller_is_inside_an_event_loop(
    relaying: Relaying,
) -> None:
    async def caller(relay: ScriptedRelay) -> dict[int, SendOutcome]:
        return send(relay, messages(60), connections=2)

    with relaying() as relay:
        outcomes = asyncio.run(caller(relay))

    assert Counter(kinds(outcomes)) == {"sent": 60}
    assert len(set(relay.recipients)) == len(relay.recipients) == 60


def test_failure_of_whoever_writes_is_raised_when_the_rest_has_left(
    relaying: Relaying,
) -> None:
    async def caller(port: int, found: list[SendOutcome]) -> None:
        found.extend(mailer(port).send(feed()))

    def feed() -> Iterator[OutgoingMessage]:
        yield from messages(3)
        raise RuntimeError("no more")

    with relaying() as relay:
        found: list[SendOutcome] = []
        with pytest.raises(RuntimeError, match="no more"):
            found.extend(mailer(relay.port).send(feed()))
        with pytest.raises(RuntimeError, match="no more"):
            asyncio.run(caller(relay.port, found))

    assert [one.kind for one in found] == [SendKind.SENT] * 6
    assert len(relay.recipients) == 6


def test_messages_are_written_only_a_little_before_they_leave(
    relaying: Relaying,
) -> None:
    written, furthest = 0, 0

    def feed() -> Iterator[OutgoingMessage]:
        nonlocal written, furthest
        for one in messages(40):
            written += 1
            furthest = max(furthest, written - len(relay.taken))
            yield one

    with relaying() as relay:
        found = list(mailer(relay.port).send(feed()))

    assert Counter(one.kind for one in found) == {SendKind.SENT: 40}
    assert furthest < 20


# Pipelining (RFC 2920).


def verbs(relay: ScriptedRelay, connection: int) -> list[str]:
    return [one.verb for one in relay.asked if one.connection == connection]


def test_every_group_begins_with_a_reset_and_needs_one_round_trip() -> None:
    with ScriptedRelay(pipelines=True) as relay:
        send(relay, messages(2))

    group = ["RSET", "MAIL", "RCPT", "DATA", "CONTENT"]
    assert verbs(relay, 1) == ["GREETING", "EHLO", *group, *group, "QUIT"]


def test_commands_wait_for_their_answers_when_the_relay_does_not_pipeline() -> None:
    with ScriptedRelay() as relay:
        send(relay, messages(1))

    assert "RSET" not in verbs(relay, 1)


@pytest.mark.parametrize(
    ("verb", "reply", "kind"),
    [
        ("RCPT", "550 5.1.1 no such user", SendKind.FAILED),
        ("RCPT", "450 4.2.1 greylisted", SendKind.RETRY),
        # An envelope of before was still open: MAIL is refused, RCPT and DATA are not.
        ("MAIL", "503 5.5.1 nested MAIL", SendKind.RETRY),
    ],
)
def test_no_content_leaves_under_another_sender_when_data_is_let_through(
    verb: str, reply: str, kind: SendKind
) -> None:
    def answer(asked: Asked) -> str | None:
        if (asked.connection, asked.message) != (1, 2):
            return None
        if asked.verb == verb:
            return reply
        return {"RCPT": "250 Ok", "DATA": "354 go on"}.get(asked.verb)

    with ScriptedRelay(answer, pipelines=True) as relay:
        outcomes = send(relay, messages(4))

    assert outcomes[2].kind is kind
    # Not even a lone dot: it would have been a mail.
    assert verbs(relay, 1)[-1] == "DATA"
    assert relay.connections == 2
    assert [(one.sender, one.recipient) for one in relay.taken] == [
        (f"bounce+{n}@bounces.ca.example", f"r{n}@clinic.example") for n in (1, 3, 4)
    ]


def test_nothing_leaves_when_the_envelope_of_before_cannot_be_closed() -> None:
    with ScriptedRelay(
        lambda a: "502 5.5.1 no such command" if a.verb == "RSET" else None,
        pipelines=True,
    ) as relay:
        outcomes = send(relay, messages(3))

    assert set(kinds(outcomes)) == {"not-sent"}
    assert relay.taken == []


@pytest.mark.parametrize("end", [CLOSE, SILENCE, "421 4.3.2 going down", "what?"])
def test_refusal_stands_when_the_connection_ends_in_the_middle_of_its_group(
    end: str,
) -> None:
    def answer(asked: Asked) -> str | None:
        if asked.connection == 1 and asked.message == 1:
            return {"RCPT": "550 5.1.1 no such user", "DATA": end}.get(asked.verb)
        return None

    with ScriptedRelay(answer, pipelines=True) as relay:
        outcomes = send(relay, messages(2), timeout_seconds=1)

    assert kinds(outcomes) == ["failed", "sent"]
    assert relay.recipients == ["r2@clinic.example"]


@pytest.mark.parametrize("end", [TAKE_AND_CLOSE, CLOSE, SILENCE, "what?"])
def test_i4_only_the_message_whose_content_left_is_in_doubt(end: str) -> None:
    def answer(asked: Asked) -> str | None:
        is_first = (asked.connection, asked.message) == (1, 1)
        return end if is_first and asked.verb == "CONTENT" else None

    with ScriptedRelay(answer, pipelines=True) as relay:
        outcomes = send(relay, messages(5), timeout_seconds=1)

    # The second one's envelope left together with the first one's content.
    assert kinds(outcomes) == ["in-doubt", "sent", "sent", "sent", "sent"]
    assert Counter(relay.recipients).most_common(1)[0][1] == 1


@pytest.mark.parametrize("end", [CLOSE, "421 4.7.0 too many messages"])
def test_every_message_leaves_once_when_the_relay_ends_connections_as_it_likes(
    relaying: Relaying, end: str
) -> None:
    def answer(asked: Asked) -> str | None:
        return end if asked.message == 4 and asked.verb == "MAIL" else None

    with relaying(answer) as relay:
        outcomes = send(relay, messages(40), connections=3)

    assert Counter(kinds(outcomes)) == {"sent": 40}
    assert len(set(relay.recipients)) == len(relay.recipients) == 40


def test_message_alone_is_put_off_when_a_relay_ends_each_connection_at_it(
    relaying: Relaying,
) -> None:
    def answer(asked: Asked) -> str | None:
        return CLOSE if asked.verb == "RCPT" and "r2@" in asked.argument else None

    with relaying(answer) as relay:
        outcomes = send(relay, messages(20))

    assert kinds(outcomes) == ["sent", "retry", *["sent"] * 18]


class Noting:
    """A witness that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def started(self, notice_id: int) -> None:
        self.noted.append(f"started {notice_id}")

    def ended(self, outcome: SendOutcome) -> None:
        self.noted.append(f"{outcome.kind} {outcome.notice_id}")


def test_witness_knows_of_each_content_before_it_leaves(relaying: Relaying) -> None:
    witness = Noting()
    seen: list[str] = []

    def answer(asked: Asked) -> str | None:
        if asked.verb == "CONTENT":
            seen.append(f"{asked.argument} {witness.noted[-1]}")
        if asked.verb == "RCPT" and "r2@" in asked.argument:
            return "550 5.1.1 no such user"
        is_first = (asked.connection, asked.message) == (1, 1)
        return "421 closing" if asked.verb == "CONTENT" and is_first else None

    with relaying(answer) as relay:
        list(mailer(relay.port).send(messages(2), witness=witness))

    assert seen[0] == "r1@clinic.example started 1"
    assert witness.noted[:2] == ["started 1", "not-sent 1"]
    assert Counter(witness.noted)["started 1"] == 2
    assert {"sent 1", "failed 2"} < set(witness.noted)
    assert "started 2" not in witness.noted


@pytest.mark.parametrize("options", [[], ["-p"]], ids=["pipelined", "one-by-one"])
def test_postfix_takes_everything(options: list[str]) -> None:
    with smtp_sink(*options) as port:
        outcomes = list(mailer(port, connections=3).send(messages(300)))

    assert Counter(one.kind for one in outcomes) == {SendKind.SENT: 300}


@pytest.mark.parametrize("options", [[], ["-p"]], ids=["pipelined", "one-by-one"])
@pytest.mark.parametrize(
    ("refusing", "kind"),
    [
        (["-f", "rcpt", "-B", "550 5.1.1 no such user"], SendKind.FAILED),
        (["-r", "rcpt"], SendKind.RETRY),
        (["-f", "mail"], SendKind.RETRY),
        (["-f", "data"], SendKind.RETRY),
        (["-r", "."], SendKind.RETRY),
    ],
)
def test_postfix_refuses_and_is_understood(
    options: list[str], refusing: list[str], kind: SendKind
) -> None:
    with smtp_sink(*options, *refusing) as port:
        outcomes = list(mailer(port).send(messages(3)))

    assert [one.kind for one in outcomes] == [kind] * 3


# Pace.


def test_mail_leaves_evenly_when_a_pace_is_set(relaying: Relaying) -> None:
    with relaying() as relay:
        started = time.monotonic()
        outcomes = send(relay, messages(11), per_second=20, connections=3)

    assert Counter(kinds(outcomes)) == {"sent": 11}
    assert time.monotonic() - started >= 0.5


def test_connections_that_wait_for_their_turn_do_not_wake_each_other(
    relaying: Relaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = []
    wake = Pool._wake

    def counted(pool: Pool) -> None:
        woken.append(pool)
        wake(pool)

    monkeypatch.setattr(Pool, "_wake", counted)

    with relaying() as relay:
        send(relay, messages(11), per_second=20, connections=4)

    assert len(woken) < 100


def test_slow_domain_keeps_nobody_else_waiting(relaying: Relaying) -> None:
    batch = [
        *(message(n, f"r{n}@slow.example") for n in (1, 2, 3)),
        *(message(n, f"r{n}@{n}.example") for n in (4, 5)),
    ]
    with relaying() as relay:
        started = time.monotonic()
        outcomes = send(relay, batch, per_domain_per_second=4)

    assert set(kinds(outcomes)) == {"sent"}
    assert time.monotonic() - started >= 0.5
    assert relay.recipients[-1] == "r3@slow.example"
    assert relay.recipients.index("r4@4.example") < 3


def test_message_is_put_off_to_its_turn_when_that_is_far_away() -> None:
    batch = [message(n, f"r{n}@slow.example") for n in (1, 2, 3)]
    with ScriptedRelay() as relay:
        outcomes = send(relay, batch, per_domain_per_second=0.01)

    assert kinds(outcomes) == ["sent", "put-off", "put-off"]
    assert round(outcomes[2].wait_seconds - outcomes[1].wait_seconds) == 100


# TLS and login.


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

    assert kinds(outcomes) == ["not-sent"]
    assert relay.taken == []


def test_mail_leaves_in_clear_when_tls_is_opportunistic_and_not_offered() -> None:
    with ScriptedRelay() as relay:
        outcomes = send(relay, messages(2), tls=Tls.OPPORTUNISTIC)

    assert kinds(outcomes) == ["sent"] * 2


def test_password_is_kept_when_tls_is_opportunistic_and_not_offered() -> None:
    with ScriptedRelay() as relay:
        outcomes = send(relay, messages(2), tls=Tls.OPPORTUNISTIC, **LOGIN)

    assert kinds(outcomes) == ["not-sent"]
    assert verbs(relay, 1) == ["GREETING", "EHLO"]


@pytest.mark.parametrize("secured", [Tls.STARTTLS], indirect=True)
@pytest.mark.parametrize("is_verified", [True, False])
def test_opportunistic_tls_is_verified_unless_that_is_switched_off(
    secured: tuple[Tls, int], collector: Collector, *, is_verified: bool
) -> None:
    _, port = secured
    context = default_context(Tls.OPPORTUNISTIC, is_verified=is_verified)

    outcomes = list(
        mailer(port, tls=Tls.OPPORTUNISTIC, tls_context=context, **LOGIN).send(
            messages(1)
        )
    )

    expected = SendKind.NOT_SENT if is_verified else SendKind.SENT
    assert [one.kind for one in outcomes] == [expected]
    assert len(collector.recipients) == (not is_verified)
