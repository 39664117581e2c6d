"""A real OpenBao server in memory, with a mount that issues and revokes."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.option_files import write_options
from fakes.stack import wait_until

from tocsin.demo.ports import free_port

TOKEN = "root-of-the-tests"  # noqa: S105 - of a server that lives as long as a test


@dataclass
class BaoServer:
    """
    A server of the tests' own.

    Args:
        url: Where it listens.
        folder: Holds its log and what tests write about it.

    """

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    client: httpx.Client
    certificates: dict[int, bytes] = field(default_factory=dict)

    def ask(self, method: str, path: str, **data: Any) -> Any:
        """Call the API as root; whatever it refuses fails the test."""
        reply = self.client.request(method, path, json=data or None)
        assert reply.is_success, f"{path}: {reply.text}"
        return reply.json() if reply.content else {}

    def mount(self, mount: str = "pki", **crl: Any) -> x509.Certificate:
        """Mount a PKI engine with an issuer and a role, and return the issuer."""
        config = {"max_lease_ttl": "87600h"}
        self.ask("POST", f"sys/mounts/{mount}", type="pki", config=config)
        root = self.ask(
            "POST",
            f"{mount}/root/generate/internal",
            common_name=f"Bao CA of {mount}",
            ttl="8760h",
            key_type="ec",
            key_bits=256,
        )
        for role, no_store in (("r", False), ("unstored", True)):
            self.ask(
                "POST",
                f"{mount}/roles/{role}",
                allow_any_name=True,
                key_type="ec",
                key_bits=256,
                ttl="720h",
                no_store=no_store,
                not_before_duration="1h",
            )
        self.ask(
            "POST",
            f"{mount}/config/crl",
            **({"auto_rebuild": True, "expiry": "72h"} | crl),
        )
        return x509.load_pem_x509_certificate(root["data"]["certificate"].encode())

    def issue(self, mount: str = "pki", role: str = "r", **more: Any) -> int:
        """Issue a certificate and return its serial."""
        issued = self.ask(
            "POST", f"{mount}/issue/{role}", common_name="host.example", **more
        )
        certificate = x509.load_pem_x509_certificate(
            issued["data"]["certificate"].encode()
        )
        serial = certificate.serial_number
        self.certificates[serial] = certificate.public_bytes(Encoding.DER)
        return serial

    def token(self, *rules: str) -> str:
        """Return a token that may do what the rules say, and nothing else."""
        self.ask("PUT", "sys/policies/acl/some", policy="\n".join(rules))
        made = self.ask("POST", "auth/token/create", policies=["some"])
        return str(made["auth"]["client_token"])

    def options(
        self, *issuers: tuple[x509.Certificate, str], token: str = TOKEN, **ca: Any
    ) -> Path:
        """Write an options file for these issuers and their mounts."""
        (self.folder / "token").write_text(token + "\n")
        for certificate, mount in issuers:
            (self.folder / f"{mount}.pem").write_bytes(
                certificate.public_bytes(Encoding.PEM)
            )
        return write_options(
            self.folder / "openbao.toml",
            *({"certificate": f"{mount}.pem", "mount": mount} for _, mount in issuers),
            ca={"url": self.url, "token_file": "token"} | ca,
        )


@contextmanager
def bao_server(folder: Path) -> Iterator[BaoServer]:
    """Start a server, unsealed and in memory, and end it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "bao.log").open("wb") as log:
        process = subprocess.Popen(
            [
                Path(sys.executable).with_name("bao"),
                "server",
                "-dev",
                "-dev-no-store-token",
                f"-dev-root-token-id={TOKEN}",
                f"-dev-listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _answers(url), within=60, what="OpenBao answers")
        with httpx.Client(
            base_url=f"{url}/v1/",
            headers={"X-Vault-Token": TOKEN},
            trust_env=False,
            timeout=60,
        ) as client:
            yield BaoServer(url=url, folder=folder, process=process, client=client)
    finally:
        with contextlib.suppress(ProcessLookupError):  # a test may have killed it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/sys/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
