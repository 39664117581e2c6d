"""Issues the affected certificates for real; without it the replay would import a story."""

import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from tocsin.ca.issuers import add_issued, create_issuer, find_issuer, signing_key
from tocsin.demo import record
from tocsin.demo.population import SEED, STAFF_DOMAIN, Organisation
from tocsin.errors import Broken

CA_NAME = "Example Post e-Cert"

DEFECTIVE_CPS_URI = f"www.{STAFF_DOMAIN}/cps"
"""The defect. TLS BR 7.1.2.7.9: a cPSuri holds an HTTP or HTTPS URL; this has no scheme."""

# OV TLS (CA/Browser Forum 2.23.140.1.2.2).
_ORGANISATION_VALIDATED = x509.ObjectIdentifier("2.23.140.1.2.2")
_ISSUER_MADE_AT = datetime(2017, 6, 1, 2, tzinfo=UTC)
_FIRST_ISSUED = datetime(2023, 7, 3, 1, tzinfo=UTC)
_ISSUED_OVER = timedelta(days=250)
# 397 days: the longest the BRs advise in 2024. None ends while the replay runs.
_VALID_FOR = timedelta(days=397)
_BUNDLE_SHARE = 0.5
_DIRECTORY_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """
    What was written.

    Args:
        files: The paths to import: a PEM bundle, a directory of DER, a zip.
        entries: Certificates and precertificates in them.
        serials: Of the final certificates.

    """

    files: tuple[Path, ...]
    entries: int
    serials: frozenset[int]


def issue_all(
    ca_directory: Path, directory: Path, organisations: Sequence[Organisation]
) -> Issued:
    """
    Make the issuing CA, issue every certificate, and tell the CA what it issued.

    Args:
        ca_directory: Where the embedded CA lives.
        directory: Where the list of log entries is written.
        organisations: Whom to issue to.

    """
    issuer_key = create_issuer(
        ca_directory,
        name="Example Post e-Cert SSL CA 3",
        organisation="Example Post",
        country="HK",
        now=_ISSUER_MADE_AT,
    )
    found = find_issuer(ca_directory, issuer_key)
    if found is None:
        raise Broken("the embedded CA lost the issuer it has just made")
    issued = issue_log_entries(
        directory,
        organisations,
        issuer=found.certificate,
        key=signing_key(ca_directory, issuer_key),
    )
    add_issued(ca_directory, issuer_key=issuer_key, serials=issued.serials)
    return issued


def issue_log_entries(
    directory: Path,
    organisations: Sequence[Organisation],
    *,
    issuer: x509.Certificate,
    key: CertificateIssuerPrivateKeyTypes,
    seed: int = SEED,
) -> Issued:
    """
    Issue each subscriber's certificates, and list them as CT logs do.

    Some certificates are listed twice: as themselves and as the precertificate they
    were logged with, which shares issuer and serial and carries the poison extension.

    Args:
        directory: Where the list is written; made when absent.
        organisations: Whom to issue to, and how many.
        issuer: The issuing CA's certificate.
        key: Its private key.
        seed: The same gives the same serials, names and dates (keys are new).

    """
    chance = random.Random(seed)  # noqa: S311 - a story; keys come from the library
    directory.mkdir(parents=True, exist_ok=True)
    twice = set(chance.sample(range(record.CERTIFICATES), record.PRECERTIFICATES))
    entries: list[x509.Certificate] = []
    requests = [(one, hosts) for one in organisations for hosts in one.hosts]
    for number, (organisation, hosts) in enumerate(requests):
        builder = _builder(organisation, hosts, issuer=issuer, chance=chance)
        entries.append(builder.sign(key, hashes.SHA256()))
        if number in twice:
            poisoned = builder.add_extension(x509.PrecertPoison(), critical=True)
            entries.append(poisoned.sign(key, hashes.SHA256()))
    chance.shuffle(entries)
    return Issued(
        files=_write(directory, entries),
        entries=len(entries),
        serials=frozenset(entry.serial_number for entry in entries),
    )


def _builder(
    organisation: Organisation,
    hosts: Sequence[str],
    *,
    issuer: x509.Certificate,
    chance: random.Random,
) -> x509.CertificateBuilder:
    """Prepare one certificate as the CA issued it, defect included."""
    public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    issued_at = _FIRST_ISSUED + chance.random() * _ISSUED_OVER
    issued_at = issued_at.replace(second=0, microsecond=0)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "HK"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Hong Kong"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Hong Kong"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation.name),
            x509.NameAttribute(NameOID.COMMON_NAME, hosts[0]),
        ]
    )
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    policies = x509.CertificatePolicies(
        [
            x509.PolicyInformation(
                _ORGANISATION_VALIDATED, policy_qualifiers=[DEFECTIVE_CPS_URI]
            )
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(public_key)
        # 126 bits: positive, and always sixteen octets.
        .serial_number((1 << 126) | chance.getrandbits(126))
        .not_valid_before(issued_at)
        .not_valid_after(issued_at + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                identifier.value
            ),
            critical=False,
        )
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]),
            critical=False,
        )
        .add_extension(policies, critical=False)
        .add_extension(_INFORMATION, critical=False)
        .add_extension(_DISTRIBUTION, critical=False)
    )


_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_INFORMATION = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP,
            x509.UniformResourceIdentifier(f"http://ocsp.{STAFF_DOMAIN}"),
        )
    ]
)
_DISTRIBUTION = x509.CRLDistributionPoints(
    [
        x509.DistributionPoint(
            full_name=[
                x509.UniformResourceIdentifier(f"http://crl.{STAFF_DOMAIN}/ssl.crl")
            ],
            relative_name=None,
            reasons=None,
            crl_issuer=None,
        )
    ]
)


def _write(
    directory: Path, entries: Sequence[x509.Certificate]
) -> tuple[Path, Path, Path]:
    """Spread the entries over the kinds of files that people really have."""
    first = int(len(entries) * _BUNDLE_SHARE)
    second = first + int(len(entries) * _DIRECTORY_SHARE)
    bundle = directory / "log-bundle.pem"
    bundle.write_bytes(
        b"".join(
            entry.public_bytes(serialization.Encoding.PEM) for entry in entries[:first]
        )
    )
    folder = directory / "log-entries"
    folder.mkdir(exist_ok=True)
    for number, entry in enumerate(entries[first:second], start=1):
        (folder / f"{number:04}.der").write_bytes(
            entry.public_bytes(serialization.Encoding.DER)
        )
    archive = directory / "log-export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number, entry in enumerate(entries[second:], start=1):
            file.writestr(
                f"{number:04}.crt", entry.public_bytes(serialization.Encoding.DER)
            )
    return bundle, folder, archive
