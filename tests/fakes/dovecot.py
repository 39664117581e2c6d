"""A Dovecot of the test's own, on loopback, whose mailbox is a maildir."""

import datetime as dt
import imaplib
import ipaddress
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tocsin.demo.ports import free_port

DOVECOT = shutil.which("dovecot") or "/usr/sbin/dovecot"
PASSWORD = "pineapple"  # noqa: S105 - the test's own server
_STARTS_WITHIN = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dovecot:
    """Where it listens, and whom to trust."""

    implicit: int
    starttls: int
    certificate: Path

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    @contextmanager
    def client(self) -> Iterator[imaplib.IMAP4_SSL]:
        """Look into the mailbox as a person's program does."""
        with imaplib.IMAP4_SSL(
            "127.0.0.1", self.implicit, ssl_context=self.context
        ) as client:
            client.login("ca", PASSWORD)
            client.select()
            yield client

    def deliver(self, *messages: bytes) -> None:
        """Put messages into the mailbox, in this order."""
        with self.client() as client:
            for message in messages:
                client.append("INBOX", "", "", message)

    def empty(self) -> None:
        """Take everything out of the mailbox."""
        with self.client() as client:
            if client.search(None, "ALL")[1] != [b""]:
                client.store("1:*", "+FLAGS", r"\Deleted")
                client.expunge()


@contextmanager
def running_dovecot() -> Iterator[Dovecot]:
    """Start a Dovecot and stop it."""
    # pytest's own folders are closed to the user whom Dovecot reads mail as.
    directory = Path(tempfile.mkdtemp(prefix="tocsin-dovecot-"))
    directory.chmod(0o755)
    try:
        server = _prepare(directory)
        process = subprocess.Popen(
            [DOVECOT, "-F", "-c", str(directory / "dovecot.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(server.implicit, directory)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=20)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(directory: Path) -> Dovecot:
    is_root = os.geteuid() == 0
    reader = pwd.getpwnam("nobody") if is_root else pwd.getpwuid(os.geteuid())
    maildir = directory / "home" / "Maildir"
    for folder in ("cur", "new", "tmp"):
        (maildir / folder).mkdir(parents=True)
    for path in (directory / "home", maildir, *maildir.iterdir()):
        if is_root:
            os.chown(path, reader.pw_uid, reader.pw_gid)
    certificate = _make_certificate(directory)
    implicit, starttls = free_port(), free_port()
    users = (
        ""
        if is_root
        else f"default_login_user = {reader.pw_name}\n"
        f"default_internal_user = {reader.pw_name}\n"
        "service imap-login {\n  chroot =\n}\nservice anvil {\n  chroot =\n}\n"
        "service stats {\n  chroot =\n}\n"
    )
    (directory / "dovecot.conf").write_text(
        f"""\
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{directory}/key.pem
auth_mechanisms = plain login
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:{maildir}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={reader.pw_uid} gid={reader.pw_gid} home={directory}/home
}}
service imap-login {{
  inet_listener imap {{
    port = {starttls}
  }}
  inet_listener imaps {{
    port = {implicit}
    ssl = yes
  }}
}}
{users}""",
        "ascii",
    )
    return Dovecot(implicit=implicit, starttls=starttls, certificate=certificate)


def _make_certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def _wait_for(port: int, directory: Path) -> None:
    give_up_at = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                log = directory / "log"
                words = log.read_text("utf-8") if log.exists() else "no log"
                raise AssertionError(f"Dovecot does not answer: {words}") from None
        else:
            return
