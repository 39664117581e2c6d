"""A real Postfix with queue and configuration of its own, and a sink behind it."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.stack import free_ports, wait_until

_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin"
_STARTS_WITHIN = 30.0
_EMPTY_WITHIN = 600.0
_WAITING = ("maildrop", "incoming", "active", "deferred")

needs_postfix = pytest.mark.skipif(
    shutil.which("smtp-sink", path=_PATH) is None or os.geteuid() != 0,
    reason="needs Debian's package postfix, and root: Postfix starts as nobody else",
)

_MAIN = """
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
disable_dns_lookups = yes
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{policy}, permit_mynetworks, reject
# Refusals cost no time here. Their number stays limited as everywhere: after 20 of
# them Postfix says 421 and closes, all by itself.
smtpd_error_sleep_time = 0
smtpd_client_connection_rate_limit = 0
minimal_backoff_time = 2s
maximal_backoff_time = 5s
queue_run_delay = 2s
"""

_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Arrived:
    """A message as the sink behind the relay has it."""

    recipient: str
    message_id: str


@dataclass(frozen=True)
class Postfix:
    """A relay, and what came out of it at its far end."""

    root: Path
    port: int

    def wait_until_empty(self) -> None:
        """Wait until everything the relay took has reached the sink."""
        wait_until(
            lambda: not self._waiting(), within=_EMPTY_WITHIN, what="an empty queue"
        )

    def arrived(self) -> list[Arrived]:
        """Read what the sink has; nothing of it comes from the sender's database."""
        found: list[Arrived] = []
        dump = self.root / "sink" / "mail"
        if not dump.exists():
            return found
        recipient = ""
        with dump.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("X-Rcpt-Args: "):
                    recipient = line.partition("<")[2].partition(">")[0]
                elif recipient and line.lower().startswith("message-id:"):
                    found.append(Arrived(recipient, line.partition(":")[2].strip()))
                    recipient = ""
        return found

    def _waiting(self) -> bool:
        return any(
            file.is_file()
            for name in _WAITING
            for file in (self.root / "queue" / name).rglob("*")
        )


@contextmanager
def postfix(*, policy_port: int) -> Iterator[Postfix]:
    """Run a relay that asks a policy service about each recipient."""
    # Its processes run as users of their own; a test's own folder lets none of them in.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with _running(Path(folder), policy_port) as relay:
            yield relay


@contextmanager
def _running(root: Path, policy_port: int) -> Iterator[Postfix]:
    port, sink_port = free_ports(2)
    for name in ("config", "queue", "data", "sink"):
        (root / name).mkdir()
    shutil.chown(root / "data", "postfix")
    shutil.chown(root / "sink", "nobody")
    (root / "config" / "main.cf").write_text(
        _MAIN.format(root=root, sink=sink_port, policy=policy_port)
    )
    (root / "config" / "master.cf").write_text(_MASTER.format(port=port))
    sink = subprocess.Popen(
        [
            *(_program("smtp-sink"), "-u", "nobody", "-R", str(root / "sink")),
            *("-D", "mail", f"127.0.0.1:{sink_port}", "1000"),
        ]
    )
    try:
        _control(root, "start")
        try:
            for one in (port, sink_port):
                wait_until(
                    lambda one=one: _listens(one),  # type: ignore[misc]
                    within=_STARTS_WITHIN,
                    what="a relay that listens",
                )
            yield Postfix(root, port)
        finally:
            _control(root, "stop")
    finally:
        sink.terminate()
        sink.wait(10)


def _control(root: Path, command: str) -> None:
    # It leaves processes behind: nothing of theirs is a pipe of ours.
    done = subprocess.run(
        [_program("postfix"), "-c", str(root / "config"), command],
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode:
        log = root / "log"
        said = log.read_text("utf-8")[-2000:] if log.exists() else "nothing"
        raise RuntimeError(f"postfix {command} failed; its log says:\n{said}")


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    assert found, f"{name} is not installed: it comes with Debian's postfix"
    return found
