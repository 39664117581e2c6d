"""Mail as servers and people send it back, about a notice of ours."""

from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

OURS = "certificates@ca.example"


def returned(
    notice: Any,
    *,
    address: str,
    status: str = "5.1.1",
    said: str = "550 5.1.1 no such user here",
    action: str = "failed",
    verp: bool = True,
    message_id: bool = True,
) -> bytes:
    """Return a report (RFC 3464) about a notice; without what may not name it."""
    to = f"bounce+{notice.verp_token}@bounces.ca.example" if verp else OURS
    returned_id = f"Message-ID: {notice.message_id}\n" if message_id else ""
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-ID: <report-{notice.id}@mx.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {address}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}

--b
Content-Type: text/rfc822-headers

From: Example CA <{OURS}>
To: {address}
Subject: Your certificates
{returned_id}
--b--
""".replace("\n", "\r\n").encode()


def written(
    text: str,
    *,
    sender: str,
    answers: str | None = None,
    to: str = OURS,
    subject: str = "Re: Your certificates will be revoked",
    attachments: tuple[tuple[str, bytes], ...] = (),
    **headers: str,
) -> bytes:
    """Return what a person, or their program, sends; ``answers`` is a Message-ID."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{abs(hash((text, sender, subject)))}@mail.example>"
    if answers:
        message["In-Reply-To"] = answers
        message["References"] = answers
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    for name, content in attachments:
        message.add_attachment(
            content, maintype="application", subtype="octet-stream", filename=name
        )
    return message.as_bytes()
