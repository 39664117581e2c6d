"""Issuers and certificates of the tests' own, for CAs that are given their key."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tocsin.clock import SystemClock
from tocsin.names import key_of_name

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


@dataclass(frozen=True)
class Authority:
    """An issuer with its key, valid today."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def issuer_key(self) -> str:
        return key_of_name(self.certificate.subject)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write certificate and key, PEM, and return their files."""
        certificate, key = folder / "issuer.pem", folder / "issuer-key.pem"
        certificate.write_bytes(self.certificate.public_bytes(PEM))
        key.write_bytes(
            self.key.private_bytes(
                PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        return certificate, key

    def issue(
        self, serial: int, *, name: str = "host.example", now: datetime | None = None
    ) -> x509.Certificate:
        """Issue a certificate, all with one key since nobody looks at it."""
        now = now or SystemClock().now()
        return (
            x509.CertificateBuilder()
            .subject_name(
                x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
            )
            .issuer_name(self.certificate.subject)
            .public_key(self.key.public_key())
            .serial_number(serial)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()
                ),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )


def new_authority(name: str = "Test CA of today") -> Authority:
    """Make a self-signed issuer."""
    now = SystemClock().now()
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(key=key, certificate=certificate)
