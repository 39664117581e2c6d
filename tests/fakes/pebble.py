"""A real Pebble, Let's Encrypt's ACME server for tests, with an account."""

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from os import environ
from pathlib import Path
from typing import Any

import httpx
from acme import client, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fakes.authority import DER, PEM
from fakes.option_files import write_options
from fakes.stack import free_ports, wait_until
from josepy.jwk import JWKRSA

from tocsin.clock import SystemClock
from tocsin.names import key_of_name


@dataclass
class PebbleServer:
    """A server, and an account that has certificates issued."""

    url: str
    management: str
    folder: Path
    account: client.ClientV2
    certificates: dict[int, bytes] = field(default_factory=dict)

    @property
    def issuer(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._ask("intermediates/0").content)

    @property
    def issuer_key(self) -> str:
        return key_of_name(self.issuer.subject)

    def issue(self, account: client.ClientV2 | None = None) -> int:
        """Order a certificate and return its serial."""
        account = account or self.account
        key = ec.generate_private_key(ec.SECP256R1())
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("host.example")]),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        order = account.new_order(request.public_bytes(PEM))
        for authorisation in order.authorizations:
            for challenge in authorisation.body.challenges:
                if challenge.typ == "http-01" and (
                    authorisation.body.status == messages.STATUS_PENDING
                ):
                    account.answer_challenge(
                        challenge, challenge.chall.response(account.net.key)
                    )
        done = account.poll_and_finalize(order)
        certificate = x509.load_pem_x509_certificate(done.fullchain_pem.encode())
        self.certificates[certificate.serial_number] = certificate.public_bytes(DER)
        return certificate.serial_number

    def status(self, serial: int) -> dict[str, Any]:
        """Return what Pebble's own people would see."""
        found: dict[str, Any] = self._ask(f"cert-status-by-serial/{serial:x}").json()
        return found

    def new_account(self, name: str) -> client.ClientV2:
        """Register an account and keep its key in a file."""
        key = rsa.generate_private_key(65537, 2048)
        (self.folder / f"{name}.pem").write_bytes(
            key.private_bytes(
                PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        net = client.ClientNetwork(
            JWKRSA(key=key),
            verify_ssl=str(self.folder / "tls.pem"),  # type: ignore[arg-type] # a file, too
        )
        account = client.ClientV2(client.ClientV2.get_directory(self.url, net), net)
        account.new_account(
            messages.NewRegistration.from_data(terms_of_service_agreed=True)
        )
        return account

    def options(self, *, account: str = "account", **ca: Any) -> Path:
        """Write an options file."""
        (self.folder / "issuer.pem").write_bytes(self.issuer.public_bytes(PEM))
        return write_options(
            self.folder / "acme.toml",
            {"certificate": "issuer.pem"},
            ca={
                "url": self.url,
                "account_key_file": f"{account}.pem",
                "trust_file": "tls.pem",
            }
            | ca,
        )

    def _ask(self, path: str) -> httpx.Response:
        trust = ssl.create_default_context(cafile=self.folder / "tls.pem")
        return httpx.get(f"{self.management}/{path}", verify=trust, trust_env=False)


@contextmanager
def pebble_server(folder: Path) -> Iterator[PebbleServer]:
    """Start a server that takes every challenge for met, and end it."""
    listens, manages, http, tls = free_ports(4)
    _write_tls(folder)
    config = {
        "listenAddress": f"127.0.0.1:{listens}",
        "managementListenAddress": f"127.0.0.1:{manages}",
        "certificate": str(folder / "tls.pem"),
        "privateKey": str(folder / "tls-key.pem"),
        "httpPort": http,
        "tlsPort": tls,
        "ocspResponderURL": "",
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    with (folder / "pebble.log").open("wb") as log:
        process = subprocess.Popen(
            ["pebble", "-config", folder / "pebble.json"],  # noqa: S607
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environ
            | {
                "PEBBLE_VA_ALWAYS_VALID": "1",
                "PEBBLE_VA_NOSLEEP": "1",
                "PEBBLE_AUTHZREUSE": "100",
                "PEBBLE_WFE_NONCEREJECT": "0",
            },
        )
    trust = ssl.create_default_context(cafile=folder / "tls.pem")
    url = f"https://127.0.0.1:{listens}/dir"
    try:
        wait_until(lambda: _answers(url, trust), within=60, what="Pebble answers")
        server = PebbleServer(
            url=url,
            management=f"https://127.0.0.1:{manages}",
            folder=folder,
            account=None,  # type: ignore[arg-type] # made with its help
        )
        server.account = server.new_account("account")
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(url: str, trust: ssl.SSLContext) -> bool:
    try:
        return httpx.get(url, verify=trust, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _write_tls(folder: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = SystemClock().now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(certificate.public_bytes(PEM))
    (folder / "tls-key.pem").write_bytes(
        key.private_bytes(
            PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
