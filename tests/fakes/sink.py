"""Postfix's smtp-sink: a real server's manners, without a place to put the mail."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tocsin.demo.ports import free_port

HOST = "127.0.0.1"


@contextmanager
def smtp_sink(*options: str) -> Iterator[int]:
    """Run it with its own options, such as -p: no pipelining; yield its port."""
    program = shutil.which("smtp-sink", path=f"/usr/sbin:{os.environ.get('PATH', '')}")
    if program is None:
        pytest.skip("smtp-sink comes with Debian's postfix")
    # It will not run as root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    port = free_port()
    command = [program, *user, *options, f"{HOST}:{port}", "100"]
    with subprocess.Popen(command) as process:
        try:
            until = time.monotonic() + 20
            while True:
                with suppress(OSError), socket.create_connection((HOST, port)):
                    break
                assert process.poll() is None, "smtp-sink ended"
                assert time.monotonic() < until, "smtp-sink did not start"
            yield port
        finally:
            process.terminate()
