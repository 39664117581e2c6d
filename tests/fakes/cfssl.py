"""A real CFSSL server with a database and a CRL of its own."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakes.cfssl_crl
import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from fakes.authority import PEM, Authority, new_authority
from fakes.option_files import write_options
from fakes.stack import wait_until

from tocsin.demo.ports import free_port

_SCHEMA = """
CREATE TABLE certificates (
    serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob,
    status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp,
    pem blob NOT NULL, PRIMARY KEY (serial_number, authority_key_identifier)
);
CREATE TABLE ocsp_responses (
    serial_number blob NOT NULL, authority_key_identifier blob NOT NULL,
    body blob NOT NULL, expiry timestamp,
    PRIMARY KEY (serial_number, authority_key_identifier)
);
"""
_CONFIG = {
    "signing": {
        "default": {"expiry": "720h", "usages": ["digital signature", "server auth"]}
    }
}


@dataclass
class CfsslServer:
    """A server, its folder and its issuer."""

    url: str
    folder: Path
    authority: Authority

    def ask(self, verb: str, **data: Any) -> Any:
        reply = httpx.post(
            f"{self.url}/api/v1/cfssl/{verb}", json=data, trust_env=False
        )
        assert reply.is_success, reply.text
        return reply.json()["result"]

    def issue(self) -> int:
        """Have a certificate issued, and return its serial."""
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(
                x509.Name(
                    [x509.NameAttribute(x509.NameOID.COMMON_NAME, "host.example")]
                )
            )
            .sign(self.authority.key, hashes.SHA256())
        )
        csr = request.public_bytes(PEM).decode()
        made = self.ask("sign", certificate_request=csr, hosts=["host.example"])
        return x509.load_pem_x509_certificate(
            made["certificate"].encode()
        ).serial_number

    def rows(self) -> dict[int, tuple[str, int, str]]:
        """Return status, reason and time by serial, from its database."""
        with closing(sqlite3.connect(self.folder / "certs.db")) as database:
            return {
                int(row[0]): tuple(row[1:])
                for row in database.execute(
                    "SELECT serial_number, status, reason, revoked_at FROM certificates"
                )
            }

    def options(self, **ca: Any) -> Path:
        """Write an options file."""
        (self.folder / "database-url").write_text(
            f"sqlite:///{self.folder / 'certs.db'}\n"
        )
        return write_options(
            self.folder / "cfssl.toml",
            {"certificate": "issuer.pem", "crl": "ca.crl"},
            ca={
                "url": self.url,
                "database_url_file": "database-url",
                "publish": [sys.executable, fakes.cfssl_crl.__file__, self.folder],
            }
            | ca,
        )


@contextmanager
def cfssl_server(folder: Path) -> Iterator[CfsslServer]:
    """Start a server, and end it."""
    authority = new_authority("Test CA of cfssl")
    certificate, key = authority.write(folder)
    with closing(sqlite3.connect(folder / "certs.db")) as database:
        database.executescript(_SCHEMA)
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    (folder / "db.json").write_text(
        json.dumps({"driver": "sqlite3", "data_source": str(folder / "certs.db")})
    )
    port = free_port()
    with (folder / "cfssl.log").open("wb") as log:
        process = subprocess.Popen(
            [  # noqa: S607 - from the PATH, as a package installs it
                "cfssl",
                "serve",
                "-address=127.0.0.1",
                f"-port={port}",
                f"-ca={certificate}",
                f"-ca-key={key}",
                f"-config={folder / 'config.json'}",
                f"-db-config={folder / 'db.json'}",
                f"-responder={certificate}",
                f"-responder-key={key}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url), within=60, what="CFSSL answers")
        yield CfsslServer(url=url, folder=folder, authority=authority)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return (
            httpx.post(
                f"{url}/api/v1/cfssl/info", json={"label": ""}, trust_env=False
            ).status_code
            == 200
        )
    except httpx.HTTPError:
        return False
