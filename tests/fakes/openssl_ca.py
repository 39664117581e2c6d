"""A real directory of `openssl ca`, with certificates in its index."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from fakes.authority import DER, Authority, new_authority
from fakes.option_files import write_options

CONFIG = """\
[ca]
default_ca = tests
[tests]
database = {folder}/index.txt
serial = {folder}/serial
crlnumber = {folder}/crlnumber
certificate = {folder}/issuer.pem
private_key = {folder}/issuer-key.pem
new_certs_dir = {folder}
default_md = sha256
default_days = 90
default_crl_days = 7
unique_subject = no
policy = anything
crl_extensions = crl
[anything]
commonName = optional
[crl]
authorityKeyIdentifier = keyid:always
"""


@dataclass
class OpenSslDirectory:
    """A CA directory; it lists what ``issue`` has added."""

    folder: Path
    authority: Authority
    certificates: dict[int, bytes] = field(default_factory=dict)

    @property
    def index(self) -> Path:
        return self.folder / "index.txt"

    def issue(self, serial: int | None = None, *, name: str = "host.example") -> int:
        """Issue a certificate and list it as openssl itself would."""
        serial = serial or x509.random_serial_number()
        certificate = self.authority.issue(serial, name=name)
        digits = f"{serial:X}"
        row = [
            "V",
            f"{certificate.not_valid_after_utc:%y%m%d%H%M%SZ}",
            "",
            digits.zfill(len(digits) + len(digits) % 2),
            "unknown",
            f"/CN={name}",
        ]
        with self.index.open("a") as stream:
            stream.write("\t".join(row) + "\n")
        self.certificates[serial] = certificate.public_bytes(DER)
        return serial

    def rows(self) -> dict[int, list[str]]:
        rows = [line.split("\t") for line in self.index.read_text().splitlines()]
        return {int(row[3], 16): row for row in rows}

    def options(self, *, issuer: dict[str, Any] | None = None, **ca: Any) -> Path:
        """Write an options file."""
        named = {
            "certificate": "issuer.pem",
            "config": "openssl.cnf",
            "database": "index.txt",
            "crl_out": "ca.crl",
        } | (issuer or {})
        return write_options(self.folder / "openssl.toml", named, ca=ca)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `openssl ca` beside Tocsin, as the CA's own people would."""
        return subprocess.run(
            ["openssl", "ca", "-batch", "-config", "openssl.cnf", *arguments],  # noqa: S607
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


def openssl_directory(folder: Path) -> OpenSslDirectory:
    """Make a CA directory with nothing issued."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = new_authority()
    authority.write(folder)
    (folder / "openssl.cnf").write_text(CONFIG.format(folder=folder))
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("1000\n")
    (folder / "crlnumber").write_text("01\n")
    return OpenSslDirectory(folder=folder, authority=authority)
