"""Lists of affected certificates for tests: real certificates, made in a moment."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ISSUER = "C=HK, O=Hongkong Post, CN=Test e-Cert SSL CA"
NOT_BEFORE = datetime(2025, 12, 1, tzinfo=UTC)
NOT_AFTER = NOT_BEFORE + timedelta(days=365)


@cache
def signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(
    common_name: str, organisation: str | None = None, country: str | None = None
) -> x509.Name:
    parts = [
        (NameOID.COUNTRY_NAME, country),
        (NameOID.ORGANIZATION_NAME, organisation),
        (NameOID.COMMON_NAME, common_name),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def make_certificate(
    serial: int,
    *,
    organisation: str | None = "Harbour Clinic",
    dns_names: Sequence[str] = ("www.clinic.example",),
    precertificate: bool = False,
    authority: bool = False,
    issuer: x509.Name | None = None,
    not_after: datetime = NOT_AFTER,
    subject_key: ec.EllipticCurvePrivateKey | None = None,
    authority_key: x509.AuthorityKeyIdentifier | None = None,
    crl_points: Sequence[x509.DistributionPoint] = (),
) -> bytes:
    """Issue a certificate; returns DER."""
    key = signing_key()
    builder = (
        x509.CertificateBuilder()
        .serial_number(serial)
        .issuer_name(issuer or name("Test e-Cert SSL CA", "Hongkong Post", "HK"))
        .subject_name(
            name(dns_names[0] if dns_names else "nameless", organisation, "HK")
        )
        .public_key((subject_key or key).public_key())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True)  # noqa: FBT003
    )
    if crl_points:
        builder = builder.add_extension(
            x509.CRLDistributionPoints(crl_points), critical=False
        )
    if dns_names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in dns_names]),
            critical=False,
        )
    if authority_key:
        builder = builder.add_extension(authority_key, critical=False)
    if precertificate:
        builder = builder.add_extension(x509.PrecertPoison(), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(ders: Iterable[bytes]) -> bytes:
    """Write certificates as one PEM bundle."""
    return b"".join(
        x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
        for der in ders
    )
