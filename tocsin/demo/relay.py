"""A mail server that keeps everything in a folder; without it a demo would write to real people."""

import argparse
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tocsin.clock import Clock, SystemClock
from tocsin.demo.ports import free_port

_HOST_NAME = "relay.demo.example"
_LARGEST = 32 * 1024 * 1024


def never(_address: str) -> bool:
    """Say of no address that its mail comes back."""
    return False


def looks_like_a_bouncer(address: str) -> bool:
    """Whether an address asks for its mail to come back: bounce@, bounce-x@, bounce+x@."""
    local = address.rpartition("@")[0].casefold()
    return local == "bounce" or local.startswith(("bounce-", "bounce+"))


class EmbeddedRelay:
    """
    An SMTP server on this machine that takes mail for everybody and delivers none.

    What it takes lies in the maildir ``outbox``, what it returns in the maildir
    ``bounces``, where a real CA's mail server would put it.

    Args:
        directory: Made when absent.
        host: Where it listens.
        port: 0: any that is free; see ``port``.
        clock: Tells the instants in what it returns.
        bounces: Of which addresses it takes mail only to return it; unless told, of
            those that ask for it, so that anybody can try.
        refuses: Which addresses it refuses at once.

    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        bounces: Callable[[str], bool] = looks_like_a_bouncer,
        refuses: Callable[[str], bool] = never,
    ) -> None:
        self.directory = directory
        self.outbox = directory / "outbox"
        self.bounces = directory / "bounces"
        for maildir in (self.outbox, self.bounces):
            for part in ("tmp", "new", "cur"):
                (maildir / part).mkdir(parents=True, exist_ok=True)
        self._host = host
        self._port = port
        self._handler = _Handler(
            self.outbox,
            self.bounces,
            clock=clock or SystemClock(),
            returns=bounces,
            refuses=refuses,
        )
        self._controller: Controller | None = None

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._host

    @property
    def port(self) -> int:
        """The port it listens on, once it was started."""
        return self._port

    def start(self) -> None:
        """Listen; returns when it does."""
        self._port = self._port or free_port()
        self._controller = Controller(
            self._handler,
            hostname=self._host,
            port=self._port,
            server_hostname=_HOST_NAME,
            data_size_limit=_LARGEST,
            ident="Tocsin demo relay",
        )
        self._controller.start()

    def stop(self) -> None:
        """Stop listening; what it took stays."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Handler:
    """What the server does with commands; the names are aiosmtpd's."""

    def __init__(
        self,
        outbox: Path,
        bounces: Path,
        *,
        clock: Clock,
        returns: Callable[[str], bool],
        refuses: Callable[[str], bool],
    ) -> None:
        self._outbox = outbox
        self._bounces = bounces
        self._clock = clock
        self._returns = returns
        self._refuses = refuses
        self._numbers = itertools.count(1)

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if self._refuses(address):
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content or b""
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogateescape")
        sender = envelope.mail_from or ""
        key = ""
        for recipient in envelope.rcpt_tos:
            key = self._deliver(self._outbox, sender, recipient, content)
            # RFC 5321 6.1: what comes from nobody is returned to nobody.
            if sender and self._returns(recipient):
                returned = self._returned(sender, recipient, content, key)
                self._deliver(self._bounces, "", sender, returned)
        return f"250 2.0.0 Ok: queued as {key}"

    def _deliver(
        self, maildir: Path, sender: str, recipient: str, content: bytes
    ) -> str:
        """Put a message into a maildir: a reader sees all of it or nothing."""
        now = self._clock.now()
        key = (
            f"{int(now.timestamp())}.P{os.getpid()}Q{next(self._numbers)}R"
            f"{os.urandom(4).hex()}.demo"
        )
        envelope = f"Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n"
        written = maildir / "tmp" / key
        written.write_bytes(envelope.encode("utf-8", "surrogateescape") + content)
        written.replace(maildir / "new" / key)
        return key

    def _returned(self, sender: str, recipient: str, content: bytes, key: str) -> bytes:
        """Return a delivery status notification in the form that Postfix gives it."""
        now = format_datetime(self._clock.now())
        why = f"550 5.1.1 <{recipient}>: Recipient address rejected: User unknown"
        report = EmailMessage(policy=SMTP_POLICY)
        report["Date"] = now
        report["From"] = f"MAILER-DAEMON@{_HOST_NAME} (Mail Delivery System)"
        report["To"] = sender
        report["Subject"] = "Undelivered Mail Returned to Sender"
        report["Auto-Submitted"] = "auto-replied"
        report["Message-ID"] = f"<{key}@{_HOST_NAME}>"
        report["MIME-Version"] = "1.0"
        report["Content-Type"] = "multipart/report; report-type=delivery-status"
        said = EmailMessage(policy=SMTP_POLICY)
        said.set_content(
            f"This is the mail system at host {_HOST_NAME}.\n\n"
            "I'm sorry to have to inform you that your message could not\n"
            "be delivered to one or more recipients. It's attached below.\n\n"
            f"<{recipient}>: host mx.{recipient.rpartition('@')[2]}[127.0.0.1] "
            f"said: {why} (in reply to RCPT TO command)\n"
        )
        status: Message = Message()
        status["Content-Description"] = "Delivery report"
        status["Content-Type"] = "message/delivery-status"
        per_message: Message = Message()
        per_message["Reporting-MTA"] = f"dns; {_HOST_NAME}"
        per_message["X-Postfix-Queue-ID"] = key
        per_message["X-Postfix-Sender"] = f"rfc822; {sender}"
        per_message["Arrival-Date"] = now
        per_recipient: Message = Message()
        per_recipient["Final-Recipient"] = f"rfc822; {recipient}"
        per_recipient["Original-Recipient"] = f"rfc822;{recipient}"
        per_recipient["Action"] = "failed"
        per_recipient["Status"] = "5.1.1"
        per_recipient["Diagnostic-Code"] = f"smtp; {why}"
        status.set_payload([per_message, per_recipient])
        headers: Message = Message()
        headers["Content-Description"] = "Undelivered Message Headers"
        headers["Content-Type"] = "text/rfc822-headers"
        original = BytesHeaderParser().parsebytes(content)
        returned = "".join(f"{name}: {value}\n" for name, value in original.items())
        headers.set_payload(returned.encode("ascii", "replace").decode("ascii"))
        report.set_payload([said, status, headers])
        out = BytesIO()
        BytesGenerator(out, policy=SMTP_POLICY.clone(utf8=True)).flatten(report)
        return out.getvalue()


def bouncing(listed: Iterable[str]) -> Callable[[str], bool]:
    """Return the rule for a list of addresses and @domains, and for bounce@ anywhere."""
    known = frozenset(line.strip().casefold() for line in listed if line.strip())

    def bounces(address: str) -> bool:
        folded = address.casefold()
        return (
            folded in known
            or f"@{folded.rpartition('@')[2]}" in known
            or looks_like_a_bouncer(address)
        )

    return bounces


def main() -> None:
    """Run until told to end."""
    parser = argparse.ArgumentParser(description="A relay that delivers nothing.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8725)
    parser.add_argument(
        "--bounce-file",
        type=Path,
        help="addresses or @domains, one a line, whose mail comes back",
    )
    arguments = parser.parse_args()
    listed: list[str] = []
    if arguments.bounce_file is not None:
        listed = arguments.bounce_file.read_text("utf-8").splitlines()
    relay = EmbeddedRelay(
        arguments.directory,
        host=arguments.host,
        port=arguments.port,
        bounces=bouncing(listed),
    )
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())
    with relay:
        print(f"listening on {relay.host}:{relay.port}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
