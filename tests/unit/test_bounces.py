"""What came back and for good, what did not, and of which notice it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.mail.bounces import read_bounce

VERP = "163ced2bb6881b253e0d"
MESSAGE_ID = "<f250a3daa6f60f710b569f68@ca.example>"


def report(
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <chan@clinic.example>: no such user here",
    to: str = f"bounce+{VERP}@bounces.ca.example",
    message_id: str = MESSAGE_ID,
    returned: str = "text/rfc822-headers",
    more: str = "",
) -> bytes:
    return f"""\
Return-Path: <>
{more}From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Message-ID: <report@mx.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Mon, 02 Mar 2026 12:00:00 +0000

Final-Recipient: rfc822; chan@clinic.example
Action: {action}
Status: {status}
Diagnostic-Code: {diagnostic}

--b
Content-Type: {returned}

From: Example CA <certificates@ca.example>
To: chan@clinic.example
Subject: Your certificates
Message-ID: {message_id}

--b--
""".replace("\n", "\r\n").encode()


def words(
    body: str,
    *,
    sender: str = "MAILER-DAEMON@mx.example (Mail Delivery Subsystem)",
    subject: str = "Delivery failure",
    more: str = "",
) -> bytes:
    return f"""\
Delivered-To: bounce+{VERP}@bounces.ca.example
From: {sender}
To: bounce+{VERP}@bounces.ca.example
Subject: {subject}
{more}
{body}
""".encode()


def test_report_names_its_notice_twice_over() -> None:
    bounce = read_bounce(report())

    assert bounce is not None
    assert bounce.verp_token == VERP
    assert bounce.message_id == MESSAGE_ID
    assert bounce.is_permanent
    assert bounce.status == "5.1.1"


def test_detail_holds_no_address() -> None:
    bounce = read_bounce(report())

    assert bounce is not None
    assert "no such user here" in bounce.detail
    assert "@" not in bounce.detail


@pytest.mark.parametrize(
    "header",
    ["Delivered-To", "X-Original-To", "X-Envelope-To"],
)
def test_return_path_is_found_when_only_the_envelope_holds_it(header: str) -> None:
    bounce = read_bounce(
        report(
            to="undisclosed-recipients:;",
            message_id="",
            more=f"{header}: Bounce+{VERP.upper()}@bounces.ca.example\r\n",
        )
    )

    assert bounce is not None
    assert bounce.verp_token == VERP


def test_envelope_comes_before_what_the_text_holds() -> None:
    other = "0" * 20
    bounce = read_bounce(
        report(message_id=f"<1@ca.example>\nReturn-Path: <bounce+{other}@x.example>")
    )

    assert bounce is not None
    assert bounce.verp_token == VERP


@pytest.mark.parametrize("returned", ["message/rfc822", "text/rfc822-headers"])
def test_message_is_known_by_its_id_when_the_return_path_was_rewritten(
    returned: str,
) -> None:
    bounce = read_bounce(report(to="certificates@ca.example", returned=returned))

    assert bounce is not None
    assert bounce.verp_token is None
    assert bounce.message_id == MESSAGE_ID


def test_report_is_never_taken_for_what_it_reports_on() -> None:
    bounce = read_bounce(report(to="certificates@ca.example", message_id=""))

    assert bounce is not None
    assert bounce.message_id is None


@pytest.mark.parametrize(
    ("status", "diagnostic", "is_permanent"),
    [
        ("5.1.1", "smtp; 550 5.1.1 unknown", True),
        ("5.1.2", "smtp; 550 bad domain", True),
        ("5.4.4", "X-Postfix; Host or domain name not found", True),
        ("5.7.1", "smtp; 550 5.7.1 blocked by policy", True),
        ("5.0.0", "smtp; 550 5.1.1 mailbox unavailable", True),
        ("4.4.1", "smtp; connection timed out", False),
        ("4.2.1", "smtp; 450 4.2.1 mailbox temporarily disabled", False),
        # Known exceptions, both ways.
        ("5.2.2", "smtp; 552 5.2.2 mailbox is full", False),
        ("5.0.0", "smtp; 552 user over quota", False),
        ("5.7.1", "smtp; 550 5.7.1 Greylisted, please try again later", False),
        ("4.1.1", "smtp; 450 4.1.1 user unknown in local table", True),
        ("4.0.0", "smtp; 451 No such user here", True),
    ],
)
def test_class_follows_the_status_but_for_known_exceptions(
    status: str, diagnostic: str, *, is_permanent: bool
) -> None:
    bounce = read_bounce(report(status=status, diagnostic=diagnostic))

    assert bounce is not None
    assert bounce.is_permanent is is_permanent


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_report_that_nothing_failed_is_no_bounce(action: str) -> None:
    assert read_bounce(report(action=action, status="4.4.1")) is None


@pytest.mark.parametrize(
    "message",
    [
        words(
            "I am away until Monday.",
            sender="Chan <chan@clinic.example>",
            subject="Out of office",
            more="Auto-Submitted: auto-replied\n",
        ),
        words(
            "I am away. Mail to me cannot be delivered to anybody else.",
            sender="Chan <chan@clinic.example>",
            subject="Automatic reply",
        ),
        words(
            "The user unknown to us wrote this by hand: 550 5.1.1",
            sender="Chan <chan@clinic.example>",
            subject="Re: your certificates",
        ),
        words(
            "Delivery is delayed. There is no need to resend. 4.4.1",
            subject="Warning: message delayed 4 hours",
        ),
        b"",
        b"\x00\xff\xfe no message at all",
    ],
)
def test_mail_that_says_nothing_against_the_address_is_no_bounce(
    message: bytes,
) -> None:
    assert read_bounce(message) is None


def test_complaint_is_no_bounce() -> None:
    complaint = report().replace(b"delivery-status;", b"feedback-report;", 1)

    assert read_bounce(complaint) is None


@pytest.mark.parametrize(
    ("body", "is_permanent"),
    [
        ("<chan@clinic.example>:\n550 5.1.1 No such user\n", True),
        (
            "The following address failed:\n  chan@clinic.example\n  Unknown user\n",
            True,
        ),
        ("could not be delivered: 552 mailbox full\n", False),
        ("I gave up. 451 4.7.1 greylisted, try again later. It failed.\n", False),
    ],
)
def test_server_that_writes_words_only_is_understood(
    body: str, *, is_permanent: bool
) -> None:
    bounce = read_bounce(words(body))

    assert bounce is not None
    assert bounce.verp_token == VERP
    assert bounce.is_permanent is is_permanent


def test_returned_id_is_found_in_a_copy_within_the_text() -> None:
    bounce = read_bounce(
        words(
            "550 5.1.1 user unknown\n\n--- Below is a copy of the message.\n\n"
            f"Return-Path: <x@y.example>\nMessage-ID: {MESSAGE_ID}\nSubject: x\n"
        )
    )

    assert bounce is not None
    assert bounce.message_id == MESSAGE_ID


def test_status_part_is_read_when_it_is_encoded() -> None:
    encoded = report().replace(
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example"
        b"\r\nArrival-Date: Mon, 02 Mar 2026 12:00:00 +0000\r\n\r\n"
        b"Final-Recipient: rfc822; chan@clinic.example\r\nAction: failed\r\n"
        b"Status: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 <chan@clinic.example>: no such user here",
        b"Content-Type: message/delivery-status\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        b"UmVwb3J0aW5nLU1UQTogZG5zOyBteAoKRmluYWwtUmVjaXBpZW50OiByZmM4MjI7IGEKQWN0aW9u"
        b"OiBmYWlsZWQKU3RhdHVzOiA1LjEuMQo=",
    )

    bounce = read_bounce(encoded)

    assert bounce is not None
    assert bounce.status == "5.1.1"


@given(st.binary(max_size=400), st.integers(0, 1200))
def test_nothing_that_arrives_can_break_the_reader(noise: bytes, at: int) -> None:
    whole = report()

    read_bounce(whole[:at] + noise + whole[at:])
    read_bounce(whole[:at])
    read_bounce(noise)
